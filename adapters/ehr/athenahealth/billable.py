"""Visits that are not to be billed, and those that athenahealth has billed itself. Pure (sections 5, 7 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapters.ehr.athenahealth.values import day, flag, text
from gateway.canonical.errors import MappingError

Row = Mapping[str, Any]
BILLABLE_TYPES = frozenset({"", "VISIT", "ORDERSONLY"})
CHARGE_ENTERED = "4"


def objections(encounter: Row, appointment: Row, claims: Iterable[Row], *, guarded: bool) -> Iterator[MappingError]:
    """Why the visit must not be billed; with `guarded`, also that athenahealth has done it."""
    if text(encounter.get("encountertype")).upper() not in BILLABLE_TYPES:
        yield MappingError("encounter.encountertype", _NOT_A_VISIT, _CHANGE_TYPE)
    if flag(appointment.get("chargeentrynotrequired")):
        yield MappingError("appointment.chargeentrynotrequired", _NO_CHARGES, _REQUIRE)
    if guarded and text(appointment.get("appointmentstatus")) == CHARGE_ENTERED:
        yield MappingError("appointment.appointmentstatus", _BILLED, _VOID)
    if guarded and any(_is_of_visit(claim, encounter, appointment) for claim in claims):
        yield MappingError("claims.appointmentid", _BILLED, _VOID)


def _is_of_visit(claim: Row, encounter: Row, appointment: Row) -> bool:
    """A claim of the appointment; or one of no appointment, made for the patient on the day."""
    own = text(claim.get("appointmentid"))
    if own:
        return own == text(appointment.get("appointmentid"))
    same_patient = text(claim.get("patientid")) == text(appointment.get("patientid"))
    return same_patient and day(claim.get("billedservicedate")) == day(encounter.get("encounterdate"))


_NOT_A_VISIT = "an encounter of this type is not billed"
_CHANGE_TYPE = "Bill nothing, or correct the encounter's type in athenahealth when it was a visit."
_NO_CHARGES = "athenahealth marks the visit as one without charge entry, so it is not billed"
_REQUIRE = "Bill nothing, or take the mark from the appointment in athenahealth when it must be billed."
_BILLED = "athenahealth has already billed this visit, and a second claim would bill it twice"
_VOID = "Leave it, or void the claim in athenahealth; set own_billing to ignore if its claims are never sent."
