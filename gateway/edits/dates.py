"""Edits on dates of service (vendor file claim_scrubbing: a date that cannot be right is denied weeks later)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from gateway.canonical.findings import Finding, error
from gateway.canonical.models import ClaimBundle

Edit = Callable[[ClaimBundle, date], Iterator[Finding]]


def serviced_dates(claim: ClaimBundle) -> Iterator[tuple[int, date]]:
    """(item index, date of service) of each line whose date is a full date."""
    for i, item in enumerate(claim.claim.get("item") or []):
        serviced = full_date(item.get("servicedDate") or (item.get("servicedPeriod") or {}).get("start"))
        if serviced:
            yield i, serviced


def full_date(value: Any) -> date | None:
    """The calendar date of a FHIR date or dateTime with day precision or finer, else None."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) and len(value) >= 10 else None
    except ValueError:
        return None


def service_in_future(claim: ClaimBundle, today: date) -> Iterator[Finding]:
    """date-future: a service cannot be billed before it was given."""
    for i, serviced in serviced_dates(claim):
        if serviced > today:
            yield error(
                "date-future",
                f"Claim.item[{i}].serviced",
                "The date of service is in the future.",
                "Correct the date of the visit in the EHR and sign it again.",
            )


def service_before_birth(claim: ClaimBundle, today: date) -> Iterator[Finding]:
    """date-before-birth: either the date of service or the birth date is wrong."""
    patient = claim.find(claim.claim["patient"].get("reference")) or {}
    born = full_date(patient.get("birthDate"))
    for i, serviced in serviced_dates(claim):
        if born and serviced < born:
            yield error(
                "date-before-birth",
                f"Claim.item[{i}].serviced",
                "The date of service is before the patient's birth date.",
                "Check the birth date against the patient's identification, and the date of the visit.",
            )


def service_after_death(claim: ClaimBundle, today: date) -> Iterator[Finding]:
    """date-after-death: payers deny services after the date of death."""
    patient = claim.find(claim.claim["patient"].get("reference")) or {}
    died = full_date(patient.get("deceasedDateTime"))
    for i, serviced in serviced_dates(claim):
        if died and serviced > died:
            yield error(
                "date-after-death",
                f"Claim.item[{i}].serviced",
                "The date of service is after the patient's date of death.",
                "Check the date of the visit and the date of death in the EHR.",
            )


def before_go_live(claim: ClaimBundle, go_live: date) -> Iterator[Finding]:
    """before-go-live: what was served before the go-live date was billed elsewhere, and is not billed twice."""
    if any(serviced < go_live for _, serviced in serviced_dates(claim)):
        yield error(
            "before-go-live",
            "Claim.item[0].serviced",
            "The date of service is before the clinic's go-live date: this visit was billed elsewhere.",
            "If it was not: `gateway recheck ID --send-before-go-live`.",
        )


EDITS: tuple[Edit, ...] = (service_in_future, service_before_birth, service_after_death)
