"""A unit of work's part on feeds: the EHRs' subscriptions and the polls beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from asyncpg import Range

from gateway.canonical.jsonio import dumps
from gateway.canonical.subscription import SubscriptionStatus
from gateway.ports.records import NewJob, SubscriptionRow
from gateway.store.queries import queries
from gateway.store.unit_of_work import StepWork

_SUBSCRIPTIONS, _QUEUE, _ENCOUNTERS = queries("subscriptions"), queries("queue"), queries("encounters")


class FeedWork(StepWork):
    """What is noted of notifications, subscriptions and polls, in the transaction that keeps what they told."""

    async def hear(self, connection: str) -> None:
        """Note that an EHR has sent something."""
        await self._execute(_SUBSCRIPTIONS["hear"], connection)

    async def subscriptions(self, connection: str) -> list[SubscriptionRow]:
        """A connection's subscriptions, held as they are: none is added either, as by a handshake beside its making."""
        await self._execute(_ENCOUNTERS["lock_keys"], [f"subscriptions:{connection}"])
        rows = await self._connection.fetch(_SUBSCRIPTIONS["of_connection"], self._clinic, connection)
        return [subscription_row(row) for row in rows]

    async def save_subscription(self, row: SubscriptionRow) -> None:
        """Keep what is known of a subscription."""
        values = (row.endpoint, row.topic, row.status.value, row.counts, row.heartbeat_seconds, row.began_at)
        missing = [Range(gap.start, gap.stop) for gap in row.missing]
        counted = (row.ends_at, row.last_number, missing, row.gap_since)
        times = (row.heard_at, row.asked_at, row.doubted)
        await self._execute(_SUBSCRIPTIONS["save"], row.connection, row.id, *values, *counted, *times)

    async def drop_subscription(self, row: SubscriptionRow) -> None:
        """Forget a subscription."""
        await self._execute(_SUBSCRIPTIONS["drop"], row.connection, row.id)

    async def poll_soon(self, job: NewJob, pause: timedelta) -> None:
        """Bring the connection's poll forward; the one that runs at this moment may have begun too early."""
        connection, key = job.arguments["connection"], job.ordering_key
        await self._execute(_ENCOUNTERS["lock_keys"], [key])
        await self._execute(_SUBSCRIPTIONS["ask_poll"], connection)
        arguments = dumps(dict(job.arguments)).decode()
        await self._execute(_QUEUE["put_once"], job.kind.value, key, arguments, job.trace, job.priority)
        await self._execute(_SUBSCRIPTIONS["bring_poll_forward"], connection, key, pause)

    async def end_poll(self, connection: str) -> bool:
        """Note that a poll has come to its end; whether another one was asked for meanwhile."""
        return bool(await self._value(_SUBSCRIPTIONS["end_poll"], connection))

    async def bring_forward(self, ordering_key: str, delay: timedelta) -> None:
        """Let a waiting recurring job run after `delay`, if it would run later."""
        await self._execute(_SUBSCRIPTIONS["bring_forward"], ordering_key, delay)


_NAMES = tuple(field.name for field in fields(SubscriptionRow))


def subscription_row(record: Mapping[str, Any]) -> SubscriptionRow:
    """A `SubscriptionRow` from a row of `ehr_subscription`."""
    values = {name: record[name] for name in _NAMES}
    missing = tuple(range(gap.lower, gap.upper) for gap in record["missing"])
    return SubscriptionRow(**{**values, "status": SubscriptionStatus(record["status"]), "missing": missing})
