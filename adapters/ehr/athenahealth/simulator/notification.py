"""The bundle that an event subscription sends: a status, and one AuditEvent for the event (section 12)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PATIENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-AuditEvent.patient"
DEPARTMENT = "https://fhir.athena.io/StructureDefinition/ah-department"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to which encounter."""

    topic: str
    practice: str
    encounter_id: str
    patient_id: str
    department_id: str


def bundle(event: Event, subscription_id: str, topic_url: str, now: datetime) -> dict[str, Any]:
    """One event; the counters begin anew in each bundle, so that no gap can be seen."""
    event_id, at = uuid.uuid4().hex, now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = {"method": "GET", "url": f"Subscription/{subscription_id}/$status"}
    resources = (_status(event, event_id, subscription_id, topic_url, at), _audit(event, event_id, at))
    return {
        "resourceType": "Bundle",
        "id": uuid.uuid4().hex[:8],
        "type": "history",
        "timestamp": at,
        "entry": [
            {"fullUrl": f"urn:uuid:{r['id']}", "resource": r, "request": asked, "response": {"status": "200"}}
            for r in resources
        ],
    }


def _status(event: Event, event_id: str, subscription_id: str, topic_url: str, at: str) -> dict[str, Any]:
    focus = {
        "reference": f"Encounter/a-{event.practice}.encounter-{event.encounter_id}",
        "identifier": {
            "system": f"urn:athenahealth:athenanet:encounter:{event.practice}",
            "value": event.encounter_id,
        },
    }
    return {
        "resourceType": "SubscriptionStatus",
        "id": uuid.uuid4().hex[:8],
        "status": "active",
        "type": "event-notification",
        "eventsSinceSubscriptionStart": "1",
        "eventsInNotification": 1,
        "subscription": {"reference": f"Subscription/{subscription_id}"},
        "topic": topic_url,
        "notificationEvent": [{"eventNumber": "1", "id": event_id, "timestamp": at, "focus": focus}],
    }


def _audit(event: Event, event_id: str, at: str) -> dict[str, Any]:
    about = (
        (PATIENT, f"Patient/a-{event.practice}.E-{event.patient_id}"),
        (DEPARTMENT, f"Organization/a-{event.practice}.Department-{event.department_id}"),
    )
    return {
        "resourceType": "AuditEvent",
        "id": event_id,
        "extension": [{"url": url, "valueReference": {"reference": reference}} for url, reference in about],
        "type": {"system": "https://fhir.athena.io/CodeSystem/SubscriptionTopic", "code": event.topic},
        "recorded": at,
        "agent": [{"who": {"identifier": {"value": "astone"}}, "requestor": True}],
        "source": {"observer": {"reference": f"Organization/a-1.Practice-{event.practice}"}},
    }
