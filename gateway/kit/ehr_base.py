"""An EHR adapter over SMART on FHIR: a conformant vendor inherits it and changes class attributes only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date
from typing import Any, ClassVar

from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
)
from gateway.canonical.models import (
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    Notification,
    NotificationRequest,
)
from gateway.canonical.subscription import Subscribed
from gateway.canonical.superbill import Visit
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.ehr_adapter import EhrBase
from gateway.kit.ehr_bulk import BulkExporter
from gateway.kit.ehr_charge_searches import followed_for, searches_for
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_feed import EncounterFeed
from gateway.kit.ehr_fetch import BY_ENCOUNTER, BY_PATIENT, EncounterFetcher, Search
from gateway.kit.ehr_normalize import normalize
from gateway.kit.ehr_notifications import parse_notification, verify_bearer, verify_hmac
from gateway.kit.ehr_rows import US_CORE, ResourceMap
from gateway.kit.ehr_rung import Site
from gateway.kit.ehr_settings import SmartSettings, SubscriptionStyle, WebhookSignature
from gateway.kit.ehr_source import Dialect
from gateway.kit.ehr_subscribe import subscribe
from gateway.kit.ehr_visit import visit_of
from gateway.kit.http import open_client
from gateway.kit.smart import SmartBackendClient
from gateway.kit.smart_key import SigningKey
from gateway.ports.context import AdapterContext, Probe

_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check client_id, key_id and that the EHR has this app's public key; keys may take a day.",
    PermissionMissing: "Ask the EHR's administrator to grant this app the scopes in `scopes`, or shorten that list.",
    RateLimited: "Wait, then try again; lower max_connections if it comes back.",
    UnexpectedResponse: "Check base_url: it must be the FHIR R4 base that the EHR's vendor names for this clinic.",
}
_TRY_AGAIN = "Check that base_url and token_url are right and reachable from here, then try again."


class SmartFhirEhr(EhrBase):
    """One clinic's link to one FHIR server. Implements `gateway.ports.ehr.EhrAdapter`."""

    vendor: ClassVar[str] = "smart_fhir"
    resource_maps: ClassVar[Mapping[str, ResourceMap]] = US_CORE
    code_system_aliases: ClassVar[Mapping[str, str]] = {}
    charge_sources: ClassVar[tuple[str, ...]] = ("claim", "charge_item", "charge_map", "procedure")
    modifier_extensions: ClassVar[frozenset[str]] = frozenset()
    encounter_search: ClassVar[Mapping[str, Any]] = {"_sort": "_lastUpdated", "_count": 100}
    searches_by_encounter: ClassVar[tuple[Search, ...]] = BY_ENCOUNTER
    searches_by_patient: ClassVar[tuple[Search, ...]] = BY_PATIENT

    def __init__(self, settings: SmartSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool; raises `ConfigurationError` for a key that cannot sign."""
        self.settings, self.context = settings, context
        key = SigningKey.load(settings.private_key.get_secret_value(), settings.algorithm, settings.key_id)
        self._http = open_client(timeout_seconds=settings.timeout_seconds, max_connections=settings.max_connections)
        self.tokens = SmartBackendClient(
            vendor=self.vendor,
            base_url=settings.base_url,
            client_id=settings.client_id,
            key=key,
            scopes=settings.scopes,
            http=self._http,
            token_url=settings.token_url,
            now=context.now,
        )
        authorized = AuthorizedHttp(
            vendor=self.vendor, http=self._http, tokens=self.tokens, max_bytes=settings.max_response_mb * 1024 * 1024
        )
        self.client = FhirClient(base_url=settings.base_url, http=authorized)
        self.feed = self._open_feed()
        self.settle_seconds = settings.settle_seconds
        self.fetcher = EncounterFetcher(
            self.client,
            includes=settings.includes,
            patient_anchored=settings.patient_anchored,
            by_encounter=(*self.searches_by_encounter, *searches_for(context.clinic.charge_map)),
            by_patient=self.searches_by_patient,
            followed_types=followed_for(context.clinic.charge_map),
        )
        self.dialect = Dialect(
            code_system_aliases=self.code_system_aliases,
            charge_sources=self.charge_sources,
            modifier_extensions=self.modifier_extensions,
            signed_statuses=frozenset(settings.signed_statuses),
        )

    def _open_feed(self) -> EncounterFeed:
        settings, max_line = self.settings, self.settings.max_response_mb * 1024 * 1024
        exporter = BulkExporter(
            self.client, self.context, group=settings.bulk_group, by_post=settings.bulk_post, max_line=max_line
        )
        return EncounterFeed(Site(self.client, settings, self.context, exporter, self.encounter_search))

    def verify_notification(self, request: NotificationRequest) -> None:
        """Check the secret or the signature over the raw bytes; raises `NotificationRejected`."""
        signed = self.settings.webhook_signature is WebhookSignature.HMAC_SHA256
        verify = verify_hmac if signed else verify_bearer
        verify(request, self.settings.webhook_secret.get_secret_value())

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which encounters changed; raises `NotificationMalformed`."""
        return parse_notification(request)

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Followed encounters changed since the cursor, oldest first, by the feed that works here (`ehr_feed`)."""
        async for found in self.feed.changed(cursor):
            yield found

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Signed encounters with a date of service from `since` on: by export, else by search, else by appointments."""
        async for found in self.feed.listed(since, position):
            yield found

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """All that a claim needs, in two waves of concurrent reads."""
        return await self.fetcher.fetch(ref)

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter; raises `MappingError` with the FHIRPath of what is missing."""
        return normalize(
            record,
            connection=self.context.connection,
            clinic=self.context.clinic,
            dialect=self.dialect,
            maps=self.resource_maps,
        )

    def visit(self, record: EncounterRecord) -> Visit:
        """Patient, date and provider, as a superbill names them; raises `MappingError`."""
        return visit_of(record, self.context.connection, self.context.clinic, self.dialect)

    async def subscribe(self, endpoint: str) -> tuple[Subscribed, ...]:
        """Ask the EHR to notify `endpoint`; returns the Subscription, created or reused."""
        return (await subscribe(self.client, self.settings, endpoint),)

    async def probe(self) -> list[Probe]:
        """Discovery, token, scopes, a search and subscriptions, each reported with its remedy."""
        lines = [await self._try("discovery", self._probe_discovery)]
        lines.append(await self._try("access token", self._probe_token))
        if lines[-1].ok:
            lines.append(await self._try("scopes", self._probe_scopes))
            lines.append(await self._try("subscriptions", self._probe_subscriptions))
            lines += await self._probe_feed()
        return lines

    async def aclose(self) -> None:
        """Close the network client."""
        await self.tokens.aclose()
        await self._http.aclose()

    async def _try(self, what: str, attempt: Callable[[], Awaitable[Probe]]) -> Probe:
        try:
            return await attempt()
        except AdapterError as problem:
            remedy = _REMEDIES.get(type(problem), _TRY_AGAIN)
            return Probe(what, ok=False, detail=f"{problem.code.value}: {problem.text}", remedy=remedy)

    async def _probe_discovery(self) -> Probe:
        found = await self.tokens.discover()
        if found.algorithms and self.settings.algorithm not in found.algorithms:
            detail = f"the EHR announces {', '.join(found.algorithms)} and this connection signs with another algorithm"
            return Probe("discovery", ok=False, detail=detail, remedy="Set algorithm to one that the EHR announces.")
        configured = self.settings.token_url
        if configured is not None and configured != found.url:
            return Probe("discovery", ok=True, detail=f"token_url is used instead of the one in the {found.source}")
        return Probe("discovery", ok=True, detail=f"token endpoint from the {found.source}")

    async def _probe_token(self) -> Probe:
        await self.tokens.token()
        return Probe("access token", ok=True)

    async def _probe_scopes(self) -> Probe:
        await self.tokens.token()
        missing = self.tokens.missing_scopes()
        if missing:
            detail, remedy = f"asked for and not granted: {' '.join(missing)}", _REMEDIES[PermissionMissing]
            return Probe("scopes", ok=False, detail=detail, remedy=remedy)
        return Probe("scopes", ok=True, detail="all that were asked for")

    async def _probe_feed(self) -> list[Probe]:
        try:
            return await self.feed.probe()
        except AdapterError as problem:
            detail = f"{problem.code.value}: {problem.text}"
            return [Probe("feed", ok=False, detail=detail, remedy=_REMEDIES.get(type(problem), _TRY_AGAIN))]

    async def _probe_subscriptions(self) -> Probe:
        style = self.settings.subscription
        if style is SubscriptionStyle.NONE:
            return Probe("subscriptions", ok=True, detail="switched off: the gateway polls")
        if "Subscription" not in await self.client.resource_types():
            remedy = "Set subscription to none; the gateway then polls every poll_seconds."
            return Probe("subscriptions", ok=False, detail="the EHR announces no Subscription resource", remedy=remedy)
        return Probe("subscriptions", ok=True, detail=f"offered; style {style.value}")
