"""The appointments feed, whose rows come once only (vendor document section 11).

A crash between the reading of a row and its keeping must lose nothing: each poll first reads again what this API key
has consumed since the cursor, and only then what is new. One reader per key at a time, over all workers. While the
feed's subscription may not yet have taken effect, the booked appointments are read beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime, timedelta

from adapters.ehr.athenahealth.api import AthenaApi, Row
from adapters.ehr.athenahealth.booked import OVER_STATUSES, PAGE_ROWS, BookedAppointments, encounter_ref
from adapters.ehr.athenahealth.fetch import all_of
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.values import eastern_from, eastern_until, text
from gateway.canonical.errors import AdapterError, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.ehr_references import is_vendor_id
from gateway.ports.context import AdapterContext

FEED = "appointments/changed"
MAX_PAGES = 10
SEEN_STATUSES = frozenset({"2", *OVER_STATUSES})
"""With those checked in: the patient was there, so there is an encounter."""
SUBSCRIBED_AT = "feed-subscribed-at"
"""The shared value that tells since when the feed has been subscribed to."""

SEEN = "feed-seen"
"""The shared value that tells how far was seen, with the cursor after which nothing was found."""


class AppointmentFeed:
    """The changed appointments of one practice, as pointers to their encounters."""

    def __init__(
        self, api: AthenaApi, booked: BookedAppointments, settings: AthenahealthSettings, context: AdapterContext
    ) -> None:
        self._api, self._booked, self._settings, self._context = api, booked, settings, context
        owner = f"{settings.host}|{settings.client_id}|{settings.practice_id}|{FEED}"
        self._lock_key = f"athenahealth/feed/{hashlib.sha256(owner.encode()).hexdigest()[:16]}"

    async def changed(self, cursor: str | None) -> AsyncGenerator[tuple[EncounterRef, str]]:
        """Pointers to encounters, each with the cursor to keep: the instant from which rows can be read again.

        It moves with the last pointer only, and with one of consumed rows too: another connection of the same API key
        may be the one that always reads first.
        """
        now = self._context.now()
        since = await self._since(cursor) if cursor else now - timedelta(minutes=self._settings.lookback_minutes)
        kept = cursor or since.isoformat()
        async with self._context.lock(self._lock_key):
            started = self._context.now() - timedelta(seconds=self._settings.overlap_seconds)
            consumed = await self._consumed(since, self._context.now())
            fresh = await self._unread()
        refs, problem = await self._refs([*await self._booked_meanwhile(cursor, since), *consumed, *fresh])
        for ref in refs[:-1]:
            yield ref, kept
        reached = max(since, started).isoformat()
        for ref in refs[-1:]:
            yield ref, kept if problem else reached
        if cursor and not refs and problem is None:
            await self._context.shared.put(SEEN, f"{cursor} {reached}".encode())
        if problem is not None:  # its row stays behind the cursor, and the others are told
            raise problem

    async def _since(self, cursor: str) -> datetime:
        """From when to read again: polls that found nothing to keep have seen more than the cursor tells."""
        seen = await self._context.shared.get(SEEN)
        after, _, reached = seen.decode().partition(" ") if seen else ("", "", "")
        return datetime.fromisoformat(reached if after == cursor else cursor)

    async def _booked_meanwhile(self, cursor: str | None, since: datetime) -> list[Row]:
        """Visits that were over before the feed began to tell of them; none once it surely does.

        They are looked for from `since` on, if that is longer ago than the first poll looks: the feed had ended.
        """
        began = await self._context.shared.get(SUBSCRIBED_AT)
        now, settings = self._context.now(), self._settings
        is_young = began is not None and now < datetime.fromisoformat(began.decode()) + timedelta(
            seconds=settings.activation_seconds
        )
        if cursor is not None and not is_young:
            return []
        return await self._booked.lately(min(since, now - timedelta(minutes=settings.lookback_minutes)), now)

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

    async def _refs(self, rows: Iterable[Row]) -> tuple[list[EncounterRef], AdapterError | None]:
        """One pointer per encounter; a row that does not name its encounter yet is looked up.

        With them the first failure of such a look-up: one appointment that cannot be read does not hide the others.
        """
        followed = [row for row in rows if self._is_followed(row)]
        silent = [r for r in followed if not text(r.get("encounterid")) and _seen(r)]
        problems: list[AdapterError] = []
        looked_up = await all_of(*(self._appointment(text(row.get("appointmentid")), problems) for row in silent))
        found = (encounter_ref(row) for row in [*followed, *looked_up])
        refs = {ref.dedupe_key: ref for ref in found if ref is not None}
        return list(refs.values()), next(iter(problems), None)

    def _is_followed(self, row: Mapping[str, object]) -> bool:
        departments = self._settings.department_ids
        return not departments or text(row.get("departmentid")) in departments

    async def _appointment(self, appointment_id: str, problems: list[AdapterError]) -> list[Resource]:
        if not is_vendor_id(appointment_id):
            return []
        try:
            return await self._api.at_most_one("appointment", f"appointments/{appointment_id}")
        except (UnexpectedResponse, VendorUnavailable) as problem:
            problems.append(problem)
            return []


def _seen(row: Mapping[str, object]) -> bool:
    return text(row.get("appointmentstatus")) in SEEN_STATUSES
