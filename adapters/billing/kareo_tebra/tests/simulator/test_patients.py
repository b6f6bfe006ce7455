"""Patients: what is saved, what is lost, and how they are found."""

from __future__ import annotations

from typing import Any

import pytest


async def test_the_last_birth_date_of_a_search_is_exclusive(sandbox: Any) -> None:
    await sandbox.patient()

    async def found(first: str, last: str, name: str = "") -> int:
        dates = f"<FromDateOfBirth>{first}</FromDateOfBirth>{name}<ToDateOfBirth>{last}</ToDateOfBirth>"
        return len((await sandbox.call("GetPatients", f"<Fields/><Filter>{dates}</Filter>")).filled("PatientData"))

    assert await found("1980-02-29", "1980-02-29") == 0
    assert await found("02/29/1980", "03/01/1980") == 1
    assert await found("1980-02-01", "1980-04-01") == 1
    assert await found("1980-02-29", "1980-03-01", "<LastName>Other</LastName>") == 0


@pytest.mark.parametrize(
    ("criteria", "count"),
    [
        ("<FirstName>TESTINA</FirstName><LastName>sample</LastName>", 1),
        ("<FirstName>Testina</FirstName><LastName>Sampler</LastName>", 0),
        ("<FullName>Testina Sample</FullName><Gender>Male</Gender>", 0),
        ("<IsActive>True</IsActive><PracticeName>Lakeside Dermatology</PracticeName>", 1),
        ("<PracticeName>Another</PracticeName>", 0),
        ("<PrimaryInsurancePolicyCompanyName>Prairie Health Plan</PrimaryInsurancePolicyCompanyName>", 1),
        ("<FromLastEncounterDate>2020-01-01</FromLastEncounterDate>", 0),
    ],
)
async def test_patient_filters(sandbox: Any, criteria: str, count: int) -> None:
    await sandbox.patient()
    result = await sandbox.call("GetPatients", f"<Fields/><Filter>{criteria}</Filter>")
    assert len(result.filled("PatientData")) == count


async def test_a_date_that_is_none_is_a_business_error(sandbox: Any) -> None:
    result = await sandbox.call("GetPatients", "<Fields/><Filter><FromDateOfBirth>soon</FromDateOfBirth></Filter>")
    assert "FromDateOfBirth is not a valid date" in (result.text("ErrorMessage") or "")


async def test_a_patient_reads_back_with_cases_and_policies(sandbox: Any) -> None:
    await sandbox.patient()
    result = await sandbox.call("GetPatient", "<Filter><PatientID>4001</PatientID></Filter>")
    assert result.text("DOB") == "2/29/1980 12:00:00 AM"
    (case,) = result.rows("PatientCaseData")
    assert (case.text("PatientCaseID"), case.text("IsPrimaryCase")) == ("9001", "True")
    (policy,) = case.rows("PatientInsurancePolicyData")
    names = ("CompanyName", "PlanName", "Number")
    assert [policy.text(name) for name in names] == ["Prairie Health Plan", "Prairie PPO", "XYZ100200"]
    unknown = await sandbox.call("GetPatient", "<Filter><PatientID>1</PatientID></Filter>")
    assert unknown.text("ID") is None


async def test_an_address_out_of_order_is_lost_without_a_word(sandbox: Any) -> None:
    address = "<AddressLine1>5 Elm Road</AddressLine1>"
    moved = sandbox.PATIENT.replace(address, "").replace("<LastName>", f"{address}<LastName>")
    result = await sandbox.call("CreatePatient", moved)
    assert result.text("IsError") == "false"
    kept = await sandbox.call("GetPatient", "<Filter><PatientID>4001</PatientID></Filter>")
    assert (kept.text("AddressLine1"), kept.text("City")) == (None, "Springfield")


async def test_a_patient_without_a_practice_is_a_fault(sandbox: Any) -> None:
    fault = await sandbox.call("CreatePatient", sandbox.without(sandbox.PATIENT, "Practice"))
    assert "Expecting element 'Practice'" in fault.fault
    dropped = sandbox.PATIENT.replace("</Patient>", "<Practice><PracticeID>4</PracticeID></Practice></Patient>")
    fault = await sandbox.call("CreatePatient", sandbox.without(dropped, "Practice"))
    assert "Expecting element 'Practice'" in fault.fault


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1980-02-29T00:00:00", "02/29/1980", "cannot be parsed as the type 'dateTime'"),
        ("1980-02-29T00:00:00", "1980-02-30", "cannot be parsed as the type 'dateTime'"),
        ("Female", "F", "Invalid enum value 'F'"),
    ],
)
async def test_values_of_the_wrong_type_are_faults(sandbox: Any, old: str, new: str, words: str) -> None:
    fault = await sandbox.call("CreatePatient", sandbox.PATIENT.replace(old, new))
    assert words in fault.fault


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<PracticeID>4<", "<PracticeID>9<", "Practice not found"),
        ("<CompanyID>301<", "<CompanyID>999<", "company not found"),
        ("<PlanID>401<", "<PlanID>999<", "plan not found"),
        ("<LastName>Sample<", "<LastName><", "required"),
        (
            "<PatientCaseCreateReq>",
            "<PatientCaseCreateReq><Authorizations><InsurancePolicyAuthorizationCreateReq><Number>A1</Number>"
            "</InsurancePolicyAuthorizationCreateReq></Authorizations>",
            "must come together",
        ),
    ],
)
async def test_refused_patients_are_not_saved(sandbox: Any, old: str, new: str, words: str) -> None:
    result = await sandbox.call("CreatePatient", sandbox.PATIENT.replace(old, new, 1))
    assert result.text("IsError") == "true"
    assert words in (result.text("ErrorMessage") or "")
    assert (await sandbox.ledger())["patients"] == []


async def test_an_unknown_company_name_makes_a_new_company(sandbox: Any) -> None:
    ids = "<CompanyID>301</CompanyID><PlanID>401</PlanID>"
    known = "<CompanyName>prairie health plan</CompanyName><PlanName>Prairie PPO</PlanName>"
    await sandbox.call("CreatePatient", sandbox.PATIENT.replace(ids, known))
    assert len((await sandbox.ledger())["insurance_companies"]) == 2
    await sandbox.call("CreatePatient", sandbox.PATIENT.replace(ids, known.replace("prairie", "prairy")))
    companies = (await sandbox.ledger())["insurance_companies"]
    assert companies[-1] == {
        "CompanyID": "351",
        "CompanyName": "prairy health plan",
        "plans": [{"PlanID": "451", "PlanName": "Prairie PPO"}],
    }


async def test_an_update_changes_what_was_sent_and_adds_cases(sandbox: Any) -> None:
    await sandbox.patient()
    members = (
        "<Patient><Cases><PatientCaseUpdateReq><CaseName>Second</CaseName></PatientCaseUpdateReq></Cases>"
        "<LastName>Changed</LastName><PatientID>4001</PatientID><Practice><PracticeID>4</PracticeID></Practice></Patient>"
    )
    assert (await sandbox.call("UpdatePatient", members)).fault
    result = await sandbox.call("UpdatePatient", members, parameter="UpdatePatientReq")
    assert result.text("CaseID") == "9002"
    kept = await sandbox.call("GetPatients", "<Fields/><Filter><FullName>Testina Changed</FullName></Filter>")
    assert kept.text("City") == "Springfield"
    await sandbox.call("UpdatePrimaryPatientCase", "<PatientCaseId>9002</PatientCaseId>")
    (patient,) = (await sandbox.ledger())["patients"]
    assert [(case["CaseName"], case["primary"]) for case in patient["cases"]] == [
        ("Office visit", False),
        ("Second", True),
    ]
    external = members.replace("<PatientID>", "<PatientExternalID>x</PatientExternalID><PatientID>")
    assert (await sandbox.call("UpdatePatient", external, parameter="UpdatePatientReq")).fault


async def test_external_ids_are_cut_at_25_characters_and_found_by_vendor(sandbox: Any) -> None:
    await sandbox.patient()
    vendor = (
        await sandbox.call(
            "RegisterExternalVendor",
            "<ExternalVendor><ExternalVendorName>Gateway</ExternalVendorName></ExternalVendor>",
        )
    ).text("ExternalVendorID")
    listed = await sandbox.call("GetExternalVendors", "")
    assert [row.text("ExternalVendorID") for row in listed.rows("ExternalVendorData")] == [vendor]
    long_id = "a" * 24 + "bcdef"
    setting = f"<externalID>{long_id}</externalID><externalVendorID>{vendor}</externalVendorID>"
    updates = (
        f"<Updates><UpdateBatch><PatientExternalIDSetting>{setting}<patientID>4001</patientID>"
        "<practiceID>4</practiceID></PatientExternalIDSetting></UpdateBatch></Updates>"
    )
    assert not (await sandbox.call("UpdatePatientsExternalID", updates)).text("ItemsUpdated")
    (patient,) = (await sandbox.ledger())["patients"]
    assert patient["external_ids"] == {vendor: "a" * 24 + "b"}
    for external_vendor, expected in ((vendor, "4001"), ("1", None)):
        criteria = f"<ExternalID>{long_id}</ExternalID><ExternalVendorID>{external_vendor}</ExternalVendorID>"
        found = await sandbox.call("GetPatient", f"<Filter>{criteria}</Filter>")
        assert found.text("ID") == expected


async def test_an_update_with_a_case_id_changes_that_case(sandbox: Any) -> None:
    await sandbox.patient()

    def members(case_id: str, inside: str) -> str:
        case = inside.replace("<CaseID/>", f"<CaseID>{case_id}</CaseID>")
        cases = f"<Cases><PatientCaseUpdateReq>{case}</PatientCaseUpdateReq></Cases>"
        return f"<Patient>{cases}<PatientID>4001</PatientID><Practice><PracticeID>4</PracticeID></Practice></Patient>"

    authorization = (
        "<Authorizations><InsurancePolicyAuthorizationUpdateReq><Number>A1</Number><NumberOfVisits>3</NumberOfVisits>"
        "</InsurancePolicyAuthorizationUpdateReq></Authorizations><CaseID/>"
        "<Condition><RelatedToEmployment>true</RelatedToEmployment></Condition>"
    )
    await sandbox.call("UpdatePatient", members("9001", authorization), parameter="UpdatePatientReq")
    (patient,) = (await sandbox.ledger())["patients"]
    (case,) = patient["cases"]
    assert (case["CaseName"], case["condition"]) == ("Office visit", {"RelatedToEmployment": True})
    assert [policy["authorizations"] for policy in case["policies"]] == [["A1"]]
    unknown = await sandbox.call("UpdatePatient", members("9999", "<CaseID/>"), parameter="UpdatePatientReq")
    assert "case was not found" in (unknown.text("ErrorMessage") or "")


async def test_a_case_of_the_creation_s_type_is_dropped_from_an_update(sandbox: Any) -> None:
    await sandbox.patient()
    cases = "<Cases><PatientCaseCreateReq><CaseName>Second</CaseName></PatientCaseCreateReq></Cases>"
    members = f"<Patient>{cases}<PatientID>4001</PatientID><Practice><PracticeID>4</PracticeID></Practice></Patient>"
    result = await sandbox.call("UpdatePatient", members, parameter="UpdatePatientReq")
    assert result.text("IsError") == "false"
    (patient,) = (await sandbox.ledger())["patients"]
    assert len(patient["cases"]) == 1
