"""What a subscription's notifications prove, and when it needs care. Pure.

Source: shared standards subscriptions section 6 (errors, gaps, heartbeats).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.canonical.subscription import NoticeKind, Subscribed, SubscriptionNotice, SubscriptionStatus
from gateway.ports.records import SubscriptionRow

GRACE = timedelta(seconds=10)
"""How long a missing number may be late or out of order before it is fetched."""

HANDSHAKE_LOOK = timedelta(seconds=2)
REQUESTED_LOOK = timedelta(seconds=15)
REQUESTED_PATIENCE = timedelta(minutes=10)
ASK_EVERY = timedelta(minutes=15)
ADOPTED_PATIENCE = timedelta(minutes=10)
HEARTBEAT_MARGIN = timedelta(seconds=10)
MOST_GAPS = 20
BROKEN = frozenset({SubscriptionStatus.ERROR, SubscriptionStatus.OFF})


def heard(row: SubscriptionRow, notice: SubscriptionNotice, now: datetime) -> SubscriptionRow:
    """The row after a notification. Numbers that are doubled or out of order change nothing but what was missing.

    A total below what was heard of before is a late notification, or a subscription made anew under the same id: only
    the EHR can tell, so the row is `doubted`.
    """
    failing = notice.status in BROKEN
    status = notice.status if notice.status and notice.kind is not NoticeKind.HANDSHAKE else row.status
    known = counted(row, notice.numbers, notice.total, now)
    return replace(known, status=status, heard_at=now, doubted=row.doubted or failing or _is_backwards(row, notice))


def counted(row: SubscriptionRow, numbers: Iterable[int], total: int | None, now: datetime) -> SubscriptionRow:
    """The row after events with these numbers, of `total` until now; a row without a number yet begins with them."""
    came = sorted(set(numbers))
    last = row.last_number
    if last is None:
        last = came[0] - 1 if came else total
    if last is None:
        return row
    highest = max([last, *came, total or 0])
    missing = _without((*row.missing, range(last + 1, highest + 1)), came)
    if not row.counts and len(missing) > MOST_GAPS:  # its numbers prove nothing, and it may never be told to
        missing = ()
    return replace(row, last_number=highest, missing=missing, gap_since=(row.gap_since or now) if missing else None)


def filled(row: SubscriptionRow, gap: range) -> SubscriptionRow:
    """The row once a range of missing numbers is dealt with."""
    missing = tuple(part for known in row.missing for part in _outside(known, gap))
    return replace(row, missing=missing, gap_since=row.gap_since if missing else None)


def made(
    row: SubscriptionRow | None, told: Subscribed, connection: str, endpoint: str, now: datetime
) -> SubscriptionRow:
    """The row of a subscription that the EHR has just made, kept, prolonged or revived for `endpoint`."""
    known = row or SubscriptionRow(connection, told.id, now, last_number=told.total)
    return replace(
        known,
        endpoint=endpoint,
        topic=told.topic,
        counts=told.counts,
        heartbeat_seconds=told.heartbeat_seconds,
        began_at=now,
        ends_at=told.ends_at,
    )


def asked(row: SubscriptionRow, told: Subscribed, now: datetime) -> SubscriptionRow:
    """The row after the EHR has told its status, and how many events it has counted where it tells that."""
    known = row if told.total is None else counted(row, (), told.total, now)
    return replace(known, status=told.status, asked_at=now, doubted=row.doubted and told.total is None)


def is_restarted(before: SubscriptionRow | None, told: Subscribed) -> bool:
    """Whether a subscription has been made anew under the same id: it has counted less than was heard `before`."""
    if before is None or told.total is None or not before.counts:
        return False
    return told.total < (before.last_number or 0)


def restarted(row: SubscriptionRow, total: int | None) -> SubscriptionRow:
    """The row that begins again at `total`; what it missed is for a poll to find."""
    return replace(row, last_number=total, missing=(), gap_since=None, doubted=False)


def is_silent(row: SubscriptionRow, now: datetime) -> bool:
    """Whether heartbeats that were promised do not come."""
    return row.heartbeat_seconds is not None and now > (row.heard_at or row.began_at) + _silence(row.heartbeat_seconds)


def is_proven(row: SubscriptionRow, now: datetime) -> bool:
    """Whether its notifications prove at this moment that none was lost: numbered, with heartbeats, without a gap."""
    beats = row.counts and row.heartbeat_seconds is not None and not is_silent(row, now)
    return beats and row.status is SubscriptionStatus.ACTIVE and not row.missing and not row.doubted


def is_to_be_asked(row: SubscriptionRow, now: datetime) -> bool:
    """Whether the EHR is to be asked how the subscription fares."""
    waits = row.status is SubscriptionStatus.REQUESTED
    return row.doubted or waits or is_silent(row, now) or now >= (row.asked_at or row.began_at) + ASK_EVERY


def is_to_be_renewed(row: SubscriptionRow, now: datetime) -> bool:
    """Whether it is in error, off, never got its handshake, or ends soon."""
    stuck = row.status is SubscriptionStatus.REQUESTED and now > row.began_at + REQUESTED_PATIENCE
    due = _renewal(row)
    return row.status in BROKEN or stuck or (due is not None and now >= due)


def is_gap_due(row: SubscriptionRow, now: datetime) -> bool:
    """Whether missing numbers have had their time to come late."""
    return row.counts and row.gap_since is not None and now >= row.gap_since + GRACE


def next_look(row: SubscriptionRow, now: datetime) -> timedelta:
    """How long the subscription needs no care unless it is heard of; at least a second."""
    return max(timedelta(seconds=1), min(_moments(row, now)) - now)


def look_after_notice(row: SubscriptionRow, notice: SubscriptionNotice) -> timedelta | None:
    """How soon after a notification the subscription needs care; None when it needs none."""
    if notice.status in BROKEN:
        return timedelta()
    if notice.kind is NoticeKind.HANDSHAKE:
        return HANDSHAKE_LOOK
    return GRACE if row.doubted or (row.counts and row.missing) else None


def _moments(row: SubscriptionRow, now: datetime) -> Iterator[datetime]:
    yield (row.asked_at or row.began_at) + ASK_EVERY
    if row.doubted:
        yield now + GRACE
    if row.status is SubscriptionStatus.REQUESTED:
        yield now + REQUESTED_LOOK
    if row.counts and row.gap_since is not None:
        yield row.gap_since + GRACE
    if row.heartbeat_seconds is not None:
        yield max(row.heard_at or row.began_at, row.asked_at or row.began_at) + _silence(row.heartbeat_seconds)
    due = _renewal(row)
    if due is not None:
        yield due


def _silence(heartbeat_seconds: float) -> timedelta:
    return timedelta(seconds=heartbeat_seconds * 1.5) + HEARTBEAT_MARGIN


def _renewal(row: SubscriptionRow) -> datetime | None:
    """At 80 % of its life; of a long one a day before its end."""
    if row.ends_at is None:
        return None
    return max(row.began_at + (row.ends_at - row.began_at) * 0.8, row.ends_at - timedelta(days=1))


def _is_backwards(row: SubscriptionRow, notice: SubscriptionNotice) -> bool:
    """Whether it tells of less than was heard of before, and not of what is missing: that is merely late."""
    told = [*notice.numbers, *(() if notice.total is None else (notice.total,))]
    late = bool(notice.numbers) and all(any(number in gap for gap in row.missing) for number in notice.numbers)
    return row.counts and bool(told) and max(told) < (row.last_number or 0) and not late


def _without(ranges: Iterable[range], numbers: list[int]) -> tuple[range, ...]:
    parts = [each for each in ranges if each]
    for number in numbers:
        parts = [part for each in parts for part in _outside(each, range(number, number + 1))]
    return tuple(parts)


def _outside(known: range, gap: range) -> Iterator[range]:
    """What of a range lies before and after a gap."""
    if gap.stop <= known.start or known.stop <= gap.start:
        yield known
        return
    if known.start < gap.start:
        yield range(known.start, gap.start)
    if gap.stop < known.stop:
        yield range(gap.stop, known.stop)
