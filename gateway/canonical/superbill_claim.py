"""From the checked rows of one superbill to a FHIR Claim; what only the EHR knows of the visit is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.canonical.shaping import shaped
from gateway.canonical.superbill_columns import (
    DIAGNOSIS_ROWS,
    HEAD_ROWS,
    ITEM_ROWS,
    MOST_POINTERS,
    POINTER_ROW,
    column_of,
    diagnosis,
)

MOST_LINES = 50  # an 837P claim holds no more
Cells = Mapping[str, str]
"""The filled cells of a row by our column; each has been read without a problem."""


def claim_of(rows: Sequence[Cells]) -> Resource:
    """A professional Claim with an item per row. The coverage is the encounter's: the superbill names none."""
    head = shaped(HEAD_ROWS, {"superbill": rows[0]})
    numbers = {code: i for i, code in enumerate(diagnoses_of(rows), start=1)}
    insurance = {"sequence": 1, "focal": True, "coverage": {"display": "as the EHR has it"}}
    return {
        "resourceType": "Claim",
        **head,
        "identifier": [{"system": codes.SUPERBILL_IDENTIFIER, **head["identifier"][0]}],
        "status": "active",
        "type": codes.concept(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "created": head["billablePeriod"]["start"],
        "provider": {"display": "as the clinic's configuration has it"},
        "priority": codes.concept(codes.PROCESS_PRIORITY, "normal"),
        **({"diagnosis": [_diagnosis(i, code) for code, i in numbers.items()]} if numbers else {}),
        "insurance": [{**insurance, **next(iter(head.get("insurance", ())), {})}],
        "item": [_item(i, row, numbers) for i, row in enumerate(rows, start=1)],
    }


def diagnoses_of(rows: Iterable[Cells]) -> list[str]:
    """The ICD-10-CM codes of the rows in order, each once."""
    return list(dict.fromkeys(code for row in rows for code in _row_codes(row).values()))


def missing_pointers(row: Cells) -> bool:
    """Whether a row points at a diagnosis that it does not have."""
    held = _row_codes(row)
    return any(number not in held for number in _pointed(row))


def _row_codes(row: Cells) -> dict[int, str]:
    """The row's diagnoses by their position: an empty column between two keeps its number."""
    filled = {i: row[column] for i, column in _DIAGNOSIS_COLUMNS.items() if column in row}
    return {i: str(diagnosis(text)["coding"][0]["code"]) for i, text in filled.items()}


_DIAGNOSIS_COLUMNS = {i: column_of(row) for i, row in enumerate(DIAGNOSIS_ROWS, start=1)}


def _pointed(row: Cells) -> list[int]:
    text = row.get(column_of(POINTER_ROW))
    return POINTER_ROW.via(text) if text else list(_row_codes(row))[:MOST_POINTERS]


def _diagnosis(sequence: int, code: str) -> dict[str, Any]:
    return {"sequence": sequence, "diagnosisCodeableConcept": codes.concept(codes.ICD10CM, code)}


def _item(sequence: int, row: Cells, numbers: Mapping[str, int]) -> dict[str, Any]:
    held = _row_codes(row)
    pointed = [numbers[held[number]] for number in _pointed(row)]
    return {
        "sequence": sequence,
        **({"diagnosisSequence": pointed} if pointed else {}),
        **shaped(ITEM_ROWS, {"superbill": row}),
    }
