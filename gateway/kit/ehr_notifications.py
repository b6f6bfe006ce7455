"""Incoming notifications: R4 rest-hook in all its forms, and the bundles of the Subscriptions R5 Backport.

Nothing in a body is billing input: it only names encounters, which are then read again from the EHR.
Source: shared standards subscriptions sections 1, 4, 6 and 7; vendors generic_smart_fhir section 4.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, NotificationMalformed, NotificationRejected
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest, Resource
from gateway.canonical.subscription import NoticeKind, SubscriptionNotice, SubscriptionStatus
from gateway.kit.ehr_element import Element, parsed_instant
from gateway.kit.ehr_references import is_vendor_id, version_of

STATUS_TYPES = frozenset({"Parameters", "SubscriptionStatus"})
EVENT_TYPES = frozenset({"event-notification", "query-event"})
SIGNATURE_HEADER = "x-signature"
TOTAL = "total"
PARAMETERS = {"events-since-subscription-start": TOTAL}
MOST_DIGITS = 18


def verify_bearer(request: NotificationRequest, secret: str) -> None:
    """Check the shared secret in the Authorization header, in constant time; raises `NotificationRejected`."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    equal = hmac.compare_digest(_bytes(given.strip()), _bytes(secret))
    if not secret or scheme.lower() != "bearer" or not equal:
        raise NotificationRejected("the notification does not carry this connection's secret")


def verify_hmac(request: NotificationRequest, secret: str) -> None:
    """Check HMAC-SHA256 in hex over the raw body, in X-Signature; raises `NotificationRejected`."""
    given = request.headers.get(SIGNATURE_HEADER, "").strip().lower().removeprefix("sha256=")
    wanted = hmac.new(_bytes(secret), request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(_bytes(given), wanted.encode()) or not secret:
        raise NotificationRejected("the notification's signature is not made with this connection's secret")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def parse_notification(request: NotificationRequest) -> Notification:
    """Which encounters a notification names; resources and events of other kinds give none.

    Raises `NotificationMalformed` naming the element; its text quotes nothing of the body.
    """
    named = _named_by_path(request.path)
    if request.method.upper() == "DELETE":
        return Notification()
    if not request.body.strip():
        anew = f"empty/{secrets.token_hex(8)}"  # nothing tells one change from the next, nor from a repetition
        return Notification((_ref(named, None, anew),)) if named else Notification(poll=True)
    try:
        body = jsonio.loads(request.body)
    except jsonio.NotJson as problem:
        raise NotificationMalformed(f"the body is {problem}") from None
    if not isinstance(body, dict):
        raise NotificationMalformed("the body is not a FHIR resource: not a JSON object")
    try:
        return _parse_resource(Element(body, "$this"), named, request.body)
    except MappingError as problem:
        raise NotificationMalformed(str(problem)) from None


def parse_events(bundle: Resource) -> Notification:
    """What a bundle that was fetched ($events, $status) names.

    Raises `MappingError` or `NotificationMalformed` naming the element.
    """
    return _parse_bundle(Element(bundle, "Bundle"))


def encounter_ref(encounter: Mapping[str, Any], otherwise: str) -> EncounterRef | None:
    """A pointer to an Encounter that was sent or found; `otherwise` tells apart versions that have no number."""
    element = Element(encounter, "Encounter")
    vendor_id = element.text("id")
    if vendor_id is None or not is_vendor_id(vendor_id):
        return None
    return _ref(vendor_id, element.child("meta"), otherwise)


def _parse_resource(body: Element, named: str | None, raw: bytes) -> Notification:
    name = body.text("resourceType")
    if name is None:
        raise NotificationMalformed("resourceType: is missing")
    if name == "Bundle":
        return _parse_bundle(Element(body.value, "Bundle"))
    if name != "Encounter":
        return Notification()
    ref = encounter_ref(body.value, hashlib.sha256(raw).hexdigest()[:16])
    if ref is None:
        raise NotificationMalformed("Encounter.id: is missing or is not a FHIR id")
    if named is not None and named != ref.encounter_id:
        raise NotificationMalformed("Encounter.id: is another one than the address names")
    return Notification((ref,))


def _parse_bundle(bundle: Element) -> Notification:
    entries = bundle.children("entry")
    resources = [resource for entry in entries if (resource := entry.child("resource")) is not None]
    encounters = [r for r in resources if r.text("resourceType") == "Encounter"]
    status = next((r for r in resources if r.text("resourceType") in STATUS_TYPES), None)
    if status is None:
        if bundle.text("type") == "history":
            raise NotificationMalformed("Bundle.entry[0].resource: is not the status of a subscription")
        return Notification(_unique([_sent(encounter) for encounter in encounters]))
    return _parse_status(_Status.of(status), {_id(e): e for e in encounters})


class _Status:
    """A subscription's status, from R4 Parameters or an R5 SubscriptionStatus."""

    def __init__(self, values: Mapping[str, Any], events: list[_Event]) -> None:
        self.values, self.events = values, events

    @classmethod
    def of(cls, resource: Element) -> _Status:
        if resource.text("resourceType") == "SubscriptionStatus":
            events = resource.children("notificationEvent")
            values = {name: resource.text(name) for name in ("type", "status")}
            values[TOTAL] = resource.value.get("eventsSinceSubscriptionStart")
            subscription = resource.child("subscription")
            values["subscription"] = subscription.text("reference") if subscription else None
            return cls(
                values,
                [_Event.of(e.value.get("eventNumber"), e.child("focus"), e, e.text("timestamp")) for e in events],
            )
        parameters = resource.children("parameter")
        return cls(_named_values(parameters), [_parts(p) for p in parameters if p.text("name") == "notification-event"])

    def notice(self) -> SubscriptionNotice | None:
        """What it says of the subscription itself; None when it does not name it by a FHIR id."""
        vendor_id, kind, status = self.subscription, self.values.get("type"), self.values.get("status")
        if not is_vendor_id(vendor_id) or kind not in list(NoticeKind):
            return None
        return SubscriptionNotice(
            vendor_id,
            NoticeKind(kind),
            SubscriptionStatus(status) if status in list(SubscriptionStatus) else None,
            _count(self.values.get(TOTAL)),
            tuple(sorted(event.number for event in self.events)),
        )

    @property
    def subscription(self) -> str:
        """The id of the subscription."""
        return (self.values.get("subscription") or "").rpartition("/")[2]


class _Event:
    """One event: its number within the subscription, when it was, and the reference to its focus, if there is one."""

    def __init__(self, number: int, at: str, focus: str | None) -> None:
        self.number, self.at, self.focus = number, at, focus

    @classmethod
    def of(cls, number: Any, focus: Element | None, event: Element, at: str | None) -> _Event:
        count = _count(number)
        if count is None:
            raise NotificationMalformed(f"{event.path}: has no event number")
        return cls(count, at or "", focus.text("reference") if focus else None)


def _count(value: Any) -> int | None:
    """A count of events, in R4 as text; more than 18 digits are not believed."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _parts(event: Element) -> _Event:
    parts = {part.text("name"): part for part in event.children("part")}
    number, focus, at = parts.get("event-number"), parts.get("focus"), parts.get("timestamp")
    return _Event.of(
        number.text("valueString") if number else None,
        focus.child("valueReference") if focus else None,
        event,
        at.text("valueInstant") if at else None,
    )


def _named_values(parameters: list[Element]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for parameter in parameters:
        reference = parameter.child("valueReference")
        value = (
            reference.text("reference") if reference else parameter.text("valueCode") or parameter.text("valueString")
        )
        values[PARAMETERS.get(name := parameter.text("name") or "", name)] = value
    return values


def _parse_status(status: _Status, encounters: Mapping[str | None, Element]) -> Notification:
    lagging = status.values.get("status") == "error"  # deliveries have failed: some events may never have come
    if status.values.get("type") not in EVENT_TYPES:
        return Notification(poll=lagging, subscription=status.notice())
    refs = []
    poll = lagging or not status.events
    for event in sorted(status.events, key=lambda e: e.number):
        if event.focus is None:
            poll = True  # content level "empty": it only says that something changed
            continue
        ref = _focus_ref(event.focus, f"{status.subscription}#{event.number}{event.at and f'/{event.at}'}", encounters)
        refs += [ref] if ref else []
    return Notification(_unique(refs), poll, status.notice())


def _focus_ref(focus: str, event: str, encounters: Mapping[str | None, Element]) -> EncounterRef | None:
    *_, resource_type, vendor_id = ["", *focus.partition("/_history/")[0].rsplit("/", 2)][-2:]
    if resource_type != "Encounter":
        return None
    if not is_vendor_id(vendor_id):
        raise NotificationMalformed("notification-event.focus: does not name an Encounter by a FHIR id")
    sent = encounters.get(vendor_id)
    meta = sent.child("meta") if sent else None
    if meta is None and (version := version_of(focus)):
        meta = Element({"versionId": version}, "focus")
    return _ref(vendor_id, meta, event)


def _sent(encounter: Element) -> EncounterRef:
    ref = encounter_ref(encounter.value, hashlib.sha256(jsonio.canonical_bytes(encounter.value)).hexdigest()[:16])
    if ref is None:
        raise NotificationMalformed(f"{encounter.at('id')}: is missing or is not a FHIR id")
    return ref


def _id(encounter: Element) -> str | None:
    return encounter.text("id")


def _ref(vendor_id: str, meta: Element | None, otherwise: str) -> EncounterRef:
    """The dedupe key is the same for one version of an encounter however the news of it arrives."""
    version = meta.text("versionId") if meta else None
    updated = parsed_instant(meta.text("lastUpdated")) if meta else None
    moment = updated.astimezone(UTC).isoformat() if updated else None
    return EncounterRef(vendor_id, f"Encounter/{vendor_id}@{version or moment or otherwise}", updated)


def _named_by_path(path: str) -> str | None:
    """The encounter that `PUT {endpoint}/Encounter/{id}` names."""
    resource_type, _, vendor_id = path.strip("/").partition("/")
    if resource_type != "Encounter":
        return None
    if not is_vendor_id(vendor_id):
        raise NotificationMalformed("the address does not name an Encounter by a FHIR id")
    return vendor_id


def _unique(refs: list[EncounterRef]) -> tuple[EncounterRef, ...]:
    return tuple({ref.dedupe_key: ref for ref in refs}.values())
