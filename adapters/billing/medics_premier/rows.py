"""The mapping tables: canonical element to HL7 address, one row each, by segment (vendor document section 4.5).

Roots beside the FHIR resources, which a clinic's own rows (`field_overrides`) may use too:

    site           the connection's words: sending_application, ..., mrn_authority
    message        type, event, structure, control_id, time (at the clinic), version, charset, set_id
    name           the patient's official name; `subscriber_name`, `guarantor_name` likewise
    attending      the first rendering provider {key, family, given, middle, degree, authority}; also `referring`,
                   `supervisor`
    place          {code, authority} of the facility
    onset, hospitalized, patient_paid   supportingInfo of that category
    notes          the claim's additional information that no line points to, as one text
    item           the line; `line` {id, number}; `procedure` {code, label}; `diagnoses` and `modifiers` repeat
    rendering, ordering                 the line's own providers
    drug           {code, label, quantity, unit}; `line_note` the information that the line points to
    diagnosis      {number, rank, code, label, type, date} of DG1
    Coverage, Payer, Subscriber, cover  of IN1; `cover` {number, order, company, plan, authorization, relationship}
    Guarantor, guarantor                of GT1; `guarantor` {relationship}
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.billing.medics_premier.words import (
    accident_code,
    always,
    area_code,
    at_work,
    day,
    local_number,
    patient_class,
    plain,
    repeated,
    sex,
)
from gateway.kit.mapping import Row

VENDOR_TITLE = "MedicsPremier"


_PROVIDER_KEY = "the NPI, or with `provider_key` table MedicsPremier's code of `providers`"
_LABEL = "name of the code system (`labels` of the connection)"
_PLACE = "MedicsPremier's code of `locations` by the place's NPI or name, else the name"
_RELATIONSHIP = "`relationships` of the connection by FHIR's code, else OTH"
_TRANSACTION = "submission id and line: what a receiver drops repeats by; at most `transaction_id_length` characters"
_TIME = "the claim's creation (Claim.created) at the clinic"


def _person(target: str, root: str, *, required: bool = False) -> tuple[Row, ...]:
    fix = "Complete the name in the EHR." if required else ""
    return (
        Row(f"{target}.1", f"{root}.family", plain, required=required, fix=fix),
        Row(f"{target}.2", f"{root}.given[0]", plain, required=required, fix=fix),
        Row(f"{target}.3", f"{root}.given[1]", plain),
        Row(f"{target}.4", f"{root}.suffix[0]", plain),
    )


def _address(target: str, root: str) -> tuple[Row, ...]:
    return (
        Row(f"{target}.1", f"{root}.address.line[0]", plain),
        Row(f"{target}.2", f"{root}.address.line[1]", plain),
        Row(f"{target}.3", f"{root}.address.city", plain),
        Row(f"{target}.4", f"{root}.address.state", plain),
        Row(f"{target}.5", f"{root}.address.postalCode", plain),
    )


def _phone(target: str, root: str) -> tuple[Row, ...]:
    number = f"{root}.telecom.where(system='phone').value"
    return (
        Row(f"{target}.1", number, plain),
        Row(f"{target}.2", number, always("PRN")),
        Row(f"{target}.3", number, always("PH")),
        Row(f"{target}.6", number, area_code),
        Row(f"{target}.7", number, local_number),
    )


def _provider(target: str, root: str, *, required: bool = False) -> tuple[Row, ...]:
    note = "the provider of the service is needed" if required else _PROVIDER_KEY
    return (
        Row(f"{target}.1", f"{root}.key", plain, required=required, note=note),
        Row(f"{target}.2", f"{root}.family", plain),
        Row(f"{target}.3", f"{root}.given", plain),
        Row(f"{target}.4", f"{root}.middle", plain),
        Row(f"{target}.7", f"{root}.degree", plain),
        Row(f"{target}.9", f"{root}.authority", plain, note="NPI where `provider_key` is npi"),
    )


def patient_id(field: str) -> tuple[Row, ...]:
    """The medical record number in one of the fields that a site may want it in (PID-2, PID-3, PID-18)."""
    number = "Patient.identifier.where(type.coding.code='MR').value"
    fix = "Complete the medical record number in the EHR: MedicsPremier knows the patient by it."
    return (
        Row(f"{field}.1", number, plain, required=True, fix=fix),
        Row(f"{field}.4", "site.mrn_authority", plain, note="`mrn_authority`, else `sending_facility`"),
        Row(f"{field}.5", number, always("MR")),
    )


MSH_ROWS = (
    Row("MSH-3", "site.sending_application", plain, note="`sending_application` of the connection"),
    Row("MSH-4", "site.sending_facility", plain, note="`sending_facility` of the connection"),
    Row("MSH-5", "site.receiving_application", plain, note="`receiving_application` of the connection"),
    Row("MSH-6", "site.receiving_facility", plain, note="`receiving_facility` of the connection"),
    Row("MSH-7", "message.time", plain, note=_TIME),
    Row("MSH-9.1", "message.type", plain, note="ADT before DFT"),
    Row("MSH-9.2", "message.event", plain, note="`adt_event` and `trigger_event` of the connection"),
    Row("MSH-9.3", "message.structure", plain),
    Row("MSH-10", "message.control_id", plain, note="submission id and -A (ADT) or -D (DFT)"),
    Row("MSH-11", "site.processing_id", plain, note="`processing_id` of the connection"),
    Row("MSH-12", "message.version", plain, note="`hl7_version` of the connection"),
    Row("MSH-15", "site.accept_acknowledgment", plain, note="AL with `acknowledgment` commit"),
    Row("MSH-16", "site.application_acknowledgment", plain, note="NE with `acknowledgment` commit"),
    Row("MSH-18", "message.charset", plain, note="only when the message is not plain ASCII"),
)
EVN_ROWS = (Row("EVN-1", "message.event", plain, note="as MSH-9.2"), Row("EVN-2", "message.time", plain, note=_TIME))
PID_ROWS = (
    Row("PID-1", "message.set_id", plain, note="always 1"),
    *patient_id("PID-3"),
    *_person("PID-5", "name", required=True),
    Row("PID-7", "Patient.birthDate", day, required=True, fix="Complete the birth date in the EHR."),
    Row("PID-8", "Patient.gender", sex),
    *_address("PID-11", "Patient"),
    *_phone("PID-13", "Patient"),
)
PV1_ROWS = (
    Row("PV1-1", "message.set_id", plain, note="always 1"),
    Row("PV1-2", "Encounter.class.code | Claim.id", patient_class, note="O for an encounter without a class"),
    Row("PV1-3.1", "place.code", plain, note=_PLACE),
    Row("PV1-3.4", "place.authority", plain, note="`sending_facility` of the connection"),
    *_provider("PV1-7", "attending", required=True),
    *_provider("PV1-8", "referring"),
    Row("PV1-19", "Encounter.identifier.value | Encounter.id", plain),
    Row("PV1-44", "hospitalized.timingPeriod.start | hospitalized.timingDate", day),
    Row("PV1-45", "hospitalized.timingPeriod.end", day),
    Row(
        "PV1-50",
        "Claim.identifier.where(type.coding.code='PLAC').value",
        plain,
        note="the patient's account number of the gateway",
    ),
)
FT1_ROWS = (
    Row("FT1-1", "line.number", plain, note="the line's place in the claim, from 1"),
    Row("FT1-2", "line.id", plain, note=_TRANSACTION),
    Row("FT1-3", "line.submission", plain, note="submission id"),
    Row("FT1-4.1", "item.servicedDate | item.servicedPeriod.start", day, required=True),
    Row("FT1-4.2", "item.servicedPeriod.end", day),
    Row("FT1-5", "message.posted_on", plain, note=_TIME),
    Row("FT1-6", "line.id", always("CG"), note="a charge"),
    Row("FT1-7.1", "procedure.code", plain, required=True),
    Row("FT1-7.3", "procedure.label", plain, note=_LABEL),
    Row("FT1-10", "item.quantity.value", plain, required=True),
    Row("FT1-11.1", "item.net.value", plain, required=True),
    Row("FT1-11.2", "item.net.currency", plain),
    Row("FT1-12.1", "item.unitPrice.value", plain, required=True),
    Row("FT1-12.2", "item.unitPrice.currency", plain),
    Row("FT1-16.1", "place.code", plain, note=_PLACE),
    Row("FT1-16.4", "place.authority", plain, note="`sending_facility` of the connection"),
    Row("FT1-16.9", "item.locationCodeableConcept.coding.code", plain, required=True, note="place of service"),
    Row("FT1-19", "diagnoses", repeated, required=True, note="needs at least one diagnosis pointer"),
    *_provider("FT1-20", "rendering", required=True),
    *_provider("FT1-21", "ordering"),
    Row("FT1-25.1", "procedure.code", plain),
    Row("FT1-25.3", "procedure.label", plain, note=_LABEL),
    Row("FT1-26", "modifiers", repeated),
    Row("FT1-29.1", "drug.code", plain, note="NDC"),
    Row("FT1-29.3", "drug.label", plain, note=_LABEL),
)
NTE_ROWS = (
    Row("NTE-1", "message.set_id", plain, note="always 1"),
    Row("NTE-3", "line_note", plain, note="the texts that the line points to, with `; ` between them"),
)
PAYMENT_ROWS = (
    Row("FT1-1", "line.number", plain, note="the line's place in the claim, from 1"),
    Row("FT1-2", "line.id", plain, note="submission id and -P"),
    Row("FT1-3", "line.submission", plain, note="submission id"),
    Row("FT1-4.1", "Claim.billablePeriod.start | Claim.item.servicedDate", day, required=True),
    Row("FT1-5", "message.posted_on", plain, note=_TIME),
    Row("FT1-6", "line.id", always("PY"), note="a payment"),
    Row("FT1-7.1", "site.payment_code", plain, note="`payment_code` of the connection"),
    Row("FT1-11.1", "patient_paid.valueQuantity.value", plain),
    Row("FT1-11.2", "patient_paid.valueQuantity.value", always("USD")),
)
"""Only where the site has a payment code: an amount paid by the patient as a transaction of its own."""

DG1_ROWS = (
    Row("DG1-1", "diagnosis.number", plain, note="counted from 1, with `diagnosis_groups` per_line by line"),
    Row("DG1-3.1", "diagnosis.code", plain, required=True),
    Row("DG1-3.3", "diagnosis.label", plain, note=_LABEL),
    Row("DG1-5", "diagnosis.date", day, note="first day of Claim.billablePeriod"),
    Row("DG1-6", "diagnosis.type", plain, note="always F: a final diagnosis"),
    Row("DG1-15", "diagnosis.rank", plain, note="its place among the claim's diagnoses"),
)
GT1_ROWS = (
    Row("GT1-1", "message.set_id", plain, note="always 1"),
    *_person("GT1-3", "guarantor_name", required=True),
    *_address("GT1-5", "Guarantor"),
    *_phone("GT1-6", "Guarantor"),
    Row("GT1-8", "Guarantor.birthDate", day),
    Row("GT1-9", "Guarantor.gender", sex),
    Row("GT1-11.1", "guarantor.relationship", plain, note=_RELATIONSHIP),
)
IN1_ROWS = (
    Row("IN1-1", "cover.number", plain, note="the coverage's place in Claim.insurance, from 1"),
    Row(
        "IN1-2.1",
        "cover.plan",
        plain,
        note="plan, else company, of `payers` by the payer's id; without that table the payer's id, as in IN1-3",
    ),
    Row("IN1-2.2", "Coverage.class.where(type.coding.code='plan').name", plain),
    Row("IN1-3.1", "cover.company", plain, required=True, fix="Complete the payer's id in the clinic's configuration."),
    Row("IN1-4.1", "Payer.name", plain),
    *_address("IN1-5", "Payer"),
    Row("IN1-8", "Coverage.class.where(type.coding.code='group').value", plain),
    Row("IN1-12", "Coverage.period.start", day),
    Row("IN1-13", "Coverage.period.end", day),
    *_person("IN1-16", "subscriber_name"),
    Row("IN1-17.1", "cover.relationship", plain, note=_RELATIONSHIP),
    Row("IN1-18", "Subscriber.birthDate", day),
    *_address("IN1-19", "Subscriber"),
    Row("IN1-20", "Coverage.subscriberId", always("Y"), note="benefits are assigned to the clinic (box 13)"),
    Row("IN1-22", "cover.number", plain, note="the order of payment"),
    Row("IN1-27", "Coverage.subscriberId", always("Y"), note="release of information (box 12)"),
    Row("IN1-28", "cover.authorization", plain),
    Row("IN1-36", "Coverage.subscriberId", plain, required=True, fix="Complete the member id in the EHR."),
    Row("IN1-43", "Subscriber.gender", sex),
    Row("IN1-49.1", "Coverage.subscriberId", plain),
)
ACC_ROWS = (
    Row("ACC-1", "Claim.accident.date", day),
    Row("ACC-2.1", "Claim.accident.type.coding.code", accident_code),
    Row("ACC-4.1", "Claim.accident.locationAddress.state", plain),
    Row("ACC-5", "Claim.accident.type.coding.code", at_work),
)

TABLES: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "MSH": MSH_ROWS,
        "EVN": EVN_ROWS,
        "PID": PID_ROWS,
        "PV1": PV1_ROWS,
        "FT1": FT1_ROWS,
        "NTE": NTE_ROWS,
        "DG1": DG1_ROWS,
        "GT1": GT1_ROWS,
        "IN1": IN1_ROWS,
        "ACC": ACC_ROWS,
    }
)
"""The rows of each segment, before a clinic's settings change them (`layout`)."""
