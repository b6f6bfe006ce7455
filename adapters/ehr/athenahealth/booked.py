"""Booked appointments by department and date: former visits, and those of the first minutes (section 7)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from adapters.ehr.athenahealth.api import AthenaApi, Row
from adapters.ehr.athenahealth.fetch import all_of
from adapters.ehr.athenahealth.rows import DELETED, SIGNED
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.values import EASTERN, day, mdy, moment, text
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRef
from gateway.kit.ehr_references import is_vendor_id
from gateway.ports.context import AdapterContext

PAGE_ROWS = 1000
BACKFILL_DAYS = 28
OVER_STATUSES = frozenset({"3", "4"})
"""Checked out, charges entered."""


class BookedAppointments:
    """The booked appointments of one practice."""

    def __init__(self, api: AthenaApi, settings: AthenahealthSettings, context: AdapterContext) -> None:
        self._api, self._settings, self._context = api, settings, context

    async def former(self, since: date, position: str | None) -> AsyncGenerator[tuple[EncounterRef, str]]:
        """Closed encounters of booked appointments by date; the position is the date to begin with again.

        With them those of the last `reopen_days` that are not closed yet: no event would tell when they are, and once
        they are known they are watched.
        """
        start, today = date.fromisoformat(position) if position else since, self._context.now().date()
        departments = await self._departments()
        while start <= today:
            end = min(start + timedelta(days=BACKFILL_DAYS - 1), today)
            booked = await self._of(departments, start, end)
            dated = [(day(row.get("date")) or start, text(row.get("appointmentid")), row) for row in booked]
            for at, _, row in sorted(dated, key=lambda entry: entry[:2]):
                ref = encounter_ref(row)
                if ref is not None and self._is_wanted(row, (today - at).days):
                    yield replace(ref, serviced=at), at.isoformat()
            start = end + timedelta(days=1)

    def _is_wanted(self, row: Row, days_ago: int) -> bool:
        state = text(row.get("encounterstate"))
        may_be_closed = state != DELETED and _is_over(row) and days_ago <= self._settings.reopen_days
        return state == SIGNED or may_be_closed

    async def lately(self, since: datetime, until: datetime) -> list[Row]:
        """Visits that are over, of the days between two instants."""
        return [row for row in await self.between(since, until) if _is_over(row)]

    async def between(self, since: datetime, until: datetime) -> list[Row]:
        """All appointments of the days between two instants."""
        start, end = (moment_.astimezone(EASTERN).date() for moment_ in (since, until))
        return await self._of(await self._departments(), start, end + timedelta(days=1))  # a department may be ahead

    async def _of(self, departments: Iterable[str], start: date, end: date) -> list[Row]:
        dates = {"startdate": mdy(start), "enddate": mdy(end), "limit": PAGE_ROWS}
        reads = ({**dates, "departmentid": department} for department in departments)
        return await all_of(
            *(self._api.rows("booked", "appointments/booked", "appointments", params) for params in reads)
        )

    async def _departments(self) -> tuple[str, ...]:
        if self._settings.department_ids:
            return self._settings.department_ids
        return tuple(
            text(row.get("departmentid")) for row in await self._api.rows("departments", "departments", "departments")
        )


def encounter_ref(row: Mapping[str, object]) -> EncounterRef | None:
    """A pointer to an appointment's encounter; its key changes with the appointment and with the encounter's state."""
    encounter_id = text(row.get("encounterid"))
    if not is_vendor_id(encounter_id):
        return None
    changed = text(row.get("lastmodified")) or hashlib.sha256(jsonio.canonical_bytes(row)).hexdigest()[:16]
    state = text(row.get("encounterstate"))
    return EncounterRef(encounter_id, f"Appointment/{encounter_id}@{changed}/{state}", moment(row.get("lastmodified")))


def _is_over(row: Mapping[str, object]) -> bool:
    return text(row.get("appointmentstatus")) in OVER_STATUSES or text(row.get("encounterstate")) == SIGNED
