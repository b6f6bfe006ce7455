"""What the EHR contract expects of its test encounter, and how it takes elements away. Imported by tests only."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from gateway.canonical.models import ClaimFate, EncounterRecord, Resource, SubmissionState

FATE = ClaimFate(
    SubmissionState.RECEIVED, "ACC-1", "the billing system", datetime(2026, 3, 5, 12, 0, tzinfo=UTC), "V-42"
)


@dataclass(frozen=True, slots=True)
class ExpectedLine:
    """One charge as the bundle must carry it."""

    code: str
    modifiers: tuple[str, ...]
    quantity: Decimal
    unit_price: Decimal | None
    diagnosis_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectedEncounter:
    """The billing facts of the test encounter: what must come out unchanged."""

    encounter_id: str
    diagnosis_codes: tuple[str, ...]
    lines: tuple[ExpectedLine, ...]
    member_ids: tuple[str, ...]
    referring_npi: str
    location_code: str
    prior_authorization: str | None


@dataclass(frozen=True, slots=True)
class RequiredElement:
    """An element that no claim can do without.

    Taken out of every object of the record tagged `record_type`, it gives a finding whose expression begins with
    `expression`.
    """

    record_type: str
    element: str
    expression: str


FHIR_REQUIRED = (
    RequiredElement("Encounter", "subject", "Encounter.subject"),
    RequiredElement("Encounter", "period", "Encounter.period"),
    RequiredElement("Encounter", "participant", "Encounter.participant"),
    RequiredElement("Patient", "birthDate", "Patient.birthDate"),
    RequiredElement("Patient", "name", "Patient.name"),
    RequiredElement("Coverage", "payor", "Coverage[1].payor"),
)


def without(record: EncounterRecord, resource_type: str, name: str) -> EncounterRecord:
    """A copy of a record in which no resource of a type has an element any more."""

    def stripped(resource: Resource) -> Resource:
        kept = copy.deepcopy(resource)
        if kept["resourceType"] == resource_type:
            kept.pop(name, None)
        return kept

    if resource_type == "Encounter" and name == "period":  # a charge's own date would stand in for it
        resources = tuple(without_dates(resource) for resource in record.resources)
    else:
        resources = tuple(stripped(resource) for resource in record.resources)
    return replace(record, encounter=stripped(record.encounter), resources=resources)


def without_dates(resource: Resource) -> Resource:
    """A copy of a resource whose charges carry no dates of their own."""
    kept = copy.deepcopy(resource)
    for holder in (kept, *kept.get("item", [])):
        for name in ("servicedDate", "servicedPeriod", "occurrenceDateTime", "performedDateTime"):
            holder.pop(name, None)
    return kept
