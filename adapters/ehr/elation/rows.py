"""Elation's fields, row by row. Roots are Elation's objects by type; `Cpt` is one of Bill.cpts, `Insurance` one of
Patient.insurances, `Referrer` the bill's referring or ordering provider, who has no record of his own.

Source: vendors generic_smart_fhir section 7 for the bill; the other shapes are listed as assumptions in the README.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from adapters.ehr.elation import words
from gateway.canonical import codes
from gateway.kit.mapping import Row

NOTE_SYSTEM = "https://app.elationemr.com/visit_notes"
CHART_SYSTEM = "https://app.elationemr.com/patients"
SOPT = "https://nahdo.org/sopt"
MODIFIERS = 4
_PARTICIPATION = f"{codes.THO}/v3-ParticipationType"
_MEMBER_ROLE = f"{codes.THO}/claimcareteamrole"
_ROLE_CODE = f"{codes.THO}/v3-RoleCode"


def _member(index: int, role: str, source: str, via: Callable[[Any], str]) -> Iterator[Row]:
    """One member of the claim's care team."""
    path = f"careTeam[{index}]"
    yield Row(f"{path}.sequence", source, words.always(index + 1))
    yield Row(f"{path}.role.coding[0].system", source, words.always(_MEMBER_ROLE))
    yield Row(f"{path}.role.coding[0].code", source, words.always(role))
    yield Row(f"{path}.provider.reference", source, via)


def _address(path: str, root: str, first: str, second: str, *, prefix: str = "") -> tuple[Row, ...]:
    return (
        Row(f"{path}.line[]", f"{root}.{prefix}{first}"),
        *((Row(f"{path}.line[]", f"{root}.{prefix}{second}"),) if second else ()),
        Row(f"{path}.city", f"{root}.{prefix}city"),
        Row(f"{path}.state", f"{root}.{prefix}state"),
        Row(f"{path}.postalCode", f"{root}.{prefix}zip"),
    )


def _phone(source: str) -> tuple[Row, ...]:
    return Row("telecom[0].system", source, words.always("phone")), Row("telecom[0].value", source)


def _npi(source: str) -> tuple[Row, ...]:
    return Row("identifier[0].system", source, words.always(codes.NPI)), Row("identifier[0].value", source)


_WHO = "Bill.rendering_provider | Bill.physician"
_PLACE = "ServiceLocation.place_of_service_code"
_NOTE = "Bill.visit_note_id | Bill.visit_note"
_PHONES = " | ".join(f"Patient.phones.where(phone_type='{kind}').phone" for kind in ("Main", "Home", "Mobile"))

ENCOUNTER_ROWS = (
    Row("meta.lastUpdated", "Bill.last_modified_date"),
    Row("identifier[0].system", _NOTE, words.always(NOTE_SYSTEM)),
    Row("identifier[0].value", _NOTE, str),
    Row("class.system", "Bill.id", words.always(codes.ACT_CODE)),
    Row("class.code", "Bill.id", words.always("AMB")),
    Row("class.code", _PLACE, words.encounter_class, note="in place of the former"),
    Row(
        "subject.reference",
        "Bill.patient",
        words.to("Patient"),
        required=True,
        note="the bill names no patient",
        fix="Check the bill's patient in Elation.",
    ),
    Row("participant[0].type[0].coding[0].system", _WHO, words.always(_PARTICIPATION)),
    Row("participant[0].type[0].coding[0].code", _WHO, words.always("ATND")),
    Row(
        "participant[0].individual.reference",
        _WHO,
        words.to("Practitioner"),
        required=True,
        note="the bill names no provider who saw the patient",
        fix="Enter the rendering provider in the bill in Elation.",
    ),
    Row(
        "period.start",
        "Bill.service_date",
        required=True,
        note="the bill has no date of service",
        fix="Enter the date of the visit in Elation.",
    ),
    Row("location[0].location.reference", "ServiceLocation.id", words.to("Location")),
)

PATIENT_ROWS = (
    Row("identifier[0].type", "Patient.id", words.always(codes.concept(codes.IDENTIFIER_TYPE, "MR"))),
    Row("identifier[0].system", "Patient.id", words.always(CHART_SYSTEM)),
    Row("identifier[0].value", "Patient.id", str),
    Row(
        "name[0].family",
        "Patient.last_name",
        required=True,
        note="the patient has no last name",
        fix="Enter the name in the patient's profile in Elation.",
    ),
    Row("name[0].given[]", "Patient.first_name"),
    Row("name[0].given[]", "Patient.middle_name"),
    Row("gender", "Patient.sex", words.coded(words.GENDERS)),
    Row(
        "birthDate",
        "Patient.dob",
        words.birth_date,
        required=True,
        note="the patient has no birth date, and a claim needs it",
        fix="Enter the date of birth in the patient's profile in Elation.",
    ),
    *_phone(f"{_PHONES} | Patient.phones.phone"),
    *_address("address[0]", "Patient.address", "address_line1", "address_line2"),
)

PHYSICIAN_ROWS = (
    *_npi("Physician.npi"),
    Row("name[0].family", "Physician.last_name"),
    Row("name[0].given[]", "Physician.first_name"),
    Row("name[0].suffix[]", "Physician.credentials"),
)

REFERRER_ROWS = (
    *_npi("Referrer.npi"),
    Row("name[0].family", "Referrer.name", words.family),
    Row("name[0].given[]", "Referrer.name", words.given),
)

LOCATION_ROWS = (
    Row("status", "ServiceLocation.id", words.always("active")),
    Row("name", "ServiceLocation.name"),
    Row("type[0].coding[0].system", _PLACE, words.always(codes.POS)),
    Row("type[0].coding[0].code", _PLACE, words.place_of_service),
    *_phone("ServiceLocation.phone"),
    *_address("address", "ServiceLocation", "address_line1", "address_line2"),
)

COVERAGE_ROWS = (
    Row("status", "Insurance", words.always("active")),
    Row("type.coding[0].system", "Insurance.payment_program", words.always(SOPT)),
    Row("type.coding[0].code", "Insurance.payment_program", words.coded(words.PAYMENT_PROGRAMS)),
    Row("subscriberId", "Insurance.member_id"),
    Row("beneficiary.reference", "Patient.id", words.to("Patient")),
    Row("relationship.coding[0].system", "Insurance", words.always(codes.RELATIONSHIP)),
    Row("relationship.coding[0].code", "Insurance.relationship_to_insured", words.relationship),
    Row("period.start", "Insurance.start_date"),
    Row("period.end", "Insurance.end_date"),
    Row("order", "Insurance.rank", words.coded(words.RANKS)),
)

GROUP_ROWS = (
    Row("type", "Insurance.group_id", words.always(codes.concept(codes.COVERAGE_CLASS, "group"))),
    Row("value", "Insurance.group_id"),
)

PLAN_ROWS = (
    Row("type", "Insurance.plan", words.always(codes.concept(codes.COVERAGE_CLASS, "plan"))),
    Row("value", "Insurance.plan"),
    Row("name", "Insurance.plan"),
)

INSURED_ROWS = (
    Row("patient.reference", "Patient.id", words.to("Patient")),
    Row("relationship[0].coding[0].system", "Insurance.relationship_to_insured", words.always(_ROLE_CODE)),
    Row("relationship[0].coding[0].code", "Insurance.relationship_to_insured", words.coded(words.ROLE_OF_INSURED)),
    Row("name[0].family", "Insurance.insured_person_last_name"),
    Row("name[0].given[]", "Insurance.insured_person_first_name"),
    Row("gender", "Insurance.insured_person_gender", words.coded(words.GENDERS)),
    Row("birthDate", "Insurance.insured_person_dob", words.birth_date),
    *_address("address[0]", "Insurance", "address", "", prefix="insured_person_"),
)

PAYER_ROWS = (
    Row("active", "Insurance", words.always(True)),
    Row("identifier[0].system", "InsuranceCompany.payer_id", words.always(codes.PAYER_IDENTIFIER)),
    Row("identifier[0].value", "InsuranceCompany.payer_id"),
    Row("name", "InsuranceCompany.carrier | Insurance.carrier"),
    *_phone("InsuranceCompany.phone | Insurance.phone"),
    *_address("address[0]", "Payer", "address", "suite"),
)

TEAM_ROWS = {
    "rendering": tuple(_member(0, "primary", _WHO, words.to("Practitioner"))),
    "supervising": tuple(_member(1, "supervisor", "Bill.supervising_provider", words.to("Practitioner"))),
    "referring": tuple(_member(2, "referring", "Bill.referring_provider.id", words.to("Practitioner"))),
    "ordering": tuple(_member(3, "ordering", "Bill.ordering_provider.id", words.to("Practitioner"))),
}
"""The care team, by role."""

CLAIM_ROWS = (
    Row("status", "Bill", words.always("active")),
    Row("use", "Bill", words.always("claim")),
    Row("type", "Bill", words.always(codes.concept(codes.CLAIM_TYPE, "professional"))),
    Row("patient.reference", "Bill.patient", words.to("Patient")),
    Row("created", "Bill.created_date | Bill.visit_note_signed_date"),
    Row("facility.reference", "ServiceLocation.id", words.to("Location")),
    Row("insurance[0].sequence", "Bill.prior_authorization", words.always(1)),
    Row("insurance[0].focal", "Bill.prior_authorization", words.always(True)),
    Row("insurance[0].preAuthRef[]", "Bill.prior_authorization"),
)

ITEM_ROWS = (
    Row("productOrService.coding[0].system", "Cpt.cpt", words.procedure_system),
    Row("productOrService.coding[0].code", "Cpt.cpt"),
    *(Row("modifier[]", f"Cpt.modifiers[{i}]", words.modifier) for i in range(MODIFIERS)),
    Row("locationCodeableConcept.coding[0].system", _PLACE, words.always(codes.POS)),
    Row("locationCodeableConcept.coding[0].code", _PLACE, words.place_of_service),
    Row("quantity.value", "Cpt.units", words.amount),
    Row("unitPrice.value", "Cpt.unit_charge", words.amount),
    Row("unitPrice.currency", "Cpt.unit_charge", words.always("USD")),
    Row("detail[0].productOrService.coding[0].system", "Cpt.ndc", words.always(codes.NDC)),
    Row("detail[0].productOrService.coding[0].code", "Cpt.ndc"),
    Row("detail[0].quantity.value", "Cpt.ndc_dose", words.amount),
    Row("detail[0].quantity.unit", "Cpt.ndc_measure"),
)
