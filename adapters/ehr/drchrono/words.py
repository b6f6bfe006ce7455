"""DrChrono's words in FHIR's: codes, amounts, phones, relationships. Pure.

Source: vendor document sections 7 (line items) and 8 (patient and insurance).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.kit.ehr_element import is_believable

FILING = "https://codesystem.x12.org/005010/1032"
RELATIONSHIPS = "https://codesystem.x12.org/005010/1069"
CUSTOM_CODES = "urn:drchrono:custom-code"
PAYER_IDS = "urn:drchrono:payer-id"
RECORD_NUMBERS = "urn:drchrono:chart-id"

FILING_CODES = frozenset(
    {
        *("AM", "BL", "CH", "CI", "DS", "FI", "HM", "LM", "MC", "MA", "MB", "ZZ", "OF", "TV", "VA", "WC"),
        *("11", "12", "13", "14", "15", "16", "17"),
    }
)
_TO_SUBSCRIBER: Mapping[str, str] = {
    **dict.fromkeys(("10", "17", "19", "43"), "child"),
    **dict.fromkeys(("32", "33"), "parent"),
    **{"01": "spouse", "53": "common", "41": "injured"},
}
_GENDERS: Mapping[str, str] = {
    "Male": "male",
    "Female": "female",
    "Other": "other",
    "UNK": "unknown",
    "ASKU": "unknown",
}
_AMOUNT_FIX = "Correct the amount in DrChrono's billing tab."
_NOT_DIGITS = re.compile(r"\D")


def text(value: Any) -> str | None:
    """Without blanks around it; numbers as text."""
    return str(value).strip() or None if isinstance(value, str | int) and not isinstance(value, bool) else None


def gender(value: Any) -> str | None:
    """Male, Female, Other; UNK and ASKU are unknown."""
    return _GENDERS.get(str(value))


def phone(value: Any) -> dict[str, str] | None:
    """A telephone number as 555-010-0199; one that has not ten digits as it is."""
    digits = _NOT_DIGITS.sub("", str(value)).removeprefix("1")
    plain = f"{digits[:3]}-{digits[3:6]}-{digits[6:]}" if len(digits) == 10 else text(value)
    return {"system": "phone", "value": plain} if plain else None


def postal_code(value: Any) -> str | None:
    """Five or nine digits without the hyphen; anything else as it is."""
    digits = _NOT_DIGITS.sub("", str(value))
    return digits if len(digits) in (5, 9) else text(value)


def day(value: Any) -> str | None:
    """The date of a date or local time."""
    found = text(value)
    return found[:10] if found else None


def npi(value: Any) -> dict[str, str] | None:
    """An NPI as an identifier."""
    found = text(value)
    return {"system": codes.NPI, "value": found} if found else None


def record_number(value: Any) -> dict[str, Any] | None:
    """The chart id as the medical record number."""
    found = text(value)
    concept = codes.concept(codes.IDENTIFIER_TYPE, "MR")
    return {"type": concept, "system": RECORD_NUMBERS, "value": found} if found else None


def filing(value: Any) -> dict[str, Any] | None:
    """The claim filing code (X12 element 1032) as it is; words that are none are left out."""
    code = str(value).strip().upper()
    return codes.concept(FILING, code) if code in FILING_CODES else None


def relationship(value: Any) -> dict[str, Any]:
    """Self when the patient is the subscriber, else by the X12 code (element 1069), which is kept beside it."""
    if value is True:
        return codes.concept(codes.RELATIONSHIP, "self")
    code = str(value).strip()
    own = {"system": codes.RELATIONSHIP, "code": _TO_SUBSCRIBER.get(code, "other")}
    return {"coding": [own, {"system": RELATIONSHIPS, "code": code}]}


def coverage_class(kind: str) -> Any:
    """A transform: a value as a class of coverage."""

    def via(value: Any) -> dict[str, Any] | None:
        found = text(value)
        return {"type": codes.concept(codes.COVERAGE_CLASS, kind), "value": found} if found else None

    via.__doc__ = f"A class of type {kind}."
    return via


def amount(line: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal that may be written as text; raises `MappingError` for anything else."""
    value = line.get(name)
    if value is None or value == "":
        return None
    try:
        found = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        found = Decimal("nan")
    if not is_believable(found):
        raise MappingError(f"LineItem.{name}", "this is not an amount", _AMOUNT_FIX)
    return found


def patient_reference(value: Any) -> dict[str, str] | None:
    """A reference to the patient."""
    return _reference("Patient", value)


def practitioner_reference(value: Any) -> dict[str, str] | None:
    """A reference to the doctor."""
    return _reference("Practitioner", value)


def location_reference(value: Any) -> dict[str, str] | None:
    """A reference to the office."""
    return _reference("Location", value)


def procedure_system(value: Any) -> str:
    """C is CPT, H and S are HCPCS; U is a code of the practice's own, which no claim can carry."""
    return {"C": codes.CPT, "H": codes.HCPCS, "S": codes.HCPCS}.get(str(value).strip().upper(), CUSTOM_CODES)


def unit(value: Any) -> str | None:
    """The unit of measure; UN is left out."""
    found = text(value)
    return None if found == "UN" else found


def _reference(resource_type: str, value: Any) -> dict[str, str] | None:
    found = text(value)
    return {"reference": f"{resource_type}/{found}"} if found else None
