"""The rungs of the feed ladder that search: by change, by date of service, by the day's appointments.

Source: shared vendors generic_smart_fhir sections 3 and 5, practice_fusion section 3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from gateway.canonical.errors import PermissionMissing, UnexpectedResponse
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_feed_settings import Feed
from gateway.kit.ehr_references import local_reference, references_at
from gateway.kit.ehr_rung import (
    MAX_POLL_PAGES,
    PAGE_SIZE,
    SearchRung,
    Seen,
    Site,
    Verdict,
    Window,
    as_instant,
    last_marked,
)

log = logging.getLogger(__name__)

CHILDREN: Mapping[str, str] = {
    "Condition": "encounter",
    "Procedure": "encounter",
    "ChargeItem": "context",
    "Claim": "item.encounter",
}
"""What belongs to an encounter and may change without it: type to the path of its reference to the Encounter."""
IDS_AT_ONCE = 50
PATIENTS_AT_ONCE = 4
REFUSED_FOR = timedelta(hours=1)
"""How long a type that is not offered is not asked for: it may be granted later, and one refusal may be an accident."""
_SAMPLE = 5
_FAR = timedelta(days=365 * 20)
_SWEPT = "feed-swept-days"
_NEVER_SEEN = frozenset({"cancelled", "noshow", "entered-in-error", "proposed"})


class LastUpdatedRung(SearchRung):
    """`Encounter?_lastUpdated=ge`: practice-wide, by change.

    The cursor is the instant of the last Encounter's change. What belongs to encounters does not move it: of a backlog
    that is cut, later encounters are still to come.
    """

    kind: ClassVar[Feed] = Feed.LAST_UPDATED

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._refused_children: dict[str, datetime] = {}

    async def tried(self) -> Verdict:
        """By instants: of the far future, and of the look-back time."""
        now = self.site.context.now()
        back = as_instant(now - timedelta(days=self.site.settings.feed_lookback_days))
        return await tried_search(self.site, "_lastUpdated", f"ge{as_instant(now + _FAR)}", f"ge{back}")

    async def changed(self, window: Window) -> AsyncIterator[tuple[EncounterRef, datetime]]:
        """What has changed, and encounters whose charges or diagnoses have changed after them."""
        later = await self._changed_children(window.since)  # first: what an encounter's own change brings is then known
        params = {**self.site.encounter_search, "_lastUpdated": f"ge{as_instant(window.since)}"}
        found = await self.site.encounters({**params, **self.site.settings.followed}, sorted_=True)
        for ref in await self._outdated(later, found):
            yield ref, window.cursor
        latest = window.cursor
        for seen in found:
            if self.site.follows(seen) and (seen.ref.last_updated is None or self.site.is_new(seen, window)):
                latest = max(latest, min(seen.moment, window.now))  # an EHR's clock may be ahead
                yield seen.ref, latest

    async def found_between(self, first: date, end: date) -> list[Seen]:
        """Encounters changed in these days (UTC): one is signed on the day of service or later."""
        return await self.site.encounters({"_lastUpdated": [f"ge{first}", f"lt{end}"], "_count": PAGE_SIZE})

    async def _changed_children(self, since: datetime) -> dict[str, datetime]:
        """When something of an encounter changed last, by the encounter's id."""
        later: dict[str, datetime] = {}
        now = self.site.context.now()
        wanted = [name for name in CHILDREN if self._refused_children.get(name, now) <= now]
        for name in wanted if self.site.settings.feed_children else ():
            try:
                await self._note_children(name, since, later)
            except (PermissionMissing, UnexpectedResponse):
                self._refused_children[name] = now + REFUSED_FOR  # the encounter's own change has to do
                log.warning("not followed", extra={"connection": self.site.context.connection, "type": name})
        return later

    async def _note_children(self, name: str, since: datetime, later: dict[str, datetime]) -> None:
        read = 0
        params = {"_lastUpdated": f"ge{as_instant(since)}", "_count": PAGE_SIZE}
        async with aclosing(self.site.client.pages(name, params)) as pages:
            async for page in pages:
                note_children(page, self.site.client.base_url, since, later)
                read += 1
                if read == MAX_POLL_PAGES:
                    log.warning(
                        "not followed to the end", extra={"connection": self.site.context.connection, "type": name}
                    )
                    return

    async def _outdated(self, later: Mapping[str, datetime], found: Iterable[Seen]) -> list[EncounterRef]:
        """The followed encounters among those that something of has changed after their own last change."""
        known = {seen.ref.encounter_id: seen for seen in found}
        asked = [key for key in later if key not in known]
        for start in range(0, len(asked), IDS_AT_ONCE):
            ids = ",".join(asked[start : start + IDS_AT_ONCE])
            for seen in await self.site.encounters({"_id": ids, "_count": IDS_AT_ONCE}):
                known[seen.ref.encounter_id] = seen
        both = [(known[key], changed) for key, changed in later.items() if key in known]
        return [s.after(changed) for s, changed in both if s.moment < changed and self.site.follows(s)]


class DateRung(SearchRung):
    """`Encounter?date=ge&status=`: practice-wide, by date of service. The cursor is when the last look began."""

    kind: ClassVar[Feed] = Feed.DATE

    async def tried(self) -> Verdict:
        """By days: of the far future, and of the look-back time."""
        today = self.site.context.now().date()
        back = today - timedelta(days=self.site.settings.feed_lookback_days)
        return await tried_search(self.site, "date", f"ge{today + _FAR}", f"ge{back}")

    async def changed(self, window: Window) -> AsyncIterator[tuple[EncounterRef, datetime]]:
        """The look-back days are listed anew each time; what is known already costs no job."""
        earliest = min(window.now - timedelta(days=self.site.settings.feed_lookback_days), window.since).date()
        params = {"date": f"ge{earliest}", "_count": PAGE_SIZE, **self.site.settings.followed}
        for marked in last_marked(
            self.site.news(await self.site.encounters(params), window), window.cursor, window.now
        ):
            yield marked

    async def found_between(self, first: date, end: date) -> list[Seen]:
        """Encounters dated in these days."""
        found = await self.site.encounters({"date": [f"ge{first}", f"lt{end}"], "_count": PAGE_SIZE})
        return _begun(found, first, end)


class AppointmentsRung(SearchRung):
    """The day's appointments, their patients, each one's encounters: where every search must name a patient.

    Each look takes the days since the last one, and one earlier day of the look-back time in turn: late signatures
    are found within as many polls as there are days. The cursor is when the last look began.
    """

    kind: ClassVar[Feed] = Feed.APPOINTMENTS

    async def tried(self) -> Verdict:
        """The encounters of a few patients who had appointments."""
        today = self.site.context.clinic.local_date(self.site.context.now())
        back = today - timedelta(days=self.site.settings.feed_lookback_days)
        params = self._appointments(back, today + timedelta(days=1))
        async with aclosing(self.site.client.pages("Appointment", params)) as pages:
            patients = self._patients(await anext(pages))
        for patient in sorted(patients)[:_SAMPLE]:
            if await self.site.any_encounter(patient=patient, date=f"ge{back}"):
                return Verdict.FOUND
        return Verdict.EMPTY

    async def changed(self, window: Window) -> AsyncIterator[tuple[EncounterRef, datetime]]:
        """The days since the last look, and one earlier day."""
        today = self.site.context.clinic.local_date(window.now)
        since = self.site.context.clinic.local_date(window.since)
        recent = await self.found_between(since, today + timedelta(days=1))
        swept = await self._earlier_day(today, since)
        earlier = await self.found_between(swept, swept + timedelta(days=1)) if swept else []
        found = {seen.ref.encounter_id: seen for seen in (*earlier, *recent)}
        ordered = sorted(found.values(), key=lambda seen: seen.moment)
        for marked in last_marked(self.site.news(ordered, window), window.cursor, window.now):
            yield marked

    async def found_between(self, first: date, end: date) -> list[Seen]:
        """Encounters of the patients who had an appointment in these days, dated in them."""
        patients = await self._patients_between(first, end)
        dated = [f"ge{first}", f"lt{end + timedelta(days=1)}"]  # the EHR's day may be UTC's
        turns = asyncio.Semaphore(PATIENTS_AT_ONCE)

        async def of(patient: str) -> list[Seen]:
            async with turns:
                return await self.site.encounters({"patient": patient, "date": dated, "_count": PAGE_SIZE})

        found = [seen for group in await asyncio.gather(*map(of, sorted(patients))) for seen in group]
        return sorted(_begun(found, first, end), key=lambda seen: seen.moment)

    async def _earlier_day(self, today: date, since: date) -> date | None:
        """The next day of the look-back time that is not looked at anyway."""
        days = (since - today).days + self.site.settings.feed_lookback_days
        if days <= 0:
            return None
        kept = await self.site.context.shared.get(_SWEPT)
        back = (int(kept) if kept else 0) % days + 1
        await self.site.context.shared.put(_SWEPT, str(back).encode())
        return since - timedelta(days=back)

    async def _patients_between(self, first: date, end: date) -> set[str]:
        patients: set[str] = set()
        read = 0
        async with aclosing(self.site.client.pages("Appointment", self._appointments(first, end))) as pages:
            async for page in pages:
                patients |= self._patients(page)
                read += 1
                if read == MAX_POLL_PAGES:
                    text = "too many appointments at once; lower feed_lookback_days"
                    raise UnexpectedResponse(self.site.client.vendor, "search:Appointment", text)
        return patients

    def _appointments(self, first: date, end: date) -> dict[str, Any]:
        return {"date": [f"ge{first}", f"lt{end}"], "_count": PAGE_SIZE}

    def _patients(self, page: Iterable[Resource]) -> set[str]:
        kept = [r for r in page if r["resourceType"] == "Appointment" and r.get("status") not in _NEVER_SEEN]
        named = (
            local_reference(r, self.site.client.base_url) for a in kept for r in references_at(a, "participant.actor")
        )
        return {r.removeprefix("Patient/") for r in named if r is not None and r.startswith("Patient/")}


def _begun(found: Iterable[Seen], first: date, end: date) -> list[Seen]:
    """Those that began in these days, or a day off: an encounter without an end matches every later day as well."""
    one = timedelta(days=1)
    return [s for s in found if s.ref.serviced is None or first - one <= s.ref.serviced < end + one]


async def tried_search(site: Site, parameter: str, future: str, past: str) -> Verdict:
    """Nothing may lie in the future: then the parameter is heeded. In the past there should be something.

    An encounter that is not signed off yet proves the search as well.
    """
    if await site.any_encounter(**{parameter: future}):
        return Verdict.IGNORED
    as_used = (
        {**site.encounter_search, **site.settings.followed} if parameter == "_lastUpdated" else site.settings.followed
    )
    if await site.any_encounter(**{**as_used, parameter: past}) or await site.any_encounter(**{parameter: past}):
        return Verdict.FOUND
    return Verdict.EMPTY


def note_children(page: Iterable[Resource], base_url: str, since: datetime, later: dict[str, datetime]) -> None:
    """Note when each encounter was touched last by what belongs to it, if that was not before `since`."""
    for resource in page:
        path, meta = CHILDREN.get(resource["resourceType"]), resource.get("meta")
        changed = parsed_instant(meta.get("lastUpdated")) if isinstance(meta, dict) else None
        if path is None or changed is None or changed < since:
            continue
        for reference in references_at(resource, path):
            named = local_reference(reference, base_url)
            if named is not None and named.startswith("Encounter/"):
                key = named.removeprefix("Encounter/")
                later[key] = max(changed, later.get(key, changed))
