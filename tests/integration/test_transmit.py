"""Claims that travel in batches: each in exactly one, under control numbers without gaps or doubles."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import ClaimRejected, CredentialsRejected, OutcomeUnknown, VendorUnavailable
from gateway.canonical.findings import error
from gateway.canonical.models import SubmissionState
from gateway.ports.billing import BatchRule, BillingCapability
from gateway.ports.records import NewSubmission

CLINIC = "clinic-a"
STATES = "select string_agg(distinct state, ', ') from submission"
BATCHES = "select string_agg(control_number || ' ' || state, ', ' order by control_number) from batch"


@pytest.fixture
def batching(world: Any) -> Any:
    """A connection that batches and whose vendor drops repeats."""
    world.capabilities = frozenset({BillingCapability.BATCH, BillingCapability.INBOUND_OUTCOME})
    world.billing_.batch = BatchRule(most=3)
    world.billing_.receipt_state = SubmissionState.SENT
    return world


async def gathered(world: Any, count: int) -> None:
    """`count` claims wait for one batch."""
    await world.notify()
    await world.work()
    async with world.store.unit_of_work(CLINIC) as unit:
        first = (await unit.batch_members("billing", 10))[0]
    event = AuditEvent(Step.CONNECTION_RESUMED, world.now(), CLINIC, "0" * 32)
    for n in range(1, count):
        new = NewSubmission(f"GW{n}", first.encounter_id, f"claim-{n}", "billing")
        async with world.store.unit_of_work(CLINIC) as unit:
            await unit.create_submission(new)
            await unit.join_batch(f"GW{n}", replace(first.payload, body=b"%d.00" % n), wait=timedelta(), most=3)
            await unit.commit(event)


async def test_a_claim_alone_travels_at_once(batching: Any) -> None:
    await batching.notify()
    await batching.work()
    await batching.work()
    assert batching.billing_.bodies == [b"1 24.45"]
    assert await batching.one(STATES) == "sent"
    assert await batching.one(BATCHES) == "1 sent"
    assert await batching.one("select state from encounter") == "submitted"
    assert await batching.one("select count(*) from job where kind = 'transmit'") == 0
    assert {"claim-batched", "disclosure-intended", "disclosure-confirmed"} <= set(await batching.steps())


async def test_what_waits_travels_together_up_to_the_rule(batching: Any) -> None:
    await gathered(batching, 5)
    await batching.work()
    assert batching.billing_.bodies == [b"1 24.45 1.00 2.00", b"2 3.00 4.00"]
    assert await batching.one(BATCHES) == "1 sent, 2 sent"


async def test_the_audit_tells_of_each_claim_of_a_batch(batching: Any) -> None:
    await gathered(batching, 3)
    await batching.work()
    for step in ("disclosure-intended", "disclosure-confirmed"):
        query = f"select count(*) from audit_event where step = '{step}' and encounter_id is not null"
        assert await batching.one(query) == 3
    query = "select count(*) from audit_event where step = 'disclosure-intended' and patient = 'Patient/ehr.p1'"
    assert await batching.one(query) == 1  # the others were put there without a patient


async def test_a_lost_answer_is_repeated_byte_for_byte_where_the_vendor_drops_repeats(batching: Any) -> None:
    batching.billing_.repeatable_seconds = math.inf
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await gathered(batching, 2)
    await batching.work()
    assert await batching.one(BATCHES) == "1 uncertain"
    assert await batching.one(STATES) == "uncertain"
    await batching.later()
    assert batching.billing_.bodies == [b"1 24.45 1.00"] * 2
    assert await batching.one(BATCHES) == "1 sent"


async def test_a_lost_answer_is_looked_for_where_the_vendor_can_be_asked(batching: Any) -> None:
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await gathered(batching, 2)
    await batching.work()
    await batching.later()
    assert batching.billing_.bodies == [b"1 24.45 1.00"]
    assert batching.billing_.looks == 1
    assert await batching.one(STATES) == "sent"


async def test_a_lost_answer_that_nothing_can_settle_is_held_and_never_sent_again(batching: Any) -> None:
    batching.billing_.finds = False
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await gathered(batching, 1)
    await batching.work()
    await batching.later()
    await batching.later()
    assert await batching.findings() == ["outcome-unknown"]
    assert batching.billing_.sent == 1


async def test_a_worker_that_dies_while_sending_leaves_a_batch_that_is_settled(batching: Any) -> None:
    batching.billing_.repeatable_seconds = math.inf
    batching.billing_.after = [asyncio.CancelledError()]
    await gathered(batching, 2)
    with pytest.raises(asyncio.CancelledError):
        await batching.work()
    assert await batching.one(BATCHES) == "1 sending"
    async with batching.store.acquire() as connection:
        await connection.execute("update job set owner = null, run_at = clock_timestamp()")
    await batching.work()
    await batching.later()
    assert batching.billing_.bodies == [b"1 24.45 1.00"] * 2
    assert await batching.one(BATCHES) == "1 sent"


async def test_an_unreachable_vendor_gets_the_same_bytes_later(batching: Any) -> None:
    batching.billing_.before = [VendorUnavailable("v", "put", "refused")]
    await gathered(batching, 2)
    await batching.work()
    assert await batching.one(BATCHES) == "1 queued"
    assert await batching.one(STATES) == "batched"
    await batching.later()
    assert batching.billing_.bodies == [b"1 24.45 1.00"]


async def test_control_numbers_have_no_gaps_when_a_batch_cannot_be_made(batching: Any) -> None:
    await gathered(batching, 1)
    whole, batching.billing_.enclose = batching.billing_.enclose, lambda *_: 1 / 0
    await batching.work()
    batching.billing_.enclose = whole
    await batching.later()
    assert await batching.one(BATCHES) == "1 sent"


async def test_a_refusal_of_the_whole_transmission_holds_each_claim(batching: Any) -> None:
    finding = error("bad-envelope", "Claim", "The receiver id is not known.")
    batching.billing_.before = [ClaimRejected("v", "upload", "no", findings=(finding,))]
    await gathered(batching, 1)
    await batching.work()
    assert await batching.findings() == ["bad-envelope"]
    assert await batching.one(STATES) == "rejected"


async def test_bad_credentials_stop_the_connection_and_keep_the_batch(batching: Any) -> None:
    batching.billing_.before = [CredentialsRejected("v", "put", "wrong password")]
    await gathered(batching, 1)
    await batching.work()
    assert await batching.store.connection_stopped(CLINIC, "billing") == "credentials"
    assert await batching.one(BATCHES) == "1 queued"


async def test_a_vendor_that_is_away_for_a_day_lets_the_claims_go_to_a_person(batching: Any) -> None:
    batching.billing_.before = [VendorUnavailable("v", "put", "refused")]
    await gathered(batching, 1)
    await batching.work()
    batching.ahead = timedelta(hours=25)
    await batching.later()
    assert await batching.findings() == ["gave-up"]
    assert batching.billing_.saved == []


async def test_a_change_while_the_claim_waits_sends_the_new_version_only(batching: Any) -> None:
    await gathered(batching, 1)
    batching.ehr_.change()
    await batching.notify()
    async with batching.store.acquire() as connection:
        await connection.execute("update job set run_at = run_at + interval '1 day' where kind = 'transmit'")
    await batching.work()
    await batching.later()
    assert batching.billing_.bodies == [b"1 40.50"]


async def test_claims_are_gathered_for_the_time_that_the_rule_says(batching: Any) -> None:
    batching.billing_.batch = BatchRule(most=3, wait_seconds=600)
    await batching.notify()
    await batching.work()
    await batching.work()
    assert batching.billing_.sent == 0
    await batching.later()
    assert batching.billing_.bodies == [b"1 24.45"]
