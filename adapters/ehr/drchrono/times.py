"""DrChrono's times: practice-local, without offset. Pure. Source: vendor document sections 3 and 11."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_AUTUMN = timedelta(hours=1)


def latest_stamp(appointment: Mapping[str, Any]) -> str:
    """When the appointment or its note was changed last, as DrChrono writes it; empty when it tells neither."""
    note = appointment.get("clinical_note")
    stamps = (appointment.get("updated_at"), note.get("updated_at") if isinstance(note, dict) else None)
    return max((stamp for stamp in stamps if isinstance(stamp, str)), default="")


def instant(stamp: str, zone: ZoneInfo, fold: int = 0) -> datetime | None:
    """A local time as an instant in UTC, the later one of an hour that is written twice with `fold` 1; else None."""
    try:
        found = datetime.fromisoformat(stamp)
        return (found if found.tzinfo else found.replace(tzinfo=zone, fold=fold)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def local(cursor: str, zone: ZoneInfo) -> datetime:
    """A stored cursor as a local time: it may be one already, or an instant with an offset."""
    found = datetime.fromisoformat(cursor)
    return found.astimezone(zone).replace(tzinfo=None) if found.tzinfo else found


def reaching_back(start: datetime, overlap: timedelta, zone: ZoneInfo) -> datetime:
    """The local time from which to read: an hour earlier while clocks go back, as that hour is written twice."""
    since = start - overlap
    twice = any(_is_twice(moment, zone) for moment in (start, since))
    return since - _AUTUMN if twice else since


def _is_twice(moment: datetime, zone: ZoneInfo) -> bool:
    first, second = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second and first is not None and second is not None and first > second
