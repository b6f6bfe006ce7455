"""An EHR adapter over SMART on FHIR: a conformant vendor inherits it and changes class attributes only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
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
from gateway.kit.ehr_fetch import BY_ENCOUNTER, BY_PATIENT, FOLLOWED_TYPES, EncounterFetcher, Search
from gateway.kit.ehr_gate import SEARCHES, search_for
from gateway.kit.ehr_normalize import normalize
from gateway.kit.ehr_notifications import parse_notification, verify_bearer, verify_hmac
from gateway.kit.ehr_rows import US_CORE, ResourceMap
from gateway.kit.ehr_rung import Site
from gateway.kit.ehr_settings import SmartSettings, SubscriptionStyle, WebhookSignature
from gateway.kit.ehr_source import Dialect
from gateway.kit.ehr_subscribe import FhirSubscriptions
from gateway.kit.ehr_visit import visit_of
from gateway.kit.http import open_client
from gateway.kit.probing import Remedies
from gateway.kit.smart import NoTokens
from gateway.kit.smart_tokens import published_keys, smart_tokens
from gateway.kit.tokens import TokenRefusal, token_refusal
from gateway.ports.context import AdapterContext, Probe

_REMEDIES = Remedies(
    {
        CredentialsRejected: "Check client_id, key_id, algorithm, and that the EHR has this app's public key.",
        PermissionMissing: (
            "Ask the EHR's administrator to grant this app the scopes in `scopes`, or shorten that list."
        ),
        RateLimited: "Wait, then try again; lower max_connections if it comes back.",
        UnexpectedResponse: "Check base_url: it must be the FHIR R4 base that the EHR's vendor names for this clinic.",
    },
    otherwise="Check that base_url and token_url are right and reachable from here, then try again.",
)
_NO_TOKENS = "not needed: client_authentication is none"


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
    token_refusal: ClassVar[TokenRefusal] = staticmethod(token_refusal)
    unreadable_types: ClassVar[frozenset[str]] = frozenset()  # no scope exists for them: references are left alone

    def __init__(self, settings: SmartSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool; raises `ConfigurationError` for a key that cannot sign."""
        self.settings, self.context = settings, context
        self.public_keys = published_keys(settings)
        self.settle_seconds = settings.settle_seconds
        self.dialect = self._own_dialect()
        searches, followed = self._searches(), self._followed()
        needed = [*(s.resource_type for s in searches if s.needed), *(followed - FOLLOWED_TYPES)]
        self._http = open_client(timeout_seconds=settings.timeout_seconds, max_connections=settings.max_connections)
        self.tokens = smart_tokens(
            settings,
            context,
            self._http,
            vendor=self.vendor,
            scopes=settings.scopes_for(needed),
            refusal=type(self).token_refusal,
            before=self.keep_pace,
        )
        authorized = AuthorizedHttp(
            vendor=self.vendor,
            http=self._http,
            tokens=self.tokens,
            max_bytes=settings.max_response_mb * 1024 * 1024,
            before=self.keep_pace,
        )
        self.client = FhirClient(base_url=settings.base_url, http=authorized, accept=settings.accept)
        self.subscriptions = FhirSubscriptions(self.client, settings, context)
        self.feed = self._open_feed()
        self.fetcher = EncounterFetcher(
            self.client,
            includes=settings.includes,
            patient_anchored=settings.patient_anchored,
            by_encounter=searches,
            by_patient=self.searches_by_patient,
            followed_types=followed,
        )

    def _own_dialect(self) -> Dialect:
        settings = self.settings
        return Dialect(
            code_system_aliases={**self.code_system_aliases, **settings.code_system_aliases},
            charge_sources=settings.charge_sources or self.charge_sources,
            modifier_extensions=self.modifier_extensions | frozenset(settings.modifier_extensions),
            signed_statuses=frozenset(settings.signed_statuses),
            signoff=settings.signoff_rule,
        )

    def _searches(self) -> tuple[Search, ...]:
        """What is read by the encounter: for the charges' sources, the clinic's charge map and the sign-off gate."""
        charge_map = self.context.clinic.charge_map
        used = {*self.dialect.charge_sources, *charge_map.kinds}
        own = (search for search in self.searches_by_encounter if search.serves(used))
        return tuple(dict.fromkeys([*own, *searches_for(charge_map), *search_for(self.settings.signoff_rule)]))

    def _followed(self) -> frozenset[str]:
        """The types whose references are read."""
        return followed_for(self.context.clinic.charge_map) - self.unreadable_types

    def _open_feed(self) -> EncounterFeed:
        settings, max_line = self.settings, self.settings.max_response_mb * 1024 * 1024
        exporter = BulkExporter(
            self.client, self.context, group=settings.bulk_group, by_post=settings.bulk_post, max_line=max_line
        )
        return EncounterFeed(Site(self.client, settings, self.context, exporter, self.encounter_search))

    async def keep_pace(self, operation: str) -> None:
        """Awaited before each request, token requests among them: keeps `calls_per_minute` over all workers."""
        if self.settings.calls_per_minute:
            budget = f"{self.vendor}:{self.settings.base_url}"
            await self.context.pacer.spend(budget, self.settings.calls_per_minute, 60.0)

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
        """Ask the EHR to notify `endpoint`; returns the Subscription, created, kept or revived."""
        return (await self.subscriptions.subscribe(endpoint),)

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """Prolong or revive a Subscription by submitting it again."""
        return await self.subscriptions.renew(subscription, endpoint)

    async def unsubscribe(self, subscription: str) -> None:
        """Switch a Subscription off; one that is gone already is no error."""
        await self.subscriptions.unsubscribe(subscription)

    async def subscription_status(self, subscription: str) -> Subscribed:
        """What the EHR says of a Subscription now; of one that it does not know, that it is off."""
        return await self.subscriptions.status(subscription)

    async def missed_events(self, subscription: str, since: int, until: int) -> Notification:
        """The events that the EHR still has of these numbers, by $events."""
        return await self.subscriptions.missed(subscription, since, until)

    async def probe(self) -> list[Probe]:
        """Discovery, token, scopes, a search and subscriptions, each reported with its remedy."""
        lines = [await _REMEDIES.tried("discovery", self._probe_discovery)]
        lines.append(await _REMEDIES.tried("access token", self._probe_token))
        if lines[-1].ok:
            lines.append(await _REMEDIES.tried("scopes", self._probe_scopes))
            lines.append(await _REMEDIES.tried("sign-off", self._probe_signoff))
            lines.append(await _REMEDIES.tried("subscriptions", self._probe_subscriptions))
            lines += await self._probe_feed()
        return lines

    async def aclose(self) -> None:
        """Close the network client."""
        await self.tokens.aclose()
        await self._http.aclose()

    async def _probe_discovery(self) -> Probe:
        if isinstance(self.tokens, NoTokens):
            return Probe("discovery", ok=True, detail=_NO_TOKENS)
        found = await self.tokens.discovery.discover()
        said = [f"token endpoint from the {found.source}"]
        if self.settings.token_url not in (None, found.url):
            said = [f"token_url is used instead of the one in the {found.source}"]
        if found.algorithms and self.settings.algorithm not in found.algorithms:
            said.append(f"it announces {', '.join(found.algorithms)}; {self.settings.algorithm} is used, as set")
        way = self.settings.client_authentication
        if found.methods and way not in found.methods:
            said.append(f"it announces {', '.join(found.methods)}; {way} is used, as set")
        return Probe("discovery", ok=True, detail="; ".join(said))

    async def _probe_token(self) -> Probe:
        await self.tokens.token()
        return Probe("access token", ok=True, detail=_NO_TOKENS if isinstance(self.tokens, NoTokens) else "")

    async def _probe_scopes(self) -> Probe:
        if isinstance(self.tokens, NoTokens) or not self.tokens.scopes:
            return Probe("scopes", ok=True, detail="none are asked for: the app's registration fixes them")
        missing = self.tokens.missing_scopes()
        if missing:
            detail, remedy = f"asked for and not granted: {' '.join(missing)}", _REMEDIES.by_error[PermissionMissing]
            return Probe("scopes", ok=False, detail=detail, remedy=remedy)
        return Probe("scopes", ok=True, detail="all that were asked for are granted")

    async def _probe_signoff(self) -> Probe:
        kind = self.settings.signoff
        if kind not in SEARCHES:
            return Probe("sign-off", ok=True, detail=f"by {kind}: nothing more is read for it")
        wanted = SEARCHES[kind].resource_type
        if wanted not in await self.client.resource_types():
            remedy = "Choose another signoff, or ask the EHR's vendor to open this resource to the app."
            return Probe(
                "sign-off", ok=False, detail=f"the EHR announces no {wanted}, which shall prove it", remedy=remedy
            )
        return Probe("sign-off", ok=True, detail=f"by {wanted}")

    async def _probe_feed(self) -> list[Probe]:
        try:
            return await self.feed.probe()
        except AdapterError as problem:
            return [_REMEDIES.failed("feed", problem)]

    async def _probe_subscriptions(self) -> Probe:
        style = self.settings.subscription
        if style is SubscriptionStyle.NONE:
            return Probe("subscriptions", ok=True, detail="switched off: the gateway polls")
        if "Subscription" not in await self.client.resource_types():
            remedy = "Set subscription to none; the gateway then polls every poll_seconds."
            return Probe("subscriptions", ok=False, detail="the EHR announces no Subscription resource", remedy=remedy)
        return Probe("subscriptions", ok=True, detail=f"offered; style {style.value}")
