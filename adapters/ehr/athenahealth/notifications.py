"""Sign-off events: a signed Bundle with one AuditEvent each (vendor document section 12). Pure.

Delivered at least once and in any order; the counters in a bundle say nothing. A body only names encounters.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, NotificationMalformed, NotificationRejected
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest
from gateway.canonical.subscription import NoticeKind, SubscriptionNotice
from gateway.kit.ehr_element import Element, parsed_instant

SIGNATURE_HEADER = "x-hub-signature"
TOPICS = ("Encounter.signoff", "Encounter.reopen")
_REFERENCE = re.compile(r"(?:.*/)?Encounter/a-(\d+)\.encounter-(\w+)")
_IDENTIFIER = re.compile(r"urn:athenahealth:athenanet:encounter:(\d+)", re.IGNORECASE)
_DEPARTMENT = re.compile(r"Organization/a-\d+\.Department-(\w+)")


def verify(request: NotificationRequest, secret: str) -> None:
    """Check `sha256=` HMAC-SHA256 over the raw body, in any case and constant time; raises `NotificationRejected`."""
    method, _, given = request.headers.get(SIGNATURE_HEADER, "").strip().lower().partition("=")
    wanted = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    equal = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
    if not secret or method != "sha256" or not equal:
        raise NotificationRejected("the notification's signature is not made with this connection's secret")


def parse(request: NotificationRequest, practice_id: str, departments: tuple[str, ...]) -> Notification:
    """Which encounters of the practice were signed or reopened; other events and practices give none.

    Raises `NotificationMalformed` naming the element; its text quotes nothing of the body.
    """
    try:
        body = jsonio.loads(request.body)
    except jsonio.NotJson as problem:
        raise NotificationMalformed(f"the body is {problem}") from None
    if not isinstance(body, dict) or not isinstance(body.get("resourceType"), str):
        raise NotificationMalformed("the body is not a FHIR resource")
    if body["resourceType"] != "Bundle":
        return Notification()
    try:
        return _parse(Element(body, "Bundle"), practice_id, departments)
    except MappingError as problem:
        raise NotificationMalformed(str(problem)) from None


def _parse(bundle: Element, practice_id: str, departments: tuple[str, ...]) -> Notification:
    resources = [r for entry in bundle.children("entry") if (r := entry.child("resource")) is not None]
    status = next((r for r in resources if r.text("resourceType") == "SubscriptionStatus"), None)
    if status is None:
        raise NotificationMalformed("Bundle.entry[0].resource: is not the status of a subscription")
    audits = {r.text("id"): r for r in resources if r.text("resourceType") == "AuditEvent"}
    named = (status.text("topic") or "").rpartition("/")[2]
    refs = [
        EncounterRef(encounter_id, f"event/{event_id}", parsed_instant(event.text("timestamp")))
        for event in status.children("notificationEvent")
        for event_id in [event.text("id")]
        for audit in [audits.get(event_id)]
        if (_topic(audit) or named) in TOPICS and _is_followed(audit, departments)
        for encounter_id in _encounters(event, event_id, practice_id)
    ]
    unique = {ref.dedupe_key: ref for ref in refs}
    return Notification(tuple(unique.values()), subscription=_notice(status))


def _topic(audit: Element | None) -> str | None:
    kind = audit.child("type") if audit else None
    return kind.text("code") if kind else None


def _is_followed(audit: Element | None, departments: tuple[str, ...]) -> bool:
    """Whether the event is of a followed department; one that does not name its department is."""
    extensions = audit.children("extension") if audit else []
    references = [r.text("reference") or "" for e in extensions if (r := e.child("valueReference")) is not None]
    named = [found[1] for reference in references if (found := _DEPARTMENT.fullmatch(reference))]
    return not departments or not named or named[0] in departments


def _encounters(event: Element, event_id: str | None, practice_id: str) -> Iterator[str]:
    """The encounter's id, when it is one of the practice."""
    focus = event.child("focus")
    if focus is None or event_id is None:
        raise NotificationMalformed("SubscriptionStatus.notificationEvent: has no id or no focus")
    found = _REFERENCE.fullmatch(focus.text("reference") or "")
    identifier = focus.child("identifier")
    system = _IDENTIFIER.fullmatch(identifier.text("system") or "") if identifier else None
    practice = found[1] if found else system[1] if system else None
    encounter_id = found[2] if found else identifier.text("value") if identifier and system else None
    if practice is None or encounter_id is None:
        raise NotificationMalformed("SubscriptionStatus.notificationEvent.focus: does not name an encounter")
    if practice == practice_id:
        yield encounter_id


def _notice(status: Element) -> SubscriptionNotice | None:
    subscription = status.child("subscription")
    named = (subscription.text("reference") or "").rpartition("/")[2] if subscription else ""
    kind = status.text("type")
    return SubscriptionNotice(named, NoticeKind(kind)) if named and kind in list(NoticeKind) else None
