"""The athenahealth adapter: its v1 API for what a claim needs, FHIR for codes and events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import date
from typing import ClassVar

from adapters.ehr.athenahealth import mapping, notifications
from adapters.ehr.athenahealth.api import AthenaApi
from adapters.ehr.athenahealth.booked import BookedAppointments
from adapters.ehr.athenahealth.errors import VENDOR, refusal
from adapters.ehr.athenahealth.feed import AppointmentFeed
from adapters.ehr.athenahealth.fetch import EncounterFetcher
from adapters.ehr.athenahealth.probe import Prober
from adapters.ehr.athenahealth.reopened import ReopenedEncounters
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.subscriptions import Subscriptions
from adapters.ehr.athenahealth.tokens import open_tokens
from gateway.canonical.errors import UnsupportedOperation
from gateway.canonical.models import EncounterRecord, EncounterRef, Notification, NotificationRequest
from gateway.canonical.subscription import Subscribed
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_vendor import VendorEhr
from gateway.kit.ehr_vendor_settings import OwnBilling
from gateway.kit.http import open_client
from gateway.kit.json_api import JsonApi
from gateway.ports.context import AdapterContext, Probe

DAY_SECONDS = 86400.0


class Athenahealth(VendorEhr):
    """One practice at athenahealth (athenaOne)."""

    vendor: ClassVar[str] = VENDOR

    def __init__(self, settings: AthenahealthSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool; raises `ConfigurationError` for a key that cannot sign."""
        self.settings, self.context = settings, context
        self.settle_seconds = settings.settle_seconds
        guarded = settings.own_billing is OwnBilling.HOLD
        self._terms = mapping.Terms(context.clinic.payer_ids, guarded, settings.watch_seconds)
        self._http = open_client(timeout_seconds=settings.timeout_seconds, max_connections=settings.max_connections)
        self.tokens = open_tokens(settings, context, self._http)
        http = AuthorizedHttp(
            vendor=VENDOR,
            http=self._http,
            tokens=self.tokens,
            max_bytes=settings.max_response_mb * 1024 * 1024,
            before=self._spend,
        )
        api = AthenaApi(JsonApi(f"{settings.host}/v1/{settings.practice_id}", http, refusal))
        fhir = FhirClient(base_url=f"{settings.host}/fhir/r4", http=http)
        self.fetcher = EncounterFetcher(api, fhir, settings.practice_id, own_claims=guarded)
        booked = BookedAppointments(api, settings, context)
        self.booked, self.feed = booked, AppointmentFeed(api, booked, settings, context)
        self.reopened = ReopenedEncounters(api, booked, settings, context)
        self.subscriptions = Subscriptions(api, fhir, http, settings, context)
        self._prober = Prober(api, fhir, self.tokens, self.subscriptions, settings, context)

    def verify_notification(self, request: NotificationRequest) -> None:
        """Check the signature over the raw bytes; raises `NotificationRejected`."""
        notifications.verify(request, self.settings.webhook_secret.get_secret_value())

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which encounters were signed or reopened; raises `NotificationMalformed`."""
        return notifications.parse(request, self.settings.practice_id, self.settings.department_ids)

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Encounters of changed appointments, closed or not, and once a day those that were reopened.

        The cursor is the instant from which the feed can be read again.
        """
        if not self.settings.poll_seconds:
            raise UnsupportedOperation(VENDOR, "changed_encounters", "the feed is not read: poll_seconds is 0")
        position = cursor or self.context.now().isoformat()
        async with aclosing(self.feed.changed(cursor)) as found:
            async for ref, position in found:
                yield ref, position
        async with aclosing(self.reopened.since_yesterday()) as reopened:
            async for ref in reopened:
                yield ref, position

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Closed encounters of booked appointments, by date; the position is the date to begin with again."""
        async with aclosing(self.booked.former(since, position)) as found:
            async for pair in found:
                yield pair

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """All that a claim needs, in three waves of concurrent reads."""
        return await self.fetcher.fetch(ref)

    def fhir_record(self, record: EncounterRecord) -> EncounterRecord:
        """The record as FHIR R4; raises `MappingError` with the path of athenahealth's field."""
        return mapping.fhir_record(record, self._terms)

    async def subscribe(self, endpoint: str) -> Sequence[Subscribed]:
        """The appointments feed, and the sign-off events when push is on."""
        return await self.subscriptions.subscribe(endpoint)

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """A new subscription of the same topic in place of one that ends."""
        return await self.subscriptions.renew(subscription, endpoint)

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription; one that is gone already is no error."""
        await self.subscriptions.unsubscribe(subscription)

    async def subscription_status(self, subscription: str) -> Subscribed:
        """What athenahealth says of a subscription now."""
        return await self.subscriptions.status(subscription)

    async def probe(self) -> list[Probe]:
        """Token, departments, feed, own claims, FHIR and events, each with its remedy."""
        return await self._prober.probe()

    async def aclose(self) -> None:
        """Close the network client."""
        await self.tokens.aclose()
        await self._http.aclose()

    async def _spend(self, operation: str) -> None:
        """Keep the app's limits, which all its connections share."""
        budget = f"{VENDOR}/{self.settings.client_id}"
        if self.settings.calls_per_second:
            await self.context.pacer.spend(f"{budget}/second", self.settings.calls_per_second, 1.0)
        if self.settings.calls_per_day:
            await self.context.pacer.spend(f"{budget}/day", self.settings.calls_per_day, DAY_SECONDS)
