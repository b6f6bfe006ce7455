"""What Acme checks of a claim before it saves it: (code, field) of everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DX = re.compile(r"[A-Z]\d[0-9A-Z]{1,5}")
_CPT = re.compile(r"\d{4}[0-9A-Z]|[A-V]\d{4}")
_CENT = Decimal("0.01")
_NEEDED = ("reference", "kind", "account", "service", "currency", "total", "patient", "coverages", "biller")
_LINE_NEEDED = ("code", "pointers", "service", "place", "units", "price", "charge")

Json = dict[str, Any]
Wrong = tuple[str, str]


def wrong_of(claim: Json, directory: Json, ids: set[str]) -> list[Wrong]:
    """Everything wrong with a claim; `directory` names the practice's providers and payers, `ids` Acme's claims."""
    missing = [("REQUIRED", name) for name in _NEEDED if not claim.get(name)]
    if missing:
        return missing
    return [
        *_head(claim, ids),
        *_people(claim, directory),
        *_diagnoses(claim.get("diagnoses", [])),
        *_lines(claim, directory),
    ]


def _head(claim: Json, ids: set[str]) -> Iterator[Wrong]:
    if len(claim["reference"]) > 40:
        yield "TOO_LONG", "reference"
    if claim["kind"] not in ("original", "replacement", "void"):
        yield "KIND_INVALID", "kind"
    elif claim["kind"] != "original" and claim.get("replaces") not in ids:
        yield "REPLACES_UNKNOWN", "replaces"
    if claim["currency"] != "USD":
        yield "CURRENCY_INVALID", "currency"
    for name in ("from", "to"):
        if not _DATE.fullmatch(str(claim["service"].get(name, ""))):
            yield "DATE_INVALID", f"service.{name}"
    charges = sum((Decimal(line.get("charge", 0)) for line in claim.get("lines", ())), Decimal(0))
    if Decimal(claim["total"]) != charges:
        yield "AMOUNT_MISMATCH", "total"


def _people(claim: Json, directory: Json) -> Iterator[Wrong]:
    patient = claim["patient"]
    for name in ("last", "first"):
        if not patient.get("name", {}).get(name):
            yield "REQUIRED", f"patient.name.{name}"
    if not _DATE.fullmatch(str(patient.get("born", ""))):
        yield "DATE_INVALID", "patient.born"
    if patient.get("sex") not in ("M", "F", "U"):
        yield "SEX_INVALID", "patient.sex"
    payers = {payer["payer_id"] for payer in directory.get("payers", ())}
    for i, coverage in enumerate(claim["coverages"]):
        if not coverage.get("member"):
            yield "REQUIRED", f"coverages[{i}].member"
        if payers and coverage.get("payer", {}).get("id") not in payers:
            yield "PAYER_UNKNOWN", f"coverages[{i}].payer.id"
    if sum(bool(coverage.get("billed")) for coverage in claim["coverages"]) != 1:
        yield "BILLED_NOT_ONE", "coverages"
    known = _npis(directory)
    for i, provider in enumerate(claim.get("providers", ())):
        if known and provider.get("role") == "rendering" and provider.get("npi") not in known:
            yield "PROVIDER_UNKNOWN", f"providers[{i}].npi"


def _npis(directory: Json) -> set[str]:
    return {provider["npi"] for provider in directory.get("providers", ())}


def _diagnoses(diagnoses: list[str]) -> Iterator[Wrong]:
    if not 1 <= len(diagnoses) <= 12:
        yield "DX_COUNT", "diagnoses"
    for i, code in enumerate(diagnoses):
        if not _DX.fullmatch(str(code)):
            yield "DX_INVALID", f"diagnoses[{i}]"


def _lines(claim: Json, directory: Json) -> Iterator[Wrong]:
    lines = claim.get("lines", ())
    if not 1 <= len(lines) <= 50:
        yield "LINE_COUNT", "lines"
    count, known = len(claim.get("diagnoses", ())), _npis(directory)
    for i, line in enumerate(lines):
        missing = [name for name in _LINE_NEEDED if line.get(name) in (None, "", [])]
        if missing:
            yield from (("REQUIRED", f"lines[{i}].{name}") for name in missing)
            continue
        if not _CPT.fullmatch(str(line["code"])):
            yield "CPT_INVALID", f"lines[{i}].code"
        if not (1 <= len(line["pointers"]) <= 4 and all(1 <= p <= count for p in line["pointers"])):
            yield "POINTER_INVALID", f"lines[{i}].pointers"
        if len(line.get("modifiers", ())) > 4:
            yield "TOO_MANY", f"lines[{i}].modifiers"
        if Decimal(line["units"]) <= 0 or line.get("unitKind") not in ("units", "minutes"):
            yield "UNITS_INVALID", f"lines[{i}].units"
        exact = Decimal(line["units"]) * Decimal(line["price"])
        if exact.quantize(_CENT, ROUND_HALF_UP) != Decimal(line["charge"]):
            yield "AMOUNT_MISMATCH", f"lines[{i}].charge"
        if known and line.get("renderer", next(iter(known))) not in known:
            yield "PROVIDER_UNKNOWN", f"lines[{i}].renderer"
