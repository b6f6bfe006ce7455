"""The worker: claims jobs, runs each through its following steps in one pass, and looks after the queue."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from gateway.canonical.errors import StoreError
from gateway.canonical.models import ClaimBundle
from gateway.pipeline.context import Pipeline
from gateway.pipeline.jobs import run_job
from gateway.ports.queue import WorkerQueue
from gateway.ports.records import LOW_PRIORITY, Job

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # the fallback when a notice of new work was lost
REAP_SECONDS = 0.4
RENEW_SECONDS = 5.0
REOPEN_SECONDS = 0.5
DRAIN_SECONDS = 8.0
ABANDON_SECONDS = 2.0


class Worker:
    """Runs up to `concurrency` encounters at once until it is told to stop.

    Jobs of low priority hold half of the slots at most: what comes in live finds a free one.
    """

    def __init__(self, pipeline: Pipeline, queue: WorkerQueue, *, concurrency: int = 16) -> None:
        self._pipeline, self._queue, self._concurrency = pipeline, queue, concurrency
        self._running: set[asyncio.Task[None]] = set()
        self._low: set[asyncio.Task[None]] = set()
        self._most_low = max(1, concurrency // 2)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in hand, or leave it for others."""
        waker = asyncio.create_task(self._wake_at(stop))
        try:
            while not stop.is_set():
                try:
                    await self._session(stop)
                except StoreError as problem:
                    log.warning("store away", extra={"error": str(problem)})
                    await self._abandon()
                    await _pause(stop, REOPEN_SECONDS)
            await self._drain()
        finally:
            waker.cancel()
            await self._queue.close()

    async def _session(self, stop: asyncio.Event) -> None:
        await self._queue.open()
        care = asyncio.create_task(self._care())
        try:
            while not stop.is_set() and not care.done():
                if not await self._claim():
                    await self._queue.wait(POLL_SECONDS)
            if care.done():
                care.result()
        finally:
            care.cancel()
            with suppress(asyncio.CancelledError, StoreError):
                await care

    async def _claim(self) -> bool:
        free = self._concurrency - len(self._running)
        low = self._most_low - len(self._low)
        jobs = await self._queue.claim(free, low) if free > 0 else []
        for job in jobs:
            task = asyncio.create_task(self._work(job))
            for tasks in (self._running, self._low) if job.priority >= LOW_PRIORITY else (self._running,):
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        return free > 0 and len(jobs) == free  # there may be more

    async def _work(self, job: Job) -> None:
        following: Job | None = job
        carried: ClaimBundle | None = None
        try:
            while following is not None:
                result = await run_job(self._pipeline, following, carried)
                following, carried = result.job, result.claim
        except StoreError as problem:
            log.warning("step undone", extra={"job": job.id, "error": str(problem)})
        finally:
            self._queue.release(job)

    async def _care(self) -> None:
        """Take over from dead workers and renew this one's leases; ends with a `StoreError` when Postgres is away."""
        elapsed = 0.0
        while True:
            await self._queue.reap()
            elapsed += REAP_SECONDS
            if elapsed >= RENEW_SECONDS:
                await self._queue.renew()
                elapsed = 0.0
            await asyncio.sleep(REAP_SECONDS)

    async def _drain(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=DRAIN_SECONDS)
        await self._abandon()

    async def _abandon(self) -> None:
        """Leave what is in hand to whoever takes it over: a claim that is not sent yet must not be sent by two."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=ABANDON_SECONDS)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._queue.wake()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
