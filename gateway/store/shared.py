"""What a connection's workers share through Postgres: the vendor's rate gaps and call budgets, and small values."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.store.postgres import PostgresStore
from gateway.store.queries import queries

_QUEUE = queries("queue")


class PostgresPacer:
    """The `Pacer` port: workers take turns at a vendor's operation through Postgres, so that all share its gap.

    Nothing is reserved ahead: a worker that dies while it waits leaves no gap behind.
    """

    def __init__(self, store: PostgresStore, clinic_id: str, connection: str) -> None:
        self._store, self._clinic, self._connection = store, clinic_id, connection
        self._lines: dict[str, asyncio.Lock] = {}

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Return when it is this caller's turn; callers of one process keep their order."""
        if gap_seconds <= 0:
            return
        async with self._lines.setdefault(operation, asyncio.Lock()):
            while seconds := await self._take_turn(operation, gap_seconds):
                await asyncio.sleep(seconds)

    async def _take_turn(self, operation: str, gap_seconds: float) -> float:
        async with self._store.acquire() as connection:
            arguments = (self._clinic, self._connection, operation, gap_seconds)
            return float(await connection.fetchval(_QUEUE["take_turn"], *arguments))

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        """Return when one more call fits the budget; callers of one process keep their order."""
        async with self._lines.setdefault(f"budget {budget}", asyncio.Lock()):
            while seconds := await self._spend(budget, calls, window_seconds):
                await asyncio.sleep(seconds)

    async def _spend(self, budget: str, calls: int, window_seconds: float) -> float:
        async with self._store.acquire() as connection:
            arguments = (self._clinic, budget, calls, window_seconds)
            found = await connection.fetchval(_QUEUE["spend"], *arguments)
            if found is None:
                await connection.execute(_QUEUE["open_budget"], self._clinic, budget)
                found = await connection.fetchval(_QUEUE["spend"], *arguments)
            return float(found)


class PostgresSharedValues:
    """The `SharedValues` port of one connection."""

    def __init__(self, store: PostgresStore, clinic_id: str, connection: str) -> None:
        self._store, self._clinic, self._connection = store, clinic_id, connection

    async def get(self, key: str) -> bytes | None:
        """The value, unless its lifetime is over."""
        async with self._store.acquire() as connection:
            value = await connection.fetchval(_QUEUE["shared_value"], self._clinic, self._connection, key)
        return None if value is None else bytes(value)

    async def put(self, key: str, value: bytes, lifetime: timedelta | None = None) -> None:
        """Keep a value."""
        arguments = (self._clinic, self._connection, key, value, lifetime)
        async with self._store.acquire() as connection:
            await connection.execute(_QUEUE["put_shared_value"], *arguments)

    async def drop(self, key: str) -> None:
        """Forget a value."""
        async with self._store.acquire() as connection:
            await connection.execute(_QUEUE["drop_shared_value"], self._clinic, self._connection, key)
