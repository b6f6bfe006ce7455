"""What a unit of work does with superbills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.canonical.findings import Finding
from gateway.canonical.jsonio import dumps, loads
from gateway.ports.superbills import KeptSuperbill, OfferedSuperbill, Taken, VisitView, WaitingEncounter
from gateway.store.queries import queries
from gateway.store.unit_of_work import StepWork

_SUPERBILLS, _ENCOUNTERS = queries("superbills"), queries("encounters")


class SuperbillUnit(StepWork):
    """The `SuperbillWork` port, beside what every step does."""

    async def take_superbills(self, connection: str, file_digest: str, offered: Sequence[OfferedSuperbill]) -> Taken:
        """Keep what is new or changed, each superbill once per file."""
        if not offered:
            return Taken(0, 0, 0)
        await self._lock([*(o.visit_key for o in offered), *(o.id for o in offered)])
        known = {row["id"]: row for row in await self._fetch("known", connection, [o.id for o in offered])}
        await self._lock([row["visit_key"] for row in known.values()])
        good = [o for o in offered if o.claim is not None]
        taken = ([o.id for o in good], [o.digest for o in good])
        fresh = {row["superbill_id"] for row in await self._fetch("intake", connection, file_digest, *taken)}
        news = [o for o in offered if _is_news(o, known.get(o.id), fresh)]
        await self._keep(connection, news)
        keys = {o.visit_key for o in news} | {known[o.id]["visit_key"] for o in news if o.id in known}
        waiting = await self._fetch("waiting", connection, sorted(keys))
        new = sum(o.id not in known for o in news if o.claim is not None)
        changed = sum(o.id in known for o in news if o.claim is not None)
        return Taken(new, changed, len(good) - new - changed, tuple(WaitingEncounter(**row) for row in waiting))

    async def _keep(self, connection: str, news: Sequence[OfferedSuperbill]) -> None:
        if news:
            rows = [
                (
                    o.id,
                    o.visit_key,
                    o.digest,
                    None if o.claim is None else dumps(o.claim),
                    dumps([finding.as_json() for finding in o.findings]) if o.findings else None,
                    o.ready,
                )
                for o in news
            ]
            await self._execute(_SUPERBILLS["keep"], connection, *(list(c) for c in zip(*rows, strict=True)))

    async def join_visit(self, connection: str, encounter_id: str, visit_key: str) -> VisitView:
        """Note whose visit an encounter is, under the lock of the visit."""
        await self._lock([visit_key])
        await self._execute(_SUPERBILLS["join_visit"], connection, encounter_id, visit_key)
        await self._execute(_SUPERBILLS["leave"], connection, encounter_id, visit_key)
        rivals = await self._value(_SUPERBILLS["rivals"], connection, visit_key, encounter_id)
        held = await self._fetch("of_visit", connection, visit_key)
        return VisitView(tuple(_kept(row) for row in held), int(rivals))

    async def assign_superbill(self, connection: str, superbill_id: str, encounter_id: str) -> None:
        """The superbill is this encounter's."""
        await self._execute(_SUPERBILLS["assign"], connection, superbill_id, encounter_id)

    async def _lock(self, keys: Sequence[str]) -> None:
        await self._execute(_ENCOUNTERS["lock_keys"], [f"superbill:{key}" for key in dict.fromkeys(keys)])

    async def _fetch(self, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
        return [dict(row) for row in await self._connection.fetch(_SUPERBILLS[query], self._clinic, *arguments)]


def _is_news(offered: OfferedSuperbill, known: Mapping[str, Any] | None, fresh: set[str]) -> bool:
    if offered.claim is None:  # refused: it is remembered only where there is nothing better
        return known is None or (not known["good"] and known["digest"] != offered.digest)
    return offered.id in fresh and (known is None or known["digest"] != offered.digest)


def _kept(row: Mapping[str, Any]) -> KeptSuperbill:
    claim = None if row["content"] is None else loads(row["content"])
    findings = tuple(Finding.from_json(value) for value in loads(row["findings"] or b"[]"))
    return KeptSuperbill(row["id"], row["ready"], row["encounter_id"], claim, findings)
