"""Tebra's replies: envelope, the four failure shapes, and the rows the adapter needs (sections 4 to 8). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from adapters.billing.kareo_tebra import errors
from adapters.billing.kareo_tebra.errors import VENDOR
from adapters.billing.kareo_tebra.operations import (
    CREATE_ENCOUNTER,
    CREATE_PATIENT,
    UPDATE_ENCOUNTER_STATUS,
    UPDATE_PATIENT,
)
from adapters.billing.kareo_tebra.refusals import findings_in, refusal_code
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.encoders import soap

_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_REFUSED = {
    CREATE_PATIENT: ("Tebra refused to create the patient", ErrorCode.PATIENT_INVALID),
    UPDATE_PATIENT: ("Tebra refused to add a case to the patient", ErrorCode.COVERAGE_MISMATCH),
    UPDATE_ENCOUNTER_STATUS: ("Tebra refused to set the encounter to Rejected", ErrorCode.OTHER),
}
_PERMISSION_NAME = re.compile(r"[A-Za-z][A-Za-z ]{0,60}")


@dataclass(frozen=True, slots=True)
class Authorization:
    """A prior authorization of a policy, with its first and last day."""

    number: str
    starts: date | None = None
    ends: date | None = None

    def in_force(self, day: date) -> bool:
        """Whether it covers a day."""
        return _covers(self.starts, self.ends, day)


@dataclass(frozen=True, slots=True)
class Policy:
    """One insurance policy of a case; `number` is the member id."""

    number: str
    starts: date | None = None
    ends: date | None = None
    authorizations: tuple[Authorization, ...] = ()

    def in_force(self, day: date) -> bool:
        """Whether the policy covers a day."""
        return _covers(self.starts, self.ends, day)


def _covers(starts: date | None, ends: date | None, day: date) -> bool:
    """Whether a day is within two others; an open end is open."""
    return (starts is None or starts <= day) and (ends is None or day <= ends)


@dataclass(frozen=True, slots=True)
class PatientCase:
    """One case of a patient; its policies are in order of payment."""

    case_id: str
    primary: bool
    policies: tuple[Policy, ...]
    name: str = ""


def read(operation: str, status: int, body: bytes, gap_seconds: float) -> soap.Element:
    """The `<Op>Result` element of a good reply; raises the `AdapterError` that any other reply means."""
    try:
        content = soap.parse(body)
    except soap.NotSoap:
        raise _http_error(operation, status) or errors.no_soap(operation) from None
    fault = soap.fault(content)
    if fault is not None:
        known = errors.meaning(errors.FAULT_SIGNALS, operation, f"{fault.code} {fault.text}", gap_seconds)
        raise known or errors.in_doubt(operation, "the service failed with a SOAP fault", ErrorCode.UNAVAILABLE)
    result = soap.child(content, f"{operation}Result")
    if result is None or status != 200:
        raise _http_error(operation, status) or errors.unreadable(operation)
    problem = _security_problem(operation, result) or _business_problem(operation, result, gap_seconds)
    if problem is not None:
        raise problem
    return result


def _http_error(operation: str, status: int) -> AdapterError | None:
    if status == 200:
        return None
    text = f"the service answered HTTP {status}"
    if status >= 500:
        return errors.in_doubt(operation, text, ErrorCode.UNAVAILABLE)
    known = {401: CredentialsRejected, 403: PermissionMissing}
    return known.get(status, VendorUnavailable)(VENDOR, operation, text)


def _security_problem(operation: str, result: soap.Element) -> AdapterError | None:
    def refused(name: str) -> bool:
        return soap.text(result, "SecurityResponse", name).lower() == "false"

    if refused("CustomerKeyValid"):
        return CredentialsRejected(VENDOR, operation, "Tebra does not know the customer key")
    if refused("Authenticated"):
        return CredentialsRejected(VENDOR, operation, "Tebra does not accept the user name or password")
    if refused("Authorized"):
        missing = soap.child(result, "SecurityResponse", "PermissionsMissing")
        names = [] if missing is None else [text for text in missing.itertext() if _PERMISSION_NAME.fullmatch(text)]
        wanted = f": {', '.join(names)}" if names else ""
        return PermissionMissing(VENDOR, operation, f"the Tebra user lacks a permission{wanted}")
    return None


def _business_problem(operation: str, result: soap.Element, gap_seconds: float) -> AdapterError | None:
    if soap.text(result, "ErrorResponse", "IsError").lower() != "true":
        return None
    message = soap.text(result, "ErrorResponse", "ErrorMessage")
    findings = findings_in(message)
    if not findings:
        known = errors.meaning(errors.MESSAGE_SIGNALS, operation, message, gap_seconds)
        if known is not None:
            return known
    if operation == CREATE_ENCOUNTER:
        return ClaimRejected(
            VENDOR,
            operation,
            "Tebra refused the encounter" if findings else errors.UNKNOWN_REFUSAL.message,
            code=refusal_code(message),
            vendor_code=",".join(dict.fromkeys(finding.edit.removeprefix("tebra-") for finding in findings)) or None,
            findings=findings,
        )
    if operation in _REFUSED:
        text, code = _REFUSED[operation]
        return ClaimRejected(VENDOR, operation, text, code=code)
    return UnexpectedResponse(VENDOR, operation, "Tebra reported an error that the gateway does not know")


def rows(result: soap.Element, wrapper: str, row: str) -> list[dict[str, str]]:
    """The rows of a list reply without the placeholder that Tebra sends for no match (section 5)."""
    found = (soap.record(element) for element in soap.children(soap.child(result, wrapper), row))
    return [record for record in found if record.get("ID")]


def charge_rows(result: soap.Element) -> list[dict[str, str]]:
    """`ChargeData` rows; an unapproved charge may not have its own ID yet, but belongs to an encounter."""
    found = (soap.record(element) for element in soap.children(soap.child(result, "Charges"), "ChargeData"))
    return [record for record in found if record.get("EncounterID")]


def encounter_row(result: soap.Element) -> dict[str, str] | None:
    """The one row of GetEncounterDetails, or None when Tebra has no such encounter."""
    element = soap.child(result, "EncounterDetails", "EncounterDetailsData")
    record = {} if element is None else soap.record(element)
    return record if record.get("EncounterID") else None


def patient_cases(result: soap.Element) -> tuple[PatientCase, ...]:
    """The cases of a GetPatient reply, each with its policies in the order in which Tebra lists them."""
    cases = soap.children(soap.child(result, "Patient", "Cases"), "PatientCaseData")
    read_cases = (_patient_case(case) for case in cases)
    return tuple(case for case in read_cases if case.case_id)


def _patient_case(case: soap.Element) -> PatientCase:
    found = map(_policy, soap.children(soap.child(case, "InsurancePolicies"), "PatientInsurancePolicyData"))
    return PatientCase(
        case_id=soap.text(case, "PatientCaseID"),
        primary=soap.text(case, "IsPrimaryCase").lower() == "true",
        policies=tuple(policy for policy in found if policy.number),
        name=soap.text(case, "Name"),
    )


def _policy(policy: soap.Element) -> Policy:
    starts, ends = (day_of(soap.text(policy, f"Effective{side}Date")) for side in ("Start", "End"))
    listed = soap.children(soap.child(policy, "Authorizations"), "PatientInsurancePolicyAuthorizationData")
    return Policy(soap.text(policy, "Number"), starts, ends, tuple(map(_authorization, listed)))


def _authorization(row: soap.Element) -> Authorization:
    starts, ends = (day_of(soap.text(row, f"{side}Date")) for side in ("Start", "End"))
    return Authorization(soap.text(row, "AuthorizationNumber"), starts, ends)


def created_case_id(result: soap.Element) -> str:
    """The id of the case in a CreatePatient reply, or an empty text when it names none."""
    cases = soap.child(result, "Cases")
    named = [soap.text(e) for name in ("PatientCaseID", "CaseID") for e in soap.descendants(cases, name)]
    return next((case_id for case_id in named if case_id), "")


def encounter_ids(result: soap.Element) -> dict[str, str]:
    """Tebra's identifiers in a CreateEncounter reply; empty when it has no EncounterID."""
    names = ("EncounterID", "PatientCaseID", "PatientID", "PracticeID", "RenderingProviderID", "ServiceLocationID")
    found = {name: soap.text(result, name) for name in names}
    lines = (
        soap.text(e, "ServiceLineID") for e in soap.children(soap.child(result, "ServiceLinesAdded"), "ServiceLineRes")
    )
    found["ServiceLineIDs"] = ",".join(line for line in lines if line)
    return {name: value for name, value in found.items() if value} if found["EncounterID"] else {}


def throttles(result: soap.Element) -> dict[str, float]:
    """Operation to its own minimum gap in seconds, from GetThrottles."""
    details = (soap.record(element) for element in soap.descendants(result, "ThrottleDetail"))
    return dict(_gaps(details))


def _gaps(details: Iterator[dict[str, str]]) -> Iterator[tuple[str, float]]:
    for detail in details:
        if detail.get("Endpoint") and detail.get("ThrottleTimeMs", "").isdigit():
            yield detail["Endpoint"], int(detail["ThrottleTimeMs"]) / 1000


def day_of(text: str) -> date | None:
    """A date of either form that Tebra writes (`2026-03-03T00:00:00`, `3/3/2026 12:00:00 AM`), or None."""
    american = _US_DATE.match(text)
    try:
        if american:
            return date(int(american[3]), int(american[1]), int(american[2]))
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
