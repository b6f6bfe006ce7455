"""The mapping tables of the 837P, loop by loop (section 2): these very rows write the claim.

Roots beside `Claim`: `coverage`, `subscriber` (the insured person) and `payer` of the coverage at hand; `patient`;
`billing` (the billing provider), `facility`, `provider` (of the care team); `x_name` and `x_address` are the
chosen name and address of x; `item` is the line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.billing.x12_837p import codes
from adapters.billing.x12_837p.segments import Element, SegmentMap, rows_of, seg
from gateway.canonical.codes import EIN, NPI, TAXONOMY
from gateway.kit.encoders.x12 import amount, day, exact, text

_NPI = f"identifier.where(system='{NPI}').value"
_EHR = "Complete it in the EHR."
_CONFIGURATION = "Complete the billing provider in gateway.yaml."
Loop = tuple[SegmentMap, ...]
_Rows = tuple[tuple[str, Element], ...]


def e(source: str, via: Callable[[Any], Any] = text, longest: int = 0, needed: str = "", fix: str = "") -> Element:
    """A row without its target, which `seg` adds; `needed` says what is missing when it is, and makes it required."""
    return Element("", source, via, bool(needed), needed, fix, longest)


def _person(root: str, fix: str = _EHR) -> _Rows:
    return (
        ("03", e(f"{root}_name.family", text, 60, "the family name is missing", fix)),
        ("04", e(f"{root}_name.given[0]", text, 35)),
        ("05", e(f"{root}_name.given[1]", text, 25)),
        ("07", e(f"{root}_name.suffix[0]", codes.generation, 10)),
    )


def _address(
    loop: str,
    root: str,
    *,
    zip_via: Callable[[Any], Any] = codes.zip_code,
    street_via: Callable[[Any], Any] = text,
    needed: bool = True,
    fix: str = _EHR,
) -> Loop:
    what = "the address is not complete: street, city, state and postal code are needed" if needed else ""
    return (
        seg(
            loop,
            "N3",
            ("01", e(f"{root}_address.line[0]", street_via, 55, what, fix)),
            ("02", e(f"{root}_address.line[1]", street_via, 55)),
        ),
        seg(
            loop,
            "N4",
            ("01", e(f"{root}_address.city", text, 30, what, fix)),
            ("02", e(f"{root}_address.state", exact, 2, what, fix)),
            ("03", e(f"{root}_address.postalCode", zip_via, 15, what, fix)),
            ("04", e(f"{root}_address.country", codes.country, 3)),
        ),
    )


def _birth(loop: str, root: str, needed: bool) -> SegmentMap:
    born, sex = ("the birth date is missing", "the administrative gender is missing") if needed else ("", "")
    return seg(
        loop,
        "DMG*D8",
        ("02", e(f"{root}.birthDate", codes.full_day, 0, born, _EHR)),
        ("03", e(f"{root}.gender", codes.gender, 0, sex, _EHR)),
    )


def _payer(loop: str) -> Loop:
    fix = "Add the payer to payer_ids in gateway.yaml, by its name or its identifier at the EHR."
    return (
        seg(
            loop,
            "NM1*PR*2******PI",
            ("03", e("payer.name", text, 60, "the payer's name is missing", _EHR)),
            ("09", e("payer_id", exact, 80, "the payer's id at the clearinghouse is not known", fix)),
        ),
        *_address(loop, "payer", needed=False),
    )


def _provider(loop: str, code: str, *, taxonomy: bool = False) -> Loop:
    name = seg(
        loop,
        f"NM1*{code}*1*****",
        *_person("provider"),
        ("08", e(f"provider.{_NPI}", codes.coded_npi)),
        ("09", e(f"provider.{_NPI}", codes.npi, 10, "the provider has no NPI", "Complete the NPI in the EHR.")),
    )
    speciality = e(f"provider.qualification.code.coding.where(system='{TAXONOMY}').code", exact, 50)
    return (name, seg(loop, "PRV*PE*PXC", ("03", speciality))) if taxonomy else (name,)


BILLING: Loop = (
    seg("2000A", "PRV*BI*PXC", ("03", e(f"billing.type.coding.where(system='{TAXONOMY}').code", exact, 50))),
    seg(
        "2010AA",
        "NM1*85*2******XX",
        ("03", e("billing.name", text, 60, "the billing provider's name is missing", _CONFIGURATION)),
        ("09", e(f"billing.{_NPI}", codes.npi, 10, "the billing provider has no NPI", _CONFIGURATION)),
    ),
    *_address("2010AA", "billing", zip_via=codes.zip_plus_four, street_via=codes.street, fix=_CONFIGURATION),
    seg(
        "2010AA",
        "REF*EI",
        (
            "02",
            e(
                f"billing.identifier.where(system='{EIN}').value",
                codes.tax_id,
                9,
                "the billing provider has no tax id",
                _CONFIGURATION,
            ),
        ),
    ),
)

SUBSCRIBER: Loop = (
    seg(
        "2000B",
        "SBR",
        ("01", e("responsibility", needed="the rank of the coverage is missing")),
        ("02", e("self_code")),
        ("03", e("coverage.class.where(type.coding.code='group').value", exact, 50)),
        ("04", e("plan_name", text, 60)),
        ("05", e("insurance_type", exact)),
        ("09", e("filing", exact, needed="the kind of insurance is missing")),
    ),
    seg(
        "2010BA",
        "NM1*IL*1******MI",
        *_person("subscriber"),
        ("09", e("coverage.subscriberId", exact, 80, "the member id is missing", _EHR)),
    ),
)
SUBSCRIBER_IS_PATIENT: Loop = (*_address("2010BA", "subscriber"), _birth("2010BA", "born", needed=True))
SUBSCRIBER_IS_OTHER: Loop = (
    *_address("2010BA", "subscriber", needed=False),
    _birth("2010BA", "born", needed=False),
)
PAYER: Loop = _payer("2010BB")
PATIENT: Loop = (
    seg(
        "2000C",
        "PAT",
        ("01", e("relationship", exact, 2, "how the patient is related to the insured is missing", _EHR)),
    ),
)
PATIENT_NAME: Loop = (
    seg("2010CA", "NM1*QC*1", *_person("patient")),
    *_address("2010CA", "patient"),
    _birth("2010CA", "patient", needed=True),
)

CLAIM: Loop = (
    seg(
        "2300",
        "CLM*****:B*Y*A*Y*Y",
        ("01", e("account", exact, 20, "the patient account number is missing")),
        ("02", e("Claim.total.value", amount, 10, "the total charge is missing")),
        ("05-1", e("place", exact, 2, "the place of service is missing", _EHR)),
        ("05-3", e("frequency", needed="the frequency is missing")),
        ("11-1", e("accident.type.coding.code", codes.accident_cause)),
        ("11-4", e("accident_state", exact, 2)),
    ),
    seg("2300", "DTP*431*D8", ("03", e("onset.timingDate | onset.timingPeriod.start", codes.full_day))),
    seg("2300", "DTP*439*D8", ("03", e("accident.date", codes.full_day))),
    seg("2300", "DTP*435*D8", ("03", e("hospitalized.timingPeriod.start | hospitalized.timingDate", codes.full_day))),
    seg("2300", "DTP*096*D8", ("03", e("hospitalized.timingPeriod.end", codes.full_day))),
    seg(
        "2300", "AMT*F5", ("02", e("patient_paid.valueQuantity.value | patient_paid.valueMoney.value", codes.paid, 10))
    ),
    seg("2300", "REF*9F", ("02", e("Claim.referral.identifier.value", exact, 50))),
    seg("2300", "REF*G1", ("02", e("authorization", exact, 50))),
    seg("2300", "REF*F8", ("02", e("control_number", exact, 50))),
    seg("2300", "REF*D9", ("02", e("submission_id", exact, 50))),
    seg("2300", "REF*EA", ("02", e("patient.identifier.where(type.coding.code='MR').value", exact, 50))),
    seg("2300", "NTE*ADD", ("02", e("note", text, 80))),
)
DIAGNOSIS = e("diagnosis.diagnosisCodeableConcept.coding.code", codes.icd10, 30, "the diagnosis has no code", _EHR)
DIAGNOSES: Loop = (seg("2300", "HI*ABK:", ("01-2", DIAGNOSIS)),)
"""The first diagnosis; the further ones follow as HI02..HI12 with ABF, by the same row."""

REFERRING: Loop = _provider("2310A", "DN")
RENDERING: Loop = _provider("2310B", "82", taxonomy=True)
SUPERVISING: Loop = _provider("2310D", "DQ")
LINE_RENDERING: Loop = _provider("2420A", "82", taxonomy=True)
ORDERING: Loop = _provider("2420E", "DK")
FACILITY: Loop = (
    seg(
        "2310C",
        "NM1*77*2*****",
        ("03", e("facility.name", text, 60, "the service facility's name is missing", _EHR)),
        ("08", e(f"facility.{_NPI}", codes.coded_npi)),
        ("09", e(f"facility.{_NPI}", codes.npi, 10)),
    ),
    *_address("2310C", "facility", zip_via=codes.zip_plus_four),
)

OTHER_SUBSCRIBER: Loop = (
    seg(
        "2320",
        "SBR",
        ("01", e("responsibility", needed="the rank of the coverage is missing")),
        ("02", e("relationship", exact, 2, "how the patient is related to the insured is missing", _EHR)),
        ("03", e("coverage.class.where(type.coding.code='group').value", exact, 50)),
        ("04", e("plan_name", text, 60)),
        ("05", e("insurance_type", exact)),
        ("09", e("filing", exact, needed="the kind of insurance is missing")),
    ),
    seg("2320", "OI***Y***Y"),
    seg(
        "2330A",
        "NM1*IL*1******MI",
        *_person("subscriber"),
        ("09", e("coverage.subscriberId", exact, 80, "the member id is missing", _EHR)),
    ),
    *_address("2330A", "subscriber", needed=False),
    *_payer("2330B"),
)

LINE: Loop = (
    seg("2400", "LX", ("01", e("item.sequence", str, 0, "the line has no number"))),
    seg(
        "2400",
        "SV1*HC",
        ("01-2", e("item.productOrService.coding.code", exact, 48, "the line has no procedure code", _EHR)),
        *((f"01-{n + 2}", e(f"item.modifier[{n - 1}].coding.code", exact, 2)) for n in range(1, 5)),
        ("02", e("item.net.value", amount, 10, "the line has no charge")),
        ("03", e("unit", codes.units, 0, "the line has no unit")),
        ("04", e("item.quantity.value", amount, 15, "the line has no quantity", _EHR)),
        ("05", e("line_place", exact, 2)),
        *(
            (f"07-{n}", e(f"item.diagnosisSequence[{n - 1}]", str, 2, "needs a diagnosis" if n == 1 else ""))
            for n in range(1, 5)
        ),
    ),
    seg("2400", "DTP*472*D8", ("03", e("item_day", day))),
    seg("2400", "DTP*472*RD8", ("03", e("item_period", exact))),
    seg("2400", "REF*6R", ("02", e("line_control", exact, 30, "the line has no number"))),
    seg("2400", "NTE*ADD", ("02", e("line_note", text, 80))),
)
DRUG: Loop = (
    seg(
        "2410",
        "LIN**N4",
        ("03", e("drug.productOrService.coding.code", codes.ndc, 0, "the drug has no NDC", _EHR)),
    ),
    seg(
        "2410",
        "CTP",
        ("04", e("drug.quantity.value", amount, 15, "the drug has no quantity", _EHR)),
        (
            "05-1",
            e("drug.quantity.unit | drug.quantity.code", codes.measure, 0, "the drug's unit is missing", _EHR),
        ),
    ),
)

TITLED = {
    "Billing provider (2000A, 2010AA)": rows_of(BILLING),
    "Subscriber (2000B, 2010BA)": rows_of(SUBSCRIBER, SUBSCRIBER_IS_PATIENT),
    "Payer (2010BB)": rows_of(PAYER),
    "Patient (2000C, 2010CA)": rows_of(PATIENT, PATIENT_NAME),
    "Claim (2300)": rows_of(CLAIM, DIAGNOSES),
    "Providers and facility (2310)": rows_of(REFERRING, RENDERING, FACILITY, SUPERVISING),
    "Other coverages (2320, 2330)": rows_of(OTHER_SUBSCRIBER),
    "Service line (2400, 2410, 2420)": rows_of(LINE, DRUG, LINE_RENDERING, ORDERING),
}
"""All rows by title, for the mapping document."""
ALL = tuple(row for rows in TITLED.values() for row in rows)
