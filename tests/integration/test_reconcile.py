"""What became of claims: messages kept before they are taken away, states that only rise, refusals that hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.canonical import jsonio
from gateway.canonical.errors import UnexpectedResponse, VendorUnavailable
from gateway.canonical.findings import error, warning
from gateway.canonical.models import ClaimOutcome, Evidence, SubmissionState
from gateway.pipeline.reconcile import reconcile_job
from gateway.ports.billing import BatchRule, BillingCapability

CLINIC = "clinic-a"
STATE = "select state from submission"
ENCOUNTER = "select state from encounter"
NOW = datetime(2026, 3, 5, tzinfo=UTC)
REFUSED = error("x12-A7", "Claim.insurance[0].coverage", "The payer does not know the member id.", "Correct it.")


@pytest.fixture
async def posted(world: Any) -> Any:
    """A batching vendor with a mailbox, and one claim sent in batch 1."""
    world.capabilities = frozenset({BillingCapability.BATCH, BillingCapability.INBOUND_OUTCOME})
    world.billing_.batch = BatchRule(most=3)
    world.billing_.receipt_state = SubmissionState.SENT
    await world.notify()
    await world.work()
    await world.work()
    await world.store.ensure_job(CLINIC, reconcile_job("billing"))
    return world


@pytest.fixture
async def asked(world: Any) -> Any:
    """A vendor that is asked, and one claim received by it."""
    world.capabilities = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.POLL_OUTCOME})
    await world.notify()
    await world.work()
    await world.store.ensure_job(CLINIC, reconcile_job("billing"))
    return world


def deliver(world: Any, name: str, *outcomes: ClaimOutcome) -> None:
    world.billing_.mailbox[name] = name.encode()
    world.billing_.messages[name.encode()] = list(outcomes)


def outcome(state: SubmissionState, **names: Any) -> ClaimOutcome:
    return ClaimOutcome("", Evidence(state, "reference", NOW), **names)


async def account(world: Any) -> str:
    return str(await world.one("select account_number from submission"))


async def test_a_message_is_kept_then_taken_away(posted: Any) -> None:
    deliver(posted, "999", outcome(SubmissionState.RECEIVED, control_number="000000001"))
    await posted.later()
    assert await posted.one(STATE) == "received"
    assert posted.billing_.mailbox == {}
    assert await posted.one("select content from inbound_message") == b"999"
    assert {"message-received", "outcome-learned"} <= set(await posted.steps())


async def test_the_same_message_again_says_nothing_new(posted: Any) -> None:
    for _ in range(2):
        deliver(posted, "999", outcome(SubmissionState.RECEIVED, control_number="000000001"))
        await posted.later()
    assert await posted.one("select count(*) from audit_event where step = 'outcome-learned'") == 1


async def test_states_only_rise(posted: Any) -> None:
    number = await account(posted)
    ids = {"PayerClaimControlNumber": "PCN1"}
    deliver(posted, "277", outcome(SubmissionState.ACCEPTED, account_number=number))
    await posted.later()
    deliver(posted, "late", outcome(SubmissionState.RECEIVED, account_number=number, vendor_ids=ids))
    await posted.later()
    assert await posted.one(STATE) == "accepted"
    assert jsonio.loads(await posted.one("select vendor_ids from submission")) == {"EncounterID": "1", **ids}


async def test_a_rejection_holds_the_claim_with_the_vendors_findings(posted: Any) -> None:
    deliver(posted, "277", outcome(SubmissionState.REJECTED, account_number=await account(posted), findings=(REFUSED,)))
    await posted.later()
    assert (await posted.one(STATE), await posted.one(ENCOUNTER)) == ("rejected", "held")
    assert await posted.findings() == ["x12-A7"]


async def test_a_claim_that_was_not_at_fault_is_sent_again(posted: Any) -> None:
    deliver(posted, "999", outcome(SubmissionState.QUEUED, control_number="000000001"))
    await posted.later()
    assert await posted.one(ENCOUNTER) == "routed"
    await posted.later()
    await posted.later()
    assert posted.billing_.bodies == [b"1 24.45", b"2 24.45"]
    assert (await posted.one(STATE), await posted.one(ENCOUNTER)) == ("sent", "submitted")


async def test_what_is_said_of_one_claim_outweighs_what_is_said_of_its_batch(posted: Any) -> None:
    whole = outcome(SubmissionState.QUEUED, control_number="000000001")
    single = outcome(SubmissionState.REJECTED, account_number=await account(posted), findings=(REFUSED,))
    deliver(posted, "999", whole, single)
    await posted.later()
    assert await posted.one(STATE) == "rejected"


async def test_a_message_about_unknown_claims_is_kept_and_counted(posted: Any) -> None:
    deliver(posted, "277", outcome(SubmissionState.ACCEPTED, account_number="SOMEBODY"))
    await posted.later()
    assert await posted.one("select outcomes || ' ' || unmatched from inbound_message") == "1 1"
    assert await posted.one(STATE) == "sent"


async def test_an_unreadable_message_is_kept_and_does_not_stop_the_others(posted: Any) -> None:
    posted.billing_.mailbox["noise"] = b"\x00\xff"
    deliver(posted, "999", outcome(SubmissionState.RECEIVED, control_number="000000001"))
    await posted.later()
    states = "select string_agg(state, ' ' order by state) from inbound_message"
    assert await posted.one(states) == "applied unreadable"
    assert await posted.one(STATE) == "received"


async def test_a_late_rejection_of_a_replaced_claim_is_nobodys_work(posted: Any) -> None:
    posted.capabilities = posted.capabilities | {BillingCapability.CORRECT}
    first = await account(posted)
    posted.ehr_.change()
    await posted.notify()
    for _ in range(3):
        await posted.later()
    deliver(posted, "277", outcome(SubmissionState.REJECTED, account_number=first, findings=(REFUSED,)))
    await posted.later()
    assert await posted.findings() == []
    assert await posted.one(ENCOUNTER) == "submitted"


async def test_a_vendor_is_asked_until_it_has_decided(asked: Any) -> None:
    note = warning("tebra-no-response", "Claim.item", "The payer has not answered.")
    asked.billing_.outcome = outcome(SubmissionState.RECEIVED, findings=(note,))
    await asked.later()
    assert await asked.one("select ask_at > clock_timestamp() from submission")
    assert jsonio.loads(await asked.one("select findings from submission"))[0]["edit"] == "tebra-no-response"
    asked.billing_.outcome = outcome(SubmissionState.ADJUDICATED)
    async with asked.store.acquire() as connection:
        await connection.execute("update submission set ask_at = clock_timestamp()")
    await asked.later()
    assert await asked.one(STATE) == "adjudicated"
    assert await asked.one("select ask_at from submission") is None


async def test_a_claim_response_is_stored_as_a_resource(asked: Any) -> None:
    response = {"resourceType": "ClaimResponse", "id": "r1", "status": "active"}
    asked.billing_.outcome = outcome(SubmissionState.ACCEPTED, claim_response=response)
    await asked.later()
    content = await asked.one("select content from resource where resource_type = 'ClaimResponse'")
    assert jsonio.loads(content) == response


async def test_a_vendor_that_is_away_is_asked_later_for_ever(asked: Any) -> None:
    async def away(receipt: Any) -> ClaimOutcome:
        raise VendorUnavailable("fake", "fetch", "refused")

    asked.billing_.fetch_outcome = away
    async with asked.store.acquire() as connection:
        await connection.execute("update job set created_at = created_at - interval '90 days'")
    await asked.later()
    assert await asked.one("select count(*) from dead_letter") == 0
    assert await asked.one("select ask_at > clock_timestamp() from submission")
    assert await asked.one("select count(*) from job where kind = 'reconcile'") == 1


async def test_an_answer_that_cannot_be_understood_changes_no_state(asked: Any) -> None:
    async def garbage(receipt: Any) -> ClaimOutcome:
        raise UnexpectedResponse("fake", "fetch", "not readable")

    asked.billing_.fetch_outcome = garbage
    await asked.later()
    assert (await asked.one(STATE), await asked.one(ENCOUNTER)) == ("received", "submitted")
