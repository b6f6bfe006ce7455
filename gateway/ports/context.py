"""What the gateway hands to an adapter when it opens a connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from gateway.canonical.clinic import ClinicFacts


class Pacer(Protocol):
    """Keeps a vendor's minimum gap between calls, shared by all workers."""

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Return when this caller may make one call of `operation`."""


class Lock(Protocol):
    """A lock shared by all workers; freed when its holder dies. Not re-entrant."""

    def __call__(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock named `key` (ids only, no PHI)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One line of `gateway check`: what was tried, whether it works, and what to do when it does not."""

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
    now: Callable[[], datetime] = utc_now
