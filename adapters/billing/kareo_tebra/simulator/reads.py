"""The reads of the practice's directory and of patients (vendor document, section 5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from adapters.billing.kareo_tebra.simulator.directory import PRACTICE_ID
from adapters.billing.kareo_tebra.simulator.filters import Matcher, bounds
from adapters.billing.kareo_tebra.simulator.parser import Values
from adapters.billing.kareo_tebra.simulator.replies import full_row, stamp
from adapters.billing.kareo_tebra.simulator.schema import Shape
from adapters.billing.kareo_tebra.simulator.state import Account, Case, Patient, Policy, cut
from adapters.billing.kareo_tebra.simulator.types import LISTINGS, SCHEMA

PATIENTS = Matcher(
    texts={
        "FirstName": lambda patient: (patient.details.get("FirstName"),),
        "FullName": lambda patient: (patient.full_name,),
        "Gender": lambda patient: (patient.details.get("Gender"),),
        "IsActive": lambda patient: ("True", "T", "1"),
        "LastName": lambda patient: (patient.details.get("LastName"),),
        "MiddleName": lambda patient: (patient.details.get("MiddleName"),),
        "PrimaryInsurancePolicyCompanyName": lambda patient: (_company_name(_policies(patient)[0]),),
        "ReferringProviderFullName": lambda patient: (_referrer(patient),),
    },
    moments={
        "CreatedDate": lambda patient: patient.created,
        "DateOfBirth": lambda patient: patient.birth_date,
        "LastEncounterDate": lambda patient: patient.last_encounter,
        "LastModifiedDate": lambda patient: patient.modified,
    },
    exclusive=frozenset({"DateOfBirth"}),
)


def directory_read(operation: str) -> Callable[[Account, Values], list[Values]]:
    """The read of GetPractices, GetProviders, GetServiceLocations or GetProcedureCodes."""
    listing = LISTINGS[operation]

    def read(account: Account, criteria: Values) -> list[Values]:
        matcher = _directory_matcher(account, SCHEMA.shapes[listing.filter])
        return [full_row(listing.row, row) for row in matcher.select(criteria, _held(account, operation))]

    return read


def _held(account: Account, operation: str) -> list[Values]:
    directory = account.directory
    if operation == "GetPractices":
        return [directory.practice]
    tables = {
        "GetProviders": directory.providers,
        "GetServiceLocations": directory.locations,
        "GetProcedureCodes": directory.procedures,
    }
    return list(tables[operation].values())


def _directory_matcher(account: Account, shape: Shape) -> Matcher:
    owners = {row_id: account.directory.practice_of[f"provider/{row_id}"] for row_id in account.directory.providers}

    def practice_id(row: Values) -> tuple[str | None, ...]:
        is_provider = "NationalProviderIdentifier" in row
        return (owners[row["ID"]] if is_provider else row.get("PracticeID", PRACTICE_ID),)

    def practice_name(row: Values) -> tuple[str | None, ...]:
        return (row.get("PracticeName", account.directory.practice_name),)

    texts = {name: _column(name) for name in shape.columns if not name.startswith(("From", "To"))}
    texts |= {"PracticeID": practice_id, "PracticeName": practice_name}
    opened = account.opened
    return Matcher(texts, {"CreatedDate": lambda row: opened, "LastModifiedDate": lambda row: opened})


def _column(name: str) -> Callable[[Values], tuple[str | None, ...]]:
    return lambda row: (row.get(name),)


def list_patients(account: Account, criteria: Values) -> list[Values]:
    """GetPatients. `ToDateOfBirth` is exclusive."""
    practice = criteria.get("PracticeName")
    if practice and practice.casefold() != account.directory.practice_name.casefold():
        return []
    rest = {name: value for name, value in criteria.items() if name != "PracticeName"}
    found = PATIENTS.select(rest, _patient_candidates(account, rest))
    return [full_row("PatientData", patient_row(account, patient)) for patient in found]


def _patient_candidates(account: Account, criteria: Values) -> list[Patient]:
    if criteria.get("FullName"):
        return account.by_name.get(criteria["FullName"].casefold(), [])
    if criteria.get("FirstName") and criteria.get("LastName"):
        return account.by_name.get(f"{criteria['FirstName']} {criteria['LastName']}".casefold(), [])
    first, last = bounds(criteria, "DateOfBirth")
    if first and last == first + timedelta(days=1):
        return account.by_birth_date.get(first, [])
    return list(account.patients.values())


def get_patient(account: Account, criteria: Values) -> Values:
    """GetPatient by PatientID, or by ExternalID with ExternalVendorID; no match is a patient with no values."""
    patient = _single_patient(account, criteria)
    if patient is None:
        return {"Patient": {**full_row("SinglePatientData", {}), "Cases": [], "ID": ""}}
    cases = [_case_row(patient, case) for case in patient.cases]
    return {"Patient": full_row("SinglePatientData", {**patient_row(account, patient), "Cases": cases})}


def _single_patient(account: Account, criteria: Values) -> Patient | None:
    if criteria.get("PatientID"):
        return account.patients.get(criteria["PatientID"])
    wanted, vendor = cut(criteria.get("ExternalID")), criteria.get("ExternalVendorID") or ""
    return account.by_external_id.get((vendor, wanted)) if wanted else None


def patient_row(account: Account, patient: Patient) -> Values:
    """The columns of a patient that have values."""
    details = patient.details
    primary, secondary = _policies(patient)
    copied = (
        "AddressLine1", "AddressLine2", "City", "EmailAddress", "FirstName", "Gender", "HomePhone", "LastName",
        "MedicalRecordNumber", "MiddleName", "MobilePhone", "State", "ZipCode",
    )  # fmt: skip
    return {name: details.get(name) for name in copied} | {
        "Active": "True",
        "CreatedDate": stamp(patient.created),
        "DOB": stamp(details.get("DateofBirth")),
        "ID": patient.patient_id,
        "LastEncounterDate": stamp(patient.last_encounter),
        "LastModifiedDate": stamp(patient.modified),
        "PatientFullName": patient.full_name,
        "PracticeName": account.directory.practice_name,
        "PrimaryInsurancePolicyCompanyName": _company_name(primary),
        "PrimaryInsurancePolicyPlanName": _plan_name(primary),
        "SecondaryInsurancePolicyCompanyName": _company_name(secondary),
        "SecondaryInsurancePolicyPlanName": _plan_name(secondary),
    }


def _policies(patient: Patient) -> tuple[Policy | None, Policy | None]:
    case = patient.primary_case
    policies = [*(case.policies if case else []), None, None]
    return policies[0], policies[1]


def _company_name(policy: Policy | None) -> str | None:
    return policy.company.name if policy and policy.company else None


def _plan_name(policy: Policy | None) -> str | None:
    return policy.plan.name if policy and policy.plan else None


def _referrer(patient: Patient) -> str | None:
    referrer = patient.details.get("ReferringProvider") or {}
    return f"{referrer.get('FirstName') or ''} {referrer.get('LastName') or ''}".strip() or None


def _case_row(patient: Patient, case: Case) -> Values:
    return {
        "InsurancePolicies": [_policy_row(policy) for policy in case.policies],
        "IsPrimaryCase": str(case.case_id == patient.primary_case_id),
        "Name": case.details.get("CaseName"),
        "PatientCaseID": case.case_id,
        "PayerScenario": case.details.get("PayerScenario"),
    }


def _policy_row(policy: Policy) -> Values:
    given = policy.details
    authorizations = [
        {
            "AuthorizationNumber": one.get("Number"),
            "EndDate": stamp(one.get("EndDate")),
            "NumberOfVisits": one.get("NumberOfVisits"),
            "StartDate": stamp(one.get("StartDate")),
        }
        for one in policy.authorizations
    ]
    return {
        "Authorizations": authorizations,
        "CompanyName": _company_name(policy),
        "Copay": given.get("Copay"),
        "Deductible": given.get("Deductible"),
        "EffectiveEndDate": stamp(given.get("EffectiveEndDate")),
        "EffectiveStartDate": stamp(given.get("EffectiveStartDate")),
        "GroupNumber": given.get("PolicyGroupNumber"),
        "Number": given.get("PolicyNumber"),
        "PlanName": _plan_name(policy),
    }
