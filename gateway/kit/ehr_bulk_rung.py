"""The rung that exports: Bulk Data `$export?_since`, streamed; and the quickest way to list what was before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar

from gateway.canonical.errors import AdapterError, ErrorCode
from gateway.canonical.models import EncounterRef
from gateway.kit.ehr_bulk import Export, Manifest
from gateway.kit.ehr_feed_settings import Feed
from gateway.kit.ehr_rung import Rung, Seen, Verdict, Window, signed_from
from gateway.kit.ehr_rungs import CHILDREN, note_children

RUN = 1000
MOST_CHILDREN = 20_000
_FEED = "feed"


class BulkRung(Rung):
    """`Group/{id}/$export` or `Patient/$export`; the cursor is the transaction time of the last export.

    Encounters are given in runs of `RUN`, each run oldest first: an export has no order, and is never held whole.
    """

    kind: ClassVar[Feed] = Feed.BULK

    async def tried(self) -> Verdict:
        """Begun and cancelled again."""
        await self.site.exporter.try_out(self._types)
        return Verdict.OFFERED

    async def changed(self, window: Window) -> AsyncIterator[tuple[EncounterRef, datetime]]:
        """What an export since the cursor holds; nothing before `bulk_seconds` have passed since the last one."""
        finished = await self.site.exporter.finished_at(_FEED)
        if finished is not None and window.now - finished < timedelta(seconds=self.site.settings.bulk_seconds):
            return
        export = Export(_FEED, self._types, window.since)
        manifest = await self.site.exporter.manifest(export)
        end = window.cursor if await self.site.exporter.incomplete(manifest) else manifest.transaction_time
        held: EncounterRef | None = None
        async for ref in self._refs(manifest, window):
            if held is not None:
                yield held, window.cursor
            held = ref
        await self.site.exporter.finish(export, manifest)
        if held is not None:
            yield held, max(end, window.cursor)

    async def listed(self, since: date, position: str) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Everything changed since the day before: what is signed has changed on its date of service or later."""
        begin = datetime.combine(since, time(), UTC) - timedelta(days=1)
        export = Export(f"backfill since {since}", ("Encounter",), begin)
        manifest = await self.site.exporter.manifest(export)
        made_at = manifest.transaction_time.isoformat()
        start = _place(position, made_at)
        async for run, after in self._runs(manifest, start):
            resume = _position(made_at, start)
            refs = signed_from(self.site, run, since)
            for number, ref in enumerate(refs, start=1):
                yield ref, _position(made_at, after) if number == len(refs) else resume
            start = after
        await self.site.exporter.finish(export, manifest)

    @property
    def _types(self) -> tuple[str, ...]:
        return ("Encounter", *CHILDREN) if self.site.settings.feed_children else ("Encounter",)

    async def _refs(self, manifest: Manifest, window: Window) -> AsyncIterator[EncounterRef]:
        later: dict[str, datetime] = {}
        async for _, child in self.site.exporter.resources(manifest, *CHILDREN):
            note_children([child], self.site.client.base_url, window.since, later)
            if len(later) == MOST_CHILDREN:
                async for ref in self._outdated(later):
                    yield ref
                later.clear()
        async for run, _ in self._runs(manifest, (0, 0)):
            for seen in run:
                changed = later.pop(seen.ref.encounter_id, None)
                if self.site.follows(seen):
                    if self.site.is_new(seen, window):  # some servers pass over `_since`
                        yield seen.ref
                    if changed is not None and changed > seen.moment:
                        yield seen.after(changed)
        async for ref in self._outdated(later):
            yield ref

    async def _runs(
        self, manifest: Manifest, start: tuple[int, int]
    ) -> AsyncIterator[tuple[list[Seen], tuple[int, int]]]:
        """Runs of Encounters, each oldest first, with the place after it."""
        run: list[Seen] = []
        after = start
        async for (file, line), resource in self.site.exporter.resources(manifest, "Encounter", start=start):
            seen = self.site.seen(resource)
            run += [seen] if seen else []
            after = (file, line + 1)
            if len(run) == RUN:
                yield sorted(run, key=lambda s: s.moment), after
                run = []
        if run:
            yield sorted(run, key=lambda s: s.moment), after

    async def _outdated(self, later: dict[str, datetime]) -> AsyncIterator[EncounterRef]:
        """Encounters that are not in the export themselves: each is read, as only it says whether it is signed off."""
        for key, changed in later.items():
            try:
                seen = self.site.seen(await self.site.client.read(f"Encounter/{key}"))
            except AdapterError as problem:
                if problem.code is not ErrorCode.NOT_FOUND:
                    raise
                continue
            if seen is not None and self.site.follows(seen) and changed > seen.moment:
                yield seen.after(changed)


def _position(made_at: str, place: tuple[int, int]) -> str:
    return f"{made_at} {place[0]} {place[1]}"


def _place(position: str, made_at: str) -> tuple[int, int]:
    """Where to go on, in the same export; another one is read from its beginning."""
    before, _, rest = position.partition(" ")
    file, _, line = rest.partition(" ")
    return (int(file), int(line)) if before == made_at else (0, 0)
