"""An encounter that is signed again, or marked as entered in error, after its claim was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.canonical import jsonio
from gateway.canonical.errors import ClaimRejected, OutcomeUnknown, VendorUnavailable
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimOutcome, Evidence, SubmissionState
from gateway.pipeline.reconcile import reconcile_job
from gateway.ports.billing import BillingCapability

CLINIC = "clinic-a"
CAN = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.CORRECT, BillingCapability.VOID})
STATES = "select string_agg(frequency || ' ' || state, ', ' order by created_at) from submission"
ENCOUNTER = "select state from encounter"


@pytest.fixture
async def sent(world: Any) -> Any:
    """A vendor that takes corrections, and a first claim on file."""
    world.capabilities = CAN
    await world.notify()
    await world.work()
    assert world.billing_.saved == ["24.45"]
    return world


async def again(world: Any) -> None:
    await world.notify()
    await world.work()


async def claims(world: Any) -> list[tuple[str, str]]:
    """(id's generation, status) of each Claim as it is now."""
    async with world.store.acquire() as connection:
        rows = await connection.fetch("select content from resource where resource_type = 'Claim' order by id")
    found = [jsonio.loads(row["content"]) for row in rows]
    return [(claim["id"].rpartition("-")[2], claim["status"]) for claim in found]


async def test_a_changed_encounter_replaces_its_claim(sent: Any) -> None:
    sent.ehr_.change()
    await again(sent)
    assert sent.billing_.saved == ["24.45", "40.50~7"]
    assert await sent.one(STATES) == "1 received, 7 received"
    assert await sent.one(ENCOUNTER) == "submitted"
    assert await claims(sent) == [("1", "cancelled"), ("2", "active")]
    prior = sent.billing_.priors[-1]
    assert prior.vendor_ids == {"EncounterID": "1"}


async def test_the_same_content_again_replaces_nothing(sent: Any) -> None:
    sent.ehr_.change()
    await again(sent)
    sent.ehr_.version += 1
    await again(sent)
    assert sent.billing_.saved == ["24.45", "40.50~7"]


async def test_each_further_change_replaces_the_newest_on_file(sent: Any) -> None:
    for _ in range(2):
        sent.ehr_.change()
        await again(sent)
    assert sent.billing_.saved == ["24.45", "40.50~7", "56.55~7"]
    assert await claims(sent) == [("1", "cancelled"), ("2", "cancelled"), ("3", "active")]


async def test_the_replacement_names_the_payers_own_number_once_it_is_known(sent: Any) -> None:
    evidence = Evidence(SubmissionState.ACCEPTED, "277CA", datetime.now(UTC))
    numbered = ClaimOutcome("", evidence, vendor_ids={PAYER_CLAIM_CONTROL_NUMBER: "PCN1"})
    sent.billing_.outcome, sent.capabilities = numbered, CAN | {BillingCapability.POLL_OUTCOME}
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    await sent.work()
    sent.ehr_.change()
    await again(sent)
    content = await sent.one("select content from resource where resource_type = 'Claim' order by id desc limit 1")
    assert jsonio.loads(content)["related"][0]["reference"] == {"value": "PCN1"}
    assert sent.billing_.priors[-1].vendor_ids == {"EncounterID": "1", PAYER_CLAIM_CONTROL_NUMBER: "PCN1"}


async def test_a_lost_answer_to_a_replacement_is_looked_for(sent: Any) -> None:
    sent.ehr_.change()
    sent.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await again(sent)
    assert await sent.one(STATES) == "1 received, 7 uncertain"
    await sent.later()
    assert await sent.one(STATES) == "1 received, 7 received"
    assert sent.billing_.saved == ["24.45", "40.50~7"]


async def test_a_claim_in_doubt_is_not_replaced_before_it_is_settled(world: Any) -> None:
    world.capabilities, world.billing_.finds = CAN, False
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    world.ehr_.change()
    await again(world)
    assert set(await world.findings()) == {"changed-after-submission"}
    assert world.billing_.saved == ["24.45"]


async def test_a_refused_replacement_is_held_and_the_next_one_replaces_what_is_still_on_file(sent: Any) -> None:
    sent.ehr_.change()
    sent.billing_.before = [ClaimRejected("v", "submit", "no")]
    await again(sent)
    assert await sent.one(ENCOUNTER) == "held"
    sent.ehr_.change()
    await again(sent)
    assert sent.billing_.saved == ["24.45", "56.55~7"]
    assert await claims(sent) == [("1", "cancelled"), ("2", "active")]


async def test_a_claim_that_the_payer_rejected_is_sent_as_a_first_claim_again(sent: Any) -> None:
    """It was never on file: frequency 1, under an id that no search of the vendor mistakes for the refused one."""
    evidence = Evidence(SubmissionState.REJECTED, "277CA A7", datetime.now(UTC))
    sent.billing_.outcome, sent.capabilities = ClaimOutcome("", evidence), CAN | {BillingCapability.POLL_OUTCOME}
    await sent.store.ensure_job(CLINIC, reconcile_job("billing"))
    await sent.work()
    assert await sent.one(ENCOUNTER) == "held"
    sent.ehr_.change()
    await again(sent)
    assert sent.billing_.saved == ["24.45", "40.50"]
    assert await sent.one(STATES) == "1 rejected, 1 received"


async def test_an_encounter_entered_in_error_voids_its_claim(sent: Any) -> None:
    sent.ehr_.withdraw()
    await again(sent)
    assert sent.billing_.saved == ["24.45", "24.45~8"]
    assert await sent.one(STATES) == "1 received, 8 received"
    assert await sent.one(ENCOUNTER) == "withdrawn"
    assert await claims(sent) == [("1", "cancelled"), ("2", "cancelled")]
    sent.ehr_.version += 1
    await again(sent)
    assert sent.billing_.saved == ["24.45", "24.45~8"]


async def test_an_encounter_signed_again_after_its_void_is_a_first_claim(sent: Any) -> None:
    sent.ehr_.withdraw()
    await again(sent)
    sent.ehr_.sign_again()
    await again(sent)
    assert sent.billing_.saved == ["24.45", "24.45~8", "24.45"]
    assert await sent.one(ENCOUNTER) == "submitted"


async def test_an_encounter_entered_in_error_before_anything_was_sent_sends_nothing(world: Any) -> None:
    world.billing_.before = [VendorUnavailable("v", "submit", "refused")]
    await world.notify()
    await world.work()
    world.ehr_.withdraw()
    await world.notify()
    async with world.store.acquire() as connection:  # the submission waits for its retry, the news comes first
        await connection.execute("delete from job where kind = 'submit'")
    await world.work()
    assert world.billing_.saved == []
    assert await world.one(ENCOUNTER) == "withdrawn"
    world.ehr_.sign_again()
    await again(world)
    assert world.billing_.saved == ["24.45"]


async def test_a_vendor_that_cannot_correct_gets_a_person(sent: Any) -> None:
    sent.capabilities = frozenset({BillingCapability.FIND_SUBMISSION})
    sent.ehr_.change()
    await again(sent)
    assert set(await sent.findings()) == {"changed-after-submission"}
    sent.ehr_.withdraw()
    await again(sent)
    assert await sent.findings() == ["withdrawn-after-submission"]
    assert sent.billing_.saved == ["24.45"]
