"""The EHR is told what became of claims: each state once, the last one when it was away, and never the same again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.canonical.errors import PermissionMissing, RateLimited, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import ClaimFate, EncounterRef, SubmissionState
from gateway.pipeline.write_back import write_back_job

CLINIC = "clinic-a"


@pytest.fixture
async def received(world: Any) -> Any:
    """One claim that the billing system has received, and a job that tells the EHR."""
    await world.notify()
    await world.work()
    await world.store.ensure_job(CLINIC, write_back_job("ehr"))
    return world


async def adjudicate(world: Any) -> None:
    async with world.store.acquire() as connection:
        await connection.execute("update submission set state = 'adjudicated', updated_at = clock_timestamp()")


async def test_each_state_is_told_once(received: Any) -> None:
    await received.later()
    await received.later()
    [(encounter_id, fate)] = received.ehr_.told
    assert (encounter_id, fate.state, fate.billing_system) == ("e1", SubmissionState.RECEIVED, "Fake billing")
    assert fate.account_number == await received.one("select account_number from submission")
    assert fate.reference == "EncounterID 1" and fate.at <= datetime.now(UTC)
    await adjudicate(received)
    await received.later()
    assert [fate.state for _, fate in received.ehr_.told] == [SubmissionState.RECEIVED, SubmissionState.ADJUDICATED]


async def test_an_ehr_that_was_away_learns_the_last_state_only(received: Any) -> None:
    received.ehr_.tell_failure = RateLimited("fake", "write_back", "later", retry_after=3.0)
    await received.later()
    assert await received.one("select told from submission") == ""
    await adjudicate(received)
    received.ehr_.tell_failure = None
    await received.later()
    assert [fate.state for _, fate in received.ehr_.told] == [SubmissionState.ADJUDICATED]


async def test_what_the_ehr_refuses_is_noted_and_does_not_hold_up_others(received: Any) -> None:
    received.ehr_.tell_failure = UnexpectedResponse("fake", "write_back", "there is no such visit")
    await received.later()
    assert await received.one("select told from submission") == "received"
    assert await received.one("select outcome from audit_event where step = 'ehr-told'") == "4"
    received.ehr_.tell_failure = None
    await received.later()
    assert received.ehr_.told == []


async def test_a_claim_in_doubt_is_not_told(world: Any) -> None:
    await world.notify()
    await world.work()
    async with world.store.acquire() as connection:
        await connection.execute("update submission set state = 'uncertain'")
    await world.store.ensure_job(CLINIC, write_back_job("ehr"))
    await world.later()
    assert world.ehr_.told == []


async def test_an_ehr_that_may_not_be_written_to_is_still_read(received: Any) -> None:
    received.ehr_.tell_failure = PermissionMissing("fake", "write_back", "no scope to write")
    await received.later()
    assert await received.store.connection_stopped(CLINIC, "ehr") is None
    assert await received.one("select told from submission") == "received"


async def test_one_claim_that_the_ehr_fails_to_take_does_not_keep_the_others_from_being_told(received: Any) -> None:
    async with received.store.acquire() as connection:
        await connection.execute(
            "insert into encounter (clinic_id, id, connection, ehr_encounter_id, state, claim_id)"
            " select clinic_id, 'ehr.e2', connection, 'e2', state, 'c2' from encounter"
        )
        await connection.execute(
            "insert into submission (id, clinic_id, encounter_id, claim_id, connection, state, updated_at)"
            " select 'GW2', clinic_id, 'ehr.e2', 'c2', connection, state, updated_at + interval '1 s' from submission"
        )
    plain = received.ehr_.write_back

    async def write_back(ref: EncounterRef, fate: ClaimFate) -> None:
        if ref.encounter_id == "e1":
            raise VendorUnavailable("fake", "write_back", "500 for this one, for ever")
        await plain(ref, fate)

    received.ehr_.write_back = write_back
    await received.later()
    assert [encounter_id for encounter_id, _ in received.ehr_.told] == ["e2"]
    assert await received.one("select last_error from job where kind = 'write_back'") == "unavailable"
