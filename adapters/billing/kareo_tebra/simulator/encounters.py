"""CreateEncounter and UpdateEncounterStatus (vendor document, sections 6 and 7)."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from typing import Any

from adapters.billing.kareo_tebra.simulator.directory import PRACTICE_ID, Row
from adapters.billing.kareo_tebra.simulator.parser import Values, null_reference
from adapters.billing.kareo_tebra.simulator.patients import NO_VENDOR
from adapters.billing.kareo_tebra.simulator.refusals import Findings
from adapters.billing.kareo_tebra.simulator.replies import BusinessError
from adapters.billing.kareo_tebra.simulator.state import Account, Case, Encounter, Line, Patient, cut, now

_PROCEDURE = re.compile(r"\d{4}[0-9FTU]|[A-V]\d{4}")
_MODIFIER = re.compile(r"[0-9A-Z]{2}")
_DIAGNOSIS = re.compile(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?")
_PLACE_OF_SERVICE = re.compile(r"\d{2}")
_FINAL = ("Approved", "Unpayable")
_SLOTS = ("1", "2", "3", "4")


def create_encounter(account: Account, request: Values) -> Values:
    """Validate and save; a request that was sent before makes a second encounter. Raises BusinessError."""
    given = request.get("Encounter")
    if given is None:
        raise null_reference()
    findings = Findings()
    patient = _patient(account, given, findings)
    case = _case(account, given, patient, findings)
    _check_header(account, given, findings)
    _check_lines(account, given, findings)
    if findings:
        raise BusinessError(findings.echo(given))
    assert patient is not None, "a missing patient is a finding"
    assert case is not None, "a missing case is a finding"
    encounter = _new_encounter(account, given, patient, case)
    account.add_encounter(encounter)
    patient.last_encounter = max(patient.last_encounter or encounter.start, encounter.start)
    if encounter.status == "Approved":
        make_charges(encounter)
    return _result(account, encounter)


def update_status(account: Account, request: Values) -> Values:
    """Move an encounter to another status; approving it creates its charges. Raises BusinessError."""
    given = request.get("EncounterUpdateStatus")
    if given is None:
        raise null_reference()
    if not account.practice_matches(given["Practice"]):
        raise BusinessError("Encounter was not updated, the practice was not found")
    encounter = account.encounters.get(given["EncounterID"] or "")
    if encounter is None:
        raise BusinessError("Encounter was not updated, the encounter was not found")
    set_status(encounter, given["EncounterStatus"])
    return _result(account, encounter)


def set_status(encounter: Encounter, status: str) -> None:
    """Change the status; an approved or unpayable encounter keeps its own. Raises BusinessError."""
    if encounter.status == status:
        return
    if encounter.status in _FINAL:
        raise BusinessError(f"Encounter was not updated, it is already {encounter.status}")
    encounter.status = status
    encounter.modified = now()
    if status == "Approved":
        make_charges(encounter)


def make_charges(encounter: Encounter) -> None:
    """Approval turns each line into a charge that is ready to bill."""
    for line in encounter.lines:
        line.charge_status = "Ready"


def _patient(account: Account, given: Values, findings: Findings) -> Patient | None:
    identifier = given["Patient"] or {}
    patient_id, external_id = identifier.get("PatientID"), cut(identifier.get("PatientExternalID"))
    if patient_id:
        patient = account.patients.get(patient_id)
    else:
        holders = (account.by_external_id.get((vendor, external_id or "")) for vendor in (NO_VENDOR, *account.vendors))
        patient = next(filter(None, holders), None)
    if patient is None:
        findings.add("patient", "Patient", "PatientID")
    return patient


def _case(account: Account, given: Values, patient: Patient | None, findings: Findings) -> Case | None:
    identifier = given["Case"] or {}
    if identifier.get("CaseID"):
        case = account.cases.get(identifier["CaseID"])
    else:
        external_id, name = cut(identifier.get("CaseExternalID")), identifier.get("CaseName")
        own = patient.cases if patient else []
        by_external_id = (c for c in own if external_id and c.external_id == external_id)
        by_name = (c for c in own if name and not external_id and c.details.get("CaseName") == name)
        case = next(by_external_id, None) or next(by_name, None)
    if case is None:
        findings.add("case", "Case", "CaseID")
    elif patient is not None and case.patient_id != patient.patient_id:
        findings.add("case_of_other", "Case", "CaseID")
    return case


def _check_header(account: Account, given: Values, findings: Findings) -> None:
    if not account.practice_matches(given["Practice"]):
        findings.add("practice", "Practice", "PracticeID")
    for role in ("RenderingProvider", "SchedulingProvider", "SupervisingProvider"):
        if role in given:
            _check_provider(account, given[role] or {}, role, findings)
    location = _location(account, given)
    if location is None:
        findings.add("location", "ServiceLocation", "LocationID")
    place = (given.get("PlaceOfService") or {}).get("PlaceOfServiceCode")
    if place and not _PLACE_OF_SERVICE.fullmatch(place):
        findings.add("place_of_service", "PlaceOfService", "PlaceOfServiceCode")
    if given.get("ServiceEndDate") and given["ServiceEndDate"] < given["ServiceStartDate"]:
        findings.add("service_dates", "ServiceEndDate")


def _provider(account: Account, identifier: Values) -> Row | None:
    providers = account.directory.providers
    if identifier.get("ProviderID"):
        return providers.get(identifier["ProviderID"])
    names = (identifier.get("FirstName"), identifier.get("LastName"))
    return next((row for row in providers.values() if (row["FirstName"], row["LastName"]) == names), None)


def _check_provider(account: Account, identifier: Values, role: str, findings: Findings) -> None:
    row = _provider(account, identifier)
    if row is None or account.directory.practice_of[f"provider/{row['ID']}"] != PRACTICE_ID:
        findings.add("provider", role, "ProviderID")
    elif row["Active"] != "True":
        findings.add("provider_inactive", role, "ProviderID")


def _location(account: Account, given: Values) -> Row | None:
    identifier = given["ServiceLocation"] or {}
    locations = account.directory.locations
    if identifier.get("LocationID"):
        row = locations.get(identifier["LocationID"])
    else:
        row = next((one for one in locations.values() if one["Name"] == identifier.get("LocationName")), None)
    return row if row and row["PracticeID"] == PRACTICE_ID else None


def _check_lines(account: Account, given: Values, findings: Findings) -> None:
    lines = given["ServiceLines"] or []
    if not lines:
        findings.add("no_lines", "ServiceLines")
    for position, line in enumerate(lines):
        path = ("ServiceLines", position)
        if not _known_procedure(account, line["ProcedureCode"] or ""):
            findings.add("procedure", *path, "ProcedureCode")
        for name, value in _slots(line, "DiagnosisCode"):
            if not _DIAGNOSIS.fullmatch(value or ""):
                findings.add("diagnosis", *path, name)
        for name, value in _slots(line, "ProcedureModifier"):
            if value and not _MODIFIER.fullmatch(value):
                findings.add("modifier", *path, name)
        if line["Units"] is None or line["Units"] <= 0:
            findings.add("units", *path, "Units")
        if (line.get("UnitCharge") or 0) < 0:
            findings.add("unit_charge", *path, "UnitCharge")


def _slots(line: Values, stem: str) -> list[tuple[str, str | None]]:
    names = [stem + slot for slot in _SLOTS]
    return [(name, line[name]) for name in names if name in line]


def _known_procedure(account: Account, code: str) -> bool:
    known = account.directory.procedures
    return code in known if known else _PROCEDURE.fullmatch(code) is not None


def _new_encounter(account: Account, given: Values, patient: Patient, case: Case) -> Encounter:
    provider = _provider(account, given["RenderingProvider"] or {})
    location = _location(account, given)
    assert provider is not None, "a missing provider is a finding"
    assert location is not None, "a missing location is a finding"
    moment = now()
    start = given["ServiceStartDate"]
    return Encounter(
        encounter_id=account.next_id("encounter"),
        patient=patient,
        case=case,
        provider_id=provider["ID"],
        provider_name=provider["FullName"],
        location_id=location["ID"],
        place_of_service=_place_of_service(given, location),
        status=given.get("EncounterStatus") or "Draft",
        batch_number=given.get("BatchNumber"),
        external_id=cut(given.get("ExternalID")),
        start=start,
        end=given.get("ServiceEndDate") or start,
        post_date=given["PostDate"],
        details=given,
        lines=[_new_line(account, line) for line in given["ServiceLines"]],
        saved_at=time.time(),
        created=moment,
        modified=moment,
    )


def _place_of_service(given: Values, location: Row) -> str:
    sent = (given.get("PlaceOfService") or {}).get("PlaceOfServiceCode")
    return str(sent or location["PlaceOfService"] or "11")


def _new_line(account: Account, given: Values) -> Line:
    charge = given.get("UnitCharge")
    start = given["ServiceStartDate"]
    return Line(
        line_id=account.next_id("line"),
        external_id=cut(given.get("EncounterProcedureExternalID")),
        procedure=given["ProcedureCode"],
        modifiers=[value for _, value in _slots(given, "ProcedureModifier") if value],
        diagnoses=[value for _, value in _slots(given, "DiagnosisCode") if value],
        units=given["Units"],
        unit_charge=account.directory.fees.get(given["ProcedureCode"], Decimal("0.00")) if charge is None else charge,
        start=start,
        end=given.get("ServiceEndDate") or start,
    )


def line_results(encounter: Encounter) -> list[Values]:
    """The lines as `ServiceLineRes` elements."""
    return [
        {"EncounterProcedureExternalID": line.external_id, "ServiceLineID": line.line_id} for line in encounter.lines
    ]


def _result(account: Account, encounter: Encounter) -> Values:
    patient = encounter.patient
    return {
        "EncounterExternalID": encounter.external_id,
        "EncounterID": encounter.encounter_id,
        "PatientCaseExternalID": encounter.case.external_id,
        "PatientCaseID": encounter.case.case_id,
        "PatientExternalID": patient.external_ids.get(NO_VENDOR),
        "PatientID": patient.patient_id,
        "PracticeID": PRACTICE_ID,
        "PracticeName": account.directory.practice_name,
        "ReferringProviderID": _role_id(account, encounter, "ReferringProvider"),
        "RenderingProviderID": encounter.provider_id,
        "SchedulingProviderID": _role_id(account, encounter, "SchedulingProvider"),
        "ServiceLinesAdded": line_results(encounter),
        "ServiceLocationID": encounter.location_id,
        "SupervisingProviderID": _role_id(account, encounter, "SupervisingProvider"),
    }


def _role_id(account: Account, encounter: Encounter, role: str) -> Any:
    row = _provider(account, encounter.details.get(role) or {})
    return row["ID"] if row else None
