"""The patient writes: CreatePatient, UpdatePatient, external ids and vendors (vendor document, section 8)."""

from __future__ import annotations

from typing import Any

from adapters.billing.kareo_tebra.simulator.directory import PRACTICE_ID, Company, Plan
from adapters.billing.kareo_tebra.simulator.parser import SoapFault, Values, null_reference
from adapters.billing.kareo_tebra.simulator.replies import BusinessError
from adapters.billing.kareo_tebra.simulator.state import Account, Case, Patient, Policy, cut, now

NO_VENDOR = ""
"""The vendor under which CreatePatient's own PatientExternalID is kept."""


def create_patient(account: Account, request: Values) -> Values:
    """Save a patient with cases and policies. Nothing is compared with existing patients."""
    given = _given(request, "Patient")
    _check_practice(account, given)
    if not (given["FirstName"] and given["LastName"]):
        raise BusinessError("Patient was not created, first name and last name are required")
    _check_cases(account, given)
    moment = now()
    patient = Patient(account.next_id("patient"), _details(given), created=moment, modified=moment)
    if external_id := cut(given.get("PatientExternalID")):
        account.give_external_id(patient, NO_VENDOR, external_id)
    account.add_patient(patient)
    return _patient_result(account, patient, _add_cases(account, patient, given))


def update_patient(account: Account, request: Values) -> Values:
    """Change the members that were sent. A case with a CaseID is changed, one without is added to the patient's."""
    given = _given(request, "Patient")
    if "PatientExternalID" in given:
        raise SoapFault("InternalServiceFault", "An error occurred while updating the external ID of the patient.")
    _check_practice(account, given)
    patient = account.patients.get(given["PatientID"] or "")
    if patient is None:
        raise BusinessError("Patient was not updated, the patient was not found")
    _check_cases(account, given)
    own = {case.case_id for case in patient.cases}
    if not own.issuperset(entry["CaseID"] for entry in given.get("Cases") or [] if entry.get("CaseID")):
        raise BusinessError("Patient was not updated, the case was not found")
    account.unindex_patient(patient)
    patient.details.update(_details(given))
    patient.modified = now()
    account.index_patient(patient)
    return _patient_result(account, patient, _add_cases(account, patient, given))


def update_primary_case(account: Account, request: Values) -> Values:
    """Make a case the primary one of its patient."""
    case = account.cases.get(request["PatientCaseId"] or "")
    if case is None:
        raise BusinessError("Primary case was not updated, the case was not found")
    patient = account.patients[case.patient_id]
    patient.primary_case_id = case.case_id
    patient.modified = now()
    return {"PatientCaseId": case.case_id}


def update_external_ids(account: Account, request: Values) -> Values:
    """Give patients the ids of a registered vendor. The reply never lists what was updated."""
    for setting in (request.get("Updates") or {}).get("UpdateBatch") or []:
        patient = account.patients.get(setting.get("patientID") or "")
        vendor = setting.get("externalVendorID") or ""
        external_id = cut(setting.get("externalID"))
        if patient is None or vendor not in account.vendors or not external_id:
            continue
        if account.by_external_id.get((vendor, external_id), patient) is not patient:
            raise BusinessError("External ID was not updated, it belongs to another patient")
        account.give_external_id(patient, vendor, external_id)
        patient.modified = now()
    return {"ItemsUpdated": ""}


def register_vendor(account: Account, request: Values) -> Values:
    """Register a vendor of external ids; a name that is registered already keeps its id."""
    name = _given(request, "ExternalVendor")["ExternalVendorName"]
    if not name:
        raise BusinessError("External vendor was not registered, the name is required")
    known = next((vendor for vendor, vendor_name in account.vendors.items() if vendor_name == name), None)
    vendor = known or account.next_id("vendor")
    account.vendors[vendor] = name
    return {"ExternalVendorID": vendor, "ExternalVendorName": name}


def _given(request: Values, member: str) -> Values:
    given = request.get(member)
    if given is None:
        raise null_reference()
    return dict(given)


def _check_practice(account: Account, given: Values) -> None:
    if not account.practice_matches(given["Practice"]):
        raise BusinessError("Practice not found, please verify the practice")


def _details(given: Values) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in ("Cases", "PatientExternalID", "PatientID")}


def _check_cases(account: Account, given: Values) -> None:
    for case in given.get("Cases") or []:
        for policy in case.get("Policies") or []:
            _check_policy(account, policy)
        for authorization in case.get("Authorizations") or []:
            if bool(authorization.get("Number")) != bool(authorization.get("NumberOfVisits")):
                raise BusinessError("Authorization was not saved, number and number of visits must come together")


def _check_policy(account: Account, policy: Values) -> None:
    companies = account.directory.companies
    company_id, plan_id = policy.get("CompanyID"), policy.get("PlanID")
    if company_id and company_id not in {company.company_id for company in companies}:
        raise BusinessError("Insurance company not found, please verify the company id")
    if plan_id and plan_id not in {plan.plan_id for company in companies for plan in company.plans}:
        raise BusinessError("Insurance plan not found, please verify the plan id")


def _add_cases(account: Account, patient: Patient, given: Values) -> list[Case]:
    sent = [_case(account, patient, entry) for entry in given.get("Cases") or []]
    patient.cases.extend(case for case in sent if case not in patient.cases)
    if patient.primary_case_id is None and patient.cases:
        patient.primary_case_id = patient.cases[0].case_id
    return sent


def _case(account: Account, patient: Patient, entry: Values) -> Case:
    """The case that an entry names, changed, or a new one."""
    case = account.cases.get(entry.get("CaseID") or "")
    if case is None:
        case = Case(account.next_id("case"), patient.patient_id, cut(entry.get("ExternalID")), {})
        account.cases[case.case_id] = case
    case.details |= {name: v for name, v in entry.items() if name not in ("Authorizations", "CaseID", "Policies")}
    policies = [_new_policy(account, policy) for policy in entry.get("Policies") or []]
    case.policies = sorted([*case.policies, *policies], key=lambda policy: policy.precedence)
    for authorization in entry.get("Authorizations") or []:
        _attach(case, authorization)
    return case


def _attach(case: Case, authorization: Values) -> None:
    policy_id, plan_id = authorization.get("InsurancePolicyID"), authorization.get("InsurancePlanID")
    of_policy = [policy for policy in case.policies if policy.policy_id == policy_id]
    of_plan = [policy for policy in case.policies if plan_id and policy.plan and policy.plan.plan_id == plan_id]
    for policy in (of_policy or of_plan or case.policies)[:1]:
        policy.authorizations.append(authorization)


def _new_policy(account: Account, given: Values) -> Policy:
    """Link a policy to its company and plan; a name that is not known makes a new one (section 8)."""
    known = account.directory.companies
    by_id = next((one for one in known if one.company_id == given.get("CompanyID")), None)
    by_plan = next((one for one in known for plan in one.plans if plan.plan_id == given.get("PlanID")), None)
    by_name = next((one for one in known if _same(one.name, given.get("CompanyName"))), None)
    company = by_id or by_plan or by_name or _new_company(account, given)
    plan = _plan(account, company, given) if company else None
    return Policy(account.next_id("policy"), company, plan, given)


def _new_company(account: Account, given: Values) -> Company | None:
    if not given.get("CompanyName"):
        return None
    company = Company(account.next_id("company"), given["CompanyName"])
    account.directory.companies.append(company)
    return company


def _plan(account: Account, company: Company, given: Values) -> Plan | None:
    plan_id, name = given.get("PlanID"), given.get("PlanName")
    for plan in company.plans:
        if plan.plan_id == plan_id or (not plan_id and _same(plan.name, name)):
            return plan
    if plan_id or not name:
        return None
    company.plans.append(Plan(account.next_id("plan"), name))
    return company.plans[-1]


def _same(name: str, other: str | None) -> bool:
    return name.casefold() == (other or "").casefold()


def _patient_result(account: Account, patient: Patient, cases: list[Case]) -> Values:
    location = patient.details.get("DefaultServiceLocation") or {}
    return {
        "Cases": [_case_result(case) for case in cases],
        "DefaultServiceLocationID": location.get("LocationID"),
        "EmployerID": (patient.details.get("Employer") or {}).get("EmployerID"),
        "PatientExternalID": patient.external_ids.get(NO_VENDOR),
        "PatientID": patient.patient_id,
        "PracticeID": PRACTICE_ID,
        "PracticeName": account.directory.practice_name,
    }


def _case_result(case: Case) -> Values:
    return {
        "CaseExternalID": case.external_id,
        "CaseID": case.case_id,
        "Policies": [
            {
                "InsurancePolicyCompanyID": policy.company.company_id if policy.company else None,
                "InsurancePolicyID": policy.policy_id,
                "InsurancePolicyPlanID": policy.plan.plan_id if policy.plan else None,
            }
            for policy in case.policies
        ],
    }
