"""The appointments feed, whose rows come once only, and the list of booked appointments for former visits (section 11).

A crash between the reading of a row and its keeping must lose nothing: each poll first reads again what this API key
has consumed since the cursor, and only then what is new. One reader per key at a time, over all workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import date, datetime, timedelta

from adapters.ehr.athenahealth.api import AthenaApi, Row
from adapters.ehr.athenahealth.fetch import together
from adapters.ehr.athenahealth.rows import SIGNED
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.values import day, eastern_from, eastern_until, mdy, moment, text
from gateway.canonical import jsonio
from gateway.canonical.errors import ErrorCode, UnexpectedResponse
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.ehr_references import is_vendor_id
from gateway.ports.context import AdapterContext

FEED = "appointments/changed"
PAGE_ROWS = 1000
MAX_PAGES = 50
SEEN_STATUSES = frozenset({"2", "3", "4"})
"""Checked in, checked out, charges entered: the patient was there, so there is an encounter."""
BACKFILL_DAYS = 7


class AppointmentFeed:
    """The changed appointments of one practice, as pointers to their encounters."""

    def __init__(self, api: AthenaApi, settings: AthenahealthSettings, context: AdapterContext) -> None:
        self._api, self._settings, self._context = api, settings, context
        owner = f"{settings.host}|{settings.client_id}|{settings.practice_id}|{FEED}"
        self._lock_key = f"athenahealth/feed/{hashlib.sha256(owner.encode()).hexdigest()[:16]}"

    async def changed(self, cursor: str | None) -> AsyncGenerator[tuple[EncounterRef, str]]:
        """Pointers to encounters, each with the cursor to keep: the instant from which rows can be read again."""
        now = self._context.now()
        since = datetime.fromisoformat(cursor) if cursor else now - timedelta(minutes=self._settings.lookback_minutes)
        kept = cursor or since.isoformat()
        async with self._context.lock(self._lock_key):
            started = self._context.now() - timedelta(seconds=self._settings.overlap_seconds)
            consumed = await self._consumed(since, self._context.now())
            fresh = await self._unread()
        for ref in await self._refs(consumed):
            yield ref, kept
        for ref in await self._refs(fresh):
            yield ref, max(since, started).isoformat()

    async def former(self, since: date, position: str | None) -> AsyncGenerator[tuple[EncounterRef, str]]:
        """Closed encounters of booked appointments by date; the position is the date to begin with again."""
        start, today = date.fromisoformat(position) if position else since, self._context.now().date()
        departments = self._settings.department_ids or await self._departments()
        while start <= today:
            end = min(start + timedelta(days=BACKFILL_DAYS - 1), today)
            booked = await together(*(self._booked(department, start, end) for department in departments))
            dated = [(day(row.get("date")) or start, text(row.get("appointmentid")), row) for row in booked]
            for at, _, row in sorted(dated, key=lambda entry: entry[:2]):
                ref = encounter_ref(row)
                if ref is not None and text(row.get("encounterstate")) == SIGNED:
                    yield ref, at.isoformat()
            start = end + timedelta(days=1)

    async def _consumed(self, since: datetime, until: datetime) -> list[Row]:
        window = {
            "showprocessedstartdatetime": eastern_until(since),
            "showprocessedenddatetime": eastern_from(until),
            "limit": PAGE_ROWS,
        }
        return await self._api.rows(FEED, FEED, "appointments", window)

    async def _unread(self) -> list[Row]:
        """New rows until there are none, as each read gives the next; those beyond the bound wait for the next poll."""
        found: list[Row] = []
        for _ in range(MAX_PAGES):
            page = await self._api.rows(FEED, FEED, "appointments", {"limit": PAGE_ROWS})
            if not page:
                break
            found += page
        return found

    async def _refs(self, rows: Iterable[Row]) -> list[EncounterRef]:
        """One pointer per encounter; a row that does not name its encounter yet is looked up."""
        followed = [row for row in rows if self._is_followed(row)]
        silent = [r for r in followed if not text(r.get("encounterid")) and _seen(r)]
        looked_up = await together(*(self._appointment(text(row.get("appointmentid"))) for row in silent))
        found = (encounter_ref(row) for row in [*followed, *looked_up])
        return list({ref.dedupe_key: ref for ref in found if ref is not None}.values())

    def _is_followed(self, row: Mapping[str, object]) -> bool:
        departments = self._settings.department_ids
        return not departments or text(row.get("departmentid")) in departments

    async def _appointment(self, appointment_id: str) -> list[Resource]:
        if not is_vendor_id(appointment_id):
            return []
        try:
            return [await self._api.one("appointment", f"appointments/{appointment_id}")]
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.NOT_FOUND:
                raise
            return []

    async def _booked(self, department: str, start: date, end: date) -> list[Resource]:
        dates = {"departmentid": department, "startdate": mdy(start), "enddate": mdy(end), "limit": PAGE_ROWS}
        return await self._api.rows("booked", "appointments/booked", "appointments", dates)

    async def _departments(self) -> list[str]:
        return [
            text(row.get("departmentid")) for row in await self._api.rows("departments", "departments", "departments")
        ]


def encounter_ref(row: Mapping[str, object]) -> EncounterRef | None:
    """A pointer to an appointment's encounter; its key changes with the appointment and with the encounter's state."""
    encounter_id = text(row.get("encounterid"))
    if not is_vendor_id(encounter_id):
        return None
    changed = text(row.get("lastmodified")) or hashlib.sha256(jsonio.canonical_bytes(row)).hexdigest()[:16]
    state = text(row.get("encounterstate"))
    return EncounterRef(encounter_id, f"Appointment/{encounter_id}@{changed}/{state}", moment(row.get("lastmodified")))


def _seen(row: Mapping[str, object]) -> bool:
    return text(row.get("appointmentstatus")) in SEEN_STATUSES
