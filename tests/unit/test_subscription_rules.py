"""What notifications prove, and when a subscription needs care."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical.subscription import NoticeKind, Subscribed, SubscriptionNotice, SubscriptionStatus
from gateway.pipeline import subscription_rules as rules
from gateway.ports.records import SubscriptionRow

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
NEW = SubscriptionRow("ehr", "s1", NOW, endpoint="https://gw.example.test", counts=True, last_number=0, asked_at=NOW)
ACTIVE = replace(NEW, status=SubscriptionStatus.ACTIVE, heartbeat_seconds=60.0, heard_at=NOW)
BATCHES = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=5), max_size=20)


def events(*numbers: int, total: int | None = None) -> SubscriptionNotice:
    return SubscriptionNotice("s1", NoticeKind.EVENT, SubscriptionStatus.ACTIVE, total, numbers)


def beat(total: int) -> SubscriptionNotice:
    return SubscriptionNotice("s1", NoticeKind.HEARTBEAT, SubscriptionStatus.ACTIVE, total)


def missing(row: SubscriptionRow) -> set[int]:
    return {number for gap in row.missing for number in gap}


@given(BATCHES)
def test_what_is_missing_is_what_did_not_come_whatever_the_order(batches: list[list[int]]) -> None:
    row = NEW
    for batch in batches:
        row = rules.heard(row, events(*batch), NOW)
    came = {number for batch in batches for number in batch}
    assert row.last_number == max(came, default=0)
    assert missing(row) == set(range(1, row.last_number + 1)) - came
    assert (row.gap_since is None) == (not row.missing)
    assert all(gap.start < gap.stop for gap in row.missing)
    assert all(one.stop < other.start for one, other in zip(row.missing, row.missing[1:], strict=False))


@given(BATCHES, st.integers(1, 30), st.integers(0, 10))
def test_a_filled_range_is_missing_no_more(batches: list[list[int]], start: int, length: int) -> None:
    row = NEW
    for batch in batches:
        row = rules.heard(row, events(*batch), NOW)
    gap = range(start, start + length)
    filled = rules.filled(row, gap)
    assert missing(filled) == missing(row) - set(gap)
    assert (filled.gap_since is None) == (not filled.missing)


def test_a_total_beyond_the_numbers_of_the_bundle_is_a_gap() -> None:
    assert rules.heard(NEW, events(1, total=3), NOW).missing == (range(2, 4),)


def test_a_gap_is_as_old_as_its_first_number() -> None:
    row = rules.heard(NEW, events(2), NOW)
    later = rules.heard(row, events(4), NOW + timedelta(seconds=5))
    assert (later.gap_since, missing(later)) == (NOW, {1, 3})


def test_a_subscription_without_a_number_yet_begins_with_what_comes_first() -> None:
    unknown = replace(NEW, last_number=None)
    assert rules.heard(unknown, events(7), NOW).missing == ()
    assert rules.heard(unknown, beat(7), NOW).last_number == 7
    assert rules.heard(unknown, SubscriptionNotice("s1", NoticeKind.HEARTBEAT), NOW).last_number is None


@pytest.mark.parametrize(
    ("notice", "doubted"),
    [
        (events(8, total=8), False),
        (events(7, total=7), False),  # the last one again
        (events(3, total=3), True),  # long ago, or a new beginning
        (events(5, total=5), False),  # it was missing: late
        (beat(6), True),
        (beat(7), False),
        (SubscriptionNotice("s1", NoticeKind.HEARTBEAT), False),
        (SubscriptionNotice("s1", NoticeKind.HEARTBEAT, SubscriptionStatus.ERROR, 7), True),
    ],
)
def test_what_goes_backwards_or_fails_is_doubted(notice: SubscriptionNotice, doubted: bool) -> None:
    known = rules.heard(ACTIVE, events(1, 2, 3, 4, 6, 7, total=7), NOW)
    assert rules.heard(known, notice, NOW).doubted is doubted
    uncounted = rules.heard(replace(known, counts=False), notice, NOW)
    assert uncounted.doubted is (notice.status is SubscriptionStatus.ERROR)


def test_only_a_lower_total_than_was_known_when_asking_is_a_new_beginning() -> None:
    known = replace(ACTIVE, last_number=7)
    assert rules.is_restarted(known, Subscribed("s1", total=6))
    assert not rules.is_restarted(known, Subscribed("s1", total=7))
    assert not rules.is_restarted(known, Subscribed("s1"))
    assert not rules.is_restarted(replace(known, counts=False), Subscribed("s1", total=1))
    assert not rules.is_restarted(None, Subscribed("s1", total=0))


@pytest.mark.parametrize(
    ("life", "before_its_end"),
    [
        (timedelta(hours=1), timedelta(minutes=12)),
        (timedelta(days=5), timedelta(days=1)),
        (timedelta(days=365), timedelta(days=1)),
    ],
)
def test_it_is_renewed_at_four_fifths_of_its_life_and_of_a_long_one_a_day_before(
    life: timedelta, before_its_end: timedelta
) -> None:
    row = replace(ACTIVE, ends_at=NOW + life)
    due = row.ends_at - before_its_end
    assert not rules.is_to_be_renewed(row, due - timedelta(seconds=1))
    assert rules.is_to_be_renewed(row, due)


@pytest.mark.parametrize("status", [SubscriptionStatus.ERROR, SubscriptionStatus.OFF])
def test_a_broken_one_is_revived_at_once(status: SubscriptionStatus) -> None:
    assert rules.is_to_be_renewed(replace(ACTIVE, status=status), NOW)


def test_one_that_never_gets_its_handshake_is_asked_for_again() -> None:
    assert not rules.is_to_be_renewed(NEW, NOW + rules.REQUESTED_PATIENCE)
    assert rules.is_to_be_renewed(NEW, NOW + rules.REQUESTED_PATIENCE + timedelta(seconds=1))


def test_silence_is_one_and_a_half_heartbeats_and_a_margin() -> None:
    limit = timedelta(seconds=90) + rules.HEARTBEAT_MARGIN
    assert not rules.is_silent(ACTIVE, NOW + limit)
    assert rules.is_silent(ACTIVE, NOW + limit + timedelta(seconds=1))
    assert not rules.is_silent(replace(ACTIVE, heartbeat_seconds=None), NOW + timedelta(days=1))


def test_only_numbers_and_heartbeats_together_prove_that_nothing_was_lost() -> None:
    assert rules.is_proven(ACTIVE, NOW)
    unproven = (
        replace(ACTIVE, counts=False),
        replace(ACTIVE, heartbeat_seconds=None),
        replace(ACTIVE, status=SubscriptionStatus.ERROR),
        replace(ACTIVE, missing=(range(1, 2),)),
        replace(ACTIVE, doubted=True),
    )
    assert [rules.is_proven(row, NOW) for row in unproven] == [False] * 5


def test_the_next_look_is_at_the_first_thing_that_is_due() -> None:
    quiet = replace(ACTIVE, heartbeat_seconds=None)
    assert rules.next_look(quiet, NOW) == rules.ASK_EVERY
    assert rules.next_look(ACTIVE, NOW) == timedelta(seconds=100)
    assert rules.next_look(replace(ACTIVE, missing=(range(1, 2),), gap_since=NOW), NOW) == rules.GRACE
    assert rules.next_look(NEW, NOW) == rules.REQUESTED_LOOK
    assert rules.next_look(replace(quiet, ends_at=NOW + timedelta(minutes=10)), NOW) == timedelta(minutes=8)
    assert rules.next_look(quiet, NOW + timedelta(days=1)) == timedelta(seconds=1)
