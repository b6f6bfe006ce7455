"""The Elation adapter against its simulator: what is read, when, and what is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from adapters.ehr.elation import ADAPTER
from adapters.ehr.elation.adapter import ElationEhr
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import ErrorCode, MappingError, NotSignedOff, UnexpectedResponse, VendorUnavailable
from gateway.canonical.identifiers import account_number, canonical_id
from gateway.canonical.models import ClaimFate, EncounterRef, SubmissionState
from gateway.canonical.subscription import SubscriptionStatus
from gateway.kit.contract_support import Simulator, contract_context
from gateway.kit.errors import CredentialsRejected, RateLimited
from gateway.kit.simulator import FaultKind

BILL = "65098"
REF = EncounterRef(BILL, "")
HOOK = "http://127.0.0.1:9/hooks/contract/ehr"
AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
OURS = account_number("contract", canonical_id("contract", BILL), 0)


def control(simulator: Simulator, command: str, **body: Any) -> dict[str, Any]:
    answer = simulator.client.post(f"/_sim/{command}", json={"encounter_id": BILL, **body})
    answer.raise_for_status()
    return dict(answer.json())


def fate(state: SubmissionState, **more: Any) -> ClaimFate:
    return ClaimFate(state, OURS, "the billing system", AT, **more)


async def polled(ehr: ElationEhr, cursor: str | None = "2020-01-01T00:00:00+00:00") -> list[tuple[str, str]]:
    return [(ref.encounter_id, position) async for ref, position in ehr.changed_encounters(cursor)]


# --- what is signed ---------------------------------------------------------------------------------------------------


async def test_the_bill_of_an_unsigned_note_is_not_shown(ehr: ElationEhr, simulator: Simulator) -> None:
    simulator.client.post("/_sim/reset").raise_for_status()
    with pytest.raises(UnexpectedResponse) as raised:
        await ehr.fetch_encounter(REF)
    assert raised.value.code is ErrorCode.NOT_FOUND


async def test_a_bill_released_before_the_signature_waits_for_it(ehr: ElationEhr, simulator: Simulator) -> None:
    simulator.client.post("/_sim/reset").raise_for_status()
    control(simulator, "early")
    record = await ehr.fetch_encounter(REF)
    with pytest.raises(NotSignedOff):
        ehr.normalize(record)
    assert await polled(ehr) == []


async def test_a_deleted_note_withdraws_the_visit(ehr: ElationEhr, simulator: Simulator) -> None:
    control(simulator, "withdraw")
    assert (await ehr.fetch_encounter(REF)).withdrawn
    assert [encounter for encounter, _ in await polled(ehr)] == [BILL]


async def test_a_deleted_bill_withdraws_the_visit(ehr: ElationEhr, simulator: Simulator) -> None:
    control(simulator, "remove")
    record = await ehr.fetch_encounter(REF)
    assert record.withdrawn
    assert record.encounter["id"] == BILL


async def test_an_id_that_is_no_number_is_never_sent(ehr: ElationEhr) -> None:
    with pytest.raises(UnexpectedResponse) as raised:
        await ehr.fetch_encounter(EncounterRef("../patients/1", ""))
    assert raised.value.code is ErrorCode.NOT_FOUND


# --- what is billed already -------------------------------------------------------------------------------------------


async def test_a_bill_that_another_system_has_billed_is_held(ehr: ElationEhr, simulator: Simulator) -> None:
    control(simulator, "bill")
    with pytest.raises(MappingError) as raised:
        ehr.normalize(await ehr.fetch_encounter(REF))
    assert raised.value.findings[0].expression == "Bill.billing_status"
    assert await polled(ehr) == []


async def test_the_mark_can_be_ignored(settings: dict[str, Any], simulator: Simulator) -> None:
    control(simulator, "bill")
    adapter = ElationEhr(ADAPTER.settings(**settings, own_billing="ignore"), contract_context())
    assert adapter.normalize(await adapter.fetch_encounter(REF)).charges
    assert [encounter for encounter, _ in await polled(adapter)] == [BILL]
    await adapter.aclose()


async def test_a_bill_that_the_gateway_has_marked_can_still_be_amended(ehr: ElationEhr, simulator: Simulator) -> None:
    bundle = ehr.normalize(await ehr.fetch_encounter(REF))
    claim = build_claim(bundle, ehr.context.clinic, created="2026-03-05T12:00:00Z", generation=1)
    await ehr.write_back(REF, replace(fate(SubmissionState.ACCEPTED), account_number=claim.account_number))
    control(simulator, "amend")
    assert [encounter for encounter, _ in await polled(ehr)] == [BILL]
    assert ehr.normalize(await ehr.fetch_encounter(REF)).charges[0].quantity == 2


async def test_the_bill_of_another_practice_is_held(settings: dict[str, Any]) -> None:
    adapter = ElationEhr(ADAPTER.settings(**settings, practice_id="1"), contract_context())
    record = await adapter.fetch_encounter(REF)
    with pytest.raises(MappingError) as raised:
        adapter.normalize(record)
    assert raised.value.findings[0].expression == "Bill.practice"
    assert await polled(adapter) == []
    await adapter.aclose()


# --- write-back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [SubmissionState.RECEIVED, SubmissionState.ACCEPTED, SubmissionState.ADJUDICATED])
async def test_a_received_claim_marks_the_bill_as_billed(
    ehr: ElationEhr, simulator: Simulator, state: SubmissionState
) -> None:
    await ehr.write_back(REF, fate(state))
    (written,) = simulator.ledger()["written"]
    assert (written["ref_number"], written["billing_date"]) == (OURS, "2026-03-05T12:00:00Z")
    assert written["billing_status"] == "Billed"


@pytest.mark.parametrize("reason", ["The member id is unknown.", "x" * 500, ""])
async def test_a_rejected_claim_marks_the_bill_as_failed_with_the_reason(
    ehr: ElationEhr, simulator: Simulator, reason: str
) -> None:
    await ehr.write_back(REF, fate(SubmissionState.REJECTED, reason=reason))
    await ehr.write_back(REF, fate(SubmissionState.REJECTED, reason=reason))
    (written,) = simulator.ledger()["written"]
    assert written["billing_error"] and written["billing_error"].startswith(reason[:200])
    assert written["billing_status"] == "UnresolvedError"
    assert ehr.normalize(await ehr.fetch_encounter(REF)).charges


async def test_a_claim_on_its_way_tells_nothing(ehr: ElationEhr, simulator: Simulator) -> None:
    for state in (SubmissionState.QUEUED, SubmissionState.SENT, SubmissionState.UNCERTAIN, SubmissionState.HELD):
        await ehr.write_back(REF, fate(state))
    assert simulator.ledger()["written"] == []


async def test_a_corrected_claim_that_is_received_marks_the_bill_again(ehr: ElationEhr, simulator: Simulator) -> None:
    await ehr.write_back(REF, fate(SubmissionState.RECEIVED))
    await ehr.write_back(REF, fate(SubmissionState.REJECTED, reason="No."))
    await ehr.write_back(REF, fate(SubmissionState.RECEIVED))
    statuses = [written["billing_status"] for written in simulator.ledger()["written"]]
    assert statuses == ["Billed", "UnresolvedError", "Billed"]


# --- feed and backfill ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visits", [230])
async def test_every_page_of_the_list_is_read(ehr: ElationEhr, simulator: Simulator) -> None:
    found = [encounter for encounter, _ in await polled(ehr)]
    assert len(set(found)) == 230
    assert simulator.ledger()["calls"]["GET bills"] == 3


@pytest.mark.parametrize("visits", [2])
async def test_the_poll_gives_what_has_changed_since_the_cursor(settings: dict[str, Any], simulator: Simulator) -> None:
    adapter = ElationEhr(ADAPTER.settings(**settings, overlap_seconds=0), contract_context())
    control(simulator, "withdraw")  # changes the bill now, after the clinic's clock of the test
    positions = [position for _, position in await polled(adapter)]
    assert positions == sorted(positions)
    future = datetime(2999, 1, 1, tzinfo=UTC).isoformat()
    assert await polled(adapter, future) == []
    await adapter.aclose()


@pytest.mark.parametrize("visits", [2])
async def test_a_time_ahead_of_now_does_not_move_the_cursor_there(
    settings: dict[str, Any], simulator: Simulator
) -> None:
    """The simulator's clock is ahead of the adapter's: what changes until then must not be passed over."""
    now = datetime(2026, 3, 10, tzinfo=UTC)
    adapter = ElationEhr(ADAPTER.settings(**settings), replace(contract_context(), now=lambda: now))
    control(simulator, "withdraw")
    positions = [position for _, position in await polled(adapter)]
    assert max(datetime.fromisoformat(position) for position in positions) == now
    await adapter.aclose()


@pytest.mark.parametrize("visits", [3])
async def test_the_backfill_resumes_after_its_position(ehr: ElationEhr) -> None:
    found = [(ref.encounter_id, position) async for ref, position in ehr.backfill(date(2026, 3, 1), None)]
    assert [encounter for encounter, _ in found] == ["65098", "65099", "65100"]
    rest = [ref.encounter_id async for ref, _ in ehr.backfill(date(2026, 3, 1), found[0][1])]
    assert rest == ["65099", "65100"]


async def test_the_backfill_leaves_earlier_dates_of_service_out(ehr: ElationEhr) -> None:
    assert [pair async for pair in ehr.backfill(date(2026, 3, 5), None)] == []


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_a_throttle_without_headers_gives_a_pause_of_its_own(ehr: ElationEhr, simulator: Simulator) -> None:
    simulator.fail("*", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited) as raised:
        await ehr.fetch_encounter(REF)
    assert raised.value.retry_after == 15.0


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE, FaultKind.HTTP_500, FaultKind.RESET])
async def test_a_broken_answer_is_asked_for_again_later(ehr: ElationEhr, simulator: Simulator, kind: FaultKind) -> None:
    simulator.fail("read:patients", kind, times=5)
    with pytest.raises(VendorUnavailable):
        await ehr.fetch_encounter(REF)
    simulator.client.post("/_sim/faults", json={"rules": []}).raise_for_status()
    assert (await ehr.fetch_encounter(REF)).resources


async def test_a_wrong_secret_stops_the_connection(settings: dict[str, Any]) -> None:
    adapter = ElationEhr(ADAPTER.settings(**{**settings, "client_secret": "wrong"}), contract_context())
    with pytest.raises(CredentialsRejected):
        await adapter.fetch_encounter(REF)
    assert [probe.remedy != "" for probe in await adapter.probe()] == [True]
    await adapter.aclose()


async def test_expired_tokens_are_renewed(ehr: ElationEhr, simulator: Simulator) -> None:
    await ehr.fetch_encounter(REF)
    control(simulator, "expire_tokens")
    assert (await ehr.fetch_encounter(REF)).encounter["id"] == BILL


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_subscribing_twice_leaves_one_subscription_per_resource(ehr: ElationEhr, simulator: Simulator) -> None:
    again = await ehr.subscribe(HOOK)
    assert [subscribed.topic for subscribed in again] == ["bills", "visit_notes"]
    assert len(simulator.ledger()["subscriptions"]) == 2


async def test_an_ended_subscription_is_off(ehr: ElationEhr) -> None:
    first, _ = await ehr.subscribe(HOOK)
    assert (await ehr.subscription_status(first.id)).status is SubscriptionStatus.ACTIVE
    await ehr.unsubscribe(first.id)
    await ehr.unsubscribe(first.id)
    assert (await ehr.subscription_status(first.id)).status is SubscriptionStatus.OFF
