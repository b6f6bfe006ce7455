"""Every fault that the simulators know, on a whole gateway: no claim is lost, none is doubled, every amount is right."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.kit.simulator import FaultKind

EHR_OPERATIONS = ("token", "search:Encounter", "search:Claim", "search:Condition", "search:Coverage")
BILLING_OPERATIONS = ("CreateEncounter", "CreatePatient", "GetPatients", "GetPatient", "GetProviders", "GetCharges")


async def everything_billed_once(house: Any, ledgers: Any) -> None:
    """Wait for the end, then compare the three ledgers."""
    await house.all_settled()
    outcome = await ledgers(house)
    assert (outcome.lost, outcome.doubled, outcome.held) == ([], [], [])
    assert outcome.submitted == sorted(house.vendors.day.encounter_ids)
    assert outcome.totals == outcome.vendor_totals
    assert await house.one("select count(*) from job where kind <> 'poll'") == 0


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
    assert house.vendors.injected("ehr") >= 4


@pytest.mark.parametrize("kind", FaultKind)
async def test_each_fault_of_the_billing_system(open_house: Any, ledgers: Any, kind: FaultKind) -> None:
    house = await open_house()
    await house.subscribe()
    rules = [{"operation": op, "kind": kind, "times": 2} for op in BILLING_OPERATIONS]
    house.vendors.fail("billing", rules, late_save_seconds=0.2)
    house.vendors.sign()
    await everything_billed_once(house, ledgers)
    assert house.vendors.injected("billing") >= 4
