"""The columns of a superbill file and what each becomes in the Claim that is made of it.

A row's source is `superbill.` and our name of the column; the clinic's configuration says which header of its export
that is. A transform raises `ValueError` with what is wrong with the cell, in words that repeat nothing of it.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.canonical import codes
from gateway.canonical.mapping import Row

MOST_DIAGNOSES = 12
MOST_MODIFIERS = 4
MOST_POINTERS = 4
_AMOUNT = re.compile(r"\$?\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d{1,2})?", re.ASCII)
_POINTED = re.compile(r"[A-La-l]|[0-9]+")
_ROOT = "superbill."


def column_of(row: Row) -> str:
    """Our name of the column that a row reads."""
    return row.source.removeprefix(_ROOT)


def full_date(text: str) -> str:
    """The calendar date at the clinic, read by the configured date format."""
    return date.fromisoformat(text).isoformat()


def npi(text: str) -> str:
    """Ten digits with a valid check digit."""
    if not codes.npi_is_valid(text):
        raise ValueError("this is not an NPI: ten digits, the last of which is a check digit")
    return text


def diagnosis(text: str) -> dict[str, Any]:
    """A concept of ICD-10-CM, with the dot."""
    code = codes.icd10cm(text)
    if code is None:
        raise ValueError("this is not in the form of an ICD-10-CM code")
    return codes.concept(codes.ICD10CM, code)


def procedure(text: str) -> dict[str, Any]:
    """A concept of CPT or HCPCS Level II, by the code's form."""
    code = text.upper()
    system = codes.procedure_system(code)
    if system is None:
        raise ValueError("this is not in the form of a CPT or HCPCS code")
    return codes.concept(system, code)


def modifier(text: str) -> dict[str, Any]:
    """A concept of CPT or HCPCS Level II."""
    code = codes.modifier(text)
    if code is None:
        raise ValueError("this is not a procedure modifier (two letters or digits)")
    return codes.concept(codes.procedure_modifier_system(code), code)


def units(text: str) -> Decimal:
    """The number of units, above zero."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("this is not a number") from None
    if not number.is_finite() or number <= 0 or number >= 10**5 or number.as_tuple().exponent < -3:  # type: ignore[operator]
        raise ValueError("the units must be above zero and below 100000")
    return number


def amount(text: str) -> dict[str, Any] | None:
    """US dollars; 0.00 says nothing: the fee schedule then has the price."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("this is not an amount in dollars and cents")
    value = Decimal(match[1].replace(",", "") + (match[2] or ""))
    if value >= 10**8:
        raise ValueError("this amount is larger than a claim can hold")
    return {"value": value.quantize(Decimal("0.01")), "currency": "USD"} if value else None


def place(text: str) -> dict[str, Any]:
    """A concept of the CMS place of service code set."""
    if not re.fullmatch(r"[0-9]{1,2}", text):
        raise ValueError("this is not a place of service code (two digits)")
    return codes.concept(codes.POS, text.zfill(2))


def pointers(text: str) -> list[int]:
    """Positions among the row's own diagnoses: letters (AB, A B) or numbers with something between (1,2)."""
    rest = re.sub(r"[\s,;:|/]+", " ", text).strip()
    found = _POINTED.findall(rest)
    if not found or "".join(found) != rest.replace(" ", "") or len(found) > MOST_POINTERS:
        raise ValueError("this is not one to four diagnosis pointers such as AB or 1,2")
    numbers = [int(part) if part.isdigit() else ord(part.upper()) - ord("A") + 1 for part in found]
    if 0 in numbers:
        raise ValueError("diagnosis pointers begin with A or 1")
    return list(dict.fromkeys(numbers))


def _row(target: str, column: str, via: Any = str, *, required: bool = False, note: str = "", fix: str = "") -> Row:
    return Row(target, _ROOT + column, via, required, note, fix)


_CORRECT = "Correct the superbill in the EHR and export it again."

VISIT_ROWS: tuple[Row, ...] = (
    _row(
        "record_number",
        "mrn",
        required=True,
        note="the patient's record number is missing: the encounter is found by it",
        fix="Export the superbill with the patient record number.",
    ),
    _row(
        "serviced",
        "serviced_date",
        full_date,
        required=True,
        note="the date of service is missing: the encounter is found by it",
        fix="Export the dates in the configured date_format, or correct date_format in gateway.yaml.",
    ),
    _row(
        "rendering_npi",
        "rendering_npi",
        npi,
        required=True,
        note="the rendering provider's NPI is missing: the encounter is found by it",
        fix="Correct the provider's NPI in the EHR; look it up in NPPES.",
    ),
)
"""What a superbill is matched to its encounter by."""

HEAD_ROWS: tuple[Row, ...] = (
    _row(
        "identifier[0].value",
        "superbill_id",
        required=True,
        note="the superbill's number is missing: rows that belong together share it",
        fix="Export the superbill with its number.",
    ),
    _row("billablePeriod.start", "serviced_date", full_date),
    _row("facility.display", "facility"),
    _row("insurance[0].preAuthRef[]", "prior_authorization"),
)
"""What holds for the whole superbill: all its rows must agree on it."""

STATUS_ROW = _row("ready", "status")
"""Compared with `ready_statuses`; a superbill in another status is a draft."""

DIAGNOSIS_ROWS: tuple[Row, ...] = tuple(
    _row("diagnosis[].diagnosisCodeableConcept", f"diagnosis_{n}", diagnosis, fix=_CORRECT)
    for n in range(1, MOST_DIAGNOSES + 1)
)
"""The diagnoses of a row; those of the superbill are the rows' in order, each once."""

POINTER_ROW = _row(
    "item.diagnosisSequence",
    "diagnosis_pointers",
    pointers,
    note="without it a line points at the first four diagnoses of its row",
    fix="Point each line at one to four diagnoses of the same row.",
)

ITEM_ROWS: tuple[Row, ...] = (
    _row(
        "productOrService",
        "product_or_service",
        procedure,
        required=True,
        note="the line has no procedure",
        fix="Enter the CPT or HCPCS code on the superbill in the EHR and export it again.",
    ),
    *(
        _row("modifier[]", f"modifier_{n}", modifier, fix="Correct the modifier on the superbill in the EHR.")
        for n in range(1, MOST_MODIFIERS + 1)
    ),
    _row("quantity.value", "quantity", units, fix="Correct the units on the superbill; without any, one is meant."),
    _row("net", "charge", amount, note="the total of the line", fix="Write the charge as 28.00, or 0.00 for the fee."),
    _row(
        "unitPrice",
        "unit_price",
        amount,
        note="the price of one unit, for exports that have no total",
        fix="Write the price as 28.00, or 0.00 for the fee.",
    ),
    _row("locationCodeableConcept", "location_code", place, fix="Use a code of the CMS place of service code set."),
    _row("servicedDate", "serviced_date", full_date),
)
"""One charge, of one row."""

_CELLS = (*VISIT_ROWS, *HEAD_ROWS, *DIAGNOSIS_ROWS, *ITEM_ROWS, POINTER_ROW, STATUS_ROW)
COLUMNS: tuple[str, ...] = tuple(dict.fromkeys(column_of(row) for row in _CELLS))
"""Our names of all columns."""
REQUIRED: frozenset[str] = frozenset(column_of(row) for row in _CELLS if row.required)
"""Columns that every file must have, and every row must fill."""
SHARED: tuple[str, ...] = tuple(
    dict.fromkeys(column_of(row) for row in (*HEAD_ROWS, *VISIT_ROWS, STATUS_ROW) if column_of(row) != "superbill_id")
)
"""Columns on which all rows of a superbill must agree."""

CELL_ROWS: tuple[Row, ...] = tuple({column_of(row): row for row in reversed(_CELLS)}.values())[::-1]
"""One row per column, to check cells by: the first that names it."""

MADE = {"Claim": (*HEAD_ROWS, *DIAGNOSIS_ROWS, POINTER_ROW), "Claim.item": ITEM_ROWS}
"""What the rows make, by the element under which their targets lie."""

TABLES = {
    "superbill (columns that find its encounter)": VISIT_ROWS,
    "superbill (columns of the whole superbill, to Claim)": (*HEAD_ROWS, STATUS_ROW),
    "superbill (columns of a line, to Claim.item)": (*DIAGNOSIS_ROWS, POINTER_ROW, *ITEM_ROWS),
}
"""What the mapping document prints."""
