"""Elation: an encounter is the bill of a visit note, which Elation shows once the note is signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from adapters.ehr.elation import mapping
from adapters.ehr.elation.api import ElationApi
from adapters.ehr.elation.errors import GONE, VENDOR, refusal
from adapters.ehr.elation.keys import SigningKeys
from adapters.ehr.elation.notifications import RESOURCES, SIGNATURE_HEADER, parse_event
from adapters.ehr.elation.settings import ElationSettings
from adapters.ehr.elation.words import number_text
from gateway.canonical.identifiers import account_number, canonical_id
from gateway.canonical.models import (
    ClaimFate,
    EncounterRecord,
    EncounterRef,
    Notification,
    NotificationRequest,
    Resource,
    SubmissionState,
)
from gateway.canonical.subscription import Subscribed, SubscriptionStatus
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.ehr_element import calendar_date
from gateway.kit.ehr_vendor import VendorEhr
from gateway.kit.ehr_vendor_settings import OwnBilling
from gateway.kit.errors import (
    CredentialsRejected,
    NotificationRejected,
    PermissionMissing,
    UnexpectedResponse,
)
from gateway.kit.http import open_client
from gateway.kit.json_api import JsonApi
from gateway.kit.oauth import ClientSecretTokens, OAuthClient
from gateway.kit.probing import Remedies
from gateway.ports.context import AdapterContext, Probe

PROCESSED = frozenset({SubmissionState.RECEIVED, SubmissionState.ACCEPTED, SubmissionState.ADJUDICATED})
REASON_LENGTH = 200
NO_REASON = "The claim was refused; the billing gateway's worklist tells why."
_REMEDIES = Remedies(
    {
        CredentialsRejected: (
            "Check client_id and client_secret in Elation's API credentials, and that they are active."
        ),
        PermissionMissing: "Give the credentials access to this practice and to what `scopes` names.",
        UnexpectedResponse: "Check base_url: https://app.elationemr.com/api/2.0, or the address of the sandbox.",
    },
    otherwise="Check that base_url is reachable from here, then try again.",
)


class ElationEhr(VendorEhr):
    """One clinic's link to Elation. Implements `gateway.ports.ehr.EhrAdapter`."""

    vendor: ClassVar[str] = VENDOR

    def __init__(self, settings: ElationSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool."""
        self.settings, self.context = settings, context
        self.settle_seconds = settings.settle_seconds
        self._http = open_client(timeout_seconds=settings.timeout_seconds, max_connections=settings.max_connections)
        secret = settings.client_secret.get_secret_value()
        client = OAuthClient(self.vendor, settings.token_endpoint, settings.client_id, secret)
        self._tokens = ClientSecretTokens(client, context, self._http, scopes=settings.scopes)
        authorized = AuthorizedHttp(
            vendor=self.vendor, http=self._http, tokens=self._tokens, max_bytes=settings.max_response_mb * 1024 * 1024
        )
        self.api = ElationApi(JsonApi(settings.base_url, authorized, refusal))
        self.keys = SigningKeys(settings.signing_public_keys, context.shared)

    def verify_notification(self, request: NotificationRequest) -> None:
        """Check El8-Ed25519-Signature over the raw bytes; raises `NotificationRejected`."""
        if not self.keys.verifies(request.body, request.headers.get(SIGNATURE_HEADER, "")):
            raise NotificationRejected("the notification is not signed with a key of this connection's subscriptions")

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which bill changed; raises `NotificationMalformed`."""
        return parse_event(request, self.settings.practice_id)

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Bills changed since the cursor, oldest change first; the cursor is the instant of the last change.

        Elation's list has no filter for changes: the bills of the last `window_days` are read, and those that have not
        changed, are not signed, or are billed elsewhere are passed over.
        """
        now = self.context.now()
        since = datetime.fromisoformat(cursor) if cursor else now - timedelta(minutes=self.settings.lookback_minutes)
        behind = since - timedelta(seconds=self.settings.overlap_seconds) if cursor else since
        window = self._from((now - timedelta(days=self.settings.window_days)).date())
        found = [self._pointer(bill) async for bill in self.api.listed("bills", window) if self._is_news(bill)]
        latest = since
        for ref in sorted(found, key=lambda ref: ref.last_updated or since):
            if ref.last_updated is not None and ref.last_updated >= behind:
                latest = max(latest, min(ref.last_updated, now))  # a wrong clock must not hide what comes
                yield ref, latest.isoformat()

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Signed bills with a date of service from `since` on, in the order of their ids; the position is the id."""
        done = int(position or 0)
        async for bill in self.api.listed("bills", self._from(since)):
            if self._is_news(bill) and int(number_text(bill.get("id"))) > done:
                ref = replace(self._pointer(bill), serviced=calendar_date(mapping.local_day(bill)))
                yield ref, ref.encounter_id

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """The bill, then its patient, physicians and place, then the patient's insurance companies."""
        api = self.api.counting()
        try:
            bill = await api.record("Bill", ref.encounter_id)
        except UnexpectedResponse as problem:
            if problem.vendor_code != GONE:
                raise
            gone = {"resourceType": "Bill", "id": ref.encounter_id}
            return EncounterRecord(ref, self.settings.base_url, gone, (), api.requests, deleted=True)
        named = await api.records(mapping.named_by_bill(bill))
        companies = await api.records(mapping.companies_of(named))
        deleted = mapping.status(bill) == mapping.DELETED
        return EncounterRecord(ref, self.settings.base_url, bill, (*named, *companies), api.requests, deleted=deleted)

    def fhir_record(self, record: EncounterRecord) -> EncounterRecord:
        """The record as FHIR R4; raises `MappingError` with the path of Elation's field."""
        bill, settings = record.encounter, self.settings
        if settings.practice_id:
            mapping.require_practice(bill, settings.practice_id)
        if settings.own_billing is OwnBilling.HOLD and not self._is_billed_here(bill):
            mapping.require_unbilled(bill)
        return mapping.fhir_record(record)

    async def subscribe(self, endpoint: str) -> Sequence[Subscribed]:
        """Subscribe to bills and visit notes, or find that it is done, and keep the keys of the signatures."""
        held = await self._subscriptions(endpoint)
        for resource in RESOURCES:
            if resource not in held:
                held[resource] = await self.api.subscribe(resource, endpoint)
        keys = [str(subscription.get("signing_pub_key") or "") for subscription in held.values()]
        if not all(keys):
            raise UnexpectedResponse(self.vendor, "subscribe", "the subscription has no signing_pub_key")
        await self.keys.learn(keys)
        return [_subscribed(subscription) for subscription in held.values()]

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription; one that is gone already is no error."""
        await self.api.unsubscribe(subscription)

    async def subscription_status(self, subscription: str) -> Subscribed:
        """Active for as long as Elation lists it: it tells nothing of failed deliveries."""
        listed = [entry async for entry in self.api.listed("subscriptions", {})]
        found = next((entry for entry in listed if str(entry.get("id")) == subscription), {"deleted_date": "unknown"})
        return _subscribed({**found, "id": subscription})

    async def write_back(self, ref: EncounterRef, fate: ClaimFate) -> None:
        """Mark the bill as billed under the claim's account number, or as failed with the reason; reads it first."""
        change: dict[str, str] = {}
        if fate.state in PROCESSED:
            at = fate.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            change = {"ref_number": fate.account_number, "billing_date": at}
        elif fate.state is SubmissionState.REJECTED:
            change = {"billing_error": (fate.reason or NO_REASON)[:REASON_LENGTH]}
        if not change:
            return
        bill = await self.api.record("Bill", ref.encounter_id)
        told = next(iter(change))
        status = "Billed" if told == "ref_number" else "UnresolvedError"
        if bill.get(told) != change[told] or bill.get("billing_status") != status:
            await self.api.patch_bill(ref.encounter_id, change)

    async def probe(self) -> list[Probe]:
        """Token, bills and subscriptions, each reported with its remedy."""
        lines = [await _REMEDIES.tried("access token", self._probe_token)]
        if lines[-1].ok:
            lines.append(await _REMEDIES.tried("bills", self._probe_bills))
            lines.append(await _REMEDIES.tried("subscriptions", self._probe_subscriptions))
        return lines

    async def aclose(self) -> None:
        """Close the network client."""
        await self.keys.aclose()
        await self._tokens.aclose()
        await self._http.aclose()

    def _from(self, day: date) -> dict[str, str]:
        practice = {"practice": self.settings.practice_id} if self.settings.practice_id else {}
        return {"from_service_date": f"{day.isoformat()}T00:00:00Z", **practice}

    def _is_news(self, bill: Resource) -> bool:
        """Whether a listed bill is signed (or its note deleted) and not billed by somebody else."""
        if not number_text(bill.get("id")) or mapping.status(bill) == mapping.UNSIGNED:
            return False
        return (
            self.settings.own_billing is OwnBilling.IGNORE or not mapping.is_billed(bill) or self._is_billed_here(bill)
        )

    def _is_billed_here(self, bill: Resource) -> bool:
        """Whether the bill's reference number is an account number of ours, of any generation of this claim."""
        encounter_id = canonical_id(self.context.connection, number_text(bill.get("id")))
        stem = account_number(self.context.clinic.clinic_id, encounter_id, 0)[:-2]
        return str(bill.get("ref_number") or "").startswith(stem)

    def _pointer(self, bill: Resource) -> EncounterRef:
        bill_id, changed = number_text(bill.get("id")), mapping.changed_at(bill)
        return EncounterRef(bill_id, f"Bill/{bill_id}@{changed.isoformat() if changed else 'unknown'}", changed)

    async def _subscriptions(self, endpoint: str) -> dict[str, dict[str, Any]]:
        """The live subscriptions to this endpoint, by resource."""
        found = [entry async for entry in self.api.listed("subscriptions", {})]
        live = [entry for entry in found if entry.get("target") == endpoint and not entry.get("deleted_date")]
        return {str(entry["resource"]): entry for entry in live if entry.get("resource") in RESOURCES}

    async def _probe_token(self) -> Probe:
        await self._tokens.token()
        return Probe("access token", ok=True)

    async def _probe_bills(self) -> Probe:
        window = self._from((self.context.now() - timedelta(days=self.settings.window_days)).date())
        async for _ in self.api.listed("bills", window, limit=1):
            return Probe("bills", ok=True, detail="found one")
        detail = f"found none of the last {self.settings.window_days} days (window_days)"
        return Probe("bills", ok=True, detail=detail, remedy="Compare with a visit that was signed, and practice_id.")

    async def _probe_subscriptions(self) -> Probe:
        found = [entry async for entry in self.api.listed("subscriptions", {})]
        wanted = sorted({str(e["resource"]) for e in found if e.get("resource") in RESOURCES})
        return Probe("subscriptions", ok=True, detail=f"of this app: {', '.join(wanted) or 'none yet'}")


def _subscribed(subscription: Mapping[str, Any]) -> Subscribed:
    status = SubscriptionStatus.OFF if subscription.get("deleted_date") else SubscriptionStatus.ACTIVE
    return Subscribed(str(subscription.get("id", "")), str(subscription.get("resource", "")), status)
