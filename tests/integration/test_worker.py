"""The worker when its session, its locks or its luck are lost: nothing is worked on twice and nothing spins."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import FencingLost, StoreError
from gateway.canonical.models import EncounterRef, SubmissionState, VendorPayload
from gateway.ports.records import Arrival, NewSubmission
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession
from gateway.store.unit_of_work import LEASE_SECONDS

CLINIC = "clinic-a"
PAYLOAD = VendorPayload("GW1", "text/plain", b"x", {})


def event() -> AuditEvent:
    return AuditEvent(Step.NOTIFICATION_RECEIVED, datetime.now(UTC), CLINIC, "0" * 32)


async def accept(store: PostgresStore, encounter: str) -> None:
    async with store.unit_of_work(CLINIC) as unit:
        await unit.accept([Arrival("ehr", encounter, EncounterRef(encounter, f"{encounter}@1"), "0" * 32)])
        await unit.commit(event())


async def cut(store: PostgresStore, worker: WorkerSession) -> None:
    """End the worker's session on the server's side."""
    async with store.acquire() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where classid = 77 and objsubid = 2 and objid = $1",
            worker.number,
        )


async def test_a_notice_wakes_the_worker_once(session: WorkerSession) -> None:
    """A worker whose slots are full waits for one of them; a notice that stays set would make it spin."""
    session.wake()
    async with asyncio.timeout(2):
        await session.wait(30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await session.wait(30)


async def test_a_worker_learns_at_once_that_its_session_is_lost(store: PostgresStore, session: WorkerSession) -> None:
    waiting = asyncio.create_task(session.wait(30))
    await asyncio.sleep(0)
    await cut(store, session)
    with pytest.raises(StoreError):
        async with asyncio.timeout(2):
            await waiting


async def test_a_worker_without_its_session_takes_no_job_under_its_old_number(
    store: PostgresStore, session: WorkerSession
) -> None:
    """Anyone gives its jobs back; if it took them again, two tasks of one process would own the same job."""
    await accept(store, "e1")
    [job] = await session.claim(1)
    other = WorkerSession(store)
    await other.open()
    await cut(store, session)
    async with asyncio.timeout(2):
        while not await other.reap():
            await asyncio.sleep(0.01)
        while session._session and not session._session.is_closed():  # the news of it is still on its way
            await asyncio.sleep(0.01)
    with pytest.raises(StoreError):
        await session.claim(1)
    await session.open()
    [again] = await session.claim(1)
    assert (again.id, again.owner) == (job.id, session.number)
    assert again.owner != job.owner
    await other.close()


async def test_a_process_that_stood_still_works_no_further(store: PostgresStore) -> None:
    ahead = 0.0
    worker = WorkerSession(store, clock=lambda: time.monotonic() + ahead)
    await worker.open()
    assert await worker.claim(1) == []
    ahead = LEASE_SECONDS + 1
    for call in (lambda: worker.claim(1), lambda: worker.wait(0), worker.reap):
        with pytest.raises(StoreError, match="stood still"):
            await call()
    await worker.close()


async def test_a_lock_taken_while_its_taker_was_cancelled_is_given_back(
    store: PostgresStore, session: WorkerSession
) -> None:
    other = WorkerSession(store)
    await other.open()

    async def hold(key: str) -> None:
        async with session.lock(key):
            await asyncio.sleep(30)

    async with session.lock("warm"):  # from now on the statements are prepared: each takes one round trip
        pass
    for turn in range(60):  # cancelled at one moment after the other on the way to the lock
        taking = asyncio.create_task(hold(f"patient:{turn}"))
        for _ in range(turn % 15):
            await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    async with asyncio.timeout(5):
        for turn in range(60):
            async with other.lock(f"patient:{turn}"):
                pass
    await other.close()


async def test_of_two_workers_that_both_believe_it_is_theirs_one_sends(store: PostgresStore) -> None:
    async with store.unit_of_work(CLINIC) as unit:
        await unit.create_submission(NewSubmission("GW1", "e1", "c1", "billing"))
        await unit.commit(event())

    async def send() -> str:
        try:
            async with store.unit_of_work(CLINIC) as unit:
                await unit.start_sending("GW1", PAYLOAD)
                await asyncio.sleep(0.01)
                await unit.commit(event())
        except FencingLost:
            return "refused"
        return "sent"

    assert sorted(await asyncio.gather(send(), send())) == ["refused", "sent"]
    row = await store.submission(CLINIC, "GW1")
    assert row is not None
    assert row.state is SubmissionState.SENDING


async def test_workers_that_reap_at_once_do_not_wait_for_each_other(
    store: PostgresStore, session: WorkerSession
) -> None:
    await accept(store, "e1")
    await accept(store, "e2")
    first, second = await session.claim(2)
    async with store.acquire() as connection:
        await connection.execute("update job set lease_until = clock_timestamp() - interval '1 second'")
    async with store.acquire() as busy, busy.transaction():
        await busy.execute("select 1 from job where id = $1 for update", first.id)
        async with asyncio.timeout(1):
            assert await session.reap() == 1
    assert await session.reap() == 1
    assert second.id > first.id


@pytest.mark.parametrize(
    "problem",
    [
        asyncpg.DeadlockDetectedError,
        asyncpg.QueryCanceledError,
        asyncpg.DiskFullError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.AdminShutdownError,
        asyncpg.InternalClientError,
    ],
)
async def test_what_passes_in_postgres_is_no_defect(store: PostgresStore, problem: type[Exception]) -> None:
    """The API answers 503 and the worker starts anew; the text may quote values and goes nowhere."""
    with pytest.raises(StoreError) as told:
        async with store.acquire():
            raise problem("Key (name)=(Canary)")
    assert "Canary" not in str(told.value)
