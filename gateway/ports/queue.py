"""What a worker asks of the queue."""

from __future__ import annotations

from typing import Protocol

from gateway.ports.records import Job


class WorkerQueue(Protocol):
    """One worker's link to the queue; its liveness is tied to a session that dies with it."""

    async def open(self) -> None:
        """Become a worker: take a number and announce it. Also used again after the session was lost."""

    async def close(self) -> None:
        """Stop being a worker; jobs still owned are given to others."""

    async def claim(self, limit: int, most_low: int | None = None) -> list[Job]:
        """Own up to `limit` ready jobs, `most_low` of them of low priority; others come first."""

    def release(self, job: Job) -> None:
        """This worker no longer works on the job (it was finished, postponed or lost)."""

    async def wait(self, seconds: float) -> None:
        """Return when work may have arrived, at the latest after `seconds`."""

    def wake(self) -> None:
        """Make `wait` return."""

    async def reap(self) -> int:
        """Give back jobs of workers that are gone; returns how many."""

    async def renew(self) -> None:
        """Renew the leases of this worker's jobs; raises `StoreError` when its session is lost."""
