"""The durable queue: order per encounter, fencing, takeover, locks and rate gaps, on a real Postgres."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import FencingLost
from gateway.canonical.models import EncounterRef
from gateway.ports.records import Arrival, Job, JobKind, NewJob
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession
from gateway.store.shared import PostgresPacer

CLINIC = "clinic-a"


def event(step: Step = Step.NOTIFICATION_RECEIVED) -> AuditEvent:
    return AuditEvent(step, datetime.now(UTC), CLINIC, "0" * 32)


def arrival(encounter: str, change: str = "1") -> Arrival:
    return Arrival("ehr", encounter, EncounterRef(encounter, f"{encounter}@{change}"), "0" * 32)


async def accept(store: PostgresStore, *arrivals: Arrival) -> int:
    async with store.unit_of_work(CLINIC) as unit:
        new = await unit.accept(arrivals)
        await unit.commit(event())
    return new


async def jobs(store: PostgresStore) -> list[dict[str, Any]]:
    async with store.acquire() as connection:
        return [dict(row) for row in await connection.fetch("select * from job order by id")]


async def finish(store: PostgresStore, job: Job, then: NewJob | None = None) -> Job | None:
    async with store.unit_of_work(CLINIC) as unit:
        following = await unit.finish(job, then=then)
        await unit.commit(event())
    return following


async def test_the_same_notice_twice_is_one_job(store: PostgresStore) -> None:
    assert await accept(store, arrival("e1")) == 1
    assert await accept(store, arrival("e1")) == 0
    assert len(await jobs(store)) == 1


async def test_two_changes_before_work_starts_are_one_job(store: PostgresStore) -> None:
    assert await accept(store, arrival("e1", "1"), arrival("e1", "2")) == 2
    assert await accept(store, arrival("e1", "3")) == 1
    assert len(await jobs(store)) == 1


async def test_a_change_while_the_encounter_is_worked_on_is_a_further_job_that_waits(
    store: PostgresStore, session: WorkerSession
) -> None:
    await accept(store, arrival("e1", "1"))
    [first] = await session.claim(10)
    await accept(store, arrival("e1", "2"))
    assert await session.claim(10) == []
    await finish(store, first)
    [second] = await session.claim(10)
    assert second.id > first.id


async def test_nothing_is_kept_without_commit(store: PostgresStore) -> None:
    async with store.unit_of_work(CLINIC) as unit:
        await unit.accept([arrival("e1")])
    assert await jobs(store) == []


async def test_a_commit_without_an_audit_event_is_refused(store: PostgresStore) -> None:
    with pytest.raises(ValueError, match="AuditEvent"):
        async with store.unit_of_work(CLINIC) as unit:
            await unit.accept([arrival("e1")])
            await unit.commit()
    assert await jobs(store) == []


async def test_the_next_step_stays_with_its_worker(store: PostgresStore, session: WorkerSession) -> None:
    await accept(store, arrival("e1"))
    [job] = await session.claim(1)
    following = await finish(
        store, job, NewJob(JobKind.CHECK, job.ordering_key, {"encounter_id": "e1", "claim_id": "c"})
    )
    assert following is not None
    assert (following.kind, following.id, following.owner) == (JobKind.CHECK, job.id, session.number)
    assert await session.claim(1) == []


async def test_a_dead_workers_jobs_are_taken_over_and_its_late_result_is_refused(
    store: PostgresStore, session: WorkerSession
) -> None:
    dead = WorkerSession(store)
    await dead.open()
    await accept(store, arrival("e1"))
    [lost] = await dead.claim(1)
    assert await session.reap() == 0, "a living worker keeps its job"
    async with store.acquire() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where classid = 77 and objid = $1",
            dead.number,
        )
    async with asyncio.timeout(1.0):
        while not await session.reap():
            await asyncio.sleep(0.01)
    [taken] = await session.claim(1)
    assert taken.id == lost.id
    with pytest.raises(FencingLost):
        await finish(store, lost)
    await finish(store, taken)
    assert await jobs(store) == []
    await dead.close()


async def test_an_expired_lease_is_taken_over_although_the_session_lingers(
    store: PostgresStore, session: WorkerSession
) -> None:
    await accept(store, arrival("e1"))
    [job] = await session.claim(1)
    async with store.acquire() as connection:
        await connection.execute("update job set lease_until = clock_timestamp() - interval '1 second'")
    assert await session.reap() == 1
    assert await session.claim(1) == [], "the worker that still works on it would look like its new owner"
    other = WorkerSession(store)
    await other.open()
    assert [j.id for j in await other.claim(1)] == [job.id]
    with pytest.raises(FencingLost):
        await finish(store, job)
    await other.close()


async def test_renewing_gives_back_what_is_owned_but_not_worked_on(
    store: PostgresStore, session: WorkerSession
) -> None:
    await accept(store, arrival("e1"), arrival("e2"))
    first, second = await session.claim(2)
    session.release(first)
    await session.renew()
    owners = {row["id"]: row["owner"] for row in await jobs(store)}
    assert owners == {first.id: None, second.id: session.number}


async def test_a_postponed_job_blocks_only_its_own_encounter(store: PostgresStore, session: WorkerSession) -> None:
    await accept(store, arrival("e1", "1"))
    [job] = await session.claim(1)
    await accept(store, arrival("e1", "2"))
    await accept(store, arrival("e2"))
    async with store.unit_of_work(CLINIC) as unit:
        await unit.postpone(job, timedelta(hours=1), reason="throttled", failed=True)
        await unit.commit(event())
    claimed = await session.claim(10)
    assert [j.arguments["encounter_id"] for j in claimed] == ["e2"]
    [waiting] = [row for row in await jobs(store) if row["id"] == job.id]
    assert (waiting["attempts"], waiting["last_error"]) == (1, "throttled")


async def test_a_dead_letter_keeps_its_reason(store: PostgresStore, session: WorkerSession) -> None:
    await accept(store, arrival("e1"))
    [job] = await session.claim(1)
    async with store.unit_of_work(CLINIC) as unit:
        await unit.dead_letter(job, "unavailable")
        await unit.commit(event())
    [letter] = await store.report("dead_letters", CLINIC)
    assert (letter["ordering_key"], letter["reason"]) == ("e1", "unavailable")
    assert await jobs(store) == []


async def test_workers_never_run_two_jobs_of_one_encounter_at_once(store: PostgresStore) -> None:
    workers = [WorkerSession(store) for _ in range(3)]
    for worker in workers:
        await worker.open()
    running: set[str] = set()
    done: list[tuple[str, int]] = []

    async def work(worker: WorkerSession) -> None:
        while len(done) < 120:
            for job in await worker.claim(3):
                key = job.ordering_key
                assert key not in running
                running.add(key)
                await asyncio.sleep(0)
                running.discard(key)
                done.append((key, job.id))
                await finish(store, job)
                worker.release(job)
            await asyncio.sleep(0)

    async def put(key: str) -> None:
        async with store.acquire() as connection:
            await connection.execute(
                "insert into job (clinic_id, kind, ordering_key, arguments) values ($1, 'normalize', $2, '{}')",
                CLINIC,
                key,
            )

    async with asyncio.timeout(20):
        await asyncio.gather(*(work(worker) for worker in workers), *(put(f"e{i % 12}") for i in range(120)))
    for key in {key for key, _ in done}:
        ids = [job_id for k, job_id in done if k == key]
        assert ids == sorted(ids)
    for worker in workers:
        await worker.close()


async def test_new_work_wakes_a_waiting_worker(store: PostgresStore, session: WorkerSession) -> None:
    await session.claim(1)
    waiting = asyncio.create_task(session.wait(30))
    await asyncio.sleep(0)
    await accept(store, arrival("e1"))
    async with asyncio.timeout(2):
        await waiting
    assert len(await session.claim(1)) == 1


async def test_recurring_jobs_are_queued_once(store: PostgresStore, session: WorkerSession) -> None:
    job = NewJob(JobKind.POLL, "poll:ehr", {"connection": "ehr"})
    await asyncio.gather(*(store.ensure_job(CLINIC, job) for _ in range(5)))
    assert len(await jobs(store)) == 1


async def test_a_lock_is_held_by_one_worker_at_a_time(store: PostgresStore, session: WorkerSession) -> None:
    other = WorkerSession(store)
    await other.open()
    inside = 0

    async def enter(worker: WorkerSession) -> None:
        nonlocal inside
        async with worker.lock("patient:1"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.005)
            inside -= 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(enter(worker) for worker in (session, other) * 4))
    await other.close()


async def test_the_lock_of_a_dead_worker_is_free(store: PostgresStore, session: WorkerSession) -> None:
    dead = WorkerSession(store)
    await dead.open()
    holding = dead.lock("patient:1")
    await holding.__aenter__()
    await dead.close()
    async with asyncio.timeout(2), session.lock("patient:1"):
        pass


async def test_rate_gaps_are_shared(store: PostgresStore) -> None:
    pacers = [PostgresPacer(store, CLINIC, "billing") for _ in range(2)]
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def call(pacer: PostgresPacer) -> None:
        await pacer.wait("CreateEncounter", 0.03)
        moments.append(loop.time())

    await asyncio.gather(*(call(pacer) for pacer in pacers * 3))
    gaps = [later - earlier for earlier, later in zip(sorted(moments), sorted(moments)[1:], strict=False)]
    assert min(gaps) > 0.02
    assert len(moments) == 6


async def test_the_first_turn_is_taken_by_one_however_many_ask_at_once(store: PostgresStore) -> None:
    for round_ in range(10):
        pacers = [PostgresPacer(store, CLINIC, f"billing-{round_}") for _ in range(8)]
        turns = await asyncio.gather(*(pacer._take_turn("GetPatients", 5.0) for pacer in pacers))
        assert turns.count(0.0) == 1
        assert all(0 < turn <= 5.0 for turn in turns if turn)


async def test_audit_events_cannot_be_changed(store: PostgresStore) -> None:
    await accept(store, arrival("e1"))
    async with store.acquire() as connection:
        for statement in ("update audit_event set step = 'x'", "delete from audit_event", "truncate audit_event"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await connection.execute(statement)
