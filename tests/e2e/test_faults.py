"""Every fault that the simulators know, on a whole gateway: no claim lost, none doubled, every amount right."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.connections import BillingLink, EhrLink
from gateway.kit.simulator import FaultKind
from gateway.store.queue import WorkerSession

CLINIC = "clinic-a"
EHR_OPERATIONS = ("token", "search:Encounter", "search:Claim", "search:Condition", "search:Coverage")
BILLING_OPERATIONS = ("CreateEncounter", "CreatePatient", "GetPatients", "GetPatient", "GetProviders", "GetCharges")
WORKER_SESSION = "pid in (select pid from pg_locks where locktype = 'advisory' and classid = 77 and objsubid = 2)"

Cut = Callable[..., Awaitable[int]]


async def everything_billed_once(house: Any, ledgers: Any) -> None:
    """Wait for the end, then compare the three ledgers."""
    await house.all_settled()
    outcome = await ledgers(house)
    assert (outcome.lost, outcome.doubled, outcome.held) == ([], [], [])
    assert outcome.submitted == sorted(house.vendors.day.encounter_ids)
    assert outcome.totals == outcome.vendor_totals
    assert await house.one("select count(*) from job where kind not in ('poll', 'subscribe')") == 0
    intended = await house.one("select count(*) from audit_event where step = 'disclosure-intended'")
    confirmed = await house.one("select count(*) from audit_event where step = 'disclosure-confirmed'")
    assert intended >= confirmed == len(outcome.submitted)


async def all_known(house: Any) -> bool:
    return len(await house.states()) == len(house.vendors.day.encounter_ids)


async def test_a_day_without_faults(open_house: Any, ledgers: Any) -> None:
    house = await open_house()
    await house.subscribe()
    house.vendors.sign()
    await everything_billed_once(house, ledgers)


@pytest.mark.parametrize("kind", FaultKind)
async def test_each_fault_of_the_ehr(open_house: Any, ledgers: Any, kind: FaultKind) -> None:
    house = await open_house()
    await house.subscribe()
    house.vendors.fail("ehr", [{"operation": op, "kind": kind, "times": 2} for op in EHR_OPERATIONS])
    house.vendors.ehr.client.post("/_sim/expire_tokens").raise_for_status()
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert house.vendors.injected("ehr") >= len(EHR_OPERATIONS)


@pytest.mark.parametrize("kind", FaultKind)
async def test_each_fault_of_the_billing_system(open_house: Any, ledgers: Any, kind: FaultKind) -> None:
    house = await open_house()
    await house.subscribe()
    rules = [{"operation": op, "kind": kind, "times": 2} for op in BILLING_OPERATIONS]
    house.vendors.fail("billing", rules, late_save_seconds=0.2)
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert house.vendors.injected("billing") >= len(BILLING_OPERATIONS)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_fifth_of_all_calls_fails_in_every_way(open_house: Any, ledgers: Any, seed: int) -> None:
    house = await open_house()
    await house.subscribe()
    rules = [{"operation": "*", "kind": kind, "probability": 0.2 / len(FaultKind)} for kind in FaultKind]
    for side in ("ehr", "billing"):
        house.vendors.fail(side, rules, seed=seed, late_save_seconds=0.2)
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert house.vendors.injected("ehr") > 0
    assert house.vendors.injected("billing") > 0


@pytest.mark.slow
async def test_lost_and_swapped_notifications_are_recovered_by_their_numbers_without_a_poll(
    open_house: Any, ledgers: Any
) -> None:
    """Two deliveries are lost and one comes late; polling is switched off, so that only `$events` can tell."""
    topic = "https://ehr.example.test/topics/encounter-signed"
    house = await open_house(subscription="backport", subscription_topic=topic, poll_seconds=0)
    await house.subscribe()
    house.vendors.ehr.client.post("/_sim/subscriptions", json={"drop": 2, "swap": 1}).raise_for_status()
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert await house.one("select count(*) from job where kind = 'poll'") == 0
    assert await house.one("select count(*) from audit_event where step = 'events-recovered'") >= 1


async def test_a_claim_saved_long_after_its_time_out_is_found(open_house: Any, ledgers: Any) -> None:
    """The vendor saves 0.5 s after the gateway has given up; the gateway looks later, and does not send again."""
    house = await open_house(settle=0.8)
    await house.subscribe()
    late = [{"operation": "CreateEncounter", "kind": FaultKind.SAVE_AFTER_TIMEOUT}]
    house.vendors.fail("billing", late, late_save_seconds=0.5)
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert house.vendors.billing.ledger()["calls"]["CreateEncounter"] == len(house.vendors.day.encounter_ids)
    assert await house.one("select max(attempts) from submission") == 1


async def test_two_workers_share_the_day(open_house: Any, ledgers: Any) -> None:
    first, second = await open_house(), await open_house()
    await first.subscribe()
    first.vendors.fail("billing", [{"operation": "*", "kind": FaultKind.RESET_AFTER_SAVE, "probability": 0.1}])
    first.vendors.sign()
    await everything_billed_once(first, ledgers)
    assert not any(task.done() for task in (*first.tasks, *second.tasks))


async def test_every_session_of_postgres_is_cut_again_and_again(
    open_house: Any, ledgers: Any, cut_sessions: Cut
) -> None:
    """Notifications that cannot be kept are refused, and the EHR sends them again."""
    first, second = await open_house(), await open_house()
    await first.subscribe()
    cuts = 0
    for encounter_id in first.vendors.day.encounter_ids:
        first.vendors.sign(encounter_id)
        await asyncio.sleep(0.03)
        cuts += await cut_sessions()
    assert cuts > len(first.vendors.day.encounter_ids)
    await everything_billed_once(first, ledgers)
    assert not any(task.done() for task in (*first.tasks, *second.tasks))


class Delayed:
    """An adapter whose calls of one verb wait at a gate while it is shut; `inside` of them have not ended yet."""

    def __init__(self, adapter: Any, verb: str) -> None:
        self._adapter, self._verb = adapter, verb
        self._opened = asyncio.Event()
        self.shut, self.inside = True, 0

    def __getattr__(self, name: str) -> Any:
        return self._wait if name == self._verb else getattr(self._adapter, name)

    async def _wait(self, *arguments: Any) -> Any:
        if not self.shut:
            return await getattr(self._adapter, self._verb)(*arguments)
        self.inside += 1
        try:
            await self._opened.wait()
            return await getattr(self._adapter, self._verb)(*arguments)
        finally:
            self.inside -= 1

    async def somebody_is_inside(self) -> bool:
        return self.inside > 0

    async def nobody_is_inside(self) -> bool:
        return self.inside == 0

    def open(self) -> None:
        self._opened.set()


def delay(house: Any, verb: str) -> Delayed:
    """Put a gate before a verb of one of the house's adapters."""
    links = house.gateway.connections
    if verb == "fetch_encounter":
        gate = Delayed(links.ehr(CLINIC, "ehr"), verb)
        links.add_ehr(CLINIC, "ehr", EhrLink(links.ehr_info(CLINIC, "ehr"), gate, 60.0))
    else:
        gate = Delayed(links.billing(CLINIC, "billing"), verb)
        settle = links.settle_seconds(CLINIC, "billing")
        info = links.billing_info(CLINIC, "billing")
        links.add_billing(CLINIC, "billing", BillingLink(info, gate, settle))
    return gate


@pytest.mark.parametrize("verb", ["fetch_encounter", "submit"])
async def test_a_worker_that_lost_its_session_does_nothing_more_under_its_old_number(
    open_house: Any, ledgers: Any, cut_sessions: Cut, verb: str
) -> None:
    """Its pool lives on, so that it could take over its own jobs while it works on them, and send them twice."""
    house = await open_house()
    await house.subscribe()
    gate = delay(house, verb)
    house.vendors.sign()
    await house.until(gate.somebody_is_inside, f"a {verb}")
    gate.shut = False
    assert await cut_sessions(WORKER_SESSION) == 1
    await everything_billed_once(house, ledgers)
    gate.open()
    await house.until(gate.nobody_is_inside, "the end of the first attempts")
    await everything_billed_once(house, ledgers)


async def test_the_jobs_of_a_dead_worker_are_taken_over_within_a_second(open_house: Any, ledgers: Any) -> None:
    house = await open_house(worker=False)
    encounter_ids = house.vendors.day.encounter_ids
    house.vendors.sign()
    assert await house.notify([(encounter_id, 2) for encounter_id in encounter_ids]) == {202}
    dead = WorkerSession(house.gateway.store)
    await dead.open()
    assert len(await dead.claim(100)) == len(encounter_ids)
    house.work()
    workers = f"select count(*) from pg_stat_activity where datname = current_database() and {WORKER_SESSION}"

    async def both_live() -> bool:
        return int(await house.one(workers)) == 2

    async def taken_over() -> bool:
        return int(await house.one(f"select count(*) from job where owner = {dead.number}")) == 0

    await house.until(both_live, "the second worker")
    assert not await taken_over()
    died = time.monotonic()
    await dead.close()
    await house.until(taken_over, "the take-over")
    assert time.monotonic() - died < 1.0
    await everything_billed_once(house, ledgers)


async def test_notifications_twice_and_out_of_order(open_house: Any, ledgers: Any) -> None:
    house = await open_house()
    await house.subscribe()
    house.vendors.sign()
    notices = [(e, version) for e in house.vendors.day.encounter_ids for version in (3, 1, 2, 1, 3)]
    random.Random(5).shuffle(notices)
    assert await house.notify(notices) == {202}
    await everything_billed_once(house, ledgers)
    for encounter_id in house.vendors.day.encounter_ids:
        house.vendors.repeat(encounter_id)
    await everything_billed_once(house, ledgers)


async def test_lost_notifications_are_made_up_for_by_the_poll(open_house: Any, ledgers: Any) -> None:
    house = await open_house(poll_seconds=1)
    house.vendors.fail("ehr", [{"operation": "search:Encounter", "kind": FaultKind.RESET, "times": 2}])
    house.vendors.sign()
    await house.poll()

    await house.until(lambda: all_known(house), "the poll")
    await everything_billed_once(house, ledgers)


async def test_a_notification_that_names_nothing_is_followed_although_polling_is_switched_off(
    open_house: Any, ledgers: Any
) -> None:
    house = await open_house(poll_seconds=0)
    house.vendors.sign()
    assert await house.notify_of_nothing() == 202
    await house.until(lambda: all_known(house), "the poll")
    await everything_billed_once(house, ledgers)


async def test_a_patient_saved_long_after_the_time_out_is_not_created_twice(open_house: Any, ledgers: Any) -> None:
    house = await open_house(settle=0.8)
    await house.subscribe()
    late = [{"operation": "CreatePatient", "kind": FaultKind.SAVE_AFTER_TIMEOUT, "times": 4}]
    house.vendors.fail("billing", late, late_save_seconds=0.4)
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    ledger = house.vendors.billing.ledger()
    patients = {(row["PatientName"], row["birth_date"]) for row in ledger["patients"]}
    assert ledger["faults"] == {"save_after_timeout": 4}
    assert ledger["calls"]["CreatePatient"] == len(ledger["patients"]) == len(patients)


async def test_an_encounter_amended_before_its_claim_is_sent_is_billed_as_amended(
    open_house: Any, ledgers: Any
) -> None:
    house = await open_house(worker=False)
    first, second, *_ = encounter_ids = house.vendors.day.encounter_ids
    house.vendors.sign()
    house.vendors.amend(first)
    assert await house.notify([(encounter_id, 2) for encounter_id in encounter_ids]) == {202}
    house.work()
    await everything_billed_once(house, ledgers)
    before = (await ledgers(house)).vendor_totals
    house.vendors.amend(first)
    house.vendors.amend(second)
    assert await house.notify([(first, 4), (second, 3)]) == {202}
    await house.all_settled()
    outcome = await ledgers(house)
    assert (outcome.lost, outcome.doubled, outcome.held) == ([], [], sorted([first, second]))
    assert outcome.totals == outcome.vendor_totals == before
    holds = await house.gateway.store.open_holds(CLINIC)
    assert {finding.edit for hold in holds for finding in hold["findings"]} == {"changed-after-submission"}
    assert all(hold["findings"] for hold in holds)
