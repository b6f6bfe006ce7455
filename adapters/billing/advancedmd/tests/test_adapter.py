"""The adapter over real HTTP against the simulator: what the common contract does not ask."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.billing.advancedmd import patients, requests
from adapters.billing.advancedmd.adapter import AdvancedMd
from adapters.billing.advancedmd.requests import Message
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    DuplicateClaim,
    ErrorCode,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
    UnsupportedElement,
    VendorUnavailable,
)
from gateway.canonical.models import ClaimBundle, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.kit.contract_support import Simulator
from gateway.kit.samples import sample
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext

from .conftest import Connect

POST = "updvisitwithquickcharges"


async def submitted(adapter: AdvancedMd, claim: str | ClaimBundle, submission_id: str = "GW-1") -> SubmissionReceipt:
    """Build and submit a claim."""
    bundle = sample(claim) if isinstance(claim, str) else claim
    return await adapter.submit(adapter.build(bundle, submission_id))


def moved(simulator: Simulator, **body: Any) -> None:
    """The biller's and the payer's hands."""
    simulator.client.post("/_sim/advance", json=body).raise_for_status()


async def test_calls_of_a_cold_and_a_warm_submission(connect: Connect, simulator: Simulator) -> None:
    first, office_visit = connect(allow_same_day_charges=True), sample("office_visit")
    cold = await submitted(first, office_visit)
    # setup; 2 procedures, 1 modifier, 2 diagnoses; patient looked for, added, insured; visit and charges
    assert cold.calls == 1 + 5 + 3 + 2
    assert (await submitted(first, office_visit, "GW-2")).calls == 2
    second = connect(allow_same_day_charges=True)  # another worker: codes are shared, the patient is read again
    known = await submitted(second, office_visit, "GW-3")
    assert known.calls == 1 + 2 + 2
    assert known.vendor_ids["PatientID"] == cold.vendor_ids["PatientID"]


@pytest.mark.parametrize("form", ["json", "xml"])
async def test_saved_charges_say_what_the_claim_said(connect: Connect, simulator: Simulator, form: str) -> None:
    await submitted(connect(message_form=form), "twelve_diagnoses")
    (visit,) = simulator.ledger()["visits"]
    told = [(c["procedure"], c["modifiers"], c["diagnoses"], c["units"], c["fee"]) for c in visit["charges"]]
    assert told == [
        ("99214", ["25"], ["L57.0", "L40.0", "E11.9", "I10"], "1", "165.00"),
        ("17000", ["59"], ["L57.0"], "1", "145.00"),
        ("11102", [], ["D48.5", "Z85.828"], "1", "110.00"),
        ("17110", [], ["B07.9", "L70.0", "L82.1", "L20.9"], "1", "130.00"),
    ]
    assert (visit["profile"], visit["facility"], visit["day"]) == ("3", "fac1", "2026-03-03")


async def test_a_child_s_plan_belongs_to_the_parent(connect: Connect, simulator: Simulator) -> None:
    await submitted(connect(), "child_of_subscriber")
    ledger = simulator.ledger()
    (patient,), (party,) = ledger["patients"], ledger["parties"]
    assert party["name"] == "TANNENBAUM,GRETA"
    assert patient["party"] == patient["plans"][0]["subscriber"] == party["id"]


async def test_siblings_share_a_parent(connect: Connect, simulator: Simulator) -> None:
    claims = [sample("child_of_subscriber"), sample("child_of_subscriber")]
    sister = claims[1].find("Patient/ehr.p-milo")
    assert sister is not None
    sister["name"][0]["given"] = ["Mila"]
    payloads = [connect().build(claim, f"GW-{i}") for i, claim in enumerate(claims)]
    payloads[1] = replace(payloads[1], fields={**payloads[1].fields, "patient": "Patient/ehr.p-mila"})
    await asyncio.gather(*(connect().submit(payload) for payload in payloads))
    ledger = simulator.ledger()
    assert (len(ledger["patients"]), len(ledger["parties"])) == (2, 1)


async def test_a_subscriber_whom_the_office_knows_twice_is_not_guessed(connect: Connect) -> None:
    adapter = connect()
    payload = adapter.build(sample("child_of_subscriber"), "GW-1")
    parent = jsonio.loads(payload.body)["coverages"][0]["subscriber"]
    for _ in range(2):
        await adapter._service.call(requests.add_responsible_party(parent))
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(payload)
    assert refusal.value.findings[0].expression == "Claim.insurance[0].coverage.subscriber"


async def test_two_payers_in_their_order(connect: Connect, simulator: Simulator) -> None:
    await submitted(connect(), "two_payers")
    (patient,) = simulator.ledger()["patients"]
    assert [(p["coverage"], p["number"]) for p in patient["plans"]] == [("1", "1EG4TE5MK73"), ("2", "007420088")]


async def test_two_workers_create_one_patient(connect: Connect, simulator: Simulator) -> None:
    workers = [connect(allow_same_day_charges=True) for _ in range(2)]
    await asyncio.gather(*(submitted(w, "office_visit", f"GW-{i}") for i, w in enumerate(workers)))
    ledger = simulator.ledger()
    assert len(ledger["patients"]) == 1
    assert len(ledger["claims"]) == 2


@pytest.mark.parametrize(
    ("reference", "change", "settings", "code", "expression"),
    [
        (
            "Practitioner/ehr.dr-stone",
            {"name": [{"family": "Nobody", "given": ["A"]}]},
            {"profiles": {}},
            ErrorCode.PROVIDER_NOT_FOUND,
            "Claim.careTeam",
        ),
        ("Location/ehr.main", {"name": "Elsewhere"}, {}, ErrorCode.LOCATION_NOT_FOUND, "Claim.facility"),
        (
            "Organization/ehr.payer-pine",
            {"name": "Unknown Health"},
            {"carriers": {}},
            ErrorCode.PAYER_UNKNOWN,
            "Claim.insurance[0].coverage",
        ),
    ],
)
async def test_a_refused_claim_creates_nobody(
    connect: Connect,
    simulator: Simulator,
    reference: str,
    change: dict[str, Any],
    settings: dict[str, Any],
    code: ErrorCode,
    expression: str,
) -> None:
    claim = sample("office_visit")
    resource = claim.find(reference)
    assert resource is not None
    resource.update(change)
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(connect(**settings), claim)
    assert refusal.value.code is code
    assert refusal.value.findings[0].expression == expression
    ledger = simulator.ledger()
    assert (ledger["patients"], ledger["visits"]) == ([], [])


@pytest.mark.parametrize(
    ("path", "code", "error", "element"),
    [
        ("productOrService", "99499", ErrorCode.INVALID_PROCEDURE, "Claim.item[1].productOrService"),
        ("modifier", "ZZ", ErrorCode.INVALID_MODIFIER, "Claim.item[1].modifier"),
    ],
)
async def test_a_code_that_the_office_lacks_is_named(
    connect: Connect, path: str, code: str, error: ErrorCode, element: str
) -> None:
    claim = sample("office_visit")
    concept = {"coding": [{"code": code}]}
    claim.claim["item"][1][path] = [concept] if path == "modifier" else concept
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(connect(), claim)
    assert refusal.value.code is error
    assert refusal.value.findings[0].expression == element


async def test_this_connection_may_not_create_patients(connect: Connect, simulator: Simulator) -> None:
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(connect(create_patients=False), "office_visit")
    assert refusal.value.code is ErrorCode.NOT_FOUND
    assert simulator.ledger()["patients"] == []


async def test_the_plan_on_file_must_be_the_claim_s(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(allow_same_day_charges=True)
    await submitted(adapter, "office_visit")
    claim = sample("office_visit")
    coverage = claim.find("Coverage/ehr.cov-jane")
    assert coverage is not None
    coverage["subscriberId"] = "BWH000001"
    reads = simulator.ledger()["calls"].get("getdemographic", 0)
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(adapter, claim, "GW-2")
    assert refusal.value.code is ErrorCode.COVERAGE_MISMATCH
    ledger = simulator.ledger()
    assert ledger["calls"]["getdemographic"] == reads + 1  # what was remembered may have been out of date
    assert len(ledger["visits"]) == 1


async def test_a_patient_of_the_office_without_a_plan_is_left_alone(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    document = jsonio.loads(adapter.build(sample("office_visit"), "GW-1").body)
    await adapter._service.call(requests.add_patient(document["patient"], "prof3", "SELF", "18"))
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(adapter, "office_visit")
    assert refusal.value.code is ErrorCode.COVERAGE_MISSING
    assert simulator.ledger()["patients"][0]["plans"] == []


async def test_a_look_alike_is_held(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    person = jsonio.loads(adapter.build(sample("office_visit"), "GW-1").body)["patient"]
    await adapter._service.call(requests.add_patient({**person, "sex": "M"}, "prof3", "SELF", "18"))
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(adapter, "office_visit")
    assert refusal.value.code is ErrorCode.PATIENT_AMBIGUOUS


async def test_a_patient_that_was_saved_late_is_taken(
    connect: Connect, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW-1")
    simulator.fail("addpatient", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(VendorUnavailable):
        await adapter.submit(payload)
    seen = iter([None, patients.same_patient])
    monkeypatch.setattr(patients, "same_patient", lambda *told: (look := next(seen)) and look(*told))
    await adapter.submit(payload)
    assert [len(patient["plans"]) for patient in simulator.ledger()["patients"]] == [1]


async def test_a_list_that_is_too_long_decides_nothing(
    connect: Connect, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.billing.advancedmd.lookups.MAX_PAGES", 0)
    with pytest.raises(UnexpectedResponse):
        await submitted(connect(), "office_visit")
    assert simulator.ledger()["patients"] == []


@pytest.mark.parametrize("action", ["addpatient", "addinsurance", "addvisit"])
@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER_SAVE, FaultKind.RESET])
async def test_a_lost_step_is_taken_up_where_it_ended(
    connect: Connect, simulator: Simulator, action: str, kind: FaultKind
) -> None:
    adapter = connect()
    payload = adapter.build(sample("two_payers"), "GW-1")
    simulator.fail(action, kind)
    with pytest.raises(VendorUnavailable):
        await adapter.submit(payload)
    assert await adapter.find_submission("GW-1", payload) is None
    await connect().submit(payload)  # another worker
    ledger = simulator.ledger()
    assert [len(ledger[name]) for name in ("patients", "parties", "visits", "claims")] == [1, 1, 1, 1]
    assert len(ledger["patients"][0]["plans"]) == 2


async def test_a_lost_visit_is_not_looked_for_while_it_may_still_be_saving(
    connect: Connect, simulator: Simulator, context: AdapterContext
) -> None:
    payload = connect().build(sample("office_visit"), "GW-1")
    simulator.fail("addvisit", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(VendorUnavailable):
        await connect(settle_seconds=60).submit(payload)
    with pytest.raises(VendorUnavailable) as early:
        await connect(settle_seconds=60).submit(payload)
    assert early.value.retry_after == pytest.approx(60)
    later = replace(context, now=lambda: context.now() + timedelta(seconds=61))
    await connect(with_context=later, settle_seconds=60).submit(payload)
    assert len(simulator.ledger()["visits"]) == 1


async def test_a_throttled_visit_is_in_no_doubt(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(settle_seconds=60)
    payload = adapter.build(sample("office_visit"), "GW-1")
    simulator.fail("addvisit", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited):
        await adapter.submit(payload)
    await adapter.submit(payload)
    assert simulator.ledger()["calls"].get("getdatevisits", 0) == 0


async def test_a_worker_that_died_while_writing_its_visit_down_finds_it_again(
    connect: Connect, simulator: Simulator, context: AdapterContext
) -> None:
    payload = connect().build(sample("office_visit"), "GW-1")
    simulator.fail("addvisit", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(VendorUnavailable):
        await connect().submit(payload)
    await context.shared.put("visit-owner/800001", b"GW-1")  # the first of the two records was written
    await connect().submit(payload)
    assert len(simulator.ledger()["visits"]) == 1


async def test_a_visit_that_somebody_charged_is_never_taken(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(allow_same_day_charges=True)
    known = await submitted(adapter, "two_payers", "GW-0")
    patient = known.vendor_ids["PatientID"]
    made = await adapter._service.call(requests.add_visit(patient, "prof3", "03/03/2026"))
    await _charge_of_others(adapter, made["visit"]["@id"], patient)
    payload = adapter.build(sample("two_payers"), "GW-1")
    simulator.fail("addvisit", FaultKind.RESET)
    with pytest.raises(VendorUnavailable):
        await adapter.submit(payload)
    await adapter.submit(payload)
    assert [visit["notes"] for visit in simulator.ledger()["visits"]] == [
        ["Gateway GW-0"],
        ["by hand"],
        ["Gateway GW-1"],
    ]


async def test_a_refused_claim_leaves_its_visit_to_the_next_one(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(profiles={"1679576722": "prof3"}, facilities={"1999999984": "fac77"})
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(adapter, "office_visit", "GW-1")
    assert refusal.value.vendor_code == "2051"
    assert refusal.value.findings[0].edit == "advancedmd-2051"
    await submitted(connect(), "office_visit", "GW-2")
    (visit,) = simulator.ledger()["visits"]
    assert visit["notes"] == ["Gateway GW-2"]


async def test_duplicates_of_others_are_held(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    await submitted(adapter, "office_visit", "GW-1")
    with pytest.raises(ClaimRejected) as refusal:
        await submitted(adapter, "office_visit", "GW-2")
    assert refusal.value.code is ErrorCode.DUPLICATE
    assert not isinstance(refusal.value, DuplicateClaim)
    assert len(simulator.ledger()["claims"]) == 1


async def test_a_duplicate_of_our_own_is_the_receipt(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW-1")
    first = await adapter.submit(payload)
    again = await adapter.submit(payload)
    assert again.vendor_ids == first.vendor_ids
    assert len(simulator.ledger()["claims"]) == 1


async def test_a_claim_that_a_biller_voided_is_still_found(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW-1")
    simulator.fail(POST, FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    moved(simulator, to="voided")
    found = await adapter.find_submission("GW-1", payload)
    assert found is not None
    assert len(found.vendor_ids["ChargeIDs"].split(",")) == 2


@pytest.mark.parametrize(
    ("to", "state", "warned"),
    [
        (None, SubmissionState.RECEIVED, False),
        ("posted", SubmissionState.ACCEPTED, False),
        ("billed", SubmissionState.ACCEPTED, False),
        ("voided", SubmissionState.RECEIVED, True),
    ],
)
async def test_outcomes(
    connect: Connect, simulator: Simulator, to: str | None, state: SubmissionState, warned: bool
) -> None:
    adapter = connect()
    receipt = await submitted(adapter, "office_visit")
    if to:
        moved(simulator, to=to)
    outcome = await adapter.fetch_outcome(receipt)
    assert outcome.evidence.state is state
    assert [finding.edit for finding in outcome.findings] == ["advancedmd-voided"] * warned
    assert receipt.vendor_ids["VisitID"] in outcome.evidence.reference
    reads = simulator.ledger()["calls"]["getchargedetaildata"]
    assert reads == (1 if to is None else 2)  # a charge that waits for approval decides alone


async def test_outcome_of_charges_that_are_gone(connect: Connect) -> None:
    adapter = connect()
    receipt = await submitted(adapter, "office_visit")
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.fetch_outcome(replace(receipt, vendor_ids={"VisitID": "800001"}))
    assert refusal.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(UnexpectedResponse):
        await adapter.fetch_outcome(replace(receipt, vendor_ids={"ChargeIDs": "1"}))


def correction(adapter: AdvancedMd, on_file: SubmissionReceipt, submission_id: str = "GW-2") -> VendorPayload:
    """The sample `replacement`, of the encounter that a claim on file is of."""
    return adapter.build(sample("replacement"), submission_id, on_file)


async def test_a_correction_voids_and_posts_on_our_own_visit(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    on_file = await submitted(adapter, "office_visit")
    receipt = await adapter.submit(correction(adapter, on_file))
    (visit,) = simulator.ledger()["visits"]
    assert [(c["procedure"], c["void"]) for c in visit["charges"]] == [
        ("99213", True),
        ("17000", True),
        ("17000", False),
        ("17003", False),
    ]
    assert receipt.vendor_ids["VisitID"] == on_file.vendor_ids["VisitID"]
    assert visit["notes"] == ["Gateway GW-1", "Gateway GW-2"]
    again = await adapter.submit(adapter.build(sample("replacement"), "GW-3", receipt))  # and once more
    assert set(again.vendor_ids["ChargeIDs"].split(",")).isdisjoint(receipt.vendor_ids["ChargeIDs"].split(","))


async def test_a_lost_correction_is_found_by_its_new_charges(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    on_file = await submitted(adapter, "office_visit")
    payload = correction(adapter, on_file)
    simulator.fail("savecharges", FaultKind.RESET)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    assert await adapter.find_submission("GW-2", payload) is None
    simulator.fail("savecharges", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    found = await adapter.find_submission("GW-2", payload)
    assert found is not None
    assert set(found.vendor_ids["ChargeIDs"].split(",")).isdisjoint(on_file.vendor_ids["ChargeIDs"].split(","))
    assert [claim["submission_id"] for claim in simulator.ledger()["claims"]] == ["GW-1", "GW-2"]


async def _charge_of_others(adapter: AdvancedMd, visit: str, patient: str) -> None:
    charge = {"@proccode": "pcode1001", "@units": "1", "@begindate": "03/03/2026", "@enddate": "03/03/2026"}
    codes = {"@pos": "11", "@billins": "1", "diagcodelist": {"@codeset": "10", "diagcode": [{"@id": "1001"}]}}
    told = {"@id": visit, "@date": "03/03/2026", "@force": "1", "@profile": "prof3", "@note": "by hand"}
    content = {
        "@patientid": requests.plain(patient),
        "@approval": "1",
        "visit": {**told, "chargelist": {"charge": [{**charge, **codes}]}},
    }
    await adapter._service.call(Message(POST, content))


@pytest.mark.parametrize("why", ["others", "billed", "paid", "voided", "unknown", "profile"])
async def test_a_correction_that_could_do_harm_is_left_to_a_person(
    connect: Connect, simulator: Simulator, context: AdapterContext, why: str
) -> None:
    adapter = connect()
    on_file = await submitted(adapter, "office_visit")
    claim = sample("replacement")
    if why == "others":
        await _charge_of_others(adapter, on_file.vendor_ids["VisitID"], on_file.vendor_ids["PatientID"])
    elif why == "unknown":
        await context.shared.drop("visit/GW-1")
    elif why == "profile":
        provider = claim.find("Practitioner/ehr.dr-stone")
        assert provider is not None
        provider["identifier"][0]["value"], provider["name"] = "1245319599", [{"family": "Reed", "given": ["Beth"]}]
    else:
        moved(simulator, to=why)
    before = simulator.ledger()["visits"]
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(adapter.build(claim, "GW-2", on_file))
    assert refusal.value.findings[0].expression == "Claim.related"
    assert refusal.value.findings[0].fix
    assert simulator.ledger()["visits"] == before
    assert simulator.ledger()["calls"].get("savecharges", 0) == 0


def test_a_correction_without_the_receipt_is_refused(connect: Connect) -> None:
    with pytest.raises(UnsupportedElement):
        connect().build(sample("replacement"), "GW-2")


async def test_charges_that_the_answer_does_not_name_are_read(
    connect: Connect, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = connect()
    monkeypatch.setattr("adapters.billing.advancedmd.replies.charge_ids", lambda results: ())
    receipt = await submitted(adapter, "office_visit")
    assert receipt.vendor_ids["ChargeIDs"] == "5100001,5100002"
    assert simulator.ledger()["calls"]["gettxhistory"] == 2  # the second page has nothing new


async def test_concurrent_claims_look_a_code_up_once(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(allow_same_day_charges=True)
    await asyncio.gather(*(submitted(adapter, "office_visit", f"GW-{i}") for i in range(5)))
    calls = simulator.ledger()["calls"]
    assert (calls["lookupproccode"], calls["lookupdiagcode"], calls["lookupmodcode"]) == (2, 2, 1)
    assert calls["getschedulersetup"] == 1


async def test_probe_names_what_is_misconfigured(connect: Connect) -> None:
    lines = await connect(profiles={"1679576722": "prof99"}).probe()
    assert [(line.what, line.ok) for line in lines] == [
        ("sign in to AdvancedMD", True),
        ("profiles", False),
        ("facilities", True),
    ]
    assert "99" in lines[1].detail


async def test_no_text_of_the_vendor_is_passed_on(connect: Connect, simulator: Simulator) -> None:
    adapter = connect(facilities={"1999999984": "fac77"})
    with pytest.raises(AdapterError) as problem:
        await submitted(adapter, "office_visit")
    assert "Invalid attribute" not in str(problem.value)
