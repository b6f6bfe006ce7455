"""Feeds are polled beside the notifications, so that a lost notification loses no visit."""

from __future__ import annotations

from datetime import timedelta

from gateway.canonical.audit_event import Outcome, Step
from gateway.canonical.errors import UnsupportedOperation
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.receive import arrival, new_trace
from gateway.ports.records import Arrival, Job

BATCH = 100
UNPLANNED_SECONDS = 60.0  # polling is switched off, but notifications that name no encounter have begun it


async def poll(pipeline: Pipeline, job: Job) -> Next:
    """Read a feed from its cursor, keep what changed page by page with the cursor, and come back later."""
    connection = job.arguments["connection"]
    adapter = pipeline.connections.ehr(job.clinic_id, connection)
    settle = timedelta(seconds=adapter.settle_seconds)
    pending: list[Arrival] = []
    cursor = await pipeline.store.cursor(job.clinic_id, connection)
    async for ref, position in adapter.changed_encounters(cursor):
        pending.append(arrival(connection, ref, new_trace()))
        cursor = position
        if len(pending) >= BATCH:
            await _keep(pipeline, job, connection, pending, cursor, settle)
            pending = []
    await _keep(pipeline, job, connection, pending, cursor, settle)
    pause = timedelta(seconds=pipeline.connections.poll_seconds(job.clinic_id, connection) or UNPLANNED_SECONDS)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.postpone(job, pause, reason="", failed=False)
        await unit.commit(pipeline.event(Step.POLLED, job, target=connection))
    return DONE


async def _keep(  # noqa: PLR0917
    pipeline: Pipeline, job: Job, connection: str, arrivals: list[Arrival], cursor: str | None, settle: timedelta
) -> None:
    if not arrivals or cursor is None:
        return
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.accept(arrivals, settle=settle)
        await unit.set_cursor(connection, cursor)
        await unit.keep(job)
        entities = tuple(f"Encounter/{a.encounter_id}" for a in arrivals)
        await unit.commit(pipeline.event(Step.POLLED, job, source="gateway", target=connection, entities=entities))


async def subscribe(pipeline: Pipeline, job: Job) -> Next:
    """Ask the EHR to notify the gateway; an equal subscription that is there already is kept."""
    connection = job.arguments["connection"]
    adapter = pipeline.connections.ehr(job.clinic_id, connection)
    outcome, code = Outcome.SUCCESS, ""
    try:
        await adapter.subscribe(pipeline.connections.hook_url(job.clinic_id, connection))
    except UnsupportedOperation:  # switched off for this connection: it is polled
        outcome, code = Outcome.MINOR_FAILURE, "unsupported"
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.finish(job)
        await unit.commit(pipeline.event(Step.SUBSCRIBED, job, target=connection, outcome=outcome, error_code=code))
    return DONE
