"""Backfill over a real Postgres: what is listed is kept once, goes on where it was, and lets live encounters pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import AdapterError, PermissionMissing, RateLimited, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import EncounterRecord, EncounterRef
from gateway.pipeline.backfill import Backfill, Progress, backfill
from gateway.pipeline.context import Pipeline
from gateway.pipeline.worker import Worker
from gateway.ports.records import LOW_PRIORITY, Arrival
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

CLINIC = "clinic-a"
SINCE = date(2026, 1, 1)
SERVICED = date(2026, 3, 3)  # of the fixture's encounter
WANTED = Backfill(CLINIC, "ehr", SINCE)


class Listing:
    """A listing of some encounters, by number; `failures` are raised at a number, each once."""

    def __init__(self, world: Any, count: int) -> None:
        self.count, self.failures, self.begun_at = count, dict[int, Exception](), list[int]()
        self.dated = True
        world.ehr_.backfill = self

    async def __call__(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        start = int(position or 0)
        self.begun_at.append(start)
        for number in range(start, self.count):
            if number in self.failures:
                raise self.failures.pop(number)
            serviced = since + timedelta(days=number) if self.dated else None
            yield EncounterRef(f"v{number}", f"v{number}@1", None, serviced), str(number)


async def run(world: Any, wanted: Backfill = WANTED) -> Progress:
    progress = Progress()
    await backfill(world.pipeline, wanted, progress, lambda _: None)
    return progress


async def test_what_is_listed_is_queued_with_low_priority(world: Any) -> None:
    Listing(world, 250)
    progress = await run(world)
    assert (progress.listed, progress.new) == (250, 250)
    assert await world.one(f"select count(*) from job where priority = {LOW_PRIORITY} and kind = 'normalize'") == 250
    assert await world.steps() == ["backfilled"] * 3


async def test_a_visit_that_is_listed_just_after_its_sign_off_is_left_alone_as_if_it_came_live(world: Any) -> None:
    world.ehr_.settle_seconds = 600.0
    await world.notify()
    world.ehr_.backfill = _lists_the_same
    await run(world)
    await world.work()
    assert await world.one("select state from encounter") == "received"


async def _lists_the_same(since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
    yield EncounterRef("e1", "told in another way", None, since), ""


async def test_done_once_more_it_lists_all_again_and_finds_nothing_new(world: Any) -> None:
    listing = Listing(world, 150)
    await run(world)
    progress = await run(world)
    assert (progress.listed, progress.new, listing.begun_at) == (150, 0, [0, 0])


@pytest.mark.parametrize("failure", [VendorUnavailable, RateLimited])
async def test_it_goes_on_from_what_is_kept_after_a_passing_fault(world: Any, failure: type[AdapterError]) -> None:
    listing = Listing(world, 250)
    listing.failures = {230: failure("fake", "backfill", "away", retry_after=0.01)}
    progress = await run(world)
    assert listing.begun_at == [0, 229], "what was kept is not listed again, but for the last one"
    assert progress.new == await world.one("select count(*) from inbox") == 250


async def test_what_it_cannot_get_past_is_raised_and_the_rest_stays_for_the_next_time(world: Any) -> None:
    listing = Listing(world, 250)
    listing.failures = {120: PermissionMissing("fake", "backfill", "no scope")}
    with pytest.raises(PermissionMissing):
        await run(world)
    assert await world.one("select count(*) from inbox") == 120
    [unfinished] = await world.store.report("backfills", CLINIC)
    assert (unfinished["listing"], unfinished["position"]) == (WANTED.position_key, "119")
    await run(world)
    assert await world.store.report("backfills", CLINIC) == []
    assert listing.begun_at == [0, 119]
    assert await world.one("select count(*) from inbox") == 250


async def test_a_vendor_that_stays_away_is_given_up(world: Any) -> None:
    listing = Listing(world, 1)

    async def away(since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        listing.begun_at.append(0)
        raise VendorUnavailable("fake", "backfill", "away")
        yield

    world.ehr_.backfill = away
    world.pipeline = replace(world.pipeline, retry=replace(world.pipeline.retry, base_seconds=0.0001))
    with pytest.raises(VendorUnavailable):
        await run(world)
    assert len(listing.begun_at) == 9


async def test_until_leaves_out_later_visits_and_those_without_a_date(world: Any) -> None:
    listing = Listing(world, 10)
    wanted = replace(WANTED, until=SINCE + timedelta(days=3))
    progress = await run(world, wanted)
    assert (progress.new, progress.left_out, progress.undated) == (4, 6, 0)
    listing.dated = False
    assert (await run(world, wanted)).undated == 10


async def test_another_range_keeps_a_position_of_its_own(world: Any) -> None:
    listing = Listing(world, 150)
    listing.failures = {120: PermissionMissing("fake", "backfill", "no scope")}
    with pytest.raises(PermissionMissing):
        await run(world, replace(WANTED, until=SINCE))
    await run(world, replace(WANTED, until=date(2027, 1, 1)))
    assert listing.begun_at == [0, 0]


class TestGoLive:
    """Visits from before the go-live date were billed elsewhere."""

    @pytest.fixture
    def wanted(self, world: Any) -> Backfill:
        Listing(world, 1)
        clinic = replace(world.pipeline.clinics[CLINIC], go_live=SERVICED + timedelta(days=1))
        world.pipeline = replace(world.pipeline, clinics={CLINIC: clinic})
        return WANTED

    async def settle(self, world: Any) -> None:
        for _ in range(3):
            await world.later()

    async def test_an_earlier_visit_is_held_with_that_reason(self, world: Any, wanted: Backfill) -> None:
        await run(world, wanted)
        await self.settle(world)
        assert await world.findings() == ["before-go-live"]
        assert world.billing_.saved == []

    async def test_a_visit_on_the_day_itself_is_billed(self, world: Any, wanted: Backfill) -> None:
        clinic = replace(world.pipeline.clinics[CLINIC], go_live=SERVICED)
        world.pipeline = replace(world.pipeline, clinics={CLINIC: clinic})
        await run(world, wanted)
        await self.settle(world)
        assert len(world.billing_.saved) == 1

    async def test_told_so_it_is_billed_all_the_same(self, world: Any, wanted: Backfill) -> None:
        await run(world, replace(wanted, send_before_go_live=True))
        await self.settle(world)
        assert len(world.billing_.saved) == 1

    async def test_told_so_later_the_held_ones_are_released_once(self, world: Any, wanted: Backfill) -> None:
        await run(world, wanted)
        await self.settle(world)
        progress = await run(world, replace(wanted, send_before_go_live=True))
        assert (progress.new, progress.released) == (0, 1)
        await self.settle(world)
        assert len(world.billing_.saved) == 1
        assert await world.findings() == []
        assert (await run(world, replace(wanted, send_before_go_live=True))).released == 0

    async def test_a_notice_of_an_old_visit_is_held_as_well(self, world: Any, wanted: Backfill) -> None:
        await world.notify()
        await self.settle(world)
        assert await world.findings() == ["before-go-live"]


class TestLivePasses:
    """Jobs of low priority hold half of the slots at most, and come last."""

    async def queued(self, store: PostgresStore, name: str, count: int, priority: int) -> None:
        refs = [EncounterRef(f"{name}{n}", f"{name}{n}@1") for n in range(count)]
        async with store.unit_of_work(CLINIC) as unit:
            await unit.accept([Arrival("ehr", ref.encounter_id, ref, "0" * 32) for ref in refs], priority=priority)
            await unit.commit(AuditEvent(Step.POLLED, datetime.now(UTC), CLINIC, "0" * 32))

    async def test_low_jobs_fill_what_others_leave_up_to_their_bound(
        self, store: PostgresStore, session: WorkerSession
    ) -> None:
        await self.queued(store, "low", 500, LOW_PRIORITY)
        assert [job.priority for job in await session.claim(16, 8)] == [LOW_PRIORITY] * 8
        assert await session.claim(8, 0) == []
        await self.queued(store, "live", 5, 0)
        assert sorted(job.priority for job in await session.claim(8, 8)) == [0] * 5 + [LOW_PRIORITY] * 3
        await self.queued(store, "more", 20, 0)
        assert [job.priority for job in await session.claim(4, 4)] == [0] * 4

    async def test_with_every_low_slot_busy_a_notice_is_worked_on_at_once(
        self, world: Any, store: PostgresStore, session: WorkerSession
    ) -> None:
        release, fetching, most = asyncio.Event(), set[str](), [0]

        async def fetch(ref: EncounterRef) -> EncounterRecord:
            if ref.encounter_id.startswith("low"):
                fetching.add(ref.encounter_id)
                most[0] = max(most[0], len(fetching))
                await release.wait()
                fetching.discard(ref.encounter_id)
            raise UnexpectedResponse("fake", "fetch_encounter", "held: its job is done")

        world.ehr_.fetch_encounter = fetch
        await self.queued(store, "low", 500, LOW_PRIORITY)
        stop = asyncio.Event()
        worker = asyncio.create_task(Worker(world.pipeline, session, concurrency=8).run(stop))
        async with asyncio.timeout(20):
            while len(fetching) < 4:
                await asyncio.sleep(0.005)
            await self.queued(store, "live", 20, 0)
            while await world.one("select count(*) from job where ordering_key like 'live%'"):
                await asyncio.sleep(0.005)
            assert (len(fetching), most[0]) == (4, 4), "half of eight, and no more of them meanwhile"
            stop.set()
            release.set()
            await worker

    async def test_a_notice_makes_a_waiting_backfill_job_urgent(self, world: Any, store: PostgresStore) -> None:
        await self.queued(store, "e", 2, LOW_PRIORITY)
        refs = [EncounterRef("e1", "e1@2")]
        async with store.unit_of_work(CLINIC) as unit:
            await unit.accept([Arrival("ehr", "e1", refs[0], "0" * 32)])
            await unit.commit(AuditEvent(Step.POLLED, datetime.now(UTC), CLINIC, "0" * 32))
        assert await world.one("select array_agg(priority order by ordering_key) from job") == [LOW_PRIORITY, 0]


def test_half_of_one_slot_is_one(world: Any, session: WorkerSession) -> None:
    assert isinstance(world.pipeline, Pipeline)
    assert [Worker(world.pipeline, session, concurrency=n)._most_low for n in (1, 2, 3, 16)] == [1, 1, 1, 8]
