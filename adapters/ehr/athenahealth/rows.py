"""The rows that make US Core resources of athenahealth's objects. Pure (sections 5-9).

A root is the vendor's object, by the name of the read that gives it: `encounter`, `appointment`, `patient` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ehr.athenahealth.values import day, flag, iso_day, text
from gateway.canonical import codes
from gateway.kit.mapping import Row

SIGNED, IN_REVIEW, DELETED = "CLOSED", "REVIEW", "DELETED"
"""Encounter statuses that mean signed, awaiting a supervisor, and gone; OPEN, PEND, TEMP and others are under way."""
GENDERS: Mapping[str, str] = {"M": "male", "F": "female"}
RELATIONSHIPS: Mapping[str, str] = {
    "self": "self",
    "1": "self",
    "spouse": "spouse",
    "2": "spouse",
    "child": "child",
    "3": "child",
}
"""Words and numbers of the patient's relationship to the insured; all others are `other`."""


def status(_: Any) -> str:
    """finished: an encounter that is not closed goes no further than its status."""
    return "finished"


def gender(value: Any) -> str:
    """M, F; anything else is unknown."""
    return GENDERS.get(text(value).upper(), "unknown")


def relationship(value: Any) -> dict[str, Any]:
    """self, spouse, child, other."""
    return codes.concept(codes.RELATIONSHIP, RELATIONSHIPS.get(text(value).lower(), "other"))


def npi(value: Any) -> dict[str, str]:
    """An NPI, which may be a number."""
    return {"system": codes.NPI, "value": text(value)}


def taxonomy(value: Any) -> dict[str, Any]:
    """A provider taxonomy code."""
    return {"code": codes.concept(codes.TAXONOMY, text(value))}


def phone(value: Any) -> dict[str, str]:
    """A telephone number."""
    return {"system": "phone", "value": text(value)}


def record_number(value: Any) -> dict[str, Any]:
    """The patient's number at the practice."""
    return {"type": codes.concept(codes.IDENTIFIER_TYPE, "MR"), "value": text(value)}


def place_of_service(value: Any) -> dict[str, Any]:
    """A CMS place of service code, of two digits."""
    return codes.concept(codes.POS, text(value).zfill(2))


def plan_number(value: Any) -> dict[str, str]:
    """A number by which `payer_ids` of the clinic may name the payer."""
    return {"value": text(value)}


def group(value: Any) -> dict[str, Any]:
    """The group number of a policy."""
    return {"type": codes.concept(codes.COVERAGE_CLASS, "group"), "value": text(value)}


def coverage_status(value: Any) -> str:
    """cancelled where the insurance is marked so; a date of cancellation ends the period instead."""
    return "cancelled" if flag(value) else "active"


def cancelled_on(value: Any) -> str | None:
    """The date of the cancellation, where it is a date and not a mark."""
    parsed = day(value)
    return parsed.isoformat() if parsed else None


def patient_reference(value: Any) -> str:
    """A reference to the Patient."""
    return f"Patient/{text(value)}"


def provider_reference(value: Any) -> str:
    """A reference to one of the practice's providers."""
    return f"Practitioner/provider-{text(value)}"


def referrer_reference(value: Any) -> str:
    """A reference to a referring provider, whose numbers are of another space."""
    return f"Practitioner/referring-{text(value)}"


def department_reference(value: Any) -> str:
    """A reference to the Location of a department."""
    return f"Location/{text(value)}"


def package_reference(value: Any) -> str:
    """A reference to the payer of an insurance package."""
    return f"Organization/{text(value)}"


ENCOUNTER_ROWS = (
    Row("status", "encounter.status", status),
    Row("period.start", "encounter.encounterdate", iso_day),
    Row("subject.reference", "appointment.patientid | encounter.patientid", patient_reference),
    Row(
        "participant[0].individual.reference",
        "appointment.renderingproviderid | encounter.providerid | appointment.providerid",
        provider_reference,
    ),
    Row("location[0].location.reference", "encounter.departmentid | appointment.departmentid", department_reference),
)

CARE_TEAM_ROWS: Mapping[str, Row] = {
    "rendering": Row(
        "provider.reference",
        "appointment.renderingproviderid | encounter.providerid | appointment.providerid",
        provider_reference,
    ),
    "referring": Row("provider.reference", "appointment.referringproviderid", referrer_reference),
    "supervisor": Row("provider.reference", "appointment.supervisingproviderid", provider_reference),
}
"""Who did what, by the role's code."""

PATIENT_ROWS = (
    Row("identifier[]", "patient.patientid", record_number),
    Row("name[0].family", "patient.lastname", text),
    Row("name[0].given[]", "patient.firstname", text),
    Row("name[0].given[]", "patient.middlename", text),
    Row("name[0].suffix[]", "patient.suffix", text),
    Row("gender", "patient.sex", gender),
    Row("birthDate", "patient.dob", iso_day),
    Row("address[0].line[]", "patient.address1", text),
    Row("address[0].line[]", "patient.address2", text),
    Row("address[0].city", "patient.city", text),
    Row("address[0].state", "patient.state", text),
    Row("address[0].postalCode", "patient.zip", text),
    Row("telecom[]", "patient.homephone | patient.mobilephone | patient.workphone", phone),
)

_HOLDER = "insurance.insurancepolicyholder{0} | insurance.insured{0}"
SUBSCRIBER_ROWS = (
    Row("name[0].family", _HOLDER.format("lastname"), text),
    Row("name[0].given[]", _HOLDER.format("firstname"), text),
    Row("name[0].given[]", "insurance.insurancepolicyholdermiddlename", text),
    Row("name[0].suffix[]", "insurance.insurancepolicyholdersuffix", text),
    Row("gender", _HOLDER.format("sex"), gender),
    Row("birthDate", _HOLDER.format("dob"), iso_day),
    Row("address[0].line[]", "insurance.insurancepolicyholderaddress1 | insurance.insuredaddress", text),
    Row("address[0].line[]", "insurance.insurancepolicyholderaddress2", text),
    Row("address[0].city", _HOLDER.format("city"), text),
    Row("address[0].state", _HOLDER.format("state"), text),
    Row("address[0].postalCode", _HOLDER.format("zip"), text),
)
"""The policy holder, where it is not the patient."""

COVERAGE_ROWS = (
    Row("status", "insurance.cancelled", coverage_status),
    Row("subscriberId", "insurance.insuranceidnumber", text),
    Row("relationship", "insurance.relationshiptoinsured | insurance.relationshiptoinsuredid", relationship),
    Row("period.start", "insurance.issuedate", iso_day),
    Row("period.end", "insurance.expirationdate", iso_day),
    Row("period.end", "insurance.cancelled", cancelled_on),
    Row("payor[0].reference", "insurance.insurancepackageid", package_reference),
    Row("type.text", "insurance.insurancetype", text),
    Row("class[]", "insurance.policynumber", group),
)

PAYER_ROWS = (
    Row("name", "insurance.ircname | insurance.insuranceplanname | insurance.insuranceplandisplayname", text),
    Row("identifier[]", "insurance.insurancepackageid", plan_number),
    Row("identifier[]", "insurance.ircid", plan_number),
    Row("telecom[]", "insurance.insurancephone", phone),
    Row("address[0].line[]", "insurance.insurancepackageaddress1", text),
    Row("address[0].line[]", "insurance.insurancepackageaddress2", text),
    Row("address[0].city", "insurance.insurancepackagecity", text),
    Row("address[0].state", "insurance.insurancepackagestate", text),
    Row("address[0].postalCode", "insurance.insurancepackagezip", text),
)

PROVIDER_ROWS = (
    Row("identifier[]", "provider.npi | provider.npinumber", npi),
    Row("name[0].family", "provider.lastname", text),
    Row("name[0].given[]", "provider.firstname", text),
    Row("qualification[]", "provider.ansispecialtycode", taxonomy),
)
"""A provider or a referring provider, who calls the NPI `npinumber`."""

DEPARTMENT_ROWS = (
    Row("name", "department.name | department.patientdepartmentname", text),
    Row("type[]", "department.placeofservicetypeid", place_of_service),
    Row("telecom[]", "department.phone", phone),
    Row("address.line[]", "department.address", text),
    Row("address.line[]", "department.address2", text),
    Row("address.city", "department.city", text),
    Row("address.state", "department.state", text),
    Row("address.postalCode", "department.zip", text),
)

ACCIDENT_ROWS = (
    Row("date", "insurance.caseinjurydate", iso_day),
    Row("locationAddress.state", "accidentdata.autoaccidentstate | insurance.autoaccidentstate", text),
)
