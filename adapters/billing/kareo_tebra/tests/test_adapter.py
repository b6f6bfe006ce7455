"""The adapter over real HTTP against the simulator: what the common contract does not ask."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest
from lxml import etree
from pydantic import ValidationError

from adapters.billing.kareo_tebra import ADAPTER, operations, requests
from adapters.billing.kareo_tebra.adapter import KareoTebra
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    ClaimRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    VendorUnavailable,
)
from gateway.canonical.models import ClaimBundle, VendorPayload
from gateway.kit.contract_support import NoPacer, Simulator, contract_context
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext

Connect = Callable[..., KareoTebra]
XS = "{http://www.w3.org/2001/XMLSchema}"


@pytest.fixture
def small_visit(load_claim: Callable[[str], ClaimBundle]) -> ClaimBundle:
    return load_claim("small_visit")


async def test_calls_of_a_cold_and_a_warm_submission(
    connect: Connect, load_claim: Callable[[str], ClaimBundle], simulator: Simulator
) -> None:
    first = connect()
    created = await first.submit(first.build(load_claim("small_visit"), "s-1"))
    assert (
        created.calls == 3 + 3
    )  # the directory (GetThrottles is nobody's), then GetPatients, CreatePatient, CreateEncounter
    again = await first.submit(first.build(load_claim("small_visit"), "s-2"))
    assert again.calls == 1
    await first.submit(first.build(load_claim("signed_after_midnight"), "s-3"))
    second = connect()
    await second.submit(second.build(load_claim("signed_after_midnight"), "s-4"))
    known = await second.submit(second.build(load_claim("small_visit"), "s-5"))
    assert known.calls == 3  # GetPatients, GetPatient, CreateEncounter
    assert known.vendor_ids["PatientID"] == created.vendor_ids["PatientID"]
    assert simulator.ledger()["calls"]["CreatePatient"] == 2


async def test_two_workers_create_one_patient(connect: Connect, small_visit: ClaimBundle, simulator: Simulator) -> None:
    workers = [connect(), connect()]
    await asyncio.gather(*(worker.submit(worker.build(small_visit, f"s-{i}")) for i, worker in enumerate(workers)))
    ledger = simulator.ledger()
    assert len(ledger["patients"]) == 1
    assert len(ledger["encounters"]) == 2


async def test_saved_encounter_says_what_the_claim_said(
    connect: Connect, load_claim: Callable[[str], ClaimBundle], simulator: Simulator
) -> None:
    adapter = connect()
    await adapter.submit(adapter.build(load_claim("reordered_pointers"), "s-1"))
    (saved,) = simulator.ledger()["encounters"]
    assert saved["total"] == "351.05"
    assert (saved["authorization_number"], saved["status"], saved["place_of_service"]) == (
        "PA-55120",
        "Submitted",
        "11",
    )
    assert (saved["service_date"], saved["post_date"]) == ("2026-03-03", "2026-03-04")
    told = [(line["procedure"], line["diagnoses"], line["modifiers"], line["units"]) for line in saved["lines"]]
    assert told == [
        ("J3301", ["E11.9", "L57.0"], ["JZ"], "4"),
        ("G0439", ["L57.0", "I10"], ["59", "LT", "GC", "XS"], "1"),
        ("Q0091", ["I10"], [], "1.5"),
    ]


def _with_npi(bundle: ClaimBundle, reference: str, npi: str) -> None:
    resource = bundle.find(reference)
    assert resource is not None
    resource["identifier"][0]["value"] = npi


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("Practitioner/dr-stone", ErrorCode.PROVIDER_NOT_FOUND),
        ("Location/main-office", ErrorCode.LOCATION_NOT_FOUND),
    ],
)
async def test_refused_claim_creates_nobody(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator, reference: str, code: ErrorCode
) -> None:
    adapter = connect()
    _with_npi(small_visit, reference, "1999999984")
    resource = small_visit.find(reference)
    assert resource is not None
    resource["name"] = "Elsewhere"  # of the location; a practitioner is matched by NPI only
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(small_visit, "s-1"))
    assert caught.value.code is code
    assert caught.value.findings[0].fix
    ledger = simulator.ledger()
    assert (ledger["patients"], ledger["encounters"]) == ([], [])


async def test_a_provider_added_in_tebra_is_seen_without_waiting_an_hour(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = connect()
    payload = adapter.build(small_visit, "s-1")
    await adapter.submit(payload)
    document = jsonio.loads(payload.body)
    document["rendering_provider"]["npi"] = "1999999984"
    unknown = VendorPayload("s-2", payload.content_type, jsonio.dumps(document), payload.fields)
    reads = simulator.ledger()["calls"]["GetProviders"]
    with pytest.raises(ClaimRejected):
        await adapter.submit(unknown)
    assert simulator.ledger()["calls"]["GetProviders"] == reads  # just read: not again
    monkeypatch.setattr("adapters.billing.kareo_tebra.directory.RECHECK_SECONDS", 0.0)
    with pytest.raises(ClaimRejected):
        await adapter.submit(unknown)
    assert simulator.ledger()["calls"]["GetProviders"] == reads + 1


async def test_coverage_must_be_that_of_the_case(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator
) -> None:
    adapter = connect()
    await adapter.submit(adapter.build(small_visit, "s-1"))
    coverage = small_visit.find("Coverage/cov-ann")
    assert coverage is not None
    coverage["subscriberId"] = "BWH000001"
    reads = simulator.ledger()["calls"].get("GetPatient", 0)
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(small_visit, "s-2"))
    assert caught.value.code is ErrorCode.COVERAGE_MISMATCH
    assert caught.value.findings[0].expression == "Claim.insurance"
    # what was remembered may be out of date, so the patient was read again before the refusal
    assert simulator.ledger()["calls"]["GetPatient"] == reads + 1
    assert len(simulator.ledger()["encounters"]) == 1


@pytest.mark.parametrize(
    ("changes", "code", "patients"),
    [
        ({"create_patients": False}, ErrorCode.NOT_FOUND, 0),
        ({"insurance_plans": {}}, ErrorCode.PAYER_UNKNOWN, 0),
        ({"create_patient_case": False, "insurance_plans": {}}, ErrorCode.COVERAGE_MISSING, 1),
    ],
)
async def test_settings_of_patient_creation(
    connect: Connect,
    small_visit: ClaimBundle,
    simulator: Simulator,
    changes: dict[str, Any],
    code: ErrorCode,
    patients: int,
) -> None:
    adapter = connect(**changes)
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(small_visit, "s-1"))
    assert caught.value.code is code
    assert len(simulator.ledger()["patients"]) == patients
    assert simulator.ledger()["encounters"] == []


async def test_twins_are_not_guessed(connect: Connect, small_visit: ClaimBundle) -> None:
    adapter = connect()
    payload = adapter.build(small_visit, "s-1")
    document = jsonio.loads(payload.body)
    del document["patient"]["MedicalRecordNumber"]
    for _ in range(2):
        await adapter._service.call("CreatePatient", requests.create_patient(document, "4", with_case=True))
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(payload)
    assert caught.value.code is ErrorCode.PATIENT_AMBIGUOUS


async def test_lost_patient_creation_is_looked_for(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator
) -> None:
    adapter = connect()
    payload = adapter.build(small_visit, "s-1")
    simulator.fail("CreatePatient", FaultKind.RESET_AFTER_SAVE)
    with pytest.raises(VendorUnavailable):
        await adapter.submit(payload)
    assert (
        await adapter.submit(payload)
    ).calls == 3  # the directory is known; GetPatients, GetPatient, CreateEncounter
    assert len(simulator.ledger()["patients"]) == 1


async def test_of_two_copies_the_oldest_counts_and_the_other_is_named(
    connect: Connect, small_visit: ClaimBundle
) -> None:
    adapter = connect()
    payload = adapter.build(small_visit, "s-1")
    first, second = [(await adapter.submit(payload)).vendor_ids["EncounterID"] for _ in range(2)]
    found = await adapter.find_submission("s-1", payload)
    assert found is not None
    assert found.vendor_ids["EncounterID"] == first
    assert found.vendor_ids["DuplicateEncounterIDs"] == second
    assert second in found.evidence.reference


@pytest.mark.parametrize(
    ("member", "value", "expression"),
    [
        ("DiagnosisCode2", "NOT-A-CODE", "Claim.item[0].diagnosisSequence[1]"),
        ("ProcedureModifier1", "59.0", "Claim.item[0].modifier[0]"),
        ("ProcedureCode", "99999", "Claim.item[0].productOrService"),
    ],
)
async def test_vendor_refusals_name_the_element(
    connect: Connect, load_claim: Callable[[str], ClaimBundle], member: str, value: str, expression: str
) -> None:
    adapter = connect()
    payload = adapter.build(load_claim("reordered_pointers"), "s-1")
    document = jsonio.loads(payload.body)
    document["lines"][0][member] = value
    changed = VendorPayload("s-1", payload.content_type, jsonio.dumps(document), payload.fields)
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(changed)
    assert [finding.expression for finding in caught.value.findings] == [expression]
    assert value not in str(caught.value) + str(caught.value.findings)


async def test_pace(connect: Connect, small_visit: ClaimBundle, context: AdapterContext) -> None:
    adapter = connect(learn_rate_gaps=False)
    await adapter.submit(adapter.build(small_visit, "s-1"))
    assert isinstance(context.pacer, NoPacer)
    asked = dict(context.pacer.asked)
    assert asked["GetPatients"] == 1.25
    assert asked["CreateEncounter"] == 0.625
    assert "GetThrottles" not in asked


async def test_learned_gaps_take_the_place_of_the_documented_ones(
    connect: Connect, small_visit: ClaimBundle, context: AdapterContext
) -> None:
    adapter = connect()  # the simulator runs at pace 0 and says so in GetThrottles
    await adapter.submit(adapter.build(small_visit, "s-1"))
    assert isinstance(context.pacer, NoPacer)
    context.pacer.asked.clear()
    await adapter.submit(adapter.build(small_visit, "s-2"))
    assert context.pacer.asked == []


async def test_unreadable_throttles_stop_nothing(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator
) -> None:
    adapter = connect()
    simulator.fail("GetThrottles", FaultKind.HTTP_500)
    assert (await adapter.submit(adapter.build(small_visit, "s-1"))).vendor_ids["EncounterID"]


async def test_throttle_says_when_to_come_back(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator
) -> None:
    adapter = connect(learn_rate_gaps=False)
    simulator.fail("CreateEncounter", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited) as caught:
        await adapter.submit(adapter.build(small_visit, "s-1"))
    assert caught.value.retry_after == 0.625


async def test_wrong_practice_stops_the_connection(connect: Connect, small_visit: ClaimBundle) -> None:
    adapter = connect(practice_name="Hillside Cardiology")
    with pytest.raises(PermissionMissing, match="practice_name"):
        await adapter.submit(adapter.build(small_visit, "s-1"))
    (line,) = await adapter.probe()
    assert not line.ok
    assert "practice_name" in line.remedy


async def test_outcome_after_the_encounter_is_gone(
    connect: Connect, small_visit: ClaimBundle, simulator: Simulator
) -> None:
    adapter = connect()
    receipt = await adapter.submit(adapter.build(small_visit, "s-1"))
    simulator.reset()
    with pytest.raises(ClaimRejected) as caught:
        await adapter.fetch_outcome(receipt)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_an_unfiltered_reply_proves_nothing(
    connect: Connect, small_visit: ClaimBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = connect()
    payload = adapter.build(small_visit, "s-1")
    await adapter.submit(payload)
    unfiltered = requests.charges("s-1", date(2026, 3, 3), date(2026, 3, 3))
    monkeypatch.setattr(requests, "charges", lambda *_: unfiltered)
    assert await adapter.find_submission("s-1", payload) is not None
    assert await adapter.find_submission("s-2", payload) is None


async def test_broken_content_encoding_is_an_unknown_outcome(
    small_visit: ClaimBundle, plain_settings: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = KareoTebra(KareoTebraSettings.model_validate(plain_settings("http://127.0.0.1:9")), contract_context())

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"not gzip")

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(adapter._service, "_client", client)
    with pytest.raises(OutcomeUnknown):
        await adapter._service.call("CreateEncounter", {})
    await adapter.aclose()


@pytest.fixture
def wire_schema(simulator_url: str, tmp_path: pathlib.Path) -> etree.XMLSchema:
    """The XML schemas inside the WSDL that the simulator serves."""
    wsdl = etree.fromstring(httpx.get(f"{simulator_url}/services/soap/2.1/KareoServices.svc?wsdl").content)
    schemas = list(wsdl.iter(f"{XS}schema"))
    files = {schema.get("targetNamespace"): tmp_path / f"{i}.xsd" for i, schema in enumerate(schemas)}
    for schema in schemas:
        for imported in schema.iter(f"{XS}import"):
            imported.set("schemaLocation", files[imported.get("namespace")].name)
        files[schema.get("targetNamespace")].write_bytes(etree.tostring(schema))
    return etree.XMLSchema(etree.parse(str(files[operations.SCHEMA])))


@pytest.mark.parametrize("name", ["small_visit", "reordered_pointers", "two_payers", "auto_accident"])
def test_requests_are_valid_by_the_schema(
    name: str,
    wire_schema: etree.XMLSchema,
    load_claim: Callable[[str], ClaimBundle],
    connect: Connect,
) -> None:
    document = jsonio.loads(connect().build(load_claim(name), "s-1").body)
    ids = requests.ResolvedIds("4", "13", "11", "12", "12")
    sent = {
        "CreateEncounter": requests.create_encounter(document, ids, "4127", "9001"),
        "CreatePatient": requests.create_patient(document, "4", with_case=True),
        "GetPatients": requests.patients(document["patient"], "Lakeside Dermatology"),
        "GetPatient": requests.patient("4127"),
        "GetServiceLocations": requests.list_request(PracticeName="Lakeside Dermatology"),
        "GetEncounterDetails": requests.encounter_details("29541", "Lakeside Dermatology"),
        "UpdateEncounterStatus": requests.reject_encounter("29541", "Lakeside Dermatology"),
        "UpdatePatient": requests.add_case(document, "4", "4127"),
    }
    header = operations.request_header("ck", "pw", "user")
    for operation, contract in sent.items():
        envelope = etree.fromstring(operations.request(operation, header, contract))
        wire_schema.assertValid(etree.ElementTree(envelope[0][0]))


def test_settings_refuse_plain_http() -> None:
    secrets = {"customer_key": "a", "user": "b", "password": "c", "practice_name": "d"}
    with pytest.raises(ValidationError, match="https"):
        KareoTebraSettings.model_validate({**secrets, "endpoint": "http://tebra.example/x"})
    assert KareoTebraSettings.model_validate(secrets).endpoint.startswith("https://")


def test_every_setting_and_capability_is_documented() -> None:
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    words = [*ADAPTER.settings.model_fields, *ADAPTER.capabilities]
    assert [word for word in words if f"`{word}`" not in readme] == []


def test_fact_sheet() -> None:
    assert ADAPTER.settle_seconds == 120
    assert ADAPTER.simulator == "adapters.billing.kareo_tebra.simulator"
