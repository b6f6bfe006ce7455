"""What one field alone cannot say: times with their zone, prices against totals, pointers against codes. Pure.

Source: vendor document sections 3 (time, types), 7 (line items) and 9 (authorizations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono.words import amount, day, text
from gateway.canonical import codes
from gateway.canonical.errors import MappingError

REFERRING = "-referring"
"""How the id of a patient's referring doctor ends: DrChrono gives him none."""

_CENT = Decimal("0.01")
_GRANTED = frozenset({"", "approved", "active", "authorized"})
_IN_BILLING = "Correct the line in DrChrono's billing tab."


@dataclass(frozen=True, slots=True)
class Visit:
    """An appointment with what its own fields are read against; `people` are the ids of all known practitioners."""

    appointment: Mapping[str, Any]
    zone: ZoneInfo
    authorizations: Sequence[Mapping[str, Any]] = ()
    codes: frozenset[str] = frozenset()  # of its lines
    people: frozenset[str] = frozenset()
    default_supervisor: str = ""
    line_doctors: Sequence[str] = ()

    @property
    def diagnoses(self) -> list[str]:
        """The ICD-10 codes by position; one that is blank keeps its place."""
        found = self.appointment.get("icd10_codes") or []
        return [text(code) or "" for code in found] if isinstance(found, list) else []

    @property
    def day(self) -> str:
        """The date of service."""
        return day(self.appointment.get("scheduled_time")) or ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line item of a visit; `performers` gives the care team's number of each doctor."""

    line: Mapping[str, Any]
    visit: Visit
    performers: Mapping[str, int]


def period(visit: Visit, started: str, minutes: str) -> dict[str, str] | None:
    """The local time with the practice's offset, and the end by the duration."""
    found = text(visit.appointment.get(started))
    if found is None:
        return None
    try:
        start = datetime.fromisoformat(found).replace(tzinfo=visit.zone)
        length = visit.appointment.get(minutes)
        end = start + timedelta(minutes=length if isinstance(length, int) else 0)
    except (ValueError, OverflowError):
        fix = "Correct the appointment in DrChrono."
        raise MappingError(f"Appointment.{started}", "this is not a date and time", fix) from None
    return {"start": start.isoformat(), **({"end": end.isoformat()} if end > start else {})}


def care_team(visit: Visit, doctor: str, referring: str, supervising: str, *_: str) -> list[dict[str, Any]]:
    """The doctor first, then who referred and who supervises (else the doctor's default), then doctors of lines."""
    own = text(visit.appointment.get(doctor)) or ""
    supervisor = text(visit.appointment.get(supervising)) or visit.default_supervisor
    referrers = [(person, "referring") for person in visit.people if person.endswith(REFERRING)]
    supervisors = [(supervisor, "supervising")] if supervisor not in ("", own) else []
    others = [(person, "rendering") for person in visit.line_doctors]
    members = dict.fromkeys([(own, "rendering"), *referrers, *supervisors, *others])
    if any(person not in visit.people for person, _ in members):
        raise MappingError(
            f"Appointment.{doctor}",
            "the visit names a doctor whom DrChrono does not show to the gateway",
            "Check that the doctor still exists in DrChrono, and that the consenting user may see all doctors.",
        )
    return [
        {
            "sequence": number,
            "provider": {"reference": f"Practitioner/{person}"},
            "role": codes.concept(codes.CARE_TEAM_ROLE, role),
        }
        for number, (person, role) in enumerate(members, start=1)
    ]


def diagnoses(visit: Visit, name: str) -> list[dict[str, Any]]:
    """The ICD-10-CM codes in their order, numbered by position."""
    return [
        {"sequence": number, "diagnosisCodeableConcept": codes.concept(codes.ICD10CM, code)}
        for number, code in enumerate(visit.diagnoses, start=1)
        if code
    ]


def modifiers(line: Line, name: str) -> list[dict[str, Any]]:
    """In order; blank places are left out."""
    found = line.line.get(name) or []
    values = [text(value) for value in found] if isinstance(found, list) else []
    return [codes.concept(codes.procedure_modifier_system(value.upper()), value) for value in values if value]


def quantity(line: Line, name: str) -> Decimal:
    """The units, a decimal written as text."""
    found = amount(line.line, name)
    if found is None:
        raise MappingError(f"LineItem.{name}", "the line has no number of units", _IN_BILLING)
    return found


def unit_price(line: Line, price: str, billed: str, units: str) -> dict[str, Any] | None:
    """The price of one unit; one that is the line's total, or was rounded, gives way to the total."""
    return _priced(line, price, billed, units)[0]


def net(line: Line, price: str, billed: str, units: str) -> dict[str, Any] | None:
    """What the line bills, where DrChrono has worked it out."""
    return _priced(line, price, billed, units)[1]


_Money = dict[str, Any] | None


def _priced(line: Line, price: str, billed: str, units: str) -> tuple[_Money, _Money]:
    each, total, count = amount(line.line, price), amount(line.line, billed), amount(line.line, units) or Decimal(0)
    if not total:
        return _money(each), None
    if each is None or each == total or count <= 0:
        return None, _money(total)
    if _cents(each * count) == total:
        return _money(each), _money(total)
    if _cents(each) == _cents(total / count):
        return None, _money(total)
    text_ = "the price of one unit times the units is not what the line bills"
    raise MappingError(f"LineItem.{price}", text_, "Correct price, quantity or total in DrChrono's billing tab.")


def pointers(line: Line, name: str, listed: str) -> list[int]:
    """Positions of diagnoses; DrChrono gives numbers from 1, or ICD-10 codes, or blanks and 0 for none."""
    found = line.line.get(name) or []
    values = [text(value) for value in found] if isinstance(found, list) else []
    numbers = (
        _position(value, line.visit.diagnoses, f"LineItem.{name}") for value in values if value not in (None, "0")
    )
    return list(dict.fromkeys(numbers))


def performer(line: Line, name: str) -> list[int]:
    """The line's own doctor, where it is another one than the appointment's."""
    own = text(line.line.get(name))
    number = line.performers.get(own or "", 1)
    return [number] if number != 1 else []


def authorization(visit: Visit, name: str) -> list[str]:
    """Of those granted and in force on the date of service: for one of the codes, else for any; the newest."""
    valid = [a for a in visit.authorizations if _is_in_force(a, visit) and text(a.get(name))]
    exact = [a for a in valid if _codes_of(a) & visit.codes]
    general = [a for a in valid if not _codes_of(a)]
    chosen = sorted(exact or general, key=lambda a: (str(a.get("start_date")), str(a.get("id"))))
    return [str(text(chosen[-1].get(name)))] if chosen else []


def _position(value: str | None, diagnoses_: Sequence[str], path: str) -> int:
    plain = str(value)
    if plain.isdecimal():
        return int(plain[:6])  # a longer number is a typing error either way
    wanted = codes.icd10cm(plain)
    known = [codes.icd10cm(code) for code in diagnoses_]
    if wanted is None or wanted not in known:
        text_ = "the line points at a diagnosis that the appointment does not have"
        raise MappingError(path, text_, "Correct the line's diagnosis pointers, or add the diagnosis, in DrChrono.")
    return known.index(wanted) + 1


def _is_in_force(authorization_: Mapping[str, Any], visit: Visit) -> bool:
    status = (text(authorization_.get("status")) or "").lower()
    start, end = day(authorization_.get("start_date")) or "", day(authorization_.get("end_date")) or "9999"
    doctor = text(authorization_.get("doctor"))
    own = doctor in (None, text(visit.appointment.get("doctor")))
    return status in _GRANTED and start <= visit.day <= end and own


def _codes_of(authorization_: Mapping[str, Any]) -> set[str]:
    found = authorization_.get("procedure_codes") or []
    return {str(entry.get("code")).upper() for entry in found if isinstance(entry, dict) and entry.get("code")}


def _money(value: Decimal | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "currency": "USD"}


def _cents(value: Decimal) -> Decimal:
    return value.quantize(_CENT, ROUND_HALF_UP)
