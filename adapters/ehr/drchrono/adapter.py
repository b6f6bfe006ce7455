"""One clinic's link to one DrChrono practice. Source: the vendor document for DrChrono, whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import ClassVar

from adapters.ehr.drchrono import mapping, notifications, tokens, writing
from adapters.ehr.drchrono.budget import BudgetedHttp, CallBudget
from adapters.ehr.drchrono.errors import VENDOR
from adapters.ehr.drchrono.feed import Feed
from adapters.ehr.drchrono.fetching import Fetcher
from adapters.ehr.drchrono.probing import Prober
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.canonical.models import (
    ClaimFate,
    EncounterRecord,
    EncounterRef,
    Notification,
    NotificationRequest,
)
from gateway.kit.ehr_vendor import VendorEhr
from gateway.kit.http import open_client
from gateway.kit.json_api import JsonApi
from gateway.ports.context import AdapterContext, Probe
from gateway.ports.ehr import Consent


class DrChrono(VendorEhr):
    """Implements `gateway.ports.ehr.EhrAdapter` over DrChrono's REST API."""

    vendor: ClassVar[str] = VENDOR

    def __init__(self, settings: DrChronoSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool."""
        self.settings, self.context = settings, context
        self.settle_seconds = settings.settle_seconds
        self.options = mapping.Options.of(settings, context.clinic)
        self.budget = CallBudget(settings, context)
        self._http = open_client(timeout_seconds=settings.timeout_seconds, max_connections=settings.max_connections)
        self.tokens = tokens.DrChronoTokens(settings, context, self._http)
        most = settings.max_response_mb * 1024 * 1024
        authorized = BudgetedHttp(self.budget, http=self._http, tokens=self.tokens, max_bytes=most)
        version = {"X-DRC-API-Version": settings.api_version}
        self._api = JsonApi(f"{settings.base_url}/api", authorized, self.budget.refusal, headers=version)
        self._fetcher = Fetcher(self._api, settings, context, self.options)
        self._feed = Feed(self._api, settings, context, self.options, self._fetcher)
        self._prober = Prober(self._api, self.tokens, settings, self.options, context)

    def verify_notification(self, request: NotificationRequest) -> None:
        """Compare the webhook's secret, over TLS only; raises `NotificationRejected`."""
        notifications.verify(request, self.settings.webhook_secret.get_secret_value())

    def answer_challenge(self, request: NotificationRequest) -> Mapping[str, str]:
        """The HMAC of the message by which DrChrono verifies the hook."""
        return notifications.challenge(request, self.settings.webhook_secret.get_secret_value())

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which visit an event is about; raises `NotificationMalformed`."""
        return notifications.parse(request, self.settings.practice_group_id, self.options.zone)

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Locked visits that changed, and those whose charges did; the cursor is practice-local time."""
        async for found in self._feed.changed(cursor):
            yield found

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Locked visits of former days, by asynchronous lists."""
        async for found in self._feed.backfill(since, position):
            yield found

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """The visit in DrChrono's own objects; four calls when doctors and offices are known."""
        return await self._fetcher.fetch(ref)

    def fhir_record(self, record: EncounterRecord) -> EncounterRecord:
        """The record as FHIR R4; raises `MappingError` with the path of DrChrono's field."""
        return mapping.fhir_record(record, self.options)

    async def write_back(self, ref: EncounterRef, fate: ClaimFate) -> None:
        """A billing note and, where the clinic has a word for the state, the billing status."""
        await writing.write_back(self._api, self.settings, ref, fate)

    def consent(self, redirect_uri: str) -> Consent:
        """Where a user of the practice consents."""
        return tokens.consent(self.settings, redirect_uri)

    async def accept_consent(self, code: str, redirect_uri: str) -> list[Probe]:
        """Exchange the code and keep the tokens; tells who consented and what the consent lacks."""
        await self.tokens.accept(code, redirect_uri)
        return await self._prober.consented()

    async def probe(self) -> list[Probe]:
        """Consent, user, scopes, permissions, budget, webhooks, and what the clinic's configuration must add."""
        return await self._prober.probe()

    async def aclose(self) -> None:
        """Close the network client."""
        await self.tokens.aclose()
        await self._http.aclose()
