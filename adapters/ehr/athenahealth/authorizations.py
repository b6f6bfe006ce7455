"""Which authorization and which referral belong to a visit. Pure (section 9)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapters.ehr.athenahealth.values import day, flag, text
from gateway.canonical.errors import MappingError

Row = Mapping[str, Any]
_STARTS, _ENDS = ("startdate", "effectivedate"), ("expirationdate", "enddate")


@dataclass(frozen=True, slots=True)
class Visit:
    """What an authorization has to fit."""

    appointment_id: str
    serviced: date | None
    member_ids: Collection[str]
    procedures: Collection[str]


def authorization_number(held: Iterable[Row], visit: Visit) -> str | None:
    """The prior authorization's number (box 23); the claim is held when several fit and none names the visit."""
    return _only([row for row in held if not _is_referral(row)], visit)


def referral_number(held: Iterable[Row], visit: Visit) -> str | None:
    """The number of the referral; the claim is held when several fit and none names the visit."""
    return _only([row for row in held if _is_referral(row)], visit)


def _only(rows: Iterable[Row], visit: Visit) -> str | None:
    fitting = [row for row in rows if _fits(row, visit)]
    own = [row for row in fitting if visit.appointment_id in _texts(row.get("appointmentids"))]
    numbers = {text(row.get("referralauthnumber")) for row in own or fitting} - {""}
    if len(numbers) > 1:
        raise MappingError("referralauths.referralauthnumber", _SEVERAL, _TIE)
    return next(iter(numbers), None)


def _fits(row: Row, visit: Visit) -> bool:
    """In force on the day, of one of the visit's insurances, and for what was done, where it says so."""
    member_id = text(row.get("insuranceidnumber"))
    procedures = _texts(row.get("procedurecodes"))
    appointments = _texts(row.get("appointmentids"))
    return (
        not flag(row.get("expired"))
        and _covers(row, visit.serviced)
        and (not member_id or member_id in visit.member_ids)
        and (not procedures or bool(procedures & set(visit.procedures)))
        and (not appointments or visit.appointment_id in appointments)
    )


def _covers(row: Row, serviced: date | None) -> bool:
    start = next((found for name in _STARTS if (found := day(row.get(name)))), None)
    end = next((found for name in _ENDS if (found := day(row.get(name)))), None)
    return serviced is None or ((start is None or start <= serviced) and (end is None or serviced <= end))


def _is_referral(row: Row) -> bool:
    return text(row.get("referralauthtype")).upper().startswith("REFERRAL")


def _texts(value: Any) -> set[str]:
    """Ids or codes of a list, whose entries may be objects, or of a text with commas."""
    entries = value if isinstance(value, list) else text(value).split(",")
    flat = (list(e.values()) if isinstance(e, dict) else [e] for e in entries)
    return {found for values in flat for value in values if (found := text(value))}


_SEVERAL = "several authorizations fit this visit, and none of them names its appointment"
_TIE = "Tie the right authorization to the appointment in athenahealth, or expire the others."
