"""The worker's side of the queue, and the locks that workers share.

A worker holds the advisory lock (77, its number) in a session of its own. When the worker dies, by kill -9 too,
Postgres frees the lock and any other worker gives its jobs back within half a second. The lease is the fallback for a
host that is cut off while its session lingers. Needs a session: not for a transaction-mode pooler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

import asyncpg

from gateway.canonical.errors import StoreError
from gateway.ports.records import LOW_PRIORITY, Job
from gateway.store.postgres import CONNECTION_LOST, PostgresStore
from gateway.store.queries import queries
from gateway.store.unit_of_work import LEASE_SECONDS, job_from

_QUEUE = queries("queue")
LOCK_POLL_SECONDS = 0.02


class WorkerSession:
    """The `WorkerQueue` port, and the `Lock` port: both live as long as this session."""

    def __init__(self, store: PostgresStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._session: asyncpg.Connection | None = None
        self._renewed_at = 0.0
        self._session_turn = asyncio.Lock()
        self._local_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._owned: set[int] = set()
        self._claim_turn = asyncio.Lock()
        self._arrived = asyncio.Event()
        self.number = 0

    async def open(self) -> None:
        """Take a worker number, announce it by its lock, and listen for jobs."""
        await self.close()
        try:
            session = await self._store.connect()
            self.number = await session.fetchval(_QUEUE["next_worker"])
            await session.execute(_QUEUE["announce"], self.number)
            await session.add_listener("gateway_job", lambda *_: self.wake())
            session.add_termination_listener(lambda *_: self.wake())
        except CONNECTION_LOST as problem:
            raise StoreError(f"Postgres is away ({type(problem).__name__})") from None
        self._session, self._renewed_at = session, self._clock()

    async def close(self) -> None:
        """End the session; what this worker owned is free for others."""
        session, self._session = self._session, None
        self._owned.clear()
        if session is not None:
            with suppress(*CONNECTION_LOST, TimeoutError):
                await session.close(timeout=1)

    async def claim(self, limit: int, most_low: int | None = None) -> list[Job]:
        """Own up to `limit` ready jobs, `most_low` of them of low priority.

        Never one that this worker still works on, whose owner would look the same.
        """
        self._require_alive()
        async with self._claim_turn, self._store.acquire() as connection:
            low = limit if most_low is None else most_low
            arguments = (self.number, limit, LEASE_SECONDS, list(self._owned), low, LOW_PRIORITY)
            jobs = [job_from(row) for row in await connection.fetch(_QUEUE["claim"], *arguments)]
            self._owned.update(job.id for job in jobs)
        return jobs

    def release(self, job: Job) -> None:
        """Forget a job; waiting ones of its key may be ready now."""
        self._owned.discard(job.id)
        self.wake()

    async def wait(self, seconds: float) -> None:
        """Return when a job may be ready; a `wake` counts once. Raises `StoreError` when the session is lost."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)
        self._arrived.clear()
        self._require_alive()

    def wake(self) -> None:
        """Make `wait` return."""
        self._arrived.set()

    async def reap(self) -> int:
        """Give back jobs of workers that are gone."""
        self._require_alive()
        async with self._store.acquire() as connection:
            freed = await connection.fetch(_QUEUE["reap"])
        if freed:
            self.wake()
        return len(freed)

    async def renew(self) -> None:
        """Renew the leases of jobs in work; give back those that this worker owns but does not work on."""
        async with self._claim_turn, self._store.acquire() as connection:
            await connection.execute(_QUEUE["renew"], self.number, list(self._owned), LEASE_SECONDS)
        self._renewed_at = self._clock()
        await self._on_session("select 1")

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Hold a lock shared by all workers; freed when this worker dies."""
        local = self._local_locks.setdefault(key, asyncio.Lock())
        async with local:
            try:
                while not await self._on_session(_QUEUE["try_lock"], key):
                    await asyncio.sleep(LOCK_POLL_SECONDS)
                yield
            finally:  # also when cancelled while Postgres granted it: nobody else could ever take it
                with suppress(StoreError):
                    await asyncio.shield(self._on_session(_QUEUE["unlock"], key))

    def _require_alive(self) -> None:
        """Raise `StoreError` when others may have taken this worker's jobs over: to go on could send a claim twice."""
        if self._session is None or self._session.is_closed():
            raise StoreError("the worker's session is lost")
        if self._clock() - self._renewed_at > LEASE_SECONDS:
            raise StoreError("this process stood still for longer than its leases")

    async def _on_session(self, statement: str, *arguments: object) -> object:
        if self._session is None:
            raise StoreError("the worker's session is closed")
        try:
            async with self._session_turn:
                return await self._session.fetchval(statement, *arguments, timeout=10)
        except (*CONNECTION_LOST, TimeoutError) as problem:
            raise StoreError(f"the worker's session is lost ({type(problem).__name__})") from None
