"""The store over one Postgres: a connection pool, units of work and plain reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.canonical.errors import StoreError
from gateway.canonical.findings import Finding
from gateway.canonical.jsonio import dumps, loads
from gateway.canonical.models import ClaimBundle, Resource, SubmissionState
from gateway.ports.records import BatchRow, EncounterRow, EncounterState, NewJob, SubmissionRow, SubscriptionRow, Untold
from gateway.store.batches import PostgresUnitOfWork, batch_row, submission_row
from gateway.store.feeds import subscription_row
from gateway.store.queries import queries

CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's own state, after a connection broke off in the middle of a message
    OSError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # too many connections, the disk is full
    asyncpg.TransactionRollbackError,  # a deadlock
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
)

_ENCOUNTERS, _RESOURCES, _SUBMISSIONS = queries("encounters"), queries("resources"), queries("submissions")
_QUEUE, _REPORT, _BATCHES, _SUBSCRIPTIONS = (
    queries("queue"),
    queries("report"),
    queries("batches"),
    queries("subscriptions"),
)

CANNOT_START = (
    *CONNECTION_LOST,
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

STOPS_SEEN_SECONDS = 1.0

ConnectArguments = Callable[[], Awaitable[dict[str, Any]]]
"""Gives the arguments of `asyncpg.connect`, making sure first that an embedded server runs."""


class PostgresStore:
    """The `Store` port. `open` it before use; it survives restarts of Postgres by opening its pool anew."""

    def __init__(self, connect_arguments: ConnectArguments, *, max_connections: int = 12) -> None:
        self._connect_arguments, self._max = connect_arguments, max_connections
        self._pool: asyncpg.Pool | None = None
        self._stops: dict[str, tuple[float, bool]] = {}
        self._reviving: asyncio.Future[dict[str, Any]] | None = None

    async def open(self) -> None:
        """Open the pool."""
        arguments = await self._connect_arguments()
        self._pool = await asyncpg.create_pool(
            min_size=0, max_size=self._max, command_timeout=30, reset=_as_it_is, **arguments
        )

    async def close(self) -> None:
        """Close the pool; a dead server cannot delay it."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def connect(self) -> asyncpg.Connection:
        """A session of one's own, outside the pool, for locks and LISTEN."""
        return await asyncpg.connect(**await self._connect_arguments())

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """A pooled connection; a lost Postgres becomes a `StoreError`, which the queue repeats."""
        if self._pool is None:
            raise StoreError("the store is not open")
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except CONNECTION_LOST as problem:
            self._revive()
            raise StoreError(f"Postgres is away ({type(problem).__name__})") from None
        except TimeoutError:
            raise StoreError("no Postgres connection came free in time") from None

    def _forget_stops(self, clinic_id: str) -> None:
        self._stops[clinic_id] = (0.0, True)

    def _revive(self) -> None:
        """See to it, beside the failing call, that an embedded server whose owner died is started again."""
        if self._reviving is None or self._reviving.done():
            self._reviving = asyncio.ensure_future(self._connect_arguments())
            self._reviving.add_done_callback(lambda task: task.cancelled() or task.exception())

    @asynccontextmanager
    async def unit_of_work(self, clinic_id: str) -> AsyncIterator[PostgresUnitOfWork]:
        """A transaction; leaving it without `commit` rolls it back."""
        async with self.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            unit = PostgresUnitOfWork(connection, transaction, clinic_id, on_stop=self._forget_stops)
            try:
                yield unit
            finally:
                if connection.is_in_transaction():
                    await transaction.rollback()

    async def encounter(self, clinic_id: str, encounter_id: str) -> EncounterRow | None:
        """One encounter's record."""
        row = await self._row(_ENCOUNTERS["encounter"], clinic_id, encounter_id)
        return None if row is None else EncounterRow(**{**row, "state": EncounterState(row["state"])})

    async def claim_bundle(self, clinic_id: str, claim_id: str) -> ClaimBundle | None:
        """A stored claim with everything that it references, in the versions that it was built from."""
        rows = await self._rows(_RESOURCES["claim_bundle"], clinic_id, claim_id)
        resources: list[Resource] = [loads(row["content"]) for row in rows]
        claim = next((r for r in resources if r["resourceType"] == "Claim" and r["id"] == claim_id), None)
        return None if claim is None else ClaimBundle.of(claim, [r for r in resources if r is not claim])

    async def submission(self, clinic_id: str, submission_id: str) -> SubmissionRow | None:
        """One submission with the payload that was kept."""
        return next(iter(await self._submissions("submission", clinic_id, submission_id)), None)

    async def submissions(self, clinic_id: str, encounter_id: str) -> list[SubmissionRow]:
        """All submissions of an encounter's claims, newest first."""
        return await self._submissions("of_encounter", clinic_id, encounter_id)

    async def open_batch(self, clinic_id: str, connection: str) -> BatchRow | None:
        """The oldest batch whose fate is not known yet."""
        row = await self._row(_BATCHES["open"], clinic_id, connection)
        return None if row is None else batch_row(row)

    async def batch(self, clinic_id: str, connection: str, control_number: int) -> BatchRow | None:
        """One batch."""
        row = await self._row(_BATCHES["batch"], clinic_id, connection, control_number)
        return None if row is None else batch_row(row)

    async def submissions_of_batch(self, clinic_id: str, connection: str, control_number: int) -> list[SubmissionRow]:
        """The claims of a batch."""
        return await self._submissions("of_batch", clinic_id, connection, control_number)

    async def submissions_to_ask(self, clinic_id: str, connection: str, most: int) -> list[SubmissionRow]:
        """Submissions whose outcome the vendor shall be asked now."""
        return await self._submissions("to_ask", clinic_id, connection, most)

    async def _submissions(self, query: str, *arguments: Any) -> list[SubmissionRow]:
        return [submission_row(row) for row in await self._rows(_SUBMISSIONS[query], *arguments)]

    async def cursor(self, clinic_id: str, name: str) -> str | None:
        """How far something has been read."""
        return _text(await self._value(_SUBSCRIPTIONS["cursor"], clinic_id, name))

    async def begin_poll(self, clinic_id: str, connection: str) -> str | None:
        """How far a connection has been polled; polls that were asked for until now are this one."""
        return _text(await self._value(_SUBSCRIPTIONS["begin_poll"], clinic_id, connection))

    async def subscriptions(self, clinic_id: str, connection: str) -> list[SubscriptionRow]:
        """A connection's subscriptions, oldest first."""
        rows = await self._rows(_SUBSCRIPTIONS["of_connection"], clinic_id, connection)
        return [subscription_row(row) for row in rows]

    async def subscribe_anew(self, clinic_id: str, job: NewJob) -> None:
        """Have a connection subscribe now, whatever is known of its subscriptions."""
        async with self.acquire() as connection:
            await connection.execute(_SUBSCRIPTIONS["subscribe_anew"], clinic_id, job.arguments["connection"])
        await self.ensure_job(clinic_id, job)
        await self.run_soon(clinic_id, job.ordering_key)

    async def submissions_to_tell(self, clinic_id: str, connection: str, most: int) -> list[Untold]:
        """States of claims that an EHR connection has not been told of."""
        return [_untold(row) for row in await self._rows(_SUBMISSIONS["to_tell"], clinic_id, connection, most)]

    async def connection_stopped(self, clinic_id: str, connection: str) -> str | None:
        """Why a connection is stopped, or None."""
        return _text(await self._value(_ENCOUNTERS["connection_stopped"], clinic_id, connection))

    async def any_connection_stopped(self, clinic_id: str) -> bool:
        """Whether the clinic has a stopped connection, at most a second old."""
        now = time.monotonic()
        seen_at, stopped = self._stops.get(clinic_id, (0.0, False))
        if now - seen_at > STOPS_SEEN_SECONDS or stopped:
            stopped = bool(await self._rows(_REPORT["stopped"], clinic_id))
            self._stops[clinic_id] = (now, stopped)
        return stopped

    async def check(self) -> None:
        """Raise `StoreError` when Postgres cannot be reached."""
        await self._value("select 1")

    async def ensure_job(self, clinic_id: str, job: NewJob) -> None:
        """Queue a recurring job unless its key has one."""
        async with self.acquire() as connection, connection.transaction():
            await connection.execute(_ENCOUNTERS["lock_keys"], clinic_id, [job.ordering_key])
            arguments = dumps(dict(job.arguments)).decode()
            values = (clinic_id, job.kind.value, job.ordering_key, arguments, job.trace, job.priority)
            await connection.execute(_QUEUE["put_once"], *values)

    async def run_soon(self, clinic_id: str, ordering_key: str) -> None:
        """Let a waiting recurring job run now."""
        async with self.acquire() as connection:
            await connection.execute(_QUEUE["run_soon"], clinic_id, ordering_key)
            await connection.execute("select pg_notify('gateway_job', '')")

    async def report(self, name: str, clinic_id: str) -> list[dict[str, Any]]:
        """The rows of one statement of report.sql."""
        return await self._rows(_REPORT[name], clinic_id)

    async def open_holds(self, clinic_id: str) -> list[dict[str, Any]]:
        """The worklist: each open hold with its findings."""
        rows = await self.report("holds", clinic_id)
        return [{**row, "findings": [Finding.from_json(f) for f in loads(row["findings"])]} for row in rows]

    async def _row(self, statement: str, *arguments: Any) -> dict[str, Any] | None:
        async with self.acquire() as connection:
            row = await connection.fetchrow(statement, *arguments)
        return None if row is None else dict(row)

    async def _rows(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.acquire() as connection:
            return [dict(row) for row in await connection.fetch(statement, *arguments)]

    async def _value(self, statement: str, *arguments: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(statement, *arguments)


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Nothing to undo between uses: pooled sessions set no state, and an open transaction is rolled back anyway."""


def _untold(row: dict[str, Any]) -> Untold:
    return Untold(
        submission_id=row["id"],
        encounter_id=row["encounter_id"],
        ehr_encounter_id=row["ehr_encounter_id"],
        claim_id=row["claim_id"],
        billing_connection=row["connection"],
        state=SubmissionState(row["state"]),
        account_number=row["account_number"],
        patient=row["patient"],
        reason=row["reason"],
        reference=row["evidence"],
        since=row["updated_at"],
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
