"""Encounters of former days are listed and queued behind everything that comes in live.

What is listed and how far the listing is are kept in one transaction: after a crash it goes on where it was, and done
once more it finds nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import AdapterError, GatewayError, Retry
from gateway.canonical.models import EncounterRef
from gateway.pipeline.context import Pipeline
from gateway.pipeline.receive import arrival, new_trace
from gateway.ports.records import LOW_PRIORITY, Arrival

BATCH = 100
MOST_FAILURES = 8


@dataclass(frozen=True, slots=True)
class Backfill:
    """What is wanted: the visits of one connection from `since` on, to `until` if that is given (both included).

    `send_before_go_live`: those from before the clinic's go-live date were not billed elsewhere.
    """

    clinic_id: str
    connection: str
    since: date
    until: date | None = None
    send_before_go_live: bool = False

    @property
    def position_key(self) -> str:
        """Where its position is kept, beside the connection's cursor."""
        flag = " before-go-live" if self.send_before_go_live else ""
        return f"{self.connection} backfill {self.since} {self.until or ''}{flag}".rstrip()


@dataclass(slots=True)
class Progress:
    """How far it is. `undated` visits cannot be compared with `until` and are left out; `released` ones were held."""

    listed: int = 0
    new: int = 0
    left_out: int = 0
    undated: int = 0
    released: int = 0
    serviced: date | None = None
    waiting: str = ""


async def backfill(pipeline: Pipeline, wanted: Backfill, progress: Progress, tell: Callable[[Progress], None]) -> None:
    """List to the end, counting in `progress`; waits where the EHR asks to.

    Raises the `GatewayError` that it cannot get past; what was kept until then stays kept.
    """
    failures, reached = 0, 0
    while True:
        try:
            await _list(pipeline, wanted, progress, tell)
        except GatewayError as problem:
            failures = 1 if progress.listed > reached else failures + 1
            reached = progress.listed
            pause = _pause(pipeline, problem, failures)
            progress.waiting = str(problem)
            tell(progress)
            await asyncio.sleep(pause.total_seconds())
        else:
            return


def _pause(pipeline: Pipeline, problem: GatewayError, failures: int) -> timedelta:
    told = problem.retry_after if isinstance(problem, AdapterError) else None
    if problem.retry is Retry.LATER:
        return timedelta(seconds=told or 1.0)
    if problem.retry is not Retry.BACKOFF or failures > MOST_FAILURES:
        raise problem
    return max(pipeline.retry.delay(failures), timedelta(seconds=told or 0.0))


async def _list(pipeline: Pipeline, wanted: Backfill, progress: Progress, tell: Callable[[Progress], None]) -> None:
    """From the stored position to the end, which is stored as no position: the next time begins anew."""
    adapter = pipeline.connections.ehr(wanted.clinic_id, wanted.connection)
    stored = await pipeline.store.cursor(wanted.clinic_id, wanted.position_key)
    pending: list[EncounterRef] = []
    position = stored or ""
    try:
        async for ref, position in adapter.backfill(wanted.since, stored or None):
            progress.listed, progress.waiting = progress.listed + 1, ""
            if _is_wanted(ref, wanted, progress):
                pending.append(ref)
            if len(pending) == BATCH:
                await _keep(pipeline, wanted, progress, pending, position)
                pending = []
                tell(progress)
    except AdapterError:  # it goes on from here, and not from the last full batch
        if pending:
            await _keep(pipeline, wanted, progress, pending, position)
        raise
    await _keep(pipeline, wanted, progress, pending, "")
    tell(progress)


def _is_wanted(ref: EncounterRef, wanted: Backfill, progress: Progress) -> bool:
    progress.serviced = ref.serviced or progress.serviced
    if wanted.until is None:
        return True
    if ref.serviced is None:
        progress.undated += 1
        return False
    progress.left_out += ref.serviced > wanted.until
    return ref.serviced <= wanted.until


async def _keep(
    pipeline: Pipeline, wanted: Backfill, progress: Progress, refs: Sequence[EncounterRef], position: str
) -> None:
    trace = new_trace()
    adapter = pipeline.connections.ehr(wanted.clinic_id, wanted.connection)
    settle = timedelta(seconds=adapter.settle_seconds)  # visits of today are listed too
    arrivals = [arrival(wanted.connection, ref, new_trace()) for ref in refs]
    async with pipeline.store.unit_of_work(wanted.clinic_id) as unit:
        new = await unit.accept(arrivals, settle=settle, priority=LOW_PRIORITY)
        released: list[str] = []
        if wanted.send_before_go_live:
            released = await unit.allow_before_go_live([a.encounter_id for a in arrivals])
            for encounter_id in released:
                await unit.recheck(encounter_id, trace)
        await unit.set_cursor(wanted.position_key, position)
        await unit.commit(_event(pipeline, wanted, trace, arrivals))
    progress.new += new
    progress.released += len(released)


def _event(pipeline: Pipeline, wanted: Backfill, trace: str, arrivals: Sequence[Arrival]) -> AuditEvent:
    entities = tuple(f"Encounter/{a.encounter_id}" for a in arrivals)
    now = pipeline.now()
    return AuditEvent(Step.BACKFILLED, now, wanted.clinic_id, trace, target=wanted.connection, entities=entities)
