"""Each trap of the service, by name: what Tebra does, and that the adapter does not fall into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from adapters.billing.kareo_tebra import ADAPTER, operations, requests
from adapters.billing.kareo_tebra.adapter import KareoTebra
from adapters.billing.kareo_tebra.payload import build
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import ClaimRejected, ErrorCode, OutcomeUnknown, RateLimited, UnsupportedElement
from gateway.canonical.models import SubmissionState, VendorPayload
from gateway.kit.contract_support import Simulator
from gateway.kit.encoders import soap
from gateway.kit.samples import sample
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingCapability

Worker = Callable[..., KareoTebra]
SUBMISSION_ID = "0198f0c2-6a1e-7d55-9c3a-2f6b8e4d7c10"


async def test_no_idempotency_so_a_repeat_is_a_second_encounter_and_nothing_is_repeated(
    worker: Worker, tebra: Simulator
) -> None:
    adapter = worker()
    assert adapter.repeatable_seconds == 0
    payload = adapter.build(sample("office_visit"), SUBMISSION_ID)
    tebra.fail("CreateEncounter", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    assert await adapter.find_submission(SUBMISSION_ID, payload) is not None  # so the pipeline does not send it again
    await adapter.submit(payload)
    assert len(tebra.ledger()["encounters"]) == 2


def test_no_update_so_a_replacement_is_refused_and_named(worker: Worker) -> None:
    assert BillingCapability.CORRECT not in ADAPTER.capabilities
    with pytest.raises(UnsupportedElement) as caught:
        worker().build(sample("replacement"), SUBMISSION_ID)
    assert caught.value.findings[0].expression == "Claim.related"


async def test_no_lookup_by_external_id_so_the_batch_number_is_asked_for(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    payload = adapter.build(sample("office_visit"), SUBMISSION_ID)
    await adapter.submit(payload)
    (saved,) = tebra.ledger()["encounters"]
    assert saved["BatchNumber"] == SUBMISSION_ID
    assert saved["ExternalID"] == SUBMISSION_ID[:25]  # cut: it could not be searched for if there were a way
    found = await adapter.find_submission(SUBMISSION_ID, payload)
    assert found is not None
    assert found.vendor_ids["EncounterID"] == saved["EncounterID"]
    assert await adapter.find_submission(SUBMISSION_ID[:-1], payload) is None


async def test_external_ids_are_cut_at_25_characters_so_the_line_number_is_kept_before_the_cut(
    worker: Worker, tebra: Simulator
) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("office_visit"), SUBMISSION_ID))
    (saved,) = tebra.ledger()["encounters"]
    ids = [line["ExternalID"] for line in saved["lines"]]
    assert [external_id[-2:] for external_id in ids] == ["-1", "-2"]
    assert len(set(ids)) == 2
    assert max(map(len, ids)) == 25


async def test_four_diagnoses_a_line_so_what_the_lines_lose_is_noted_and_a_fifth_pointer_refused(
    worker: Worker, settings: KareoTebraSettings
) -> None:
    claim = sample("twelve_diagnoses")
    document = jsonio.loads(worker().build(claim, SUBMISSION_ID).body)
    named = {
        line[f"DiagnosisCode{n}"] for line in document["lines"] for n in range(1, 5) if f"DiagnosisCode{n}" in line
    }
    wanted = [entry["diagnosisCodeableConcept"]["coding"][0]["code"] for entry in claim.claim["diagnosis"]]
    assert named < set(wanted)
    assert document["encounter"]["BusinessOfficeNotes"].endswith(", ".join(wanted))
    claim.claim["item"][0]["diagnosisSequence"] = [1, 2, 3, 4, 5]
    with pytest.raises(UnsupportedElement) as caught:
        build(claim, SUBMISSION_ID, settings, ZoneInfo("UTC"))
    assert caught.value.findings[0].expression == "Claim.item[0].diagnosisSequence"


async def test_a_throttle_inside_http_200_is_no_success_and_no_failure(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    payload = adapter.build(sample("office_visit"), SUBMISSION_ID)
    tebra.fail("CreateEncounter", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited) as caught:
        await adapter.submit(payload)
    assert caught.value.retry_after is not None
    assert tebra.ledger()["encounters"] == []


async def test_a_validation_error_inside_http_200_is_a_refusal_that_names_the_element(
    worker: Worker, tebra: Simulator
) -> None:
    adapter = worker()
    payload = adapter.build(sample("office_visit"), SUBMISSION_ID)
    document = jsonio.loads(payload.body)
    document["lines"][1]["ProcedureModifier1"] = "59.0"
    changed = VendorPayload(SUBMISSION_ID, payload.content_type, jsonio.dumps(document), payload.fields)
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(changed)
    assert caught.value.code is ErrorCode.INVALID_MODIFIER
    assert [finding.expression for finding in caught.value.findings] == ["Claim.item[1].modifier[0]"]
    assert "59.0" not in str(caught.value)
    assert tebra.ledger()["encounters"] == []


@pytest.mark.parametrize("operation", ["CreateEncounter", "CreatePatient", "UpdatePatient"])
def test_members_out_of_order_are_dropped_without_a_word_so_all_are_sent_in_ordinal_order(
    operation: str, worker: Worker
) -> None:
    document = jsonio.loads(worker().build(sample("auto_accident"), SUBMISSION_ID).body)
    contracts: dict[str, requests.Contract] = {
        "CreateEncounter": requests.create_encounter(
            document, requests.ResolvedIds("4", "13", "11", "12", "12"), "4127", "9001"
        ),
        "CreatePatient": requests.create_patient(document, "4", with_case=True),
        "UpdatePatient": requests.add_case(document, "4", "4127"),
    }
    header = operations.request_header("ck", "pw", "user")
    sent = soap.parse(operations.request(operation, header, contracts[operation]))
    contract = sent[0][1]  # after the RequestHeader, a base-class member, whose own order is another one
    for element in contract.iter():
        names = [soap.local_name(child) for child in element]
        assert names == sorted(names)


@pytest.mark.parametrize("name", ["auto_accident", "two_payers", "period_with_line_note", "referred_and_authorized"])
async def test_nothing_that_was_sent_is_dropped_by_tebra(name: str, worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    payload = adapter.build(sample(name), SUBMISSION_ID)
    await adapter.submit(payload)
    document = jsonio.loads(payload.body)
    ledger = tebra.ledger()
    (encounter,), (patient,) = ledger["encounters"], ledger["patients"]
    (case,) = patient["cases"]
    assert [line["procedure"] for line in encounter["lines"]] == [line["ProcedureCode"] for line in document["lines"]]
    assert encounter["authorization_number"] == document["encounter"].get("AuthorizationNumber")
    assert encounter["notes"] == [line.get("LineNote") for line in document["lines"]]
    assert encounter["business_office_notes"] == document["encounter"].get("BusinessOfficeNotes")
    assert encounter["referring"] == ("referring_provider" in document)
    assert encounter["supervising"] == ("supervising_provider" in document)
    assert case["CaseName"] == document["case"]["CaseName"]
    assert case["condition"] == document["case"].get("Condition")
    assert [policy["PolicyNumber"] for policy in case["policies"]] == [
        policy["PolicyNumber"] for policy in document["case"]["Policies"]
    ]


@pytest.mark.parametrize(
    ("changes", "status", "charges"),
    [
        ({}, "Submitted", None),
        ({"encounter_status": "Draft"}, "Draft", None),
        ({"encounter_status": "Approved"}, "Approved", "Ready"),
    ],
)
async def test_approved_starts_billing_so_only_the_clinic_s_own_word_makes_it_so(
    worker: Worker, tebra: Simulator, changes: dict[str, Any], status: str, charges: str | None
) -> None:
    adapter = worker(**changes)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), SUBMISSION_ID))
    (saved,) = tebra.ledger()["encounters"]
    assert saved["status"] == status
    assert {line["charge_status"] for line in saved["lines"]} == {charges}
    assert receipt.state is SubmissionState.RECEIVED


async def test_status_and_charges_are_polled_because_tebra_sends_nothing(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    receipt = await adapter.submit(adapter.build(sample("office_visit"), SUBMISSION_ID))
    seen = []
    for status in (None, "Approved", None, "Completed"):
        if status is not None or seen:
            body = {"EncounterID": receipt.vendor_ids["EncounterID"]} | ({"to": status} if status else {})
            answer: httpx.Response = tebra.client.post("/_sim/advance", json=body)
            answer.raise_for_status()
        seen.append((await adapter.fetch_outcome(receipt)).evidence.state)
    received = SubmissionState.RECEIVED
    assert seen == [received, received, received, SubmissionState.ADJUDICATED]


async def test_get_throttles_tells_the_account_s_own_gaps(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("office_visit"), SUBMISSION_ID))
    assert tebra.ledger()["calls"]["GetThrottles"] == 1
    assert adapter._service._gaps["CreateEncounter"] == 0.0  # the simulator's, which runs without gaps
