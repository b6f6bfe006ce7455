"""The patient for the ADS API v4, area demographics: all members present, empty when unknown (section 3). Pure.

The document around it, with keys and address, is made when it is sent (`api_v4`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.billing.medics_premier.words import day, plain
from gateway.canonical import jsonio
from gateway.kit.mapping import Row, apply

_SEX = {"male": "Male", "female": "Female"}
_RELATIONSHIPS = {"self": "Self", "spouse": "Spouse", "child": "Child"}


def _sex(value: str) -> str:
    return _SEX.get(value, "Unknown")


def _relationship(value: str) -> str:
    return _RELATIONSHIPS.get(value, "Other")


def _digits(value: str) -> str:
    return "".join(filter(str.isdigit, value))


def _address(root: str, prefix: str = "", line: str = "address1") -> tuple[Row, ...]:
    return (
        Row(f"{prefix}{line}", f"{root}.address.line[0]", plain),
        Row(f"{prefix}city", f"{root}.address.city", plain),
        Row(f"{prefix}state", f"{root}.address.state", plain),
        Row(f"{prefix}zip", f"{root}.address.postalCode", plain),
    )


PATIENT_ROWS = (
    Row("first_name", "name.given[0]", plain, required=True, fix="Complete the name in the EHR."),
    Row("last_name", "name.family", plain, required=True, fix="Complete the name in the EHR."),
    Row("middle_name", "name.given[1]", plain),
    Row("dob", "Patient.birthDate", day, required=True, fix="Complete the birth date in the EHR."),
    Row("sex", "Patient.gender", _sex),
    *_address("Patient"),
    Row("address2", "Patient.address.line[1]", plain),
    Row("home_phone", "Patient.telecom.where(use='home').value | Patient.telecom.where(system='phone').value", _digits),
    Row("cell_phone", "Patient.telecom.where(use='mobile').value", _digits),
    Row("work_phone", "Patient.telecom.where(use='work').value", _digits),
    Row("email", "Patient.telecom.where(system='email').value", plain),
    Row("relationship_to_guarantor", "Coverage.relationship.coding.code", _relationship),
    Row("patient_number", "Patient.identifier.where(type.coding.code='MR').value", plain),
)
GUARANTOR_ROWS = (
    Row("first_name", "guarantor_name.given[0]", plain),
    Row("last_name", "guarantor_name.family", plain),
    Row("dob", "Guarantor.birthDate", day),
    Row("sex", "Guarantor.gender", _sex),
    *_address("Guarantor"),
)
INSURANCE_ROWS = (
    Row("description", "Payer.name", plain, note="ADS matches the payer by this text, by hand"),
    Row("policy_no", "Coverage.subscriberId", plain, required=True, fix="Complete the member id in the EHR."),
    Row("group_id", "Coverage.class.where(type.coding.code='group').value", plain),
    Row("holder_relationship_to_patient", "Coverage.relationship.coding.code", _relationship),
    Row("holder_last_name", "subscriber_name.family", plain),
    Row("holder_first_name", "subscriber_name.given[0]", plain),
    Row("holder_dob", "Subscriber.birthDate", day),
    *_address("Subscriber", "holder_", "address"),
)
_PATIENT = [
    "first_name",
    "last_name",
    "middle_name",
    "dob",
    "sex",
    "address1",
    "address2",
    "city",
    "state",
    "zip",
    "ssn",
    "home_phone",
    "cell_phone",
    "work_phone",
    "email",
    "relationship_to_guarantor",
    "account_number",
    "patient_number",
    "race",
    "ethnicity",
    "language",
]
_GUARANTOR = [
    "first_name",
    "last_name",
    "dob",
    "sex",
    "address1",
    "city",
    "state",
    "zip",
    "employer_name",
    "employer_address",
    "employer_phone",
    "employer_city",
    "employer_state",
    "employer_zip",
]
_RANKS = ("primary", "secondary", "tertiary")


def data(roots: Mapping[str, Any], covers: Iterable[Mapping[str, Any]]) -> bytes:
    """The member `data` of the document as JSON; at most three coverages have a place there."""
    insurance: dict[str, Any] = {rank: {} for rank in _RANKS}
    insurance |= {rank: apply(INSURANCE_ROWS, cover) for rank, cover in zip(_RANKS, covers, strict=False)}
    found = {
        "patient": _complete(_PATIENT, apply(PATIENT_ROWS, roots)),
        "guarantor": _complete(_GUARANTOR, apply(GUARANTOR_ROWS, roots)),
        "insurance": insurance,
    }
    return jsonio.dumps(found)


def _complete(members: Iterable[str], mapped: Mapping[str, Any]) -> dict[str, Any]:
    return {member: mapped.get(member, "") for member in members}
