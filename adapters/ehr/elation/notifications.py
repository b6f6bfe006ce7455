"""Elation's events: which bill changed. Source: vendors generic_smart_fhir section 4.

A bill's event names the bill. A visit note's event (its signature, its deletion) does not: it asks for a poll. An event
is told apart by its own id and not by the bill's date, which has whole seconds only.
"""

from __future__ import annotations

from adapters.ehr.elation.words import number_text
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, NotificationMalformed
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest
from gateway.kit.ehr_element import Element

SIGNATURE_HEADER = "el8-ed25519-signature"
BILLS, NOTES = "bills", "visit_notes"
RESOURCES = (BILLS, NOTES)
"""What is subscribed to."""


def parse_event(request: NotificationRequest, practice_id: str) -> Notification:
    """The bill that an event names; other practices' events and other resources give none.

    Raises `NotificationMalformed` naming the element; its text quotes nothing of the body.
    """
    try:
        body = jsonio.loads(request.body)
    except jsonio.NotJson as problem:
        raise NotificationMalformed(f"the body is {problem}") from None
    if not isinstance(body, dict):
        raise NotificationMalformed("the body is not an event: not a JSON object")
    try:
        return _notification(Element(body, "event"), practice_id)
    except MappingError as problem:
        raise NotificationMalformed(str(problem)) from None


def _notification(event: Element, practice_id: str) -> Notification:
    resource, data = event.text("resource"), event.child("data")
    if resource is None:
        raise NotificationMalformed("event.resource: is missing")
    values = data.value if data else {}
    if resource not in RESOURCES or (practice_id and str(values.get("practice", practice_id)) != practice_id):
        return Notification()
    if resource == NOTES:
        settled = event.text("action") == "deleted" or not values or bool(values.get("signed_date"))
        return Notification(poll=settled)
    bill_id = number_text(values.get("id")) or _last_number(event.text("resource_url"))
    if not bill_id:
        raise NotificationMalformed("event.data.id: is not a number, and event.resource_url ends in none")
    return Notification((EncounterRef(bill_id, f"Bill/{bill_id}#{_event_id(event)}"),))


def _last_number(url: str | None) -> str:
    return number_text((url or "").rstrip("/").rpartition("/")[2])


def _event_id(event: Element) -> str:
    found = event.text("event_uuid") or number_text(event.value.get("event_id"))
    if not found:
        raise NotificationMalformed("event.event_uuid: is missing, and event.event_id too")
    return found[:64]
