"""What the gateway hands to an adapter when it opens a connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.canonical.clinic import ClinicFacts


class Pacer(Protocol):
    """Keeps a vendor's minimum gaps and call budgets, shared by all workers and kept across restarts."""

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Return when this caller may make one call of `operation`."""

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        """Return when this caller may make one call out of `calls` per sliding window; the budget is never exceeded.

        `budget` names what shares it, e.g. a tier of an account; equal names share, whichever connection asks.
        """


class SharedValues(Protocol):
    """Small values of one connection that all workers share and that outlive them, e.g. a session or a vendor's ids.

    They lie in Postgres as given: seal a secret before (`gateway.kit.sealing`). Keys hold ids only, no PHI.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or its lifetime is over."""

    async def put(self, key: str, value: bytes, lifetime: timedelta | None = None) -> None:
        """Keep a value, for ever or for `lifetime`; replaces an earlier one."""

    async def drop(self, key: str) -> None:
        """Forget a value."""


class Lock(Protocol):
    """A lock shared by all workers; freed when its holder dies. Not re-entrant."""

    def __call__(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock named `key` (ids only, no PHI)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One line of `gateway check`: what was tried, whether it works, and what to do when it does not.

    One that is ok and has a remedy is a note: it may be needed for some visits or payers.
    """

    what: str
    ok: bool
    detail: str = ""
    remedy: str = ""


def utc_now() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AdapterContext:
    """Everything an adapter may use of the gateway."""

    clinic: ClinicFacts
    connection: str
    pacer: Pacer
    lock: Lock
    shared: SharedValues
    now: Callable[[], datetime] = utc_now
