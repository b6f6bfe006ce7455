"""The mapping table: canonical element to Tebra member, one row each (vendor document sections 6 and 8).

A dotted target is a nested member. Roots beside the FHIR resources: `posted_on`, the claim's creation date at the
clinic; `notes`, the additional information as one text; `diagnosis`, the codes that a line points to, in its order;
`line_note`, the information that a line points to; `name`, the official name of the patient or the insured.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.kit.mapping import Row

VENDOR_TITLE = "Kareo/Tebra"
_GENDERS = {"male": "Male", "female": "Female"}
_RELATIONSHIPS = {"self": "Self", "spouse": "Spouse", "child": "Child"}


def midnight(value: str) -> str:
    """The date of a FHIR date or dateTime as the `xs:dateTime` that Tebra's writes want (section 2)."""
    return f"{value[:10]}T00:00:00"


def gender(value: str) -> str:
    """Male, Female or Unknown (section 8)."""
    return _GENDERS.get(value, "Unknown")


def relationship(value: str) -> str:
    """Self, Spouse, Child or Other (section 8)."""
    return _RELATIONSHIPS.get(value, "Other")


def paid_amount(value: Any) -> Any:
    """An amount paid; nothing paid is no payment."""
    return value or None


def yes(value: str) -> bool:
    """True, for a member that says that something is so."""
    return bool(value)


def state_code(value: str) -> str | None:
    """A state by its two letters; Tebra's column has room for no more."""
    return value.upper() if len(value) == 2 else None


_ACCIDENT_TYPE = "Claim.accident.type.coding.where(code='{}').code"
_SERVICED = "Claim.item.servicedDate | Claim.item.servicedPeriod"

ENCOUNTER_ROWS = (
    Row("AuthorizationNumber", "Claim.insurance[0].preAuthRef[0]"),
    Row("Hospitalization.StartDate", "hospitalized.timingPeriod.start | hospitalized.timingDate", midnight),
    Row("Hospitalization.EndDate", "hospitalized.timingPeriod.end", midnight),
    Row("Miscellaneous.LocalUseBox19", "notes"),
    Row("Payment.AmountPaid", "patient_paid.valueQuantity.value", paid_amount),
    Row("PlaceOfService.PlaceOfServiceCode", "Claim.item.locationCodeableConcept.coding.code", required=True),
    Row("PostDate", "posted_on", midnight, required=True),
    Row("ServiceStartDate", f"Claim.billablePeriod.start | {_SERVICED}.start", midnight, required=True),
    Row("ServiceEndDate", f"Claim.billablePeriod.end | Claim.billablePeriod.start | {_SERVICED}.end", midnight),
)

LINE_ROWS = (
    *(
        Row(f"DiagnosisCode{n}", f"diagnosis[{n - 1}]", required=n == 1, note="needs at least one diagnosis pointer")
        for n in range(1, 5)
    ),
    Row("LineNote", "line_note"),
    Row("ProcedureCode", "item.productOrService.coding.code", required=True),
    *(Row(f"ProcedureModifier{n}", f"item.modifier[{n - 1}].coding.code") for n in range(1, 5)),
    Row("ServiceStartDate", "item.servicedDate | item.servicedPeriod.start", midnight, required=True),
    Row("ServiceEndDate", "item.servicedDate | item.servicedPeriod.end | item.servicedPeriod.start", midnight),
    Row("UnitCharge", "item.unitPrice.value", required=True),
    Row("Units", "item.quantity.value", required=True),
)

PATIENT_ROWS = (
    Row("AddressLine1", "Patient.address.line[0]"),
    Row("AddressLine2", "Patient.address.line[1]"),
    Row("City", "Patient.address.city"),
    Row("DateofBirth", "Patient.birthDate", midnight, required=True, fix="Complete the birth date in the EHR."),
    Row("EmailAddress", "Patient.telecom.where(system='email').value"),
    Row("FirstName", "name.given[0]", required=True, fix="Complete the patient's name in the EHR."),
    Row("Gender", "Patient.gender", gender),
    Row("HomePhone", "Patient.telecom.where(system='phone').value"),
    Row("LastName", "name.family", required=True, fix="Complete the patient's name in the EHR."),
    Row("MedicalRecordNumber", "Patient.identifier.where(type.coding.code='MR').value"),
    Row("MiddleName", "name.given[1]"),
    Row("State", "Patient.address.state"),
    Row("Suffix", "name.suffix[0]"),
    Row("ZipCode", "Patient.address.postalCode"),
)

CASE_ROWS = (
    Row("Condition.RelatedToAutoAccident", _ACCIDENT_TYPE.format("MVA"), yes),
    Row("Condition.RelatedToEmployment", _ACCIDENT_TYPE.format("WPA"), yes),
    Row("Condition.RelatedToOther", f"{_ACCIDENT_TYPE.format('SPT')} | {_ACCIDENT_TYPE.format('SCHOOL')}", yes),
    Row("Dates.AccidentDate", "Claim.accident.date", midnight),
    Row("Dates.InjuryStartDate", "onset.timingDate", midnight),
)
"""Accident and onset: Tebra keeps both on the case. `onset` is the supporting information of that category."""

AUTO_ACCIDENT_ROWS = (
    Row(
        "Condition.RelatedToAutoAccidentState",
        "Claim.accident.locationAddress.state",
        state_code,
        required=True,
        note="Tebra needs the state of an auto accident, by its two letters",
        fix="Complete the place of the accident in the EHR.",
    ),
)
"""Only for a motor vehicle accident."""

POLICY_ROWS = (
    Row("EffectiveEndDate", "Coverage.period.end", midnight),
    Row("EffectiveStartDate", "Coverage.period.start", midnight),
    Row("Insured.IDNumber", "Coverage.subscriberId"),
    Row("Insured.PatientRelationshipToInsured", "Coverage.relationship.coding.code", relationship),
    Row("PolicyGroupNumber", "Coverage.class.where(type.coding.code='group').value"),
    Row("PolicyNumber", "Coverage.subscriberId", required=True, fix="Complete the member id in the EHR."),
)

SUBSCRIBER_ROWS = (
    Row("Insured.DateofBirth", "Subscriber.birthDate", midnight),
    Row("Insured.FirstName", "name.given[0]"),
    Row("Insured.Gender", "Subscriber.gender", gender),
    Row("Insured.LastName", "name.family"),
    Row("Insured.MiddleName", "name.given[1]"),
)
"""Only for a subscriber who is not the patient."""

CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "Claim.identifier": "- BatchNumber and ExternalID carry the submission id; Tebra makes its own claim number",
        "Claim.billablePeriod": "ServiceStartDate, ServiceEndDate",
        "Claim.provider": "- the practice of the connection bills",
        "Claim.facility": "ServiceLocation",
        "Claim.referral": "BusinessOfficeNotes: the biller enters it when reviewing",
        "Claim.accident": "Case: Condition.RelatedTo..., RelatedToAutoAccidentState, Dates.AccidentDate",
        "Claim.careTeam.rendering": "RenderingProvider",
        "Claim.careTeam.referring": "ReferringProvider",
        "Claim.careTeam.supervisor": "SupervisingProvider",
        "Claim.supportingInfo.hospitalized": "Hospitalization",
        "Claim.supportingInfo.onset": "Case: Dates.InjuryStartDate",
        "Claim.supportingInfo.info": "Miscellaneous.LocalUseBox19, or LineNote when a line points to it",
        "Claim.supportingInfo.patientPaid": "Payment.AmountPaid",
        "Claim.diagnosis": "ServiceLineReq.DiagnosisCode1..4; BusinessOfficeNotes when lines lose one or the order",
        "Claim.insurance.focal": "Case: Policies (compared with the patient's case; a missing case is created)",
        "Claim.insurance.other": "Case: Policies, the later ones",
        "Claim.insurance.preAuthRef": "AuthorizationNumber",
        "Claim.item.productOrService": "ServiceLineReq.ProcedureCode",
        "Claim.item.modifier": "ServiceLineReq.ProcedureModifier1..4",
        "Claim.item.serviced": "ServiceLineReq.ServiceStartDate, ServiceEndDate",
        "Claim.item.location": "PlaceOfService.PlaceOfServiceCode (one per encounter)",
        "Claim.item.quantity": "ServiceLineReq.Units",
        "Claim.item.unitPrice": "ServiceLineReq.UnitCharge",
        "Claim.item.net": "- Tebra multiplies Units by UnitCharge; compared before sending",
        "Claim.item.diagnosisSequence": "ServiceLineReq.DiagnosisCode1..4",
        "Claim.item.careTeamSequence": "- one provider of each role per encounter; compared before sending",
        "Claim.item.informationSequence": "ServiceLineReq.LineNote",
        "Claim.total": "- Tebra adds up the lines; compared before sending",
    }
)
"""Every canonical element that reaches Tebra, with its member or the reason why none is needed."""
