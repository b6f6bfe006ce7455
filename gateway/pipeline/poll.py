"""Feeds are polled beside the notifications, so that a lost notification loses no visit."""

from __future__ import annotations

from datetime import timedelta

from gateway.canonical.audit_event import Step
from gateway.canonical.errors import AdapterError
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.receive import POLL_PAUSE, arrival, new_trace
from gateway.pipeline.subscription_rules import is_proven
from gateway.ports.records import Arrival, Job

BATCH = 100
UNPLANNED_SECONDS = 60.0  # polling is switched off, but notifications that name no encounter have begun it
SAFETY_NET_SECONDS = 900.0
"""Between polls while the subscriptions themselves prove that nothing is lost, where the setting asks for more."""


async def poll(pipeline: Pipeline, job: Job) -> Next:
    """Read a feed from its cursor, keep what changed page by page with the cursor, and come back later."""
    connection = job.arguments["connection"]
    adapter = pipeline.connections.ehr(job.clinic_id, connection)
    settle = timedelta(seconds=adapter.settle_seconds)
    pending: list[Arrival] = []
    cursor = await pipeline.store.begin_poll(job.clinic_id, connection)
    try:
        async for ref, position in adapter.changed_encounters(cursor):
            pending.append(arrival(connection, ref, new_trace()))
            cursor = position
            if len(pending) >= BATCH:
                await _keep(pipeline, job, connection, pending, cursor, settle)
                pending = []
    except AdapterError:  # what came before it is kept
        await _keep(pipeline, job, connection, pending, cursor, settle)
        raise
    await _keep(pipeline, job, connection, pending, cursor, settle)
    pause = await _pause(pipeline, job.clinic_id, connection)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        again = await unit.end_poll(connection)
        await unit.postpone(job, POLL_PAUSE if again else pause, reason="", failed=False)
        await unit.commit(pipeline.event(Step.POLLED, job, target=connection))
    return DONE


async def _pause(pipeline: Pipeline, clinic_id: str, connection: str) -> timedelta:
    """How long until the next poll: seldom while every subscription proves that nothing was lost."""
    seconds = pipeline.connections.poll_seconds(clinic_id, connection) or UNPLANNED_SECONDS
    rows = await pipeline.store.subscriptions(clinic_id, connection)
    if rows and all(is_proven(row, pipeline.now()) for row in rows):
        seconds = max(seconds, SAFETY_NET_SECONDS)
    return timedelta(seconds=seconds)


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
