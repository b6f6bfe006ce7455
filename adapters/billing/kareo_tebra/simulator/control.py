"""What the control routes show and change: the ledger, and the hands of the biller and the payer."""

from __future__ import annotations

from typing import Any

from adapters.billing.kareo_tebra.simulator.charges import CHARGE_STATUSES, move_charges
from adapters.billing.kareo_tebra.simulator.directory import Company
from adapters.billing.kareo_tebra.simulator.encounters import set_status
from adapters.billing.kareo_tebra.simulator.replies import BusinessError
from adapters.billing.kareo_tebra.simulator.state import Account, Case, Encounter, Line, Patient, Policy
from adapters.billing.kareo_tebra.simulator.types import ENUMERATIONS
from gateway.kit.simulator_app import ControlRefused

Json = dict[str, Any]


def ledger(account: Account) -> Json:
    """Everything that is saved, oldest first; amounts are strings with two decimals.

    `claims` is what every billing simulator shows: one entry a claim, by the gateway's submission id.
    """
    return {
        "claims": [
            {"submission_id": encounter.batch_number, "vendor_id": encounter.encounter_id}
            for encounter in account.encounters.values()
        ],
        "encounters": [_encounter(encounter) for encounter in account.encounters.values()],
        "patients": [_patient(patient) for patient in account.patients.values()],
        "insurance_companies": [_company(company) for company in account.directory.companies],
    }


def advance(account: Account, body: Json) -> Json:
    """Move one encounter, or all that can move: {"EncounterID"?, "to"?, "reason"?}.

    `to` is a status of the encounter (what a biller does on the screen) or of its charges (what the payer does);
    without it each charge takes its next step. Answers {"moved": [EncounterID]}.
    """
    status = body.get("to")
    if status in ENUMERATIONS["EncounterStatusCode"]:
        return {"moved": [_set_status(encounter, status) for encounter in _chosen(account, body)]}
    if status is not None and status not in CHARGE_STATUSES:
        raise ControlRefused(f"unknown status {status!r}")
    approved = [encounter for encounter in _chosen(account, body) if encounter.status == "Approved"]
    if "EncounterID" in body and not approved:
        raise ControlRefused("the encounter is not approved: it has no charges to move")
    for encounter in approved:
        move_charges(encounter, status, body.get("reason"))
    return {"moved": [encounter.encounter_id for encounter in approved]}


def _chosen(account: Account, body: Json) -> list[Encounter]:
    if "EncounterID" not in body:
        return list(account.encounters.values())
    encounter = account.encounters.get(str(body["EncounterID"]))
    if encounter is None:
        raise ControlRefused("unknown EncounterID")
    return [encounter]


def _set_status(encounter: Encounter, status: str) -> str:
    try:
        set_status(encounter, status)
    except BusinessError as problem:
        raise ControlRefused(str(problem)) from None
    return encounter.encounter_id


def _encounter(encounter: Encounter) -> Json:
    return {
        "EncounterID": encounter.encounter_id,
        "BatchNumber": encounter.batch_number,
        "ExternalID": encounter.external_id,
        "PatientID": encounter.patient.patient_id,
        "PatientName": encounter.patient.full_name,
        "CaseID": encounter.case.case_id,
        "ProviderID": encounter.provider_id,
        "LocationID": encounter.location_id,
        "place_of_service": encounter.place_of_service,
        "authorization_number": encounter.details.get("AuthorizationNumber"),
        "business_office_notes": encounter.details.get("BusinessOfficeNotes"),
        "notes": [line.get("LineNote") for line in encounter.details["ServiceLines"]],
        "referring": "ReferringProvider" in encounter.details,
        "supervising": "SupervisingProvider" in encounter.details,
        "status": encounter.status,
        "service_date": encounter.start.date().isoformat(),
        "service_end_date": encounter.end.date().isoformat(),
        "post_date": encounter.post_date.date().isoformat(),
        "saved_at": encounter.saved_at,
        "lines": [_line(line) for line in encounter.lines],
        "total": str(sum(line.total for line in encounter.lines)),
    }


def _line(line: Line) -> Json:
    return {
        "ServiceLineID": line.line_id,
        "ExternalID": line.external_id,
        "procedure": line.procedure,
        "modifiers": line.modifiers,
        "diagnoses": line.diagnoses,
        "units": str(line.units),
        "unit_charge": str(line.unit_charge),
        "service_date": line.start.date().isoformat(),
        "charge_status": line.charge_status,
    }


def _patient(patient: Patient) -> Json:
    return {
        "PatientID": patient.patient_id,
        "PatientName": patient.full_name,
        "birth_date": patient.birth_date.isoformat() if patient.birth_date else None,
        "gender": patient.details.get("Gender"),
        "address": [patient.details.get(name) for name in ("AddressLine1", "City", "State", "ZipCode")],
        "external_ids": patient.external_ids,
        "cases": [_case(patient, case) for case in patient.cases],
    }


def _case(patient: Patient, case: Case) -> Json:
    return {
        "CaseID": case.case_id,
        "CaseName": case.details.get("CaseName"),
        "PayerScenario": case.details.get("PayerScenario"),
        "condition": case.details.get("Condition"),
        "dates": {name: day.date().isoformat() for name, day in (case.details.get("Dates") or {}).items()},
        "primary": case.case_id == patient.primary_case_id,
        "policies": [_policy(policy) for policy in case.policies],
    }


def _policy(policy: Policy) -> Json:
    return {
        "InsurancePolicyID": policy.policy_id,
        "CompanyName": policy.company.name if policy.company else None,
        "PlanName": policy.plan.name if policy.plan else None,
        "PolicyNumber": policy.details.get("PolicyNumber"),
        "Precedence": policy.details.get("Precedence"),
        "authorizations": [authorization.get("Number") for authorization in policy.authorizations],
    }


def _company(company: Company) -> Json:
    plans = [{"PlanID": plan.plan_id, "PlanName": plan.name} for plan in company.plans]
    return {"CompanyID": company.company_id, "CompanyName": company.name, "plans": plans}
