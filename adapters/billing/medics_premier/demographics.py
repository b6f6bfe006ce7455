"""The patient for the ADS API v4, area demographics: all members present, empty when unknown (section 3). Pure.

The document around it, with keys and address, is made when it is sent (`api_v4`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.billing.medics_premier.words import day, plain
from gateway.canonical import jsonio
from gateway.kit.mapping import Row, apply

_SEX = {"male": "Male", "female": "Female"}
_RELATIONSHIPS = {"self": "Self", "spouse": "Spouse", "child": "Child"}


def sex_word(value: str) -> str:
    """Male or Female, else Unknown."""
    return _SEX.get(value, "Unknown")


def relationship_word(value: str) -> str:
    """Self, Spouse or Child, else Other."""
    return _RELATIONSHIPS.get(value, "Other")


def digits(value: str) -> str:
    """The digits only."""
    return "".join(filter(str.isdigit, value))


def _empty(*targets: str) -> tuple[Row, ...]:
    return tuple(Row(target, "nothing", note="always empty: the claim does not tell it") for target in targets)


def _address(target: str, root: str) -> tuple[Row, ...]:
    return (
        Row(f"{target}city", f"{root}.address.city", plain),
        Row(f"{target}state", f"{root}.address.state", plain),
        Row(f"{target}zip", f"{root}.address.postalCode", plain),
    )


_PHONE = "Patient.telecom.where(use='home').value | Patient.telecom.where(system='phone').value"

PATIENT_ROWS = (
    Row("patient.first_name", "name.given[0]", plain, required=True, fix="Complete the name in the EHR."),
    Row("patient.last_name", "name.family", plain, required=True, fix="Complete the name in the EHR."),
    Row("patient.middle_name", "name.given[1]", plain),
    Row("patient.dob", "Patient.birthDate", day, required=True, fix="Complete the birth date in the EHR."),
    Row("patient.sex", "Patient.gender", sex_word),
    Row("patient.address1", "Patient.address.line[0]", plain),
    Row("patient.address2", "Patient.address.line[1]", plain),
    *_address("patient.", "Patient"),
    *_empty("patient.ssn"),
    Row("patient.home_phone", _PHONE, digits),
    Row("patient.cell_phone", "Patient.telecom.where(use='mobile').value", digits),
    Row("patient.work_phone", "Patient.telecom.where(use='work').value", digits),
    Row("patient.email", "Patient.telecom.where(system='email').value", plain),
    Row("patient.relationship_to_guarantor", "Coverage.relationship.coding.code", relationship_word),
    *_empty("patient.account_number"),
    Row("patient.patient_number", "Patient.identifier.where(type.coding.code='MR').value", plain),
    *_empty("patient.race", "patient.ethnicity", "patient.language"),
)
GUARANTOR_ROWS = (
    Row("guarantor.first_name", "guarantor_name.given[0]", plain),
    Row("guarantor.last_name", "guarantor_name.family", plain),
    Row("guarantor.dob", "Guarantor.birthDate", day),
    Row("guarantor.sex", "Guarantor.gender", sex_word),
    Row("guarantor.address1", "Guarantor.address.line[0]", plain),
    *_address("guarantor.", "Guarantor"),
    *_empty(
        "guarantor.employer_name",
        "guarantor.employer_address",
        "guarantor.employer_phone",
        "guarantor.employer_city",
        "guarantor.employer_state",
        "guarantor.employer_zip",
    ),
)
INSURANCE_ROWS = (
    Row("insurance.*.description", "Payer.name", plain, note="ADS matches the payer by this text, by hand"),
    Row(
        "insurance.*.policy_no", "Coverage.subscriberId", plain, required=True, fix="Complete the member id in the EHR."
    ),
    Row("insurance.*.group_id", "Coverage.class.where(type.coding.code='group').value", plain),
    Row("insurance.*.holder_relationship_to_patient", "Coverage.relationship.coding.code", relationship_word),
    Row("insurance.*.holder_last_name", "subscriber_name.family", plain),
    Row("insurance.*.holder_first_name", "subscriber_name.given[0]", plain),
    Row("insurance.*.holder_dob", "Subscriber.birthDate", day),
    Row("insurance.*.holder_address", "Subscriber.address.line[0]", plain),
    *_address("insurance.*.holder_", "Subscriber"),
)
"""`*` is primary, secondary or tertiary: the coverages in order, at most three."""
_RANKS = ("primary", "secondary", "tertiary")


def data(roots: Mapping[str, Any], covers: Iterable[Mapping[str, Any]]) -> bytes:
    """The member `data` of the document as JSON; at most three coverages have a place there."""
    insurance: dict[str, Any] = {rank: {} for rank in _RANKS}
    insurance |= {rank: _members(apply(INSURANCE_ROWS, cover)) for rank, cover in zip(_RANKS, covers, strict=False)}
    found = {
        "patient": _complete(PATIENT_ROWS, roots),
        "guarantor": _complete(GUARANTOR_ROWS, roots),
        "insurance": insurance,
    }
    return jsonio.dumps(found)


def _members(mapped: Mapping[str, Any]) -> dict[str, Any]:
    return {target.rpartition(".")[2]: value for target, value in mapped.items()}


def _complete(rows: Sequence[Row], roots: Mapping[str, Any]) -> dict[str, Any]:
    """Every member, an empty text where there is nothing to say."""
    mapped = apply(rows, roots)
    return _members({row.target: mapped.get(row.target, "") for row in rows})
