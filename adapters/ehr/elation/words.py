"""How the words and texts of Elation become values of FHIR: one small function or table each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.canonical import codes

_AFTER_NAME = re.compile(r"\s*\(.*|\s*,.*")  # "Beverly Crusher, MD (555-555-5555)"

GENDERS = {"male": "male", "m": "male", "female": "female", "f": "female", "other": "other", "unknown": "unknown"}
RELATIONSHIPS = {"self": "self", "spouse": "spouse", "child": "child"}
RANKS = {"primary": 1, "secondary": 2, "tertiary": 3}
ROLE_OF_INSURED = {"spouse": "SPS", "child": "PRN"}
"""The insured person seen from the patient: a child's insured person is the parent (v3-RoleCode)."""

PAYMENT_PROGRAMS = {
    "medicare part b": "121",
    "medicare advantage": "111",
    "medicaid": "2",
    "worker's compensation": "95",
    "commercial - other": "5",
    "commercial - hmsa": "5",
    "commercial - sfhp": "5",
}
"""Insurance.payment_program as a code of the Source of Payment Typology."""


def always(value: Any) -> Callable[[Any], Any]:
    """A constant that goes with the field: where the field is absent, so is the constant."""

    def via(_: Any) -> Any:
        return value

    code = codes.codings(value)[0]["code"] if isinstance(value, dict) else value
    via.__doc__ = f"Always {code}."
    return via


def to(resource_type: str) -> Callable[[Any], str]:
    """A reference to the record of that id."""

    def via(vendor_id: Any) -> str:
        return f"{resource_type}/{vendor_id}"

    via.__doc__ = f"A reference to the {resource_type} of that id."
    return via


def coded(table: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The table's value for a word, whatever its case; None for a word that it does not know."""

    def via(word: Any) -> Any:
        return table.get(str(word).strip().lower())

    via.__doc__ = "; ".join(f"{word} is {value}" for word, value in table.items()) + "."
    return via


def number_text(value: Any) -> str:
    """An id, which is a whole number, as text; empty for anything else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if text.isascii() and text.isdigit() and len(text) < 20 else ""


def amount(text: Any) -> Any:
    """The number in a text; what is no number is left for the validator."""
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return text


def relationship(word: Any) -> str:
    """Child, spouse or self; other for any other word."""
    return RELATIONSHIPS.get(str(word).strip().lower(), "other")


def place_of_service(code: Any) -> str:
    """Two digits: Elation gives a number."""
    return str(code).strip().zfill(2)


def encounter_class(code: Any) -> str:
    """VR for telehealth (places 02 and 10), else AMB."""
    return "VR" if place_of_service(code) in ("02", "10") else "AMB"


def birth_date(text: Any) -> Any:
    """The date, also from month/day/year."""
    try:
        return datetime.strptime(str(text), "%m/%d/%Y").date().isoformat()  # noqa: DTZ007  (a date has no zone)
    except ValueError:
        return text


def family(name: Any) -> str:
    """The last word of the name, without title and phone number."""
    return _AFTER_NAME.sub("", str(name)).strip().rpartition(" ")[2]


def given(name: Any) -> str:
    """The words before the last one."""
    return _AFTER_NAME.sub("", str(name)).strip().rpartition(" ")[0]


def procedure_system(code: Any) -> str:
    """CPT or HCPCS by the code's form."""
    return codes.procedure_system(str(code).strip().upper()) or codes.CPT


def modifier(code: Any) -> dict[str, Any]:
    """A coded modifier."""
    plain = str(code).strip().upper()
    return codes.concept(codes.procedure_modifier_system(plain), plain)
