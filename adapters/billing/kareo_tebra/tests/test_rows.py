"""The rows are the mapping: no member of a document or request comes from elsewhere, and no row is for nothing."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.billing.kareo_tebra import ADAPTER, requests, rows
from adapters.billing.kareo_tebra.payload import build
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import jsonio
from gateway.canonical.models import Evidence, SubmissionReceipt, SubmissionState
from gateway.kit.contract_support import leaf_names
from gateway.kit.samples import sample, void_of

GOLDEN = sorted((pathlib.Path(__file__).parent / "golden").glob("*.payload.json"))
PLACES: Mapping[str, str] = {
    "Encounter": "encounter.",
    "Service line": "lines[].",
    "Patient": "patient.",
    "Case": "case.",
    "Case of an auto accident": "case.",
    "Insurance policy": "case.Policies[].",
    "Insured (when it is not the patient)": "case.Policies[].",
    "Provider (looked up when the claim is sent)": "",
    "Location (looked up when the claim is sent)": "",
    "Void": "void.",
}
"""Table of the fact sheet to where its members stand in the document."""
WHEN_SENT: Mapping[str, str] = {
    "Ids of the encounter (added when the claim is sent)": "Encounter.",
    "New patient (added when it is created)": "Patient.",
    "New case and new policy (added when they are created)": "Patient.Cases.PatientCaseCreateReq[].",
}
"""The other tables, to where their members stand in a request."""
IN_NO_SAMPLE: Mapping[str, str] = {
    "case.Condition.RelatedToEmployment": "no sample has an accident at work",
    "case.Condition.RelatedToOther": "no sample has another accident",
    "case.Policies[].Insured.MiddleName": "no insured person of the samples has a middle name",
    "encounter.Hospitalization.EndDate": "the sample of a stay has two rendering providers and is held",
    "encounter.Hospitalization.StartDate": "the sample of a stay has two rendering providers and is held",
    "lines[].ProcedureModifier2": "no line of the samples that Tebra carries has two modifiers",
    "lines[].ProcedureModifier3": "no line of the samples that Tebra carries has three modifiers",
    "lines[].ProcedureModifier4": "no line of the samples that Tebra carries has four modifiers",
    "patient.EmailAddress": "no patient of the samples has an e-mail address",
    "patient.Suffix": "no patient of the samples has a suffix",
}
IDS = requests.ResolvedIds("4", "13", "11", "12", "14")


def leaves(value: Any) -> Iterator[str]:
    """The names of all values that are no object: `lines[].Units`; a list of plain values is one."""
    return (name.removesuffix("[]") for name in leaf_names(value))


def targets(places: Mapping[str, str]) -> set[str]:
    return {f"{place}{row.target}" for title, place in places.items() for row in ADAPTER.rows[title]}


def voided(settings: KareoTebraSettings) -> dict[str, Any]:
    on_file = SubmissionReceipt(
        "GW1", Evidence(SubmissionState.RECEIVED, "EncounterID 7", datetime.now(UTC)), {"EncounterID": "7"}
    )
    body: dict[str, Any] = jsonio.loads(build(void_of(sample("replacement")), "GW2", settings, UTC, on_file).body)
    return body


def test_every_table_has_a_place() -> None:
    assert set(ADAPTER.rows) == set(PLACES) | set(WHEN_SENT)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_every_member_of_a_document_is_the_target_of_a_row(file: pathlib.Path) -> None:
    assert set(leaves(jsonio.loads(file.read_bytes()))) - targets(PLACES) == set()


def test_every_row_makes_a_member_of_some_document(settings: KareoTebraSettings) -> None:
    documents = [*(jsonio.loads(file.read_bytes()) for file in GOLDEN), voided(settings)]
    seen = {leaf for document in documents for leaf in leaves(document)}
    assert targets(PLACES) - seen == set(IN_NO_SAMPLE)


def test_what_the_samples_do_not_show_is_shown_by_other_claims(settings: KareoTebraSettings) -> None:
    """The reasons above are not a way out: each of these rows writes its member for a claim that has the element."""
    claim = sample("office_visit")
    patient = next(r for r in claim.resources.values() if r["resourceType"] == "Patient")
    patient["telecom"] = [{"system": "email", "value": "jane@example.test"}]
    patient["name"][0]["suffix"] = ["Jr"]
    accident = {"coding": [{"code": code} for code in ("WPA", "SPT")]}
    claim.claim["accident"] = {"date": "2026-03-01", "type": accident}
    claim.claim["item"][0]["modifier"] = [{"coding": [{"code": code}]} for code in ("25", "59", "LT", "76")]
    stay = {"timingPeriod": {"start": "2026-03-01", "end": "2026-03-03"}}
    hospitalized = {"sequence": 9, "category": {"coding": [{"code": "hospitalized"}]}, **stay}
    claim.claim["supportingInfo"] = [*claim.claim.get("supportingInfo", ()), hospitalized]
    document = jsonio.loads(build(claim, "GW1", settings, UTC).body)
    assert set(leaves(document)) <= targets(PLACES)
    assert set(IN_NO_SAMPLE) - set(leaves(document)) == {"case.Policies[].Insured.MiddleName"}


def test_an_encounter_is_sent_with_its_document_and_the_rows_of_the_ids_only() -> None:
    document = jsonio.loads(GOLDEN[0].read_bytes())
    sent = set(leaves(requests.create_encounter(document, IDS, "4127", "9001")))
    of_document = {f"Encounter.{leaf}" for leaf in leaves(document["encounter"])}
    of_lines = {
        f"Encounter.ServiceLines.ServiceLineReq[].{leaf}" for line in document["lines"] for leaf in leaves(line)
    }
    ids = {f"Encounter.{row.target}" for row in rows.FOUND_ROWS}
    assert sent == of_document | of_lines | ids


def test_a_patient_is_created_with_its_document_and_the_rows_of_new_ones_only() -> None:
    document = jsonio.loads(GOLDEN[0].read_bytes())
    sent = set(leaves(requests.create_patient(document, "4", with_case=True)))
    case = "Patient.Cases.PatientCaseCreateReq[]."
    of_document = {f"Patient.{leaf}" for leaf in leaves(document["patient"])}
    of_case = {f"{case}{leaf}" for leaf in leaves(document["case"])}
    renamed = {leaf.replace(".Policies[].", ".Policies.InsurancePolicyCreateReq[].") for leaf in of_case}
    added = {"Patient.Practice.PracticeID", f"{case}Active", f"{case}Policies.InsurancePolicyCreateReq[].Active"}
    assert sent == of_document | renamed | added
    assert {target for title in list(WHEN_SENT)[1:] for target in targets({title: WHEN_SENT[title]})} <= added


def test_a_member_without_a_row_is_found() -> None:
    document = jsonio.loads(GOLDEN[0].read_bytes())
    document["lines"][0]["Minutes"] = 15
    assert set(leaves(document)) - targets(PLACES) == {"lines[].Minutes"}
