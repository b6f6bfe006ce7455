"""Encounters that are not signed off yet, and those that are left alone for a while after their sign-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from gateway.canonical.errors import RateLimited, VendorUnavailable
from gateway.canonical.models import EncounterRef, Notification
from gateway.pipeline.context import RetryPolicy
from gateway.pipeline.normalize import NOT_SIGNED_OFF
from gateway.ports.billing import BatchRule, BillingCapability

RUN_IN = "select extract(epoch from run_at - clock_timestamp())::float8 from job where kind = 'normalize'"
JOBS = "select count(*) from job where kind = 'normalize'"


async def test_an_unsigned_encounter_is_looked_at_again_and_billed_when_it_is_signed(world: Any) -> None:
    world.ehr_.unsigned = True
    await world.notify()
    await world.work()
    assert await world.one("select last_error from job") == NOT_SIGNED_OFF
    assert await world.store.open_holds("clinic-a") == []
    world.ehr_.unsigned = False
    await world.later()
    assert await world.one("select state from encounter") == "submitted"


async def test_a_new_notice_brings_a_watched_encounter_forward(world: Any) -> None:
    world.ehr_.unsigned = True
    await world.notify()
    await world.work()
    async with world.store.acquire() as connection:
        await connection.execute("update job set run_at = clock_timestamp() + interval '5 hours'")
    world.ehr_.unsigned = False
    world.ehr_.version += 1
    await world.notify()
    assert await world.one(JOBS) == 1
    await world.work()
    assert await world.one("select state from encounter") == "submitted"


async def test_a_look_that_costs_a_call_waits_as_long_as_the_adapter_says(world: Any) -> None:
    world.ehr_.unsigned, world.ehr_.look_after = True, 300.0
    await world.notify()
    await world.work()
    assert 290 < await world.one(RUN_IN) <= 300


async def test_a_watched_encounter_that_is_found_signed_settles_once(world: Any) -> None:
    world.ehr_.settle_seconds = 600.0
    world.ehr_.unsigned = True
    await world.notify()
    await world.later()
    world.ehr_.unsigned = False
    await world.later()
    assert await world.one("select state from encounter") == "received"
    assert 590 < await world.one(RUN_IN) <= 600
    await world.later()
    assert await world.one("select state from encounter") == "submitted"


async def test_a_throttle_while_an_encounter_is_watched_does_not_take_its_time_to_settle(world: Any) -> None:
    world.ehr_.settle_seconds = 600.0
    world.ehr_.unsigned = True
    await world.notify()
    await world.later()
    world.ehr_.failure = RateLimited("fake", "fetch", "the hour's calls are used up", retry_after=60.0)
    await world.later()
    assert 50 < await world.one(RUN_IN) <= 60
    world.ehr_.failure, world.ehr_.unsigned = None, False
    await world.later()
    assert await world.one("select state from encounter") == "received"
    assert 590 < await world.one(RUN_IN) <= 600
    world.ehr_.failure = RateLimited("fake", "fetch", "the hour's calls are used up", retry_after=60.0)
    await world.later()
    world.ehr_.failure = None
    await world.later()
    assert await world.one("select state from encounter") == "submitted"


async def test_a_watched_encounter_of_whose_signing_the_ehr_told_settles_no_second_time(world: Any) -> None:
    world.ehr_.settle_seconds = 600.0
    world.ehr_.unsigned = True
    await world.notify()
    await world.later()
    async with world.store.acquire() as connection:
        await connection.execute("update job set run_at = clock_timestamp() + interval '5 hours'")
    world.ehr_.unsigned = False
    world.ehr_.version += 1
    await world.notify()
    assert 590 < await world.one(RUN_IN) <= 600
    await world.later()
    assert await world.one("select state from encounter") == "submitted"


async def test_after_two_weeks_without_a_signature_a_person_is_told(world: Any) -> None:
    world.ehr_.unsigned = True
    await world.notify()
    await world.work()
    world.ahead = timedelta(days=15)
    await world.later()
    assert await world.findings() == ["mapping"]
    assert await world.one("select state from encounter") == "held"


async def test_an_encounter_watched_for_days_is_not_given_up_at_its_first_failure(world: Any) -> None:
    world.ehr_.unsigned = True
    await world.notify()
    await world.work()
    async with world.store.acquire() as connection:
        await connection.execute("update job set created_at = created_at - interval '3 days'")
    world.ehr_.failure = VendorUnavailable("fake", "fetch", "HTTP 503")
    await world.later()
    assert await world.findings() == []
    world.ehr_.failure, world.ehr_.unsigned = None, False
    world.billing_.before = [VendorUnavailable("fake", "submit", "HTTP 503")]
    await world.later()
    assert await world.findings() == []
    await world.later()
    assert await world.one("select state from encounter") == "submitted"


async def test_an_answer_between_two_failures_ends_the_first_one(world: Any) -> None:
    world.ehr_.unsigned, failure = True, VendorUnavailable("fake", "fetch", "HTTP 503")
    world.ehr_.failure = failure
    await world.notify()
    await world.work()
    world.ehr_.failure = None
    await world.later()
    world.ahead, world.ehr_.failure = timedelta(hours=25), failure
    await world.later()
    assert await world.findings() == []


async def test_an_ehr_that_fails_for_a_day_without_a_break_is_given_up(world: Any) -> None:
    world.ehr_.failure = VendorUnavailable("fake", "fetch", "HTTP 503")
    await world.notify()
    await world.work()
    world.ahead = timedelta(hours=25)
    await world.later()
    assert await world.findings() == ["gave-up"]


async def test_a_settling_encounter_waits_once_and_changes_do_not_put_it_off(world: Any) -> None:
    world.ehr_.settle_seconds = 600.0
    await world.notify()
    first = await world.one(RUN_IN)
    assert 590 < first <= 600
    async with world.store.acquire() as connection:
        await connection.execute("update job set run_at = run_at - interval '9 minutes'")
    world.ehr_.change()
    await world.notify()
    assert await world.one(RUN_IN) < 60
    assert await world.one(JOBS) == 1


async def test_a_notice_does_not_hurry_a_job_that_waits_for_a_failing_vendor(world: Any) -> None:
    await world.notify()
    async with world.store.acquire() as connection:
        await connection.execute("update job set run_at = run_at + interval '1 hour', last_error = 'unavailable'")
    world.ehr_.change()
    await world.notify()
    assert await world.one(RUN_IN) > 3000
    assert await world.one(JOBS) == 1


async def test_a_job_that_waits_for_a_failing_vendor_learns_of_the_newest_change(world: Any) -> None:
    """What is read must not be older than what was told of last, and what comes live is not left among the former."""
    former, newer = (
        datetime(2026, 3, 5, 12, tzinfo=UTC),
        datetime(2026, 3, 5, 8, 1, tzinfo=timezone(timedelta(hours=-5))),
    )
    world.ehr_.parse_notification = lambda _: Notification((EncounterRef("e1", "1", former),))
    await world.notify()
    async with world.store.acquire() as connection:
        await connection.execute("update job set last_error = 'unavailable', priority = 9")
    world.ehr_.parse_notification = lambda _: Notification((EncounterRef("e1", "2", newer),))
    await world.notify()
    told = await world.one("select arguments::jsonb ->> 'changed_at' from job")
    assert (datetime.fromisoformat(told), await world.one("select priority from job")) == (newer, 0)
    assert await world.one("select last_error from job") == "unavailable"


def test_the_pause_between_looks_grows_with_the_wait() -> None:
    policy = RetryPolicy(base_seconds=1.0)
    waits = [timedelta(0), timedelta(minutes=5), timedelta(hours=5), timedelta(days=10)]
    assert [policy.watch_delay(waited) for waited in waits] == [
        timedelta(seconds=2),
        timedelta(minutes=1),
        timedelta(hours=1),
        timedelta(hours=6),
    ]


class TestOpenedAgain:
    """An encounter that was signed off, and is worked on again."""

    async def test_after_its_claim_was_sent_a_person_is_told_until_it_is_signed_unchanged(self, world: Any) -> None:
        await world.notify()
        await world.work()
        assert await world.one("select state from encounter") == "submitted"
        world.ehr_.unsigned = True
        world.ehr_.version += 1
        await world.notify()
        await world.work()
        await world.later()
        assert await world.findings() == ["reopened-after-submission"]
        assert await world.one("select count(*) from hold") == 1, "told once, however often it is looked at"
        world.ehr_.unsigned = False
        await world.later()
        assert await world.findings() == []
        assert await world.one("select state from encounter") == "submitted"
        assert len(world.billing_.saved) == 1

    async def test_signed_again_with_other_content_the_claim_is_replaced_and_the_hold_ends(self, world: Any) -> None:
        world.capabilities = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.CORRECT})
        await world.notify()
        await world.work()
        world.ehr_.unsigned = True
        world.ehr_.version += 1
        await world.notify()
        await world.work()
        world.ehr_.unsigned = False
        world.ehr_.change()
        await world.later()
        await world.later()
        assert await world.findings() == []
        assert [saved.partition("~")[2] for saved in world.billing_.saved] == ["", "7"]

    async def test_a_claim_that_waits_for_its_batch_does_not_leave_and_goes_when_it_is_signed_again(
        self, world: Any
    ) -> None:
        world.capabilities = frozenset({BillingCapability.BATCH})
        world.billing_.batch = BatchRule(most=9, wait_seconds=3600.0)
        await world.notify()
        await world.work()
        assert await world.one("select state from submission") == "batched"
        world.ehr_.unsigned = True
        world.ehr_.version += 1
        await world.notify()
        await world.work()
        assert await world.one("select state from submission") == "held"
        await world.later()
        assert world.billing_.saved == []
        world.ehr_.unsigned = False
        await world.later()
        await world.later()
        await world.later()
        assert len(world.billing_.saved) == 1
        assert await world.one("select state from encounter") == "submitted"
