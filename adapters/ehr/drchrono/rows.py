"""The rows that make FHIR R4 of DrChrono's objects. Pure.

Sources name DrChrono's fields. `Insurance` is the primary, secondary or tertiary block of the patient; `Case` is the
auto accident or workers' compensation block, its keys without their prefix. Source: vendor document sections 4 to 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.ehr.drchrono import readings, words
from adapters.ehr.drchrono.words import coverage_class, day, phone, postal_code, text
from gateway.kit.ehr_reading import Reading
from gateway.kit.mapping import Row

_NO_PATIENT = "the appointment names no patient"
_NO_DATE = "the appointment has no time, and a claim needs the date of service"
_NO_DOCTOR = "the appointment names no doctor who saw the patient"
_IN_APPOINTMENT = "Correct the appointment in DrChrono and lock its note again."
_IN_CHART = "Correct the patient's demographics in DrChrono and lock the note again."
_IN_BILLING = "Correct the line in DrChrono's billing tab."

ENCOUNTER_ROWS = (
    Row(
        "subject", "Appointment.patient", words.patient_reference, required=True, note=_NO_PATIENT, fix=_IN_APPOINTMENT
    ),
    Row(
        "participant[0].individual",
        "Appointment.doctor",
        words.practitioner_reference,
        required=True,
        note=_NO_DOCTOR,
        fix=_IN_APPOINTMENT,
    ),
    Row("location[0].location", "Appointment.office", words.location_reference),
)
ENCOUNTER_READINGS = (
    Reading(
        "period",
        "Appointment.scheduled_time, Appointment.duration",
        readings.period,
        required=True,
        note=_NO_DATE,
        fix=_IN_APPOINTMENT,
    ),
)

PATIENT_ROWS = (
    Row("identifier[]", "Patient.chart_id", words.record_number),
    Row(
        "name[0].family",
        "Patient.last_name",
        text,
        required=True,
        note="the patient has no last name",
        fix=_IN_CHART,
    ),
    Row("name[0].given[]", "Patient.first_name", text),
    Row("name[0].given[]", "Patient.middle_name", text),
    Row("telecom[]", "Patient.home_phone | Patient.cell_phone | Patient.office_phone", phone),
    Row("gender", "Patient.gender", words.gender),
    Row(
        "birthDate",
        "Patient.date_of_birth",
        day,
        required=True,
        note="the patient has no birth date, and a claim needs it",
        fix=_IN_CHART,
    ),
    Row("address[0].line[]", "Patient.address", text),
    Row("address[0].city", "Patient.city", text),
    Row("address[0].state", "Patient.state", text),
    Row("address[0].postalCode", "Patient.zip_code", postal_code),
)

COVERAGE_ROWS = (
    Row("type", "Insurance.insurance_plan_type", words.filing),
    Row("subscriberId", "Insurance.insurance_id_number", text, note="its leading zeros stay"),
    Row(
        "relationship",
        "Insurance.is_subscriber_the_patient | Insurance.patient_relationship_to_subscriber",
        words.relationship,
    ),
    Row("class[]", "Insurance.insurance_group_number | Insurance.insurance_group_name", coverage_class("group")),
    Row("class[0].name", "Insurance.insurance_group_name", text),
    Row("class[]", "Insurance.insurance_plan_name", coverage_class("plan")),
)
CASE_COVERAGE_ROWS = (
    Row("subscriberId", "Case.policy_number | Case.case_number", text),
    Row("relationship", "Case.is_subscriber_the_patient | Case.patient_relationship_to_subscriber", words.relationship),
    Row("class[]", "Case.group_number | Case.group_name", coverage_class("group")),
)
PAYER_ROWS = (
    Row(
        "name",
        "Insurance.insurance_company",
        text,
        required=True,
        note="the insurance names no company",
        fix="Choose the payer of this insurance in the patient's demographics in DrChrono.",
    ),
    Row("identifier[0].value", "Insurance.insurance_payer_id", text),
    Row("telecom[]", "Insurance.insurance_claim_office_number", phone),
)
CASE_PAYER_ROWS = (
    Row(
        "name",
        "Case.company",
        text,
        required=True,
        note="the accident's insurance names no company",
        fix="Complete the auto accident or workers' compensation information of the patient in DrChrono.",
    ),
    Row("identifier[0].value", "Case.payer_id", text),
    Row("address[0].line[]", "Case.payer_address", text),
    Row("address[0].city", "Case.payer_city", text),
    Row("address[0].state", "Case.payer_state", text),
    Row("address[0].postalCode", "Case.payer_zip", postal_code),
)
SUBSCRIBER_ROWS = (
    Row("name[0].family", "Insurance.subscriber_last_name | Case.subscriber_last_name", text),
    Row("name[0].given[]", "Insurance.subscriber_first_name | Case.subscriber_first_name", text),
    Row("name[0].given[]", "Insurance.subscriber_middle_name | Case.subscriber_middle_name", text),
    Row("name[0].suffix[]", "Insurance.subscriber_suffix | Case.subscriber_suffix", text),
    Row("gender", "Insurance.subscriber_gender", words.gender),
    Row("birthDate", "Insurance.subscriber_date_of_birth | Case.subscriber_date_of_birth", day),
    Row("telecom[]", "Case.subscriber_phone_number", phone),
    Row("address[0].line[]", "Insurance.subscriber_address | Case.subscriber_address", text),
    Row("address[0].city", "Insurance.subscriber_city | Case.subscriber_city", text),
    Row("address[0].state", "Insurance.subscriber_state | Case.subscriber_state", text),
    Row("address[0].postalCode", "Insurance.subscriber_zip_code | Case.subscriber_zip_code", postal_code),
)
ACCIDENT_ROWS = (
    Row(
        "date",
        "Case.date_of_accident",
        day,
        required=True,
        note="the accident has no date, and the claim needs it",
        fix="Enter the date of the accident in the patient's insurance information in DrChrono.",
    ),
    Row("locationAddress.state", "Case.state_of_occurrence", text),
)

PRACTITIONER_ROWS = (
    Row("identifier[]", "Doctor.npi_number", words.npi),
    Row("name[0].family", "Doctor.last_name", text),
    Row("name[0].given[]", "Doctor.first_name", text),
    Row("name[0].suffix[]", "Doctor.suffix", text),
    Row("telecom[]", "Doctor.office_phone", phone),
)
REFERRER_ROWS = (
    Row("identifier[]", "Patient.referring_doctor.npi", words.npi),
    Row("name[0].family", "Patient.referring_doctor.last_name", text),
    Row("name[0].given[]", "Patient.referring_doctor.first_name", text),
    Row("name[0].given[]", "Patient.referring_doctor.middle_name", text),
    Row("name[0].suffix[]", "Patient.referring_doctor.suffix", text),
    Row("telecom[]", "Patient.referring_doctor.phone", phone),
)
LOCATION_ROWS = (
    Row("name", "Office.name", text),
    Row("telecom[]", "Office.phone_number", phone),
    Row("address.line[]", "Office.address", text),
    Row("address.city", "Office.city", text),
    Row("address.state", "Office.state", text),
    Row("address.postalCode", "Office.zip_code", postal_code),
)

ITEM_ROWS = (
    Row(
        "productOrService.coding[0].code",
        "LineItem.code",
        text,
        required=True,
        note="the line has no procedure code",
        fix=_IN_BILLING,
    ),
    Row("productOrService.coding[0].system", "LineItem.procedure_type", words.procedure_system),
    Row("servicedDate", "LineItem.service_date", day),
    Row("quantity.unit", "LineItem.units", words.unit),
)
ITEM_READINGS = (
    Reading("modifier", "LineItem.modifiers", readings.modifiers),
    Reading("quantity.value", "LineItem.quantity", readings.quantity, required=True),
    Reading("unitPrice", "LineItem.price, LineItem.billed, LineItem.quantity", readings.unit_price),
    Reading("net", "LineItem.price, LineItem.billed, LineItem.quantity", readings.net),
    Reading("diagnosisSequence", "LineItem.diagnosis_pointers, Appointment.icd10_codes", readings.pointers),
    Reading("careTeamSequence", "LineItem.doctor", readings.performer),
)
_TEAM = (
    "Appointment.doctor, Patient.referring_doctor, Appointment.supervising_provider, "
    "DoctorOptions.default_supervising_provider, LineItem.doctor"
)
TEAM_READING = Reading("careTeam", _TEAM, readings.care_team)
CLAIM_READINGS = (
    TEAM_READING,
    Reading("diagnosis", "Appointment.icd10_codes", readings.diagnoses),
    Reading("insurance.preAuthRef", "PatientAuthorization.auth_number", readings.authorization),
)

TABLES: Mapping[str, Sequence[Row]] = {
    "Encounter": (*ENCOUNTER_ROWS, *ENCOUNTER_READINGS),
    "Patient": PATIENT_ROWS,
    "Coverage": COVERAGE_ROWS,
    "Coverage (auto accident, workers' compensation)": CASE_COVERAGE_ROWS,
    "Organization": PAYER_ROWS,
    "Organization (auto accident, workers' compensation)": CASE_PAYER_ROWS,
    "RelatedPerson": SUBSCRIBER_ROWS,
    "Practitioner": PRACTITIONER_ROWS,
    "Practitioner (referring)": REFERRER_ROWS,
    "Location": LOCATION_ROWS,
    "Claim (rendering, referring, supervising)": (TEAM_READING,),
    "Claim": CLAIM_READINGS[1:],
    "Claim.item": (*ITEM_ROWS, *ITEM_READINGS),
    "Claim.accident": ACCIDENT_ROWS,
}
"""All of them by the FHIR path under which their targets lie."""
