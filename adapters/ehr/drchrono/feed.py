"""What changed since the last poll: webhooks stop after eleven hours, so the feed is read beside them.

Appointments come in the order of their dates, not of their changes: all pages are read before the cursor moves. The
cursor is practice-local time without offset, as the API compares it. Source: vendor document sections 5, 7 and 11.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from adapters.ehr.drchrono import references
from adapters.ehr.drchrono.fetching import Fetcher, is_gone, local_now
from adapters.ehr.drchrono.mapping import Options, billing_content, is_locked
from adapters.ehr.drchrono.practice import everything, listed
from adapters.ehr.drchrono.settings import DrChronoSettings
from adapters.ehr.drchrono.times import latest_stamp, local, reaching_back
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.json_api import JsonApi
from gateway.kit.together import together
from gateway.ports.context import AdapterContext

WINDOW = timedelta(days=180)  # of 190 that a date range may span
_MARK = "feed"


@dataclass(frozen=True, slots=True)
class _Change:
    at: str  # practice-local; empty for a note, which has no time
    ref: EncounterRef


class Feed:
    """The changes of one practice."""

    def __init__(
        self, api: JsonApi, settings: DrChronoSettings, context: AdapterContext, options: Options, fetcher: Fetcher
    ) -> None:
        self._api, self._settings, self._context, self._options = api, settings, context, options
        self._fetcher = fetcher

    async def changed(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Visits that may have to be billed anew, each with the cursor to store once it is kept."""
        start = await self._start(cursor)
        since = reaching_back(start, timedelta(seconds=self._settings.overlap_seconds), self._options.zone)
        appointments, notes, lines, deletions = await self._read(since.isoformat(timespec="seconds"))
        position = cursor if cursor is not None else start.isoformat(timespec="seconds")
        for change in sorted(await self._changes(appointments, notes, lines, deletions), key=lambda c: c.at):
            position = self._later(position, change.at)
            yield change.ref, position
        newest = [latest_stamp(a) for a in appointments] + [str(x.get("updated_at") or "") for x in lines]
        await self._remember(cursor, position, max(newest, default=""))

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Locked visits with a date of service from `since` on, by date; the position is date and id of the last."""
        first = max(since, date.fromisoformat(position[:10])) if position else since
        today = local_now(self._context, self._options).date()
        while first <= today:
            last = min(first + WINDOW, today)
            for at, ref in await self._window(first, last):
                here = f"{at}|{ref.encounter_id}"
                if position is None or here > position:
                    yield ref, here
            first = last + timedelta(days=1)

    async def _start(self, cursor: str | None) -> datetime:
        """From where to read: what was seen of the last poll, if all that it told of has been kept."""
        if cursor is None:
            return local_now(self._context, self._options) - timedelta(minutes=self._settings.lookback_minutes)
        kept = await self._context.shared.get(_MARK)
        mark = jsonio.loads(kept) if kept else {}
        seen = mark.get("high") if mark.get("after") == cursor else None
        return local(seen or cursor, self._options.zone)

    def _later(self, position: str, stamp: str) -> str:
        """The later of a cursor and a local time that is not ahead of now: a wrong clock must not hide what comes."""
        now = local_now(self._context, self._options).isoformat(timespec="seconds")
        return max(position, min(stamp, now)) if _is_local(position) else min(stamp, now) or position

    async def _remember(self, given: str | None, stored: str, newest: str) -> None:
        """How far this poll saw; the next one begins there when its cursor shows that all was kept."""
        if given is not None and newest:
            mark = {"after": stored, "high": self._later(stored, newest)}
            await self._context.shared.put(_MARK, jsonio.dumps(mark))

    async def _read(self, since: str) -> tuple[list[Resource], list[Resource], list[Resource], list[Resource]]:
        bound: dict[str, Any] = {"since": since}
        archived = {"verbose": "true", "show_archived": "true", "ignore_virtual": "true", "page_size": 25}
        others = dict.fromkeys(("clinical_notes", "line_items", "line_item_deletions"), bound)
        lists = {"appointments": {**bound, **archived}, **others}
        found = await together(everything(self._api, f"feed:{name}", name, params) for name, params in lists.items())
        return found[0], found[1], found[2], found[3]

    async def _changes(
        self,
        appointments: list[Resource],
        notes: list[Resource],
        lines: list[Resource],
        deletions: list[Resource],
    ) -> list[_Change]:
        listed_ = {str(a.get("id")): a for a in appointments}
        open_ = {key for key, a in listed_.items() if not is_locked(a)}
        known = {key: await self._fetcher.known(key) for key in _named(appointments, lines)}
        found = [*self._of_appointments(appointments, known), *_of_notes(notes, listed_)]
        return [*found, *_of_lines(lines, open_, known), *_of_deletions(deletions, open_)]

    def _of_appointments(self, appointments: list[Resource], known: Mapping[str, Mapping[str, Any]]) -> list[_Change]:
        found = []
        for appointment in appointments:
            ref = references.of_appointment(appointment, self._options.zone)
            if ref is None or _is_no_visit(appointment):
                continue
            seen = known.get(ref.encounter_id, {}).get("seen")
            if seen != billing_content(appointment) and (is_locked(appointment) or (seen and _is_deleted(appointment))):
                found.append(_Change(latest_stamp(appointment), ref))
        return found

    async def _window(self, first: date, last: date) -> list[tuple[str, EncounterRef]]:
        filters = {"date_range": f"{first}/{last}", "verbose": True, "ignore_virtual": True}
        pause = self._settings.list_seconds
        found = await listed(self._api, "backfill:appointments", "appointments", filters, pause)
        refs = [
            (str(a.get("scheduled_time") or ""), ref)
            for a in found
            if is_locked(a) and not is_gone(a) and (ref := references.of_appointment(a, self._options.zone))
        ]
        return sorted(refs, key=lambda pair: (pair[0], pair[1].encounter_id))


def _named(appointments: list[Resource], lines: list[Resource]) -> list[str]:
    """The visits whose known state matters."""
    keys = [str(a.get("id")) for a in appointments if is_locked(a) or _is_deleted(a)]
    return list(dict.fromkeys([*keys, *(str(line.get("appointment")) for line in lines)]))


def _is_no_visit(appointment: Resource) -> bool:
    return appointment.get("appt_is_break") is True or appointment.get("is_virtual_base") is True


def _is_deleted(appointment: Resource) -> bool:
    """Its note may have been unlocked first: what was billed is to be taken back all the same."""
    return appointment.get("deleted_flag") is True


def _of_notes(notes: list[Resource], appointments: Mapping[str, Resource]) -> list[_Change]:
    """Locked notes whose appointments did not move with them."""
    locked = [note for note in notes if (note.get("signee") or {}).get("locked_by")]
    refs = [references.of_note(note) for note in locked if str(note.get("appointment")) not in appointments]
    return [_Change("", ref) for ref in refs if ref]


def _of_lines(lines: list[Resource], open_: set[str], known: Mapping[str, Mapping[str, Any]]) -> list[_Change]:
    found = []
    for line in lines:
        ref, stamp = references.of_line(line), str(line.get("updated_at") or "")
        if ref and ref.encounter_id not in open_ and not _is_known(line, known.get(ref.encounter_id, {})):
            found.append(_Change(stamp, ref))
    return found


def _is_known(line: Resource, state: Mapping[str, Any]) -> bool:
    """Whether the visit was read with the line as it is now."""
    return references.state_of_line(line) in state.get("lines", ())


def _of_deletions(deletions: list[Resource], open_: set[str]) -> list[_Change]:
    pairs = [(d, references.of_deletion(d.get("appointment_id"), d.get("billing_line_item_id"))) for d in deletions]
    return [_Change(str(d.get("created_at") or ""), ref) for d, ref in pairs if ref and ref.encounter_id not in open_]


def _is_local(cursor: str) -> bool:
    """Whether a stored cursor is a local time as DrChrono writes it, and not an instant with an offset."""
    return datetime.fromisoformat(cursor).tzinfo is None
