"""CreateEncounter and its validation."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY


async def test_an_encounter_is_saved_with_its_lines(sandbox: Any) -> None:
    await sandbox.patient()
    before = time.time()
    result = await sandbox.encounter()
    names = ("EncounterID", "EncounterExternalID", "PatientCaseID", "PatientID", "PracticeID", "RenderingProviderID")
    assert [result.text(name) for name in names] == ["29001", "gw-1", "9001", "4001", "4", "11"]
    assert [row.text("ServiceLineID") for row in result.rows("ServiceLineRes")] == ["88001"]
    (saved,) = (await sandbox.ledger())["encounters"]
    assert before <= saved["saved_at"] <= time.time()
    kept = ("BatchNumber", "PatientName", "status", "service_date", "total")
    assert [saved[name] for name in kept] == ["gw-1", "Testina Sample", "Draft", "2026-03-03", "290.00"]
    (line,) = saved["lines"]
    assert {name: line[name] for name in ("procedure", "modifiers", "diagnoses", "units", "unit_charge")} == {
        "procedure": "17000",
        "modifiers": ["59"],
        "diagnoses": ["L57.0", "D22.5"],
        "units": "2",
        "unit_charge": "145.00",
    }


@pytest.mark.parametrize(
    "member",
    [
        "Case", "Patient", "PostDate", "Practice", "RenderingProvider", "ServiceLocation", "ServiceLines",
        "DiagnosisCode1", "ProcedureCode", "Units",
    ],
)  # fmt: skip
async def test_a_required_member_of_an_encounter_that_is_missing_is_a_fault(sandbox: Any, member: str) -> None:
    await sandbox.patient()
    fault = await sandbox.encounter(sandbox.without(sandbox.ENCOUNTER, member))
    assert f"Expecting element '{member}'" in fault.fault


async def test_a_required_member_out_of_order_is_a_fault(sandbox: Any) -> None:
    await sandbox.patient()
    case = "<Case><CaseID>9001</CaseID></Case>"
    fault = await sandbox.encounter(sandbox.ENCOUNTER.replace(case, "") + case)
    assert "Expecting element 'Case'" in fault.fault
    assert (await sandbox.ledger())["encounters"] == []


@pytest.mark.parametrize(
    ("old", "new", "tag", "words"),
    [
        ("<PracticeID>4<", "<PracticeID>5<", "PracticeID", "Practice not found"),
        ("<PatientID>4001<", "<PatientID>1<", "PatientID", "Patient not found"),
        ("<CaseID>9001<", "<CaseID>1<", "CaseID", "Case not found"),
        ("<CaseID>9001<", "<CaseID>9002<", "CaseID", "Case does not belong to the patient"),
        ("<ProviderID>11<", "<ProviderID>99<", "ProviderID", "Provider not found"),
        ("<ProviderID>11<", "<ProviderID>13<", "ProviderID", "Provider is not active"),
        ("<ProviderID>11<", "<ProviderID>14<", "ProviderID", "Provider not found"),
        ("<LocationID>13<", "<LocationID>14<", "LocationID", "Service location not found"),
        ("<PlaceOfServiceCode>11<", "<PlaceOfServiceCode>Office<", "PlaceOfServiceCode", "Place of service"),
        ("<ProcedureCode>17000<", "<ProcedureCode>99999<", "ProcedureCode", "Procedure code not found"),
        ("<ProcedureModifier1>59<", "<ProcedureModifier1>59.0<", "ProcedureModifier1", "modifier not found"),
        ("<ProcedureModifier1>59<", "<ProcedureModifier1>tc<", "ProcedureModifier1", "modifier not found"),
        ("<DiagnosisCode1>L57.0<", "<DiagnosisCode1>L570<", "DiagnosisCode1", "Diagnosis code not found"),
        ("<DiagnosisCode2>D22.5<", "<DiagnosisCode2>22.5D<", "DiagnosisCode2", "Diagnosis code not found"),
        ("<Units>2<", "<Units>0<", "Units", "more than zero"),
        ("<UnitCharge>145.00<", "<UnitCharge>-1<", "UnitCharge", "not be negative"),
    ],
)
async def test_validation_of_an_encounter(sandbox: Any, old: str, new: str, tag: str, words: str) -> None:
    await sandbox.patient()
    await sandbox.call("CreatePatient", sandbox.PATIENT)
    assert old in sandbox.ENCOUNTER
    result = await sandbox.encounter(sandbox.ENCOUNTER.replace(old, new, 1))
    found = result.errors()
    assert found.keys() == {"Encounter", tag}
    assert found["Encounter"] == "Encounter was not created"
    assert words in found[tag]
    assert (await sandbox.ledger())["encounters"] == []


async def test_a_refusal_echoes_the_request_with_the_error_after_the_value(sandbox: Any) -> None:
    await sandbox.patient()
    result = await sandbox.encounter(sandbox.ENCOUNTER.replace("L57.0", "L57.00000"))
    message = result.text("ErrorMessage") or ""
    assert message.startswith('<Encounter><err id="6100">Encounter was not created</err>')
    assert (
        '<DiagnosisCode1>L57.00000<err id="6042">Diagnosis code not found, please verify</err></DiagnosisCode1>'
        in message
    )
    assert "<ServiceLines><ServiceLine>" in message


async def test_no_lines_and_dates_backwards_are_refused(sandbox: Any) -> None:
    await sandbox.patient()
    empty = re.sub(r"<ServiceLines>.*</ServiceLines>", "<ServiceLines/>", sandbox.ENCOUNTER)
    assert "ServiceLines" in (await sandbox.encounter(empty)).errors()
    end = "<ServiceEndDate>2026-03-02T00:00:00</ServiceEndDate><ServiceLines>"
    assert "ServiceEndDate" in (await sandbox.encounter(sandbox.ENCOUNTER.replace("<ServiceLines>", end))).errors()


async def test_a_fifth_diagnosis_is_dropped_without_a_word(sandbox: Any) -> None:
    await sandbox.patient()
    codes = "".join(f"<DiagnosisCode{slot}>L57.{slot}</DiagnosisCode{slot}>" for slot in range(1, 6))
    line = codes + sandbox.LINE[sandbox.LINE.index("<EncounterProcedureExternalID>") :]
    await sandbox.encounter(sandbox.ENCOUNTER.replace(sandbox.LINE, line))
    (saved,) = (await sandbox.ledger())["encounters"]
    assert saved["lines"][0]["diagnoses"] == ["L57.1", "L57.2", "L57.3", "L57.4"]


async def test_the_fee_schedule_prices_a_line_without_a_charge(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.encounter(sandbox.without(sandbox.ENCOUNTER, "UnitCharge").replace("17000", "G0439"))
    (saved,) = (await sandbox.ledger())["encounters"]
    assert saved["total"] == "270.00"


async def test_any_code_of_the_right_form_is_known_when_the_directory_lists_none(running: Any) -> None:
    async with running(data={**DEFAULT_DIRECTORY, "procedures": []}) as sandbox:
        await sandbox.patient()
        for code, error in (("99499", "false"), ("J0585", "false"), ("0001F", "false"), ("Z0001", "true")):
            result = await sandbox.encounter(sandbox.ENCOUNTER.replace("17000", code))
            assert result.text("IsError") == error, code


async def test_the_same_encounter_twice_is_two_encounters(sandbox: Any) -> None:
    await sandbox.patient()
    ids = [(await sandbox.encounter(sandbox.ENCOUNTER.replace("gw-1", "g" * 30))).text("EncounterID") for _ in range(2)]
    assert ids == ["29001", "29002"]
    saved = (await sandbox.ledger())["encounters"]
    assert [encounter["ExternalID"] for encounter in saved] == ["g" * 25] * 2
    assert [encounter["BatchNumber"] for encounter in saved] == ["g" * 30] * 2


async def test_records_named_otherwise_than_by_id(sandbox: Any) -> None:
    await sandbox.call(
        "CreatePatient",
        sandbox.PATIENT.replace("<Practice>", f"<PatientExternalID>{'p' * 30}</PatientExternalID><Practice>"),
    )
    named = (
        sandbox.ENCOUNTER.replace("<CaseID>9001</CaseID>", "<CaseName>Office visit</CaseName>")
        .replace("<PatientID>4001</PatientID>", f"<PatientExternalID>{'p' * 30}</PatientExternalID>")
        .replace("<PracticeID>4</PracticeID>", "<PracticeName>Lakeside Dermatology</PracticeName>")
        .replace("<ProviderID>11</ProviderID>", "<FirstName>Sven</FirstName><LastName>Lindqvist</LastName>")
        .replace("<LocationID>13</LocationID>", "<LocationName>Lakeside Main</LocationName>")
    )
    result = await sandbox.encounter(named)
    names = ("PatientCaseID", "PatientID", "PracticeID", "RenderingProviderID", "ServiceLocationID")
    assert [result.text(name) for name in names] == ["9001", "4001", "4", "12", "13"]
    assert result.text("PatientExternalID") == "p" * 25
    unknown = named.replace("Office visit", "Other visit")
    assert "CaseID" in (await sandbox.encounter(unknown)).errors()
