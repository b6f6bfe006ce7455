"""The pure readers: failure shapes, validation errors, cases, outcomes, scrubbing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.kareo_tebra import replies
from adapters.billing.kareo_tebra.cases import coverage_problem, matching_case
from adapters.billing.kareo_tebra.directory import Directory, resolved
from adapters.billing.kareo_tebra.outcomes import standing
from adapters.billing.kareo_tebra.patients import same_patient
from adapters.billing.kareo_tebra.refusals import findings_in, refusal_code
from adapters.billing.kareo_tebra.replies import PatientCase, Policy
from adapters.billing.kareo_tebra.scrubbing import scrubbed
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import SubmissionState

SCHEMA = "http://www.kareo.com/api/schemas/"
ECHO = (  # the sample of vendor document section 6.1, with a patient's name in it
    '<Encounter><err id="6100">Encounter was not created</err><PatientName>Annabel</PatientName><ServiceLines>'
    "<ServiceLine><ProcedureCode>17000</ProcedureCode></ServiceLine><ServiceLine><ProcedureCode>17000</ProcedureCode>"
    '<DiagnosisCode2>L57.00<err id="6042">Diagnosis code not found, please verify</err></DiagnosisCode2>'
    "</ServiceLine></ServiceLines></Encounter>"
)


def envelope(body: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{body}</s:Body></s:Envelope>'.encode()
    )


def reply(operation: str, *, security: str = "", error: str | None = None, rows: str = "") -> bytes:
    is_error = "false" if error is None else "true"
    return envelope(
        f'<{operation}Response xmlns="{SCHEMA}"><{operation}Result>'
        f"<ErrorResponse><ErrorMessage>{html.escape(error or '')}</ErrorMessage><IsError>{is_error}</IsError>"
        f"</ErrorResponse><SecurityResponse>{security}</SecurityResponse>{rows}</{operation}Result></{operation}Response>"
    )


def fault(text: str, code: str = "s:Client") -> bytes:
    return envelope(f"<s:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></s:Fault>")


BROKEN = fault("The formatter threw: error in deserializing body. Expecting element 'Practice'.")
INTERNAL = fault("The server was unable to process the request due to an internal error.", "a:InternalServiceFault")


@pytest.mark.parametrize(
    ("operation", "status", "body", "error"),
    [
        ("CreateEncounter", 500, BROKEN, ClaimRejected),
        ("CreateEncounter", 500, INTERNAL, OutcomeUnknown),
        ("CreateEncounter", 500, b"<html>busy</html>", OutcomeUnknown),
        ("CreateEncounter", 200, b"<html>busy</html>", OutcomeUnknown),
        ("CreateEncounter", 200, b"", OutcomeUnknown),
        ("CreateEncounter", 200, reply("GetCharges"), OutcomeUnknown),
        ("CreateEncounter", 404, b"", VendorUnavailable),
        ("CreateEncounter", 200, reply("CreateEncounter", error="Timeout expired."), OutcomeUnknown),
        ("CreateEncounter", 200, reply("CreateEncounter", error="No such provider"), ClaimRejected),
        ("CreatePatient", 500, INTERNAL, VendorUnavailable),
        ("CreatePatient", 200, b"garbage", VendorUnavailable),
        ("CreatePatient", 200, reply("CreatePatient", error="Last name too long"), ClaimRejected),
        ("GetPatients", 500, BROKEN, UnexpectedResponse),
        ("GetPatients", 500, INTERNAL, VendorUnavailable),
        ("GetPatients", 503, b"", VendorUnavailable),
        ("GetPatients", 401, b"", CredentialsRejected),
        ("GetPatients", 403, b"", PermissionMissing),
        ("GetPatients", 302, b"", VendorUnavailable),
        ("GetPatients", 200, b"garbage", VendorUnavailable),
        ("GetPatients", 200, reply("GetPatients", error="Something else"), UnexpectedResponse),
        (
            "GetPatients",
            200,
            reply("GetPatients", security="<Authenticated>False</Authenticated>"),
            CredentialsRejected,
        ),
        (
            "GetPatients",
            200,
            reply("GetPatients", security="<CustomerKeyValid>false</CustomerKeyValid>"),
            CredentialsRejected,
        ),
        ("GetPatients", 200, reply("GetPatients", security="<Authorized>false</Authorized>"), PermissionMissing),
    ],
)
def test_failure_shapes(operation: str, status: int, body: bytes, error: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as caught:
        replies.read(operation, status, body, 1.25)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("message", "throttled"),
    [
        ("Error 429: GetPatients was requested more than allowed", True),
        ("429 - wait", True),
        ("You have requested this operation more than allowed", True),
        ("Patient 44291 was not found", False),
        ("No record 429 for this practice", False),
    ],
)
def test_throttle_words(message: str, throttled: bool) -> None:
    with pytest.raises(AdapterError) as caught:
        replies.read("GetPatients", 200, reply("GetPatients", error=message), 1.25)
    assert isinstance(caught.value, RateLimited) is throttled
    if throttled:
        assert caught.value.retry_after == 1.25


def test_missing_permissions_are_named() -> None:
    missing = "<PermissionsMissing><Permission>Create Encounter</Permission></PermissionsMissing>"
    security = f"<Authorized>false</Authorized>{missing}"
    with pytest.raises(PermissionMissing, match="Create Encounter"):
        replies.read("CreateEncounter", 200, reply("CreateEncounter", security=security), 1)


@pytest.mark.parametrize("escapes", [0, 1, 2])
def test_validation_errors_name_the_element(escapes: int) -> None:
    message = ECHO
    for _ in range(escapes):
        message = html.escape(message)
    (finding,) = findings_in(f"Encounter not saved: {message}")
    assert (finding.edit, finding.expression) == ("tebra-6042", "Claim.item[1].diagnosisSequence[1]")
    assert refusal_code(message) is ErrorCode.INVALID_DIAGNOSIS


def test_validation_errors_reach_the_biller_without_values() -> None:
    with pytest.raises(ClaimRejected) as caught:
        replies.read("CreateEncounter", 200, reply("CreateEncounter", error=ECHO), 1)
    assert caught.value.code is ErrorCode.INVALID_DIAGNOSIS
    assert caught.value.vendor_code == "6042"
    shown = str(caught.value) + " ".join(f.message + f.fix for f in caught.value.findings)
    assert "Annabel" not in shown
    assert "L57.00" not in shown


def test_broken_echo_still_names_the_elements() -> None:
    broken = (
        '<Encounter><Case><CaseID>9<err id="6101">x</err><ServiceLine><ProcedureModifier1>5 & 9<err id=6043>a<b'
        '</ProcedureModifier1><Units>0<err id="6044"/></Units>'
    )
    found = [(finding.edit, finding.expression) for finding in findings_in(broken)]
    assert found[0] == ("tebra-6101", "Claim.insurance")
    assert ("tebra-6043", "Claim.item[0].modifier[0]") in found


def test_a_general_error_alone_is_kept() -> None:
    (finding,) = findings_in('<Encounter><err id="6100">Encounter was not created</err></Encounter>')
    assert (finding.edit, finding.expression) == ("tebra-6100", "Claim")


@given(st.text(alphabet='<>/&;"= errServiceLnDgosCd1id', max_size=200))
def test_no_echo_breaks_the_reader(text: str) -> None:
    assert all(finding.expression.startswith("Claim") for finding in findings_in(text))


def test_placeholder_rows_are_dropped() -> None:
    rows = "<Patients><PatientData><ID/></PatientData><PatientData><ID>7</ID></PatientData></Patients>"
    result = replies.read("GetPatients", 200, reply("GetPatients", rows=rows), 1)
    assert [row["ID"] for row in replies.rows(result, "Patients", "PatientData")] == ["7"]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("3/9/2026 12:00:00 AM", date(2026, 3, 9)),
        ("2026-03-09T00:00:00", date(2026, 3, 9)),
        ("", None),
        ("13/45/2026", None),
        ("soon", None),
    ],
)
def test_dates_of_both_forms(text: str, day: date | None) -> None:
    assert replies.day_of(text) == day


def document(*numbers: str) -> dict[str, object]:
    policies = [{"PolicyNumber": number} for number in numbers]
    return {"encounter": {"ServiceStartDate": "2026-03-03T00:00:00"}, "case": {"Policies": policies}}


def case(case_id: str, *numbers: str, primary: bool = False) -> PatientCase:
    return PatientCase(case_id, primary, tuple(Policy(number) for number in numbers))


@pytest.mark.parametrize(
    ("cases", "wanted", "chosen"),
    [
        ([case("1", "A1")], ["A1"], "1"),
        ([case("1", "a-1 ")], ["A1"], "1"),
        ([case("1", "B2"), case("2", "A1")], ["A1"], "2"),
        ([case("1", "A1", "B2")], ["A1"], "1"),
        ([case("1", "A1", "B2"), case("2", "A1")], ["A1"], "2"),
        ([case("1", "A1"), case("2", "A1", primary=True)], ["A1"], "2"),
        ([case("1", "B2", "A1")], ["A1", "B2"], None),
        ([case("1", "A1")], ["A1", "B2"], None),
        ([case("1")], ["A1"], None),
        ([], ["A1"], None),
    ],
)
def test_choice_of_the_case(cases: Sequence[PatientCase], wanted: list[str], chosen: str | None) -> None:
    found = matching_case(cases, document(*wanted))
    assert (found.case_id if found else None) == chosen


def test_policies_out_of_force_do_not_count() -> None:
    ended = PatientCase("1", True, (Policy("A1", None, date(2026, 3, 2)), Policy("B2", date(2026, 3, 3), None)))
    assert matching_case([ended], document("A1")) is None
    assert matching_case([ended], document("B2")) is ended
    assert coverage_problem([ended], document("A1")).code is ErrorCode.COVERAGE_INACTIVE
    assert coverage_problem([ended], document("C3")).code is ErrorCode.COVERAGE_MISMATCH
    assert coverage_problem([case("1")], document("C3")).code is ErrorCode.COVERAGE_MISSING


PATIENT = {
    "FirstName": "Ann",
    "LastName": "De  Vries",
    "DateofBirth": "1971-07-09T00:00:00",
    "MedicalRecordNumber": "M2",
}


def row(number: str, **changed: str) -> dict[str, str]:
    same = {"FirstName": "ANN", "LastName": "de Vries", "DOB": "7/9/1971 12:00:00 AM"}
    return {"ID": number, **same, **changed}


def test_only_an_exact_patient_counts() -> None:
    others = [row("1", FirstName="Anna"), row("2", DOB="7/10/1971"), row("3", LastName="Vries")]
    assert same_patient(others, PATIENT) is None
    assert same_patient([*others, row("4")], PATIENT) == "4"
    assert same_patient([row("4"), row("5", MedicalRecordNumber="M2")], PATIENT) == "5"
    with pytest.raises(ClaimRejected) as caught:
        same_patient([row("4"), row("5")], PATIENT)
    assert caught.value.code is ErrorCode.PATIENT_AMBIGUOUS


def place(number: str, npi: str = "", name: str = "", pos: str = "11") -> dict[str, str]:
    return {"ID": number, "NPI": npi, "Name": name, "PlaceOfService": pos}


@pytest.mark.parametrize(
    ("places", "wanted", "chosen"),
    [
        ([place("1", npi="N1"), place("2", npi="N2")], {"npi": "N2"}, "2"),
        ([place("1", npi="N1", name="East"), place("2", npi="N1", name="West")], {"npi": "N1", "name": "west"}, "2"),
        ([place("1", npi="N1", name="East"), place("2", npi="N1", name="West")], {"npi": "N1"}, None),
        ([place("1", name="East"), place("2", name="West")], {"npi": "N9", "name": "East"}, "1"),
        ([place("1", pos="11"), place("2", pos="22")], {}, "1"),
        ([place("1"), place("2")], {}, None),
        ([place("1", npi="N1")], {"npi": "N9"}, None),  # the only office, but known to be another one
        ([place("1")], {"npi": "N9"}, "1"),
        ([], {}, None),
    ],
)
def test_choice_of_the_location(places: list[dict[str, str]], wanted: dict[str, str], chosen: str | None) -> None:
    provider = {"ID": "11", "NationalProviderIdentifier": "P1", "Active": "True", "Type": "Normal Provider"}
    directory = Directory({"ID": "4"}, (provider,), tuple(places))
    asked = {"rendering_provider": {"npi": "P1"}, "location": {**wanted, "place_of_service": "11"}}
    if chosen is None:
        with pytest.raises(ClaimRejected) as caught:
            resolved(directory, asked)
        assert caught.value.code is ErrorCode.LOCATION_NOT_FOUND
    else:
        assert resolved(directory, asked).location == chosen


@pytest.mark.parametrize(
    ("rows", "role", "chosen"),
    [
        ([("1", "True", "Normal Provider")], "rendering_provider", "1"),
        ([("1", "False", "Normal Provider")], "rendering_provider", None),
        ([("1", "True", "Referring Provider")], "rendering_provider", None),
        ([("1", "True", "Referring Provider"), ("2", "True", "Normal Provider")], "rendering_provider", "2"),
        ([("1", "True", "Normal Provider"), ("2", "True", "Referring Provider")], "referring_provider", "2"),
        ([("1", "True", "Normal Provider")], "referring_provider", "1"),
    ],
)
def test_choice_of_the_provider(rows: list[tuple[str, str, str]], role: str, chosen: str | None) -> None:
    providers = [{"ID": i, "NationalProviderIdentifier": "P1", "Active": a, "Type": t} for i, a, t in rows]
    renderer = {"ID": "9", "NationalProviderIdentifier": "P9", "Active": "True", "Type": "Normal Provider"}
    directory = Directory({"ID": "4"}, (*providers, renderer), (place("13"),))
    asked = {"rendering_provider": {"npi": "P9"}, role: {"npi": "P1"}, "location": {"place_of_service": "11"}}
    if chosen is None:
        with pytest.raises(ClaimRejected) as caught:
            resolved(directory, asked)
        assert caught.value.code is ErrorCode.PROVIDER_NOT_FOUND
    else:
        assert getattr(resolved(directory, asked), role) == chosen


@pytest.mark.parametrize(
    ("encounter", "charges", "state", "findings"),
    [
        ("2", [], SubmissionState.RECEIVED, []),
        ("4", [], SubmissionState.REJECTED, ["tebra-encounter-status"]),
        ("Unpayable", ["Completed"], SubmissionState.REJECTED, ["tebra-encounter-status"]),
        ("3", ["Ready", "Completed"], SubmissionState.RECEIVED, []),
        ("3", ["Completed", "completed"], SubmissionState.ACCEPTED, []),
        ("3", ["Completed", "Error - Rejection"], SubmissionState.REJECTED, ["tebra-rejection"]),
        ("3", ["Error - Denial"], SubmissionState.ACCEPTED, ["tebra-denial"]),
        ("3", ["Completed", "Some new word"], SubmissionState.RECEIVED, []),
        ("9", ["Voided", "Voided"], SubmissionState.RECEIVED, ["tebra-voided"]),
    ],
)
def test_standing(encounter: str, charges: list[str], state: SubmissionState, findings: list[str]) -> None:
    rows = [{"ID": str(i), "Status": status} for i, status in enumerate(charges)]
    found = standing({"EncounterID": "29541", "EncounterStatus": encounter}, rows)
    assert found.state is state
    assert [finding.edit for finding in found.findings] == findings
    assert found.reference.startswith("EncounterID 29541")


@pytest.mark.parametrize(
    ("status", "decided", "state"),
    [
        ("Completed", "3/20/2026 12:00:00 AM", SubmissionState.ADJUDICATED),
        ("Error - Denial", "3/20/2026 12:00:00 AM", SubmissionState.ADJUDICATED),
        ("Completed", "", SubmissionState.ACCEPTED),
        ("Completed", "1/1/1900 12:00:00 AM", SubmissionState.ACCEPTED),
        ("Pending", "3/20/2026 12:00:00 AM", SubmissionState.RECEIVED),
        ("Error - Rejection", "3/20/2026 12:00:00 AM", SubmissionState.REJECTED),
    ],
)
def test_a_posted_remittance_is_an_adjudication(status: str, decided: str, state: SubmissionState) -> None:
    charge = {
        "ID": "1",
        "Status": status,
        "ServiceStartDate": "3/3/2026 12:00:00 AM",
        "PrimaryInsuranceAdjudicationDate": decided,
    }
    assert standing({"EncounterID": "29541", "EncounterStatus": "3"}, [charge]).state is state
    half = [charge, {**charge, "ID": "2", "PrimaryInsuranceAdjudicationDate": ""}]
    assert standing({"EncounterID": "29541", "EncounterStatus": "3"}, half).state is not SubmissionState.ADJUDICATED


@pytest.mark.parametrize(
    "text",
    [
        "<k:LastName>Exampleton</k:LastName>",
        "<LastName>Exampleton",
        "&lt;LastName&gt;Exampleton&lt;/LastName&gt;",
        "&amp;lt;LastName&amp;gt;Exampleton&amp;lt;/LastName&amp;gt;",
        '<ProcedureCode>17000<err id="1">bad</err>Exampleton</ProcedureCode>',
        '{"LastName": "Exampleton"}',
        '{"LastName": "Exam\\"pleton"}',
        '{"LastName":"Exampleton',
        "<Password>s3cret&amp;x</Password> s3cret&x",
        "born 1971-07-09",
        "born 7/9/1971",
        "annabel@example.test",
        "call (518) 555-0142",
    ],
)
def test_scrub_removes(text: str) -> None:
    clean = scrubbed(text, ["s3cret&x"])
    for value in ("Exampleton", "pleton", "s3cret", "1971", "annabel", "0142"):
        assert value not in clean


def test_scrub_keeps_what_helps() -> None:
    text = "<IsError>true</IsError><EncounterID>29541</EncounterID> CreateEncounter failed"
    assert scrubbed(text, [""]) == text.replace(" CreateEncounter failed", "[removed]")
    assert scrubbed('{"Units":1,"LastName":"X"} done', []) == '{"Units":1,"LastName":"[removed]"} done'
