"""The feed ladder: which way of finding encounters works at this EHR, tried out, recorded and followed.

Rungs in order: practice-wide by `_lastUpdated`, practice-wide by date, Bulk Data export, the day's appointments. A push
subscription stands beside them: a notification is a hint, and the feed finds what it missed. All rungs keep the same
cursor, an instant up to which everything has been given, so that the feed may change its rung and go on.
Source: shared vendors generic_smart_fhir sections 3 and 5.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.canonical import jsonio
from gateway.canonical.errors import AdapterError, PermissionMissing, UnexpectedResponse, UnsupportedOperation
from gateway.canonical.models import EncounterRef
from gateway.kit.ehr_bulk_rung import BulkRung
from gateway.kit.ehr_feed_settings import Feed
from gateway.kit.ehr_rung import Rung, Site, Verdict, Window
from gateway.kit.ehr_rungs import AppointmentsRung, DateRung, LastUpdatedRung
from gateway.ports.context import Probe

log = logging.getLogger(__name__)

LADDER: tuple[type[Rung], ...] = (LastUpdatedRung, DateRung, BulkRung, AppointmentsRung)
LISTING = (Feed.BULK, Feed.DATE, Feed.LAST_UPDATED, Feed.APPOINTMENTS)
"""The order for what was before: an export first, as it is the cheapest for both sides."""
PROVEN_FOR, UNPROVEN_FOR = timedelta(days=7), timedelta(hours=1)
_CHOICE, _BEGAN = "feed-choice", "feed-began"
_NAMES = {
    Feed.LAST_UPDATED: "Encounter?_lastUpdated",
    Feed.DATE: "Encounter?date",
    Feed.BULK: "$export",
    Feed.APPOINTMENTS: "Appointment, then Encounter?patient",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """One rung and what trying it has shown; a refusal in place of a verdict."""

    rung: Rung
    verdict: Verdict | None
    refusal: AdapterError | None = None

    @property
    def text(self) -> str:
        """For `gateway check`."""
        return self.verdict.value if self.verdict else f"is refused ({self.refusal.text if self.refusal else ''})"


class EncounterFeed:
    """The feed of one connection. The choice lies in its shared values, with when it was made."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rungs = {rung.kind: rung(site) for rung in LADDER}

    @property
    def fixed(self) -> Feed | None:
        """The rung that the settings name, if they do."""
        chosen = self._site.settings.feed
        return None if chosen is Feed.AUTO else chosen

    async def changed(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Encounters changed since the cursor by the rung that works here, each with the cursor to store.

        A rung that begins to be refused is left for the next one, within the same call.
        """
        window = await self._window(cursor)
        rung = await self._chosen()
        try:
            async for ref, at in rung.changed(window):
                yield ref, at.isoformat()
        except (PermissionMissing, UnexpectedResponse) as refusal:
            rung = await self._instead_of(rung, refusal)
            async for ref, at in rung.changed(window):
                yield ref, at.isoformat()

    async def listed(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Signed encounters with a date of service from `since` on, by the best way there is."""
        name, _, rest = (position or "").partition(" ")
        rung = self._rungs[Feed(name)] if name else await self._for_listing()
        async for ref, at in rung.listed(since, rest):
            yield ref, f"{rung.kind.value} {at}"

    async def probe(self) -> list[Probe]:
        """Try every rung, record the choice, and say for each what became of it."""
        tried = [await self._try(self._rungs[kind]) for kind in self._order()]
        chosen = await self._record(tried)
        return [self._line(one, chosen) for one in tried]

    def _order(self) -> Sequence[Feed]:
        if self.fixed is not None:
            return (self.fixed,)
        practice_wide = (Feed.LAST_UPDATED, Feed.DATE)
        skipped = practice_wide if self._site.settings.patient_anchored else ()
        return [rung.kind for rung in LADDER if rung.kind not in skipped]

    async def _window(self, cursor: str | None) -> Window:
        now, settings = self._site.context.now(), self._site.settings
        if cursor is None:
            began = await self._began(now - timedelta(minutes=settings.lookback_minutes))
            return Window(began, began, began, now)
        stored = datetime.fromisoformat(cursor)
        since = stored - timedelta(seconds=settings.overlap_seconds)
        return Window(since, stored, await self._began(since), now)

    async def _began(self, otherwise: datetime) -> datetime:
        """From when on the first poll looked: until something is found, the next ones look from there as well."""
        kept = await self._site.context.shared.get(_BEGAN)
        if kept is not None:
            return datetime.fromisoformat(kept.decode())
        await self._site.context.shared.put(_BEGAN, otherwise.isoformat().encode())
        return otherwise

    async def _chosen(self) -> Rung:
        if self.fixed is not None:
            return self._rungs[self.fixed]
        kept = await self._site.context.shared.get(_CHOICE)
        if kept is not None:
            choice = jsonio.loads(kept)
            known = choice["feed"] in ("", *self._order())
            if known and self._site.context.now() < datetime.fromisoformat(choice["until"]):
                return self._named(choice["feed"])
        return await self._choose()

    async def _choose(self) -> Rung:
        """Down the ladder to the first rung that proves itself."""
        tried: list[Tried] = []
        for kind in self._order():
            tried.append(await self._try(self._rungs[kind]))
            if tried[-1].verdict is Verdict.FOUND:
                break
        return self._named(await self._record(tried))

    async def _try(self, rung: Rung) -> Tried:
        try:
            return Tried(rung, await rung.tried())
        except (PermissionMissing, UnexpectedResponse) as refusal:
            return Tried(rung, None, refusal)

    async def _record(self, tried: Sequence[Tried]) -> str:
        """Keep the choice: for a week when it has found an encounter, for an hour when there was nothing to find."""
        best = _best(tried)
        now = self._site.context.now()
        proven = best is not None and best.verdict is not Verdict.EMPTY
        chosen = best.rung.kind.value if best else ""
        choice = {
            "feed": chosen,
            "at": now.isoformat(),
            "until": (now + (PROVEN_FOR if proven else UNPROVEN_FOR)).isoformat(),
            "tried": {one.rung.kind.value: one.text for one in tried},
        }
        await self._site.context.shared.put(_CHOICE, jsonio.dumps(choice))
        log.info("feed chosen", extra={"connection": self._site.context.connection, "feed": choice})
        return chosen

    def _named(self, chosen: str) -> Rung:
        if not chosen:
            text = "no search or export of this EHR finds encounters; set poll_seconds to 0 and rely on notifications"
            raise UnsupportedOperation(self._site.client.vendor, "changed_encounters", text)
        return self._rungs[Feed(chosen)]

    async def _instead_of(self, rung: Rung, refusal: AdapterError) -> Rung:
        """The rung to go on with; raises the refusal when there is no other."""
        if self.fixed is not None:
            raise refusal
        log.warning("feed refused", extra={"connection": self._site.context.connection, "feed": rung.kind.value})
        other = await self._choose()
        if other is rung:
            raise refusal
        return other

    async def _for_listing(self) -> Rung:
        if self.fixed is not None:
            return self._rungs[self.fixed]
        tried: list[Tried] = []
        for kind in (kind for kind in LISTING if kind in self._order()):
            tried.append(await self._try(self._rungs[kind]))
            if tried[-1].verdict in (Verdict.FOUND, Verdict.OFFERED):
                return tried[-1].rung
        empty = next((one.rung for one in tried if one.verdict is Verdict.EMPTY), None)
        if empty is None:
            text = "no search or export of this EHR lists encounters"
            raise UnsupportedOperation(self._site.client.vendor, "backfill", text)
        return empty

    def _line(self, tried: Tried, chosen: str) -> Probe:
        name = f"feed {tried.rung.kind.value} ({_NAMES[tried.rung.kind]})"
        if tried.rung.kind.value == chosen:
            unproven = "; nothing to compare with yet" if tried.verdict is Verdict.EMPTY else ""
            return Probe(name, ok=True, detail=f"chosen: {tried.text}{unproven}")
        unbelieved = " although an encounter is there" if tried.verdict is Verdict.EMPTY and chosen else ""
        remedy = "Grant the scopes that it needs, or rely on notifications and set poll_seconds to 0."
        if chosen:
            works = tried.verdict in (Verdict.FOUND, Verdict.OFFERED)
            remedy = "" if works else "Nothing to do: another way is chosen."
        return Probe(name, ok=bool(chosen), detail=f"not used: {tried.text}{unbelieved}", remedy=remedy)


def _best(tried: Sequence[Tried]) -> Tried | None:
    """The first rung that works.

    A search that is answered with nothing is believed only where no other way shows an encounter; and an export, which
    shows none before it is made, gives way to such a search.
    """
    found = next((one for one in tried if one.verdict is Verdict.FOUND), None)
    offered = next((one for one in tried if one.verdict is Verdict.OFFERED), None)
    empty = next((one for one in tried if one.verdict is Verdict.EMPTY), None)
    if found is not None and offered is not None and tried.index(offered) < tried.index(found):
        return offered
    return found or empty or offered
