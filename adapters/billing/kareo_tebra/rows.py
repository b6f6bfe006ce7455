"""The mapping tables: canonical element to Tebra member, one row each (vendor document sections 6 and 8).

A dotted target is a nested member. These rows write the whole document of `payload` and the ids that are filled in
when it is sent. Roots beside the FHIR resources:

    submission      {id}; `line` {id}: submission id, hyphen, the line's sequence
    settings        {encounter_status}, of the connection
    posted_on       the claim's creation date at the clinic
    hospitalized, patient_paid, onset   supporting information of that category
    notes           the additional information that no line points to; `line_note` that which the line points to
    pointed         the codes that a line points to, in its order
    diagnoses_untold    the claim's codes in order, where the lines would lose one of them or their order
    name            the official name of the patient or the insured
    rendering, referring, supervisor    the Practitioner of that role
    case            {name: {payer: the first payer's name, Condition, Dates}, scenario}
    plan            company and plan of the payer's id in `insurance_plans` of the connection
    policy          {precedence}: the coverage's place, from 1
    prior           the vendor ids on the receipt of the claim on file
    constant        there in every claim
    found           Tebra's ids, looked up when the claim is sent
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.billing.kareo_tebra.case_names import labelled
from adapters.billing.kareo_tebra.words import (
    always,
    diagnoses_in_order,
    encounters_on_file,
    external_encounter_id,
    external_line_id,
    gender,
    joined,
    midnight,
    paid_amount,
    referral,
    relationship,
    state_code,
    unknown_method,
    yes,
)
from gateway.canonical.codes import NPI
from gateway.kit.mapping import Row

VENDOR_TITLE = "Kareo/Tebra"
_NPI = f"identifier.where(system='{NPI}').value"
_ACCIDENT_TYPE = "Claim.accident.type.coding.where(code='{}').code"
_SERVICED = "Claim.item.servicedDate | Claim.item.servicedPeriod"

START_ROWS = (
    Row("BatchNumber", "submission.id", note="Tebra's charges can be searched by it: a lost claim is found again"),
)
NOTE_ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "Claim.diagnosis": Row("BusinessOfficeNotes", "diagnoses_untold", diagnoses_in_order),
        "Claim.referral": Row("BusinessOfficeNotes", "Claim.referral.identifier.value", referral),
    }
)
"""What the biller reads and acts on, by element; several texts are separated by `; `. Not where nobody reviews."""

ENCOUNTER_ROWS = (
    Row("EncounterStatus", "settings.encounter_status", note="`encounter_status` of the connection"),
    Row("ExternalID", "submission.id", external_encounter_id),
    Row("AuthorizationNumber", "Claim.insurance[0].preAuthRef[0]"),
    Row("Hospitalization.StartDate", "hospitalized.timingPeriod.start | hospitalized.timingDate", midnight),
    Row("Hospitalization.EndDate", "hospitalized.timingPeriod.end", midnight),
    Row("Miscellaneous.LocalUseBox19", "notes", joined),
    Row("Payment.AmountPaid", "patient_paid.valueQuantity.value", paid_amount),
    Row("Payment.PaymentMethod", "patient_paid.valueQuantity.value", unknown_method),
    Row("PlaceOfService.PlaceOfServiceCode", "Claim.item.locationCodeableConcept.coding.code", required=True),
    Row("PostDate", "posted_on", midnight, required=True),
    Row("ServiceStartDate", f"Claim.billablePeriod.start | {_SERVICED}.start", midnight, required=True),
    Row("ServiceEndDate", f"Claim.billablePeriod.end | Claim.billablePeriod.start | {_SERVICED}.end", midnight),
)

LINE_ROWS = (
    Row("EncounterProcedureExternalID", "line.id", external_line_id),
    Row("DiagnosisCode1", "pointed[0]", required=True, note="needs at least one diagnosis pointer"),
    *(Row(f"DiagnosisCode{n}", f"pointed[{n - 1}]") for n in range(2, 5)),
    Row("LineNote", "line_note", joined),
    Row("ProcedureCode", "item.productOrService.coding.code", required=True),
    *(Row(f"ProcedureModifier{n}", f"item.modifier[{n - 1}].coding.code") for n in range(1, 5)),
    Row("ServiceStartDate", "item.servicedDate | item.servicedPeriod.start", midnight, required=True),
    Row("ServiceEndDate", "item.servicedDate | item.servicedPeriod.end | item.servicedPeriod.start", midnight),
    Row("UnitCharge", "item.unitPrice.value", required=True),
    Row("Units", "item.quantity.value", required=True),
)

PATIENT_ROWS = (
    Row("Gender", "Patient.gender", gender, note="a patient without a gender is Unknown"),
    Row("AddressLine1", "Patient.address.line[0]"),
    Row("AddressLine2", "Patient.address.line[1]"),
    Row("City", "Patient.address.city"),
    Row("DateofBirth", "Patient.birthDate", midnight, required=True, fix="Complete the birth date in the EHR."),
    Row("EmailAddress", "Patient.telecom.where(system='email').value"),
    Row("FirstName", "name.given[0]", required=True, fix="Complete the patient's name in the EHR."),
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
    Row("Condition.RelatedToOther", " | ".join(_ACCIDENT_TYPE.format(kind) for kind in ("SPT", "SCHOOL", "OTH")), yes),
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

NAME_ROWS = (
    Row(
        "CaseName",
        "case.name",
        labelled,
        note="at most 128 characters; a claim is billed on a case of its own label only",
    ),
)
SCENARIO_ROWS = (
    Row(
        "PayerScenario",
        "case.scenario",
        note="`accident_scenarios` of the connection for the kind of accident, else `payer_scenario`",
    ),
)

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

PLAN_ROWS = (
    Row("CompanyID", "plan.company_id", note="`insurance_plans` of the connection, by the payer's id"),
    Row("PlanID", "plan.plan_id", note="`insurance_plans` of the connection, by the payer's id"),
    Row("Precedence", "policy.precedence", note="the coverage's place in Claim.insurance, from 1"),
)

PROVIDER_ROWS: Mapping[str, Row] = MappingProxyType(
    {
        role: Row(
            f"{target}.npi",
            f"{role}.{_NPI}",
            required=True,
            note="the provider has no NPI",
            fix="Complete the provider's NPI in the EHR.",
        )
        for role, target in (
            ("rendering", "rendering_provider"),
            ("referring", "referring_provider"),
            ("supervisor", "supervising_provider"),
        )
    }
)
"""By the role's code: whom `submit` looks up, see `FOUND_ROWS`."""

_LOOKED_UP = "ServiceLocation.LocationID is looked up by it"
LOCATION_ROWS = (
    Row("location.npi", f"Location.{_NPI}", note=f"{_LOOKED_UP}, first choice"),
    Row("location.name", "Location.name", note=f"{_LOOKED_UP}, second choice"),
    Row(
        "location.place_of_service",
        "Claim.item[0].locationCodeableConcept.coding.code",
        note=f"{_LOOKED_UP}, third choice: the only location of this place of service",
    ),
)

FOUND_ROWS = (
    Row("Case.CaseID", "found.case", note="the patient's case with the claim's policies and label, or a new one"),
    Row("Patient.PatientID", "found.patient", note="the patient of this name and birth date, or a new one"),
    Row("Practice.PracticeID", "found.practice", note="the practice with `practice_name` of the connection"),
    Row("RenderingProvider.ProviderID", "found.rendering_provider", note="the active provider with the NPI"),
    Row("ReferringProvider.ProviderID", "found.referring_provider", note="the active provider with the NPI"),
    Row("SupervisingProvider.ProviderID", "found.supervising_provider", note="the active provider with the NPI"),
    Row("ServiceLocation.LocationID", "found.location", note="by NPI, else by name, else by place of service"),
)
"""What `submit` adds to the encounter."""

NEW_PATIENT_ROWS = (
    Row("Practice.PracticeID", "found.practice", note="the practice with `practice_name` of the connection"),
)
"""What `submit` adds to a patient that it creates or gives a case."""
NEW_ROWS = (Row("Active", "constant", always(True)),)
"""What `submit` adds to a case that it creates, and to each of its policies."""

VOID_ROWS = (
    Row(
        "EncounterIDs",
        "prior",
        encounters_on_file,
        required=True,
        note="the encounter in Tebra that this claim voids is not known",
        fix="Void the claim in Tebra by hand.",
    ),
)
"""A void: each of these encounters is set to Rejected by UpdateEncounterStatus."""

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
