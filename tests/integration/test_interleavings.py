"""What could lose, double or wrongly correct a claim when steps, messages and failures meet in an unlucky order."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any

import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import (
    BatchSettled,
    ClaimRejected,
    OutcomeUnknown,
    StoreError,
    UnexpectedResponse,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.findings import error
from gateway.canonical.models import ClaimOutcome, Evidence, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.pipeline.reconcile import reconcile_job
from gateway.ports.billing import BatchRule, BillingCapability
from gateway.ports.records import NewSubmission
from gateway.store.unit_of_work import StepWork

CLINIC = "clinic-a"
STATE = "select state from submission"
STATES = "select string_agg(frequency || ' ' || state, ', ' order by created_at) from submission"
ENCOUNTER = "select state from encounter"
CAN = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.CORRECT, BillingCapability.VOID})
NOW = datetime(2026, 3, 5, tzinfo=UTC)
REFUSED = error("x12-A7", "Claim.insurance[0].coverage", "The payer does not know the member id.", "Correct it.")
FIRST = {"control_number": "000000001"}


@pytest.fixture
async def batching(world: Any) -> Any:
    world.capabilities = frozenset({BillingCapability.BATCH, BillingCapability.INBOUND_OUTCOME})
    world.billing_.batch = BatchRule(most=3)
    world.billing_.receipt_state = SubmissionState.SENT
    await world.store.ensure_job(CLINIC, reconcile_job("billing"))
    await world.work()
    return world


@pytest.fixture
async def posted(batching: Any) -> Any:
    """One claim sent in batch 1 to a vendor with a mailbox that takes corrections."""
    batching.capabilities |= {BillingCapability.CORRECT, BillingCapability.VOID}
    await batching.notify()
    await batching.work()
    await batching.work()
    assert batching.billing_.bodies == [b"1 24.45"]
    return batching


@pytest.fixture
async def sent(world: Any) -> Any:
    """A vendor without batches that takes corrections, and a first claim on file."""
    world.capabilities = CAN
    await world.notify()
    await world.work()
    return world


def outcome(state: SubmissionState, **names: Any) -> ClaimOutcome:
    return ClaimOutcome("", Evidence(state, "reference", NOW), **names)


def deliver(world: Any, name: str, *outcomes: ClaimOutcome) -> None:
    world.billing_.mailbox[name] = name.encode()
    world.billing_.messages[name.encode()] = list(outcomes)


async def execute(world: Any, statement: str) -> None:
    async with world.store.acquire() as connection:
        await connection.execute(statement)


async def run(world: Any, kind: str) -> None:
    """Let only the jobs of one kind be due, and run them with what follows."""
    await execute(world, f"update job set run_at = 'infinity' where owner is null and kind <> '{kind}'")
    await execute(world, f"update job set run_at = clock_timestamp() where owner is null and kind = '{kind}'")
    await world.work()


async def recheck(world: Any) -> None:
    encounter = await world.one("select id from encounter limit 1")
    async with world.store.unit_of_work(CLINIC) as unit:
        await unit.recheck(encounter, "0" * 32)
        await unit.commit(AuditEvent(Step.RECHECK_REQUESTED, world.now(), CLINIC, "0" * 32))
    await run(world, "normalize")


async def settle(world: Any, rounds: int = 4) -> None:
    for _ in range(rounds):
        await world.later()


async def account(world: Any) -> str:
    return str(await world.one("select account_number from submission order by created_at limit 1"))


# --- rechecks ----------------------------------------------------------------------------------------------------


async def test_a_batched_claim_that_the_payer_rejected_goes_again_when_it_is_rechecked(posted: Any) -> None:
    deliver(posted, "277", outcome(SubmissionState.REJECTED, account_number=await account(posted), findings=(REFUSED,)))
    await run(posted, "reconcile")
    assert await posted.findings() == ["x12-A7"]
    await recheck(posted)
    await settle(posted)
    assert posted.billing_.bodies == [b"1 24.45", b"2 24.45"]


async def test_a_claim_rejected_by_the_payer_goes_under_a_new_id_when_it_is_rechecked(sent: Any) -> None:
    """As 0006 has it for a changed one: a look or an idempotency key must not find the refused one."""
    sent.capabilities = CAN | {BillingCapability.POLL_OUTCOME}
    sent.billing_.outcome = outcome(SubmissionState.REJECTED, findings=(REFUSED,))
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    await sent.work()
    await recheck(sent)
    assert await sent.one(STATES) == "1 rejected, 1 received"


async def test_a_recheck_after_the_default_connection_changed_does_not_send_a_claim_in_doubt_twice(world: Any) -> None:
    world.billing_.finds = False
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    assert await world.findings() == ["outcome-unknown"]
    world.default_billing = lambda clinic_id: "another"
    await recheck(world)
    await settle(world)
    assert world.billing_.saved == ["24.45"]


async def test_a_recheck_leaves_a_claim_in_a_travelling_batch_to_that_batch(batching: Any) -> None:
    batching.billing_.repeatable_seconds = 1e9
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await batching.notify()
    await batching.work()
    await batching.work()
    assert await batching.one(STATE) == "uncertain"
    await recheck(batching)
    await settle(batching)
    assert set(batching.billing_.bodies) == {b"1 24.45"}


async def test_a_claim_of_a_batch_that_surely_did_not_arrive_goes_again_in_a_batch(batching: Any) -> None:
    batching.billing_.finds = False
    batching.billing_.before = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await batching.work()
    await batching.later()
    assert await batching.findings() == ["outcome-unknown"]
    batching.billing_.finds = True
    await recheck(batching)
    await settle(batching)
    assert batching.billing_.bodies == [b"2 24.45"]


async def test_a_void_in_doubt_is_looked_for_when_it_is_rechecked(sent: Any) -> None:
    sent.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    sent.billing_.look_failure = UnexpectedResponse("v", "find", "garbage, once")
    sent.ehr_.withdraw()
    await sent.notify()
    await sent.work()
    await sent.later()
    assert await sent.findings() == ["outcome-unknown"]
    sent.billing_.look_failure = None
    await recheck(sent)
    await settle(sent)
    assert (await sent.findings(), await sent.one(ENCOUNTER)) == ([], "withdrawn")


# --- what vendors say, and when they say it ----------------------------------------------------------------------


async def test_a_rejection_that_arrives_while_the_batch_is_being_sent_is_not_lost(batching: Any) -> None:
    plain = batching.billing_.submit

    async def submit(payload: VendorPayload) -> SubmissionReceipt:
        receipt = await plain(payload)
        rejection = outcome(SubmissionState.REJECTED, account_number=await account(batching), findings=(REFUSED,))
        deliver(batching, "277", rejection)
        await run(batching, "reconcile")
        return receipt

    batching.billing_.submit = submit
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    await settle(batching)
    assert (await batching.one(STATE), await batching.findings()) == ("rejected", ["x12-A7"])


async def test_a_rejection_of_a_claim_that_moves_on_meanwhile_is_not_lost(batching: Any) -> None:
    """Reconcile has the message in hand; then the look finds the claim and records it as sent."""
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    rejection = outcome(SubmissionState.REJECTED, account_number=await account(batching), findings=(REFUSED,))
    deliver(batching, "277", rejection)
    plain = batching.billing_.collect

    async def collect() -> Any:
        async for message in plain():
            await run(batching, "transmit")
            yield message

    batching.billing_.collect = collect
    await run(batching, "reconcile")
    assert (await batching.one(STATE), await batching.findings()) == ("rejected", ["x12-A7"])


async def test_the_last_word_of_a_message_about_a_claim_counts(posted: Any) -> None:
    number = await account(posted)
    said = [
        outcome(SubmissionState.RECEIVED, account_number=number),
        outcome(SubmissionState.REJECTED, account_number=number, findings=(REFUSED,)),
    ]
    deliver(posted, "277", *said)
    await run(posted, "reconcile")
    assert (await posted.one(STATE), await posted.one(ENCOUNTER)) == ("rejected", "held")


async def test_a_batch_of_which_a_message_has_spoken_is_not_sent_again(batching: Any) -> None:
    """Its answer was lost, but the 999 proves that it arrived; its claim goes again in another batch, only there."""
    batching.billing_.repeatable_seconds = 1e9
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    deliver(batching, "999", outcome(SubmissionState.QUEUED, **FIRST))
    await run(batching, "reconcile")
    await settle(batching, 6)
    assert sorted(batching.billing_.bodies) == [b"1 24.45", b"2 24.45"]


async def test_a_replaced_claim_is_not_sent_again_when_its_batch_is_refused_late(posted: Any) -> None:
    posted.ehr_.change()
    await posted.notify()
    await run(posted, "normalize")
    await run(posted, "transmit")
    assert posted.billing_.bodies == [b"1 24.45", b"2 40.50~7"]
    deliver(posted, "999", outcome(SubmissionState.QUEUED, **FIRST))
    await run(posted, "reconcile")
    await settle(posted)
    assert b"24.45" not in b" ".join(posted.billing_.bodies[2:])


async def test_a_voided_claim_is_not_sent_again_when_its_batch_is_refused_late(posted: Any) -> None:
    posted.ehr_.withdraw()
    await posted.notify()
    await run(posted, "normalize")
    await run(posted, "transmit")
    assert posted.billing_.bodies == [b"1 24.45", b"2 24.45~8"]
    deliver(posted, "999", outcome(SubmissionState.QUEUED, **FIRST))
    await run(posted, "reconcile")
    await settle(posted)
    assert posted.billing_.bodies == [b"1 24.45", b"2 24.45~8"]


async def test_a_claim_that_goes_again_does_not_pass_by_the_check(posted: Any) -> None:
    """A changed, invalid version waits to be normalized while the 999 sends the old one back to the queue."""
    coverage = {**posted.ehr_.bundle.resources[1], "period": {"end": "2026-01-31"}}
    resources = (posted.ehr_.bundle.resources[0], coverage, *posted.ehr_.bundle.resources[2:])
    posted.ehr_.bundle = replace(posted.ehr_.bundle, resources=resources)
    posted.ehr_.version += 1
    await posted.notify()
    deliver(posted, "999", outcome(SubmissionState.QUEUED, **FIRST))
    await run(posted, "reconcile")
    await settle(posted)
    assert "coverage-inactive" in await posted.findings()
    assert posted.billing_.bodies == [b"1 24.45"]


async def test_a_state_does_not_fall_when_a_message_arrives_during_the_look(world: Any) -> None:
    world.capabilities = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.INBOUND_OUTCOME})
    await world.store.ensure_job(CLINIC, reconcile_job("billing"))
    await world.work()
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await run(world, "normalize")

    async def find(*_: Any) -> None:  # the vendor's search is behind, its acknowledgement is not
        deliver(world, "277", outcome(SubmissionState.ACCEPTED, account_number=await account(world)))
        await run(world, "reconcile")

    world.billing_.find_submission = find
    await run(world, "submit")
    assert (world.billing_.saved, await world.one(STATE)) == (["24.45"], "accepted")


async def test_a_message_that_settles_a_held_claim_takes_its_hold_away(batching: Any) -> None:
    """The hold tells a person to look for the claim and to enter it by hand where it is missing."""
    batching.billing_.finds = False
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    await run(batching, "transmit")
    assert await batching.findings() == ["outcome-unknown"]
    deliver(batching, "277", outcome(SubmissionState.ACCEPTED, account_number=await account(batching)))
    await run(batching, "reconcile")
    assert (await batching.one(STATE), await batching.one(ENCOUNTER)) == ("accepted", "submitted")
    assert await batching.findings() == []


async def test_a_999_finds_the_claims_of_a_batch_that_is_held_as_unknown(batching: Any) -> None:
    batching.billing_.finds = False
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    await run(batching, "transmit")
    deliver(batching, "999", outcome(SubmissionState.RECEIVED, **FIRST))
    await run(batching, "reconcile")
    assert await batching.one(STATE) == "received"


async def test_an_encounter_with_an_open_hold_stays_held_when_its_batch_arrives(batching: Any) -> None:
    batching.billing_.before = [VendorUnavailable("v", "put", "refused")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    batching.ehr_.change()
    await batching.notify()
    await run(batching, "normalize")
    assert set(await batching.findings()) == {"changed-after-submission"}
    await run(batching, "transmit")
    assert await batching.one(ENCOUNTER) == "held"


async def test_one_claim_that_cannot_be_asked_about_does_not_keep_the_others_from_being_asked(sent: Any) -> None:
    sent.capabilities = CAN | {BillingCapability.POLL_OUTCOME}
    first = await sent.one("select id from submission")
    columns = "clinic_id, encounter_id, claim_id, connection, state, evidence, vendor_ids, confirmed_at, ask_at"
    await execute(
        sent,
        f"insert into submission (id, {columns}) select 'GW2', clinic_id, encounter_id, 'other', connection, state,"
        " evidence, vendor_ids, confirmed_at, ask_at + interval '1 microsecond' from submission",
    )

    async def fetch(receipt: SubmissionReceipt) -> ClaimOutcome:
        if receipt.submission_id == first:
            raise VendorUnavailable("v", "status", "500 for this one, for ever")
        return replace(outcome(SubmissionState.ACCEPTED), submission_id=receipt.submission_id)

    sent.billing_.fetch_outcome = fetch
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    await settle(sent)
    assert await sent.one("select state from submission where id = 'GW2'") == "accepted"


@pytest.mark.parametrize("names", [{"control_number": "9" * 30}, {"account_number": "A\0"}, {"control_number": "²"}])
async def test_names_that_postgres_cannot_hold_are_unmatched_and_stop_nothing(posted: Any, names: Any) -> None:
    deliver(posted, "1 bad", outcome(SubmissionState.RECEIVED, **names))
    deliver(posted, "2 good", outcome(SubmissionState.RECEIVED, **FIRST))
    for _ in range(6):
        await run(posted, "reconcile")
    assert await posted.one("select count(*) from job where kind = 'reconcile'") == 1
    assert await posted.one(STATE) == "received"


async def test_a_message_does_not_end_the_asking(sent: Any) -> None:
    sent.capabilities = CAN | {BillingCapability.INBOUND_OUTCOME}
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    deliver(sent, "999", outcome(SubmissionState.ACCEPTED, account_number=await account(sent)))
    await run(sent, "reconcile")
    assert await sent.one("select ask_at is not null from submission")


async def test_the_payers_number_is_kept_also_after_the_claim_is_adjudicated(posted: Any) -> None:
    number = await account(posted)
    deliver(posted, "a", outcome(SubmissionState.ADJUDICATED, account_number=number))
    await run(posted, "reconcile")
    ids = {"PayerClaimControlNumber": "PCN1"}
    deliver(posted, "b", outcome(SubmissionState.ADJUDICATED, account_number=number, vendor_ids=ids))
    await run(posted, "reconcile")
    assert b"PCN1" in bytes(await posted.one("select vendor_ids from submission"))


# --- batches -----------------------------------------------------------------------------------------------------


async def test_a_full_waiting_room_does_not_shorten_the_time_in_which_a_lost_batch_may_settle(batching: Any) -> None:
    batching.billing_.batch = BatchRule(most=1, wait_seconds=600)
    batching.billing_.before = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await batching.work()
    assert await batching.one("select state from batch") == "uncertain"
    row = (await batching.store.submissions(CLINIC, await batching.one("select id from encounter")))[0]
    async with batching.store.unit_of_work(CLINIC) as unit:
        await unit.create_submission(NewSubmission("GW2", row.encounter_id, "claim-2", "billing"))
        await unit.join_batch("GW2", row.payload, wait=timedelta(seconds=600), most=1)
        await unit.commit(AuditEvent(Step.CONNECTION_RESUMED, batching.now(), CLINIC, "0" * 32))
    await batching.work()
    assert batching.billing_.looks == 0


async def test_giving_up_on_a_batch_in_doubt_does_not_call_its_claims_unsent(batching: Any) -> None:
    batching.billing_.repeatable_seconds = 1e9
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await batching.notify()
    await batching.work()
    await batching.work()
    batching.ahead = timedelta(hours=25)
    await settle(batching, 2)
    if await batching.findings():
        await recheck(batching)
    await settle(batching)
    assert set(batching.billing_.bodies) == {b"1 24.45"}


async def test_the_doubt_about_a_batch_outlives_a_repeat_that_was_refused_at_the_door(batching: Any) -> None:
    batching.billing_.repeatable_seconds = 3600
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await batching.notify()
    await batching.work()
    await batching.work()
    batching.billing_.before = [VendorUnavailable("v", "put", "refused")]
    await batching.later()
    batching.ahead = timedelta(hours=2)
    await settle(batching, 3)
    assert batching.billing_.bodies == [b"1 24.45"]
    assert batching.billing_.looks >= 1


async def test_the_doubt_about_a_claim_outlives_a_repeat_that_was_refused_at_the_door(world: Any) -> None:
    world.billing_.repeatable_seconds = 3600
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    world.billing_.before = [VendorUnavailable("v", "submit", "refused")]
    await world.later()
    world.ahead = timedelta(hours=2)
    await settle(world, 3)
    assert world.billing_.saved == ["24.45"]


async def test_an_encounter_withdrawn_while_its_claim_leaves_with_a_batch_is_not_simply_withdrawn(
    batching: Any,
) -> None:
    await batching.notify()
    await run(batching, "normalize")
    assert await batching.one(STATE) == "batched"
    batching.ehr_.withdraw()
    leave_while_fetching(batching)
    await batching.notify()
    await run(batching, "normalize")
    await settle(batching)
    assert batching.billing_.bodies == [b"1 24.45"]
    assert await batching.findings() == ["withdrawn-after-submission"]


async def test_a_claim_that_left_while_its_change_was_fetched_is_corrected_or_held(batching: Any) -> None:
    await batching.notify()
    await run(batching, "normalize")
    batching.ehr_.change()
    leave_while_fetching(batching)
    await batching.notify()
    await run(batching, "normalize")
    await settle(batching)
    assert batching.billing_.bodies == [b"1 24.45"]
    assert set(await batching.findings()) == {"changed-after-submission"}


def leave_while_fetching(world: Any) -> None:
    """The next read from the EHR takes so long that the waiting batch leaves meanwhile."""
    plain = world.ehr_.fetch_encounter

    async def fetch(ref: Any) -> Any:
        world.ehr_.fetch_encounter = plain
        await run(world, "transmit")
        return await plain(ref)

    world.ehr_.fetch_encounter = fetch


async def test_claims_whose_transmission_hits_a_defect_have_a_job_or_a_hold(batching: Any) -> None:
    batching.billing_.enclose = lambda *_: 1 / 0
    await batching.notify()
    await run(batching, "normalize")
    for _ in range(6):
        await run(batching, "transmit")
    jobs = await batching.one("select count(*) from job where kind = 'transmit'")
    assert jobs or await batching.findings()


async def test_claims_that_wait_for_a_batch_go_when_the_connection_no_longer_batches(batching: Any) -> None:
    await batching.notify()
    await run(batching, "normalize")

    def enclose(*_: Any) -> VendorPayload:
        raise UnsupportedOperation("v", "enclose", "this connection sends claims one by one")

    batching.billing_.batch, batching.billing_.enclose = None, enclose
    await settle(batching, 6)
    assert batching.billing_.bodies == [b"24.45"]


async def test_a_process_that_was_suspended_before_sending_a_batch_does_not_send_it(
    batching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADR 0004; another worker may have taken the job over and looked already."""
    await batching.notify()
    await run(batching, "normalize")
    real, ahead, commit = time.monotonic, [0.0], StepWork.commit

    async def frozen(self: Any, *events: AuditEvent) -> None:
        await commit(self, *events)
        if events[0].step is Step.DISCLOSURE_INTENDED:
            ahead[0] = 3600.0

    monkeypatch.setattr(StepWork, "commit", frozen)
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])
    with pytest.raises(StoreError):
        await run(batching, "transmit")
    assert batching.billing_.sent == 0


async def test_the_audit_tells_of_each_claim_whenever_a_batch_is_sent_again(batching: Any) -> None:
    batching.billing_.repeatable_seconds = 1e9
    batching.billing_.after = [OutcomeUnknown("v", "put", "broke off")]
    await batching.notify()
    await batching.work()
    await settle(batching)
    assert batching.billing_.sent == 2
    query = "select count(*) from audit_event where step = 'disclosure-intended' and patient is not null"
    assert await batching.one(query) == 2


# --- corrections -------------------------------------------------------------------------------------------------


async def test_a_claim_signed_again_after_a_void_that_never_left_is_a_replacement_in_every_respect(sent: Any) -> None:
    whole = sent.billing_.build

    def build(*arguments: Any) -> VendorPayload:
        raise ClaimRejected("v", "build", "the payer's number is not known yet")

    sent.billing_.build = build
    sent.ehr_.withdraw()
    await sent.notify()
    await sent.work()
    sent.billing_.build = whole
    sent.ehr_.sign_again()
    await sent.notify()
    await sent.work()
    assert sent.billing_.saved == ["24.45", "24.45~7"]
    assert await sent.one(ENCOUNTER) == "submitted"
    sent.ehr_.change()
    await sent.notify()
    await sent.work()
    assert sent.billing_.saved == ["24.45", "24.45~7", "40.50~7"]


async def test_a_replacement_that_waits_goes_as_a_first_claim_when_the_payer_rejects_what_it_replaces(
    sent: Any,
) -> None:
    sent.capabilities = CAN | {BillingCapability.POLL_OUTCOME}
    sent.billing_.before = [VendorUnavailable("v", "submit", "refused")]
    sent.ehr_.change()
    await sent.notify()
    await run(sent, "normalize")
    sent.billing_.outcome = outcome(SubmissionState.REJECTED, findings=(REFUSED,))
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    await run(sent, "reconcile")
    sent.capabilities = CAN
    await settle(sent)
    assert sent.billing_.saved == ["24.45", "40.50"]


async def test_a_claim_that_was_refused_after_its_replacement_was_planned_is_not_sent_beside_it(posted: Any) -> None:
    """Reconcile puts the first version back into the queue between normalize's look and its commit."""
    plain = posted.store.submissions

    async def submissions(*arguments: Any) -> Any:
        rows = await plain(*arguments)
        posted.store.submissions = plain
        deliver(posted, "999", outcome(SubmissionState.QUEUED, **FIRST))
        await run(posted, "reconcile")
        return rows

    posted.store.submissions = submissions
    posted.ehr_.change()
    await posted.notify()
    await run(posted, "normalize")
    await settle(posted, 6)
    assert b"24.45" not in b" ".join(posted.billing_.bodies[1:])


async def in_doubt(world: Any, *, arrived: bool) -> None:
    """A single claim whose answer was lost and whose look went wrong once: held."""
    world.capabilities = CAN
    lost = [OutcomeUnknown("v", "submit", "timed out")]
    world.billing_.after, world.billing_.before = (lost, []) if arrived else ([], lost)
    world.billing_.look_failure = UnexpectedResponse("v", "find", "garbage, once")
    await world.notify()
    await world.work()
    await world.later()
    assert await world.findings() == ["outcome-unknown"]
    world.billing_.look_failure = None


# --- rechecks of what is in doubt ---------------------------------------------------------------------------------


async def test_a_recheck_never_sends_the_claim_of_an_encounter_that_was_entered_in_error(world: Any) -> None:
    await in_doubt(world, arrived=False)
    world.ehr_.withdraw()
    await world.notify()
    await run(world, "normalize")
    assert await world.findings() == ["withdrawn-after-submission"]
    await recheck(world)
    await settle(world)
    assert (world.billing_.saved, await world.one(ENCOUNTER), await world.findings()) == ([], "withdrawn", [])


async def test_a_recheck_that_finds_the_claim_of_an_encounter_entered_in_error_voids_it(world: Any) -> None:
    """operations.md: `gateway recheck ID` looks for the claim once more, and goes on from what it finds."""
    await in_doubt(world, arrived=True)
    world.ehr_.withdraw()
    await world.notify()
    await run(world, "normalize")
    await recheck(world)
    await settle(world)
    assert (world.billing_.saved, await world.one(ENCOUNTER)) == (["24.45", "24.45~8"], "withdrawn")


async def test_a_recheck_of_a_changed_encounter_looks_for_its_claim_in_doubt_and_then_corrects_it(world: Any) -> None:
    await in_doubt(world, arrived=True)
    world.ehr_.change()
    await world.notify()
    await run(world, "normalize")
    assert set(await world.findings()) == {"changed-after-submission"}
    await recheck(world)
    await settle(world)
    assert (world.billing_.saved, await world.findings()) == (["24.45", "40.50~7"], [])


async def test_a_recheck_is_not_swallowed_by_a_job_that_waits(world: Any) -> None:
    await in_doubt(world, arrived=True)
    world.ehr_.version += 1
    world.ehr_.failure = VendorUnavailable("v", "fetch", "refused")
    await world.notify()
    await run(world, "normalize")
    await recheck(world)
    world.ehr_.failure = None
    await settle(world)
    assert (await world.one(STATE), await world.findings()) == ("received", [])


# --- decisions over what was read before ---------------------------------------------------------------------------


async def test_a_batch_that_a_message_settles_during_the_look_is_not_sent_again(batching: Any) -> None:
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")

    async def find(*_: Any) -> None:  # the vendor's list is behind, its 999 is not
        deliver(batching, "999", outcome(SubmissionState.QUEUED, **FIRST))
        await run(batching, "reconcile")

    batching.billing_.find_submission = find
    await run(batching, "transmit")
    await settle(batching, 6)
    assert batching.billing_.bodies == [b"1 24.45", b"2 24.45"]


async def test_a_batch_that_a_message_settles_before_its_answer_is_lost_is_not_sent_again(
    batching: Any,
) -> None:
    batching.billing_.repeatable_seconds = 1e9
    plain = batching.billing_.submit

    async def submit(payload: Any) -> Any:
        batching.billing_.submit = plain
        await plain(payload)
        deliver(batching, "999", outcome(SubmissionState.QUEUED, **FIRST))
        await run(batching, "reconcile")
        raise OutcomeUnknown("v", "put", "broke off")

    batching.billing_.submit = submit
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    await settle(batching, 6)
    assert batching.billing_.bodies == [b"1 24.45", b"2 24.45"]


async def test_a_held_batched_claim_does_not_fall_when_a_message_arrives_during_the_look(
    batching: Any,
) -> None:
    batching.billing_.finds = False
    batching.billing_.after = [OutcomeUnknown("v", "upload", "broke off")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    await run(batching, "transmit")
    assert await batching.findings() == ["outcome-unknown"]

    async def find(*_: Any) -> None:
        deliver(batching, "277", outcome(SubmissionState.ACCEPTED, account_number=await account(batching)))
        await run(batching, "reconcile")

    batching.billing_.find_submission = find
    await recheck(batching)
    await settle(batching)
    assert (await batching.one(STATE), batching.billing_.bodies) == ("accepted", [b"1 24.45"])


async def test_no_hold_asks_a_person_to_look_for_a_claim_that_a_message_settled_during_the_look(world: Any) -> None:
    await in_doubt(world, arrived=True)
    world.capabilities = CAN | {BillingCapability.INBOUND_OUTCOME}

    async def find(*_: Any) -> None:
        number = await account(world)
        async with world.store.unit_of_work("clinic-a") as unit:
            [row] = await unit.named("billing", outcome(SubmissionState.ACCEPTED, account_number=number))
            await unit.record_outcome(row, outcome(SubmissionState.ACCEPTED), ask_in=timedelta())
            await unit.commit(_event(world))
        raise UnexpectedResponse("v", "find", "garbage")

    world.billing_.find_submission = find
    await recheck(world)
    await settle(world, 1)
    assert (await world.one(STATE), await world.findings()) == ("accepted", [])


def _event(world: Any) -> Any:
    from gateway.canonical.audit_event import AuditEvent, Step

    return AuditEvent(Step.CONNECTION_RESUMED, world.now(), "clinic-a", "0" * 32)


async def test_a_replacement_in_the_waiting_room_goes_as_a_first_claim_when_what_it_replaces_is_rejected(
    posted: Any,
) -> None:
    first = await account(posted)
    posted.ehr_.change()
    await posted.notify()
    await run(posted, "normalize")
    deliver(posted, "277", outcome(SubmissionState.REJECTED, account_number=first, findings=(REFUSED,)))
    await run(posted, "reconcile")
    await settle(posted, 6)
    assert posted.billing_.bodies == [b"1 24.45", b"2 40.50"]


# --- messages, locks, audit ------------------------------------------------------------------------------------------


async def test_a_message_on_which_the_reader_breaks_does_not_keep_the_others_from_being_read(
    posted: Any,
) -> None:
    posted.billing_.mailbox["1 odd"] = b"odd"
    deliver(posted, "2 good", outcome(SubmissionState.RECEIVED, **FIRST))
    plain = posted.billing_.parse_outcome

    def parse(message: bytes) -> Any:
        if message == b"odd":
            raise KeyError("a defect of the reader")
        return plain(message)

    posted.billing_.parse_outcome = parse
    for _ in range(3):
        await run(posted, "reconcile")
    assert await posted.one(STATE) == "received"


async def test_a_message_and_the_answer_to_its_batch_do_not_block_each_other(batching: Any) -> None:
    """Reconcile locks the claims, then their batch; transmit must not lock them the other way round."""
    batching.billing_.before = [VendorUnavailable("v", "put", "refused")]
    await batching.notify()
    await batching.work()
    await run(batching, "transmit")
    batch = await batching.store.open_batch("clinic-a", "billing")
    spoken, settled = outcome(SubmissionState.RECEIVED, **FIRST), asyncio.Event()

    async def message() -> None:
        async with batching.store.unit_of_work("clinic-a") as unit:
            await unit.named("billing", spoken)
            settled.set()
            while not await batching.one(
                "select exists (select 1 from pg_stat_activity where wait_event_type = 'Lock'"
                " and query ilike '%update submission%')"
            ):
                await asyncio.sleep(0)
            await unit.arrived("billing", 1, spoken.evidence)
            await unit.commit(_event(batching))

    async def answer() -> None:
        await settled.wait()
        async with batching.store.unit_of_work("clinic-a") as unit:
            await unit.set_batch_state(batch, SubmissionState.UNCERTAIN)
            await unit.commit(_event(batching))

    found = await asyncio.wait_for(asyncio.gather(message(), answer(), return_exceptions=True), 20)
    assert [type(each) for each in found] in ([NoneType, NoneType], [NoneType, BatchSettled])


@pytest.mark.parametrize("step", ["disclosure-uncertain", "submission-looked-up", "encounter-withdrawn"])
async def test_every_step_that_touches_a_claim_names_its_patient_in_the_audit(world: Any, step: str) -> None:
    world.billing_.before = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    world.ehr_.withdraw()
    world.capabilities = CAN
    await world.notify()
    await world.work()
    query = f"select count(*) filter (where patient is null), count(*) from audit_event where step = '{step}'"
    async with world.store.acquire() as connection:
        nameless, all_ = await connection.fetchrow(query)
    assert all_ and not nameless


async def test_a_notice_that_comes_while_a_worker_takes_the_waiting_job_gets_a_job_of_its_own(world: Any) -> None:
    """What the worker reads may be older than what the notice tells of."""
    await world.notify()
    world.ehr_.version += 1
    async with world.store.acquire() as worker, worker.transaction():
        await worker.execute("update job set owner = 7, lease_until = clock_timestamp() + interval '1 minute'")
        noticing = asyncio.create_task(world.notify())
        waiting, _ = await asyncio.wait({noticing}, timeout=0.3)
        assert not waiting
    assert await noticing == 1
    assert await world.one("select count(*) from job where kind = 'normalize' and owner is null") == 1
