"""athenahealth's values: dates, text that may be a number, booleans that may be text. Pure (section 3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
_DAY, _MOMENT = "%m/%d/%Y", "%m/%d/%Y %H:%M:%S"
LAST = 10**6
_TRUE = frozenset({"true", "1", "y", "yes"})


def text(value: Any) -> str:
    """An id or word: ids are text in some answers and numbers in others; of anything else an empty text."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else ""


def flag(value: Any) -> bool:
    """A boolean, which may be text."""
    return value is True or (isinstance(value, str | int) and str(value).strip().lower() in _TRUE)


def number(value: Any) -> Any:
    """A number that may be text; anything else as it is, for the validator to refuse."""
    if not isinstance(value, str):
        return value
    try:
        parsed = Decimal(value.strip())
    except InvalidOperation:
        return value
    return parsed if parsed.is_finite() else value


def rank(value: Any) -> int:
    """A place in an order; what has none, or 0, comes last."""
    held = number(value)
    if isinstance(held, bool) or not isinstance(held, int | Decimal) or not Decimal(held).is_finite():
        return LAST
    return int(held) if 0 < held < LAST else LAST


def day(value: Any) -> date | None:
    """MM/DD/YYYY, with a time behind it or without; None for anything else."""
    try:
        return datetime.strptime(text(value).partition(" ")[0], _DAY).date()  # noqa: DTZ007 - a calendar date
    except ValueError:
        return None


def iso_day(value: Any) -> Any:
    """MM/DD/YYYY as FHIR writes it; anything else as it is, for the validator to refuse."""
    parsed = day(value)
    return parsed.isoformat() if parsed else value


def moment(value: Any) -> datetime | None:
    """MM/DD/YYYY HH:MM:SS in US Eastern as an instant in UTC; None for anything else."""
    try:
        local = datetime.strptime(text(value), _MOMENT)  # noqa: DTZ007 - the zone follows
        return local.replace(tzinfo=EASTERN).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def eastern_until(instant: datetime) -> str:
    """The clock time in US Eastern for the start of a window: an hour earlier when the clock shows it twice."""
    return _eastern(instant - timedelta(hours=1) if _is_shown_twice(instant) else instant)


def eastern_from(instant: datetime) -> str:
    """The clock time in US Eastern for the end of a window: an hour later when the clock shows it twice."""
    return _eastern(instant + timedelta(hours=1) if _is_shown_twice(instant) else instant)


def _eastern(instant: datetime) -> str:
    return instant.astimezone(EASTERN).strftime(_MOMENT)


def _is_shown_twice(instant: datetime) -> bool:
    """Whether it lies in the two hours of autumn that read the same."""
    local = instant.astimezone(EASTERN)
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def mdy(value: date) -> str:
    """A date as the API's queries want it."""
    return value.strftime(_DAY)


def practice_filter(practice_id: str) -> dict[str, str]:
    """The parameter without which a FHIR search answers an error with HTTP 200 (section 13)."""
    return {"ah-practice": f"Organization/a-1.Practice-{practice_id}"}


def encounter_filter(practice_id: str, encounter_id: str) -> dict[str, str]:
    """The FHIR search parameters for what belongs to an encounter."""
    return {"encounter": f"Encounter/a-{practice_id}.encounter-{encounter_id}", **practice_filter(practice_id)}
