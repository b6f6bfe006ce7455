"""A void sets the encounter on file to Rejected, as long as the biller has not approved it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from adapters.billing.kareo_tebra.adapter import KareoTebra
from gateway.canonical import jsonio
from gateway.canonical.errors import ClaimRejected, ErrorCode, MappingError, OutcomeUnknown
from gateway.canonical.models import SubmissionReceipt, SubmissionState
from gateway.kit.contract_frame import PRIOR
from gateway.kit.contract_support import Simulator
from gateway.kit.samples import sample, void_of
from gateway.kit.simulator import FaultKind

Worker = Callable[..., KareoTebra]
VOID = void_of(sample("replacement"))


async def on_file(adapter: KareoTebra) -> SubmissionReceipt:
    """A claim that Tebra has."""
    return await adapter.submit(adapter.build(sample("office_visit"), "s-1"))


def advance(tebra: Simulator, receipt: SubmissionReceipt, status: str) -> None:
    """What the biller does on the screen."""
    body = {"EncounterID": receipt.vendor_ids["EncounterID"], "to": status}
    answer: httpx.Response = tebra.client.post("/_sim/advance", json=body)
    answer.raise_for_status()


def statuses(tebra: Simulator) -> list[str]:
    return [encounter["status"] for encounter in tebra.ledger()["encounters"]]


@pytest.mark.parametrize(
    ("vendor_ids", "named"),
    [
        ({"EncounterID": "29001"}, ["29001"]),
        ({"EncounterID": "29001", "DuplicateEncounterIDs": "29002,29003"}, ["29001", "29002", "29003"]),
    ],
)
def test_a_void_names_every_encounter_on_file(worker: Worker, vendor_ids: dict[str, str], named: list[str]) -> None:
    payload = worker().build(VOID, "s-2", replace(PRIOR, vendor_ids=vendor_ids))
    assert jsonio.loads(payload.body) == {"void": {"EncounterIDs": named}}


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_a_void_of_nothing_is_refused(worker: Worker, prior: SubmissionReceipt | None) -> None:
    with pytest.raises(MappingError) as caught:
        worker().build(VOID, "s-2", prior)
    assert caught.value.findings[0].expression == "Claim.related"


@pytest.mark.parametrize("status", ["Draft", "Submitted"])
async def test_an_encounter_that_waits_for_the_biller_is_set_aside(
    worker: Worker, tebra: Simulator, status: str
) -> None:
    adapter = worker(encounter_status=status)
    prior = await on_file(adapter)
    payload = adapter.build(VOID, "s-2", prior)
    assert await adapter.find_submission("s-2", payload) is None
    receipt = await adapter.submit(payload)
    assert (receipt.submission_id, receipt.state) == ("s-2", SubmissionState.RECEIVED)
    assert statuses(tebra) == ["Rejected"]
    assert (await adapter.fetch_outcome(receipt)).evidence.state is SubmissionState.ACCEPTED
    found = await adapter.find_submission("s-2", payload)
    assert found is not None
    assert found.vendor_ids == receipt.vendor_ids


async def test_an_approved_encounter_is_a_person_s_business(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    prior = await on_file(adapter)
    advance(tebra, prior, "Approved")
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(VOID, "s-2", prior))
    assert caught.value.findings[0].edit == "tebra-approved"
    assert caught.value.findings[0].fix
    assert "UpdateEncounterStatus" not in tebra.ledger()["calls"]
    assert statuses(tebra) == ["Approved"]


async def test_of_two_copies_none_is_touched_when_one_is_approved(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    first, second = await on_file(adapter), await on_file(adapter)
    advance(tebra, second, "Approved")
    copies = {**first.vendor_ids, "DuplicateEncounterIDs": second.vendor_ids["EncounterID"]}
    with pytest.raises(ClaimRejected):
        await adapter.submit(adapter.build(VOID, "s-2", replace(first, vendor_ids=copies)))
    assert statuses(tebra) == ["Submitted", "Approved"]


async def test_a_void_is_repeatable(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    payload = adapter.build(VOID, "s-2", await on_file(adapter))
    first = await adapter.submit(payload)
    assert (await adapter.submit(payload)).vendor_ids == first.vendor_ids
    assert tebra.ledger()["calls"]["UpdateEncounterStatus"] == 1


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        (FaultKind.RESET, False),
        (FaultKind.RESET_AFTER_SAVE, True),
        (FaultKind.TIMEOUT_AFTER_SAVE, True),
        (FaultKind.HTTP_500, False),
        (FaultKind.GARBAGE, False),
    ],
)
async def test_a_lost_answer_is_settled_by_reading_the_status(
    worker: Worker, tebra: Simulator, kind: FaultKind, done: bool
) -> None:
    adapter = worker()
    payload = adapter.build(VOID, "s-2", await on_file(adapter))
    tebra.fail("UpdateEncounterStatus", kind)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    assert (await adapter.find_submission("s-2", payload) is not None) == done


async def test_an_encounter_that_is_gone_cannot_be_voided(worker: Worker) -> None:
    adapter = worker()
    prior = replace(PRIOR, vendor_ids={"EncounterID": "99999"})
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(VOID, "s-2", prior))
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_a_void_that_the_biller_took_back_is_told(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    prior = await on_file(adapter)
    receipt = await adapter.submit(adapter.build(VOID, "s-2", prior))
    advance(tebra, prior, "Submitted")
    assert (await adapter.fetch_outcome(receipt)).evidence.state is SubmissionState.RECEIVED
    advance(tebra, prior, "Approved")
    outcome = await adapter.fetch_outcome(receipt)
    assert outcome.evidence.state is SubmissionState.REJECTED
    assert outcome.findings[0].edit == "tebra-approved"
