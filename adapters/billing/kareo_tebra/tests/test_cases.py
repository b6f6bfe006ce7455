"""The case that a claim is billed on: accident and onset, a case that is added once, authorizations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.kareo_tebra import operations, requests
from adapters.billing.kareo_tebra.adapter import KareoTebra
from adapters.billing.kareo_tebra.case_names import CASE_NAME_LENGTH, case_name, label_of
from adapters.billing.kareo_tebra.cases import authorization_problem
from adapters.billing.kareo_tebra.coverage import case_of
from adapters.billing.kareo_tebra.payload import build
from adapters.billing.kareo_tebra.replies import Authorization, PatientCase, Policy, patient_cases
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import jsonio
from gateway.canonical.codes import ACT_CODE, concept
from gateway.canonical.errors import ClaimRejected, ErrorCode, MappingError, UnsupportedElement, VendorUnavailable
from gateway.canonical.models import ClaimBundle
from gateway.kit.contract_support import Simulator
from gateway.kit.encoders import soap
from gateway.kit.samples import sample
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext

Worker = Callable[..., KareoTebra]
LABEL = "[auto accident FL 2026-03-01, onset 2026-03-01]"


def ordinary() -> ClaimBundle:
    """The visit of the accident's patient, with the same coverage, for something else."""
    claim = sample("auto_accident")
    kept = {name: value for name, value in claim.claim.items() if name not in ("accident", "supportingInfo")}
    return ClaimBundle(kept, claim.resources)


def with_accident(**changes: Any) -> ClaimBundle:
    claim = sample("auto_accident")
    claim.claim["accident"] |= changes
    return claim


# --- building ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "condition", "words"),
    [
        (["WPA"], {"RelatedToEmployment": True}, "work accident"),
        (["SPT"], {"RelatedToOther": True}, "other accident"),
        (["SCHOOL"], {"RelatedToOther": True}, "other accident"),
        (
            ["WPA", "MVA"],
            {"RelatedToAutoAccident": True, "RelatedToAutoAccidentState": "FL", "RelatedToEmployment": True},
            "auto and work accident FL",
        ),
    ],
)
def test_kinds_of_accident(
    kinds: list[str], condition: dict[str, Any], words: str, settings: KareoTebraSettings
) -> None:
    codings = [coding for kind in kinds for coding in concept(ACT_CODE, kind)["coding"]]
    case = case_of(with_accident(type={"coding": codings}), settings)
    assert case["Condition"] == condition
    assert case["CaseName"] == f"[{words} 2026-03-01, onset 2026-03-01] Gulf Auto Insurance"


def test_an_onset_without_an_accident_is_told_on_the_case_too(settings: KareoTebraSettings) -> None:
    claim = sample("auto_accident")
    del claim.claim["accident"]
    case = case_of(claim, settings)
    assert case["CaseName"] == "[onset 2026-03-01] Gulf Auto Insurance"
    assert (case.get("Condition"), case["Dates"]) == (None, {"InjuryStartDate": "2026-03-01T00:00:00"})


@pytest.mark.parametrize(
    ("changes", "expression"),
    [
        ({"type": concept(ACT_CODE, "NEW")}, "Claim.accident.type"),
        ({"type": {}}, "Claim.accident.type"),
        ({"locationAddress": {}}, "Claim.accident.locationAddress.state"),
        ({"locationAddress": {"state": "Florida"}}, "Claim.accident.locationAddress.state"),
    ],
)
def test_what_a_case_needs_is_named(changes: dict[str, Any], expression: str, settings: KareoTebraSettings) -> None:
    with pytest.raises(MappingError) as caught:
        case_of(with_accident(**changes), settings)
    assert caught.value.findings[0].expression == expression


def test_an_onset_that_is_no_day_is_refused(settings: KareoTebraSettings) -> None:
    claim = sample("auto_accident")
    info = claim.claim["supportingInfo"][0]
    info["timingPeriod"] = {"start": info.pop("timingDate"), "end": "2026-03-02"}
    with pytest.raises(UnsupportedElement) as caught:
        build(claim, "s-1", settings, ZoneInfo("UTC"))
    assert caught.value.findings[0].expression == "Claim.supportingInfo[0]"


def test_the_scenario_of_an_accident_can_be_another_one(settings: KareoTebraSettings) -> None:
    changed = settings.model_copy(update={"accident_scenarios": {"auto": "Auto", "work": "Workers Comp"}})
    assert case_of(sample("auto_accident"), changed)["PayerScenario"] == "Auto"
    assert case_of(ordinary(), changed)["PayerScenario"] == "Insurance"


_CONDITIONS = st.fixed_dictionaries(
    {}, optional={"RelatedToAutoAccident": st.just(True), "RelatedToOther": st.just(True)}
).filter(bool)


@given(st.text(max_size=200), _CONDITIONS, st.dates(), st.none() | st.dates())
def test_a_label_survives_any_payer_s_name(
    payer: str, condition: dict[str, bool], day: date, onset: date | None
) -> None:
    dates = {"AccidentDate": f"{day}T00:00:00"} | ({"InjuryStartDate": f"{onset}T00:00:00"} if onset else {})
    name = case_name(payer, condition, dates)
    assert len(name) <= CASE_NAME_LENGTH
    assert label_of(name) == label_of(case_name("", condition, dates)) != ""


@pytest.mark.parametrize(
    "name", ["", "Gulf Auto Insurance", "[old] Gulf", "Auto accident 2026", "Gulf [onset 2026-03-01]"]
)
def test_a_name_of_the_clinic_s_own_has_no_label(name: str) -> None:
    assert label_of(name) == ""


# --- at Tebra ---------------------------------------------------------------------------------------------------


def _cases(tebra: Simulator) -> list[tuple[str, str]]:
    (patient,) = tebra.ledger()["patients"]
    return [(case["CaseID"], case["CaseName"]) for case in patient["cases"]]


def _billed_on(tebra: Simulator) -> list[str]:
    return [encounter["CaseID"] for encounter in tebra.ledger()["encounters"]]


async def test_a_new_patient_is_created_with_the_accident_s_case(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("auto_accident"), "s-1"))
    (patient,) = tebra.ledger()["patients"]
    (case,) = patient["cases"]
    assert case["CaseName"].startswith(LABEL)
    assert case["condition"] == {"RelatedToAutoAccident": True, "RelatedToAutoAccidentState": "FL"}
    assert case["dates"] == {"AccidentDate": "2026-03-01", "InjuryStartDate": "2026-03-01"}
    assert [policy["PolicyNumber"] for policy in case["policies"]] == ["GA-2207715"]
    assert _billed_on(tebra) == [case["CaseID"]]


async def test_a_known_patient_gets_a_case_for_the_accident_once(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(ordinary(), "s-1"))
    receipt = await adapter.submit(adapter.build(sample("auto_accident"), "s-2"))
    assert receipt.calls == 5  # GetPatients, GetPatient, UpdatePatient, GetPatient again, CreateEncounter
    again = await adapter.submit(adapter.build(sample("auto_accident"), "s-3"))
    assert again.calls == 1
    (_, plain), (added, name) = _cases(tebra)
    assert (plain, name) == ("Gulf Auto Insurance", f"{LABEL} Gulf Auto Insurance")
    assert _billed_on(tebra) == ["9001", added, added]
    assert receipt.vendor_ids["PatientCaseID"] == added


async def test_another_accident_is_another_case(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("auto_accident"), "s-1"))
    await adapter.submit(adapter.build(with_accident(date="2026-02-11"), "s-2"))
    await adapter.submit(adapter.build(with_accident(type=concept(ACT_CODE, "SPT")), "s-3"))
    assert _billed_on(tebra) == ["9001", "9002", "9003"]


async def test_a_claim_without_an_accident_is_never_billed_on_the_accident_s_case(
    worker: Worker, tebra: Simulator
) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("auto_accident"), "s-1"))
    await adapter.submit(adapter.build(ordinary(), "s-2"))
    (first, _), (second, name) = _cases(tebra)
    assert name == "Gulf Auto Insurance"
    assert _billed_on(tebra) == [first, second]


async def test_two_workers_add_one_case(worker: Worker, tebra: Simulator) -> None:
    workers = [worker(), worker()]
    await workers[0].submit(workers[0].build(ordinary(), "s-0"))
    claim = sample("auto_accident")
    await asyncio.gather(*(each.submit(each.build(claim, f"s-{i}")) for i, each in enumerate(workers, 1)))
    assert len(_cases(tebra)) == 2
    assert len(tebra.ledger()["encounters"]) == 3


async def test_the_case_of_a_lost_answer_is_looked_for(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(ordinary(), "s-1"))
    tebra.fail("UpdatePatient", FaultKind.RESET_AFTER_SAVE)
    payload = adapter.build(sample("auto_accident"), "s-2")
    with pytest.raises(VendorUnavailable):
        await adapter.submit(payload)
    await adapter.submit(payload)
    assert len(_cases(tebra)) == 2


@pytest.mark.parametrize("operation", ["UpdatePatient", "CreatePatient"])
async def test_nothing_is_created_again_while_tebra_may_still_be_saving(
    worker: Worker, tebra: Simulator, context: AdapterContext, operation: str
) -> None:
    first, second = worker(settle_seconds=60.0), worker(settle_seconds=60.0)
    if operation == "UpdatePatient":
        await first.submit(first.build(ordinary(), "s-1"))
    payload = first.build(sample("auto_accident"), "s-2")
    tebra.fail(operation, FaultKind.TIMEOUT)
    with pytest.raises(VendorUnavailable) as lost:
        await first.submit(payload)
    assert lost.value.retry_after == 60.0
    calls = tebra.ledger()["calls"][operation]
    with pytest.raises(VendorUnavailable) as waiting:  # another worker, which learns of it from the shared values
        await second.submit(payload)
    assert waiting.value.retry_after == 60.0
    assert tebra.ledger()["calls"][operation] == calls
    later = context.now() + timedelta(seconds=61)
    third = KareoTebra(second._settings, replace(context, now=lambda: later))
    await third.submit(payload)
    await third.aclose()
    assert tebra.ledger()["calls"][operation] == calls + 1


async def test_a_definite_no_leaves_nothing_in_doubt(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    tebra.fail("CreatePatient", FaultKind.RATE_LIMIT)
    payload = adapter.build(sample("auto_accident"), "s-1")
    with pytest.raises(Exception, match="throttled"):
        await adapter.submit(payload)
    assert (await adapter.submit(payload)).vendor_ids["EncounterID"]


@pytest.mark.parametrize(
    ("changes", "code", "expression"),
    [
        ({"create_patient_case": False}, ErrorCode.COVERAGE_MISSING, "Claim.accident"),
        ({"insurance_plans": {}}, ErrorCode.PAYER_UNKNOWN, "Claim.insurance[0].coverage"),
    ],
)
async def test_settings_of_case_creation(
    worker: Worker, tebra: Simulator, changes: dict[str, Any], code: ErrorCode, expression: str
) -> None:
    first, adapter = worker(), worker(**changes)
    await first.submit(first.build(ordinary(), "s-1"))
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(sample("auto_accident"), "s-2"))
    assert (caught.value.code, caught.value.findings[0].expression) == (code, expression)
    assert "2026" not in str(caught.value.findings)
    assert len(_cases(tebra)) == 1


async def test_a_case_that_tebra_dropped_is_not_billed(
    worker: Worker, tebra: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(ordinary(), "s-1"))

    def misspelt(document: dict[str, Any], practice_id: str, patient_id: str) -> requests.Contract:
        return {"Patient": {"Case": {}, "PatientID": patient_id, "Practice": {"PracticeID": practice_id}}}

    monkeypatch.setattr(requests, "add_case", misspelt)
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(sample("auto_accident"), "s-2"))
    assert caught.value.code is ErrorCode.COVERAGE_MISSING
    assert len(tebra.ledger()["encounters"]) == 1


async def test_a_case_with_other_policies_is_not_made_twice(worker: Worker, tebra: Simulator) -> None:
    adapter = worker()
    await adapter.submit(adapter.build(sample("auto_accident"), "s-1"))
    other = sample("auto_accident")
    coverage = other.find("Coverage/ehr.cov-theo-auto")
    assert coverage is not None
    coverage["subscriberId"] = "GA-0000000"
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(other, "s-2"))
    assert caught.value.code is ErrorCode.COVERAGE_MISMATCH
    assert len(_cases(tebra)) == 1


# --- authorizations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorizations", "held"),
    [
        ((), False),  # Tebra knows none: the EHR's number is sent
        ((Authorization("PA-1", date(2026, 1, 1), date(2026, 2, 28)),), False),
        ((Authorization("pa 55120", date(2026, 1, 1), date(2026, 2, 28)),), True),
        ((Authorization("PA-55120", date(2026, 3, 4), None),), True),
        ((Authorization("PA-55120", None, None),), False),
        ((Authorization("PA-55120", None, date(2026, 3, 3)), Authorization("PA-55120", date(2027, 1, 1))), False),
    ],
)
def test_an_authorization_that_tebra_knows_must_be_in_force(
    authorizations: tuple[Authorization, ...], held: bool
) -> None:
    document = {"encounter": {"AuthorizationNumber": "PA-55120", "ServiceStartDate": "2026-03-03T00:00:00"}}
    case = PatientCase("1", True, (Policy("A1", authorizations=authorizations),))
    problem = authorization_problem(case, document)
    assert (problem is not None) == held
    if problem is not None:
        assert problem.code is ErrorCode.MISSING_PRIOR_AUTHORIZATION
        assert problem.findings[0].expression == "Claim.insurance[0].preAuthRef"
    assert authorization_problem(case, {"encounter": {"ServiceStartDate": "2026-03-03T00:00:00"}}) is None


async def test_an_expired_authorization_is_held_until_it_is_corrected_in_tebra(
    worker: Worker, tebra: Simulator
) -> None:
    adapter = worker()
    claim = sample("referred_and_authorized")
    payload = adapter.build(claim, "s-1")
    await adapter.submit(payload)
    listed = (await adapter._service.call("GetPatient", requests.patient("4001")),)
    (case,) = patient_cases(listed[0])
    assert case.policies[0].authorizations == ()

    async def authorize(number: str, last: str) -> None:
        authorization = {"EndDate": last, "Number": number, "NumberOfVisits": 5, "StartDate": "2026-01-01T00:00:00"}
        entry = {"Authorizations": {"InsurancePolicyAuthorizationUpdateReq": [authorization]}, "CaseID": case.case_id}
        changed: requests.Contract = {
            "Cases": {"PatientCaseUpdateReq": [entry]},
            "PatientID": "4001",
            "Practice": {"PracticeID": "4"},
        }
        await adapter._service.call("UpdatePatient", {"Patient": changed})

    await authorize("PA-55120", "2026-02-28T00:00:00")
    fresh = worker()
    with pytest.raises(ClaimRejected) as caught:
        await fresh.submit(fresh.build(claim, "s-2"))
    assert caught.value.code is ErrorCode.MISSING_PRIOR_AUTHORIZATION
    await authorize("PA-55120", "2026-12-31T00:00:00")
    assert (await fresh.submit(fresh.build(claim, "s-2"))).vendor_ids["PatientCaseID"] == case.case_id
    assert tebra.ledger()["encounters"][-1]["authorization_number"] == "PA-55120"


def test_a_new_case_carries_no_authorization_because_its_visits_are_not_known(settings: KareoTebraSettings) -> None:
    document = jsonio.loads(build(sample("referred_and_authorized"), "s-1", settings, ZoneInfo("UTC")).body)
    sent = operations.request("CreatePatient", "", requests.create_patient(document, "4", with_case=True))
    assert b"Authorization" not in sent
    assert soap.text(soap.parse(sent), "request", "Patient", "FirstName") == "Rosa"
    assert document["encounter"]["AuthorizationNumber"] == "PA-55120"
