"""The mapping tables: canonical element to AdvancedMD attribute, one row each (vendor document section 6).

Roots beside the FHIR resources: `modifiers` and `diagnoses`, the codes of a line in their order, joined by blanks;
`name`, a person's name as AdvancedMD writes it; `position`, the order of a coverage. Codes are those of the claim:
`submit` puts AdvancedMD's ids in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from gateway.canonical import codes
from gateway.kit.mapping import Row

VENDOR_TITLE = "AdvancedMD"
_GENDERS = {"male": "M", "female": "F"}
_HIPAA_RELATIONSHIPS = {"self": "18", "spouse": "01", "child": "19", "common": "53", "other": "G8"}
_RELATIONSHIPS = {"18": "1", "01": "2", "19": "3"}


def us_date(value: str) -> str:
    """A FHIR date or dateTime as MM/DD/YYYY (section 3)."""
    year, month, day = value[:10].split("-")
    return f"{month}/{day}/{year}"


def gender(value: str) -> str:
    """M, F or U."""
    return _GENDERS.get(value, "U")


def hipaa_relationship(value: str) -> str:
    """The HIPAA individual relationship code (X12 element 1069) of the patient to the subscriber."""
    return _HIPAA_RELATIONSHIPS.get(value, "G8")


def relationship(hipaa_code: str) -> str:
    """AdvancedMD's own code beside the HIPAA one: 1 self, 2 spouse, 3 child, 4 other."""
    return _RELATIONSHIPS.get(hipaa_code, "4")


def money(value: Any) -> str:
    """Dollars with two decimals; more decimals are refused before (`limits`)."""
    return f"{Decimal(value):.2f}"


def number(value: Any) -> str:
    """A quantity without trailing zeros and never in exponent notation."""
    return f"{Decimal(value).normalize():f}"


def telephone(value: str) -> str:
    """(813) 555-0100 when there are ten digits, else as it is (section 6.1)."""
    digits = "".join(filter(str.isdigit, value))[-10:]
    return f"({digits[:3]}) {digits[3:6]}-{digits[6:]}" if len(digits) == 10 else value


_FIX_NAME = "Complete the patient's name in the EHR."

_SERVICED = "Claim.item.servicedDate | Claim.item.servicedPeriod.start"

VISIT_ROWS = (
    Row("date", f"Claim.billablePeriod.start | {_SERVICED}", us_date, required=True),
    Row("note", "note", note="the submission id and what has no other place; see the rows of the note"),
    Row("approval", "settings.approval", note="1: the charges wait for the biller's approval"),
    Row("force", "settings.force", note="1 only with allow_same_day_charges"),
)
BILLING_ROWS = (
    Row("billins", "settings.billins", note="1: insurance is billed"),
    Row("finclasscode", "settings.financial_class", note="financial_classes by payer id, else financial_class"),
)
"""On every charge."""

PROFILE_ROWS = (
    Row("npi", f"Rendering.identifier.where(system='{codes.NPI}').value", note="looked up in profiles"),
    Row("name", "rendering_name", note="LAST,FIRST: looked up when profiles has no such NPI"),
)
FACILITY_ROWS = (
    Row("npi", f"Location.identifier.where(system='{codes.NPI}').value", note="looked up in facilities"),
    Row("name", "Location.name", note="looked up when facilities has no such NPI"),
)
PAYER_ROWS = (
    Row("id", f"Payer.identifier.where(system='{codes.PAYER_IDENTIFIER}').value", note="looked up in carriers"),
    Row("name", "Payer.name", note="looked up when carriers has no such id"),
)

CHARGE_ROWS = (
    Row("proccode", "item.productOrService.coding.code", required=True),
    Row("modcodes", "modifiers"),
    Row("diagcodes", "diagnoses", required=True, note="needs at least one diagnosis pointer"),
    Row("units", "item.quantity.value", number, required=True),
    Row("begindate", "item.servicedDate | item.servicedPeriod.start", us_date, required=True),
    Row("enddate", "item.servicedDate | item.servicedPeriod.end | item.servicedPeriod.start", us_date),
    Row("pos", "item.locationCodeableConcept.coding.code", required=True),
    Row("fee", "item.unitPrice.value", money, required=True),
    Row("totalfee", "item.net.value", money, required=True),
)

PATIENT_ROWS = (
    Row("name", "name", required=True, fix=_FIX_NAME),
    Row("dob", "Patient.birthDate", us_date, required=True, fix="Complete the birth date in the EHR."),
    Row("sex", "Patient.gender", gender),
    Row("record_number", "Patient.identifier.where(type.coding.code='MR').value"),
    Row("address2", "Patient.address.line[0]", note="AdvancedMD keeps the street in address2"),
    Row("address1", "Patient.address.line[1]", note="and the suite in address1"),
    Row("city", "Patient.address.city"),
    Row("state", "Patient.address.state"),
    Row("zip", "Patient.address.postalCode"),
    Row("homephone", "Patient.telecom.where(system='phone').value", telephone),
    Row("email", "Patient.telecom.where(system='email').value"),
)
"""Also for a subscriber who is not the patient (root `Patient`)."""

COVERAGE_ROWS = (
    Row("subscribernum", "Coverage.subscriberId", required=True, fix="Complete the member id in the EHR."),
    Row("hipaarelationship", "Coverage.relationship.coding.code", hipaa_relationship),
    Row("grpnum", "Coverage.class.where(type.coding.code='group').value"),
    Row("grpname", "Coverage.class.where(type.coding.code='plan').value"),
    Row("begindate", "Coverage.period.start", us_date),
    Row("enddate", "Coverage.period.end", us_date),
    Row("coverage", "position", required=True),
)

_BILLER = "visit @note: the biller enters it when approving the charges"

CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "Claim.identifier": "- visit @note carries the submission id; AdvancedMD makes its own claim number",
        "Claim.billablePeriod": "appt @date, visit @date; charge @begindate, @enddate",
        "Claim.provider": "- the office of the connection bills",
        "Claim.facility": "visit @facility",
        "Claim.referral": _BILLER,
        "Claim.related": "savecharges on the visit of the claim on file, as long as it has not been billed",
        "Claim.careTeam.rendering": "appt @profile, visit @profile",
        "Claim.careTeam.referring": f"{_BILLER} (NPI)",
        "Claim.careTeam.supervisor": f"{_BILLER} (NPI)",
        "Claim.supportingInfo.info": _BILLER,
        "Claim.supportingInfo.patientPaid": "visit @note: the biller posts the payment",
        "Claim.diagnosis": "charge diagcodelist; visit @note when the lines lose one or the order",
        "Claim.insurance.focal": "- the patient's first insurance plan: compared, or created with a new patient",
        "Claim.insurance.other": "- the patient's further insurance plans, in order: compared or created",
        "Claim.insurance.preAuthRef": _BILLER,
        "Claim.item.productOrService": "charge @proccode (id)",
        "Claim.item.modifier": "charge @modcodes (ids)",
        "Claim.item.serviced": "charge @begindate, @enddate",
        "Claim.item.location": "charge @pos",
        "Claim.item.quantity": "charge @units",
        "Claim.item.unitPrice": "charge @fee",
        "Claim.item.net": "charge @totalfee",
        "Claim.item.diagnosisSequence": "charge diagcodelist/diagcode @id, in order",
        "Claim.item.careTeamSequence": "- one profile per visit; compared before sending",
        "Claim.item.informationSequence": "visit @note, with the number of the line",
        "Claim.total": "- AdvancedMD adds up the charges; compared before sending",
    }
)
"""Every canonical element that reaches AdvancedMD, with its attribute or the reason why none is needed."""

ON_NOTE = frozenset(element for element, where in CARRIED.items() if where.startswith("visit @note"))
"""Elements that only a biller can enter: they need charges that wait for approval."""
