"""How news of encounters reaches the gateway, for `gateway status`: what is pushed, and what is polled beside it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.app import Gateway
from gateway.canonical.subscription import SubscriptionStatus
from gateway.pipeline.subscription_rules import BROKEN, is_proven, is_silent
from gateway.ports.records import SubscriptionRow


async def feed_status(gateway: Gateway, clinic_id: str) -> dict[str, list[dict[str, Any]]]:
    """`push`: a row for each subscription, or one for a connection without any; `poll`: a row for each connection."""
    now = gateway.pipeline.now()
    polls = {row["connection"]: row for row in await gateway.store.report("polls", clinic_id)}
    push, poll = [], []
    for clinic, connection in gateway.connections.ehr_connections():
        if clinic != clinic_id:
            continue
        rows = await gateway.store.subscriptions(clinic_id, connection)
        feed = polls.get(connection, {})
        push += [_push(row, now, feed.get("heard_seconds")) for row in rows] or [
            _unsubscribed(connection, feed.get("heard_seconds"))
        ]
        poll.append(_poll(connection, feed, proven=bool(rows) and all(is_proven(row, now) for row in rows)))
    return {"push": push, "poll": poll}


def push_state(row: SubscriptionRow, now: datetime) -> str:
    """One word or two that docs/operations.md explains."""
    states = (
        (not row.endpoint, "heard of"),
        (row.status in BROKEN, row.status.value),
        (row.status is SubscriptionStatus.REQUESTED, "no handshake yet"),
        (row.counts and bool(row.missing), "gap"),
        (is_silent(row, now), "silent"),
        (row.doubted, "doubted"),
        (is_proven(row, now), "proven"),
        (True, "active"),
    )
    return next(state for holds, state in states if holds)


def _push(row: SubscriptionRow, now: datetime, connection_heard_seconds: float | None) -> dict[str, Any]:
    """Of an EHR that does not say which subscription it speaks for, what was heard is the connection's."""
    return {
        "connection": row.connection,
        "subscription": row.id,
        "state": push_state(row, now),
        "heard_seconds": _age(row.heard_at, now) if row.heard_at else connection_heard_seconds,
        "last_number": row.last_number if row.counts else None,
        "missing": sum(map(len, row.missing)) if row.counts else 0,
        "gap_seconds": _age(row.gap_since, now) if row.counts else None,
        "ends_at": row.ends_at,
    }


def _unsubscribed(connection: str, heard_seconds: float | None) -> dict[str, Any]:
    absent = dict.fromkeys(("last_number", "missing", "gap_seconds", "ends_at"))
    return {
        "connection": connection,
        "subscription": None,
        "state": "none" if heard_seconds is None else "unmanaged",
        "heard_seconds": heard_seconds,
        **absent,
    }


def _poll(connection: str, feed: dict[str, Any], *, proven: bool) -> dict[str, Any]:
    error = feed.get("last_error")
    state = "off" if error is None else "failing" if error else "seldom" if proven else "on"
    return {
        "connection": connection,
        "state": state,
        "cursor_seconds": feed.get("cursor_seconds"),
        "polled_seconds": feed.get("polled_seconds"),
        "next_seconds": feed.get("next_seconds"),
        "last_error": error or "",
    }


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
