"""What MedicsPremier's messages cannot express although they have the fields: checked before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from adapters.billing.medics_premier.layout import Layout
from adapters.billing.medics_premier.rows import VENDOR_TITLE
from gateway.canonical.codes import codings
from gateway.canonical.errors import UnsupportedElement
from gateway.canonical.models import ClaimBundle
from gateway.kit.payload import refuse_uncarried

BY_HAND = "Enter this claim in MedicsPremier by hand, or split it."
AGREE = "Agree a field with ADS and name it in field_overrides, or enter this claim in MedicsPremier by hand."
_MINUTES = frozenset({"MJ", "min"})
_ONCE = {
    "hospitalized": ("timingPeriod", "timingDate"),
    "onset": ("timingDate",),
    "patientPaid": ("valueQuantity",),
}
_Refusals = Iterator[tuple[str, str, str]]


def refuse_unsupported(bundle: ClaimBundle, layout: Layout, *, amounts: bool) -> None:
    """Raise `UnsupportedElement` for the first element that this connection's messages cannot carry."""
    refuse_uncarried(bundle, layout.carried, VENDOR_TITLE)
    for expression, message, remedy in _refusals(bundle.claim, layout, amounts):
        raise UnsupportedElement(expression, message, remedy)


def first_code(concept: dict[str, Any] | None) -> str:
    """The first code of a CodeableConcept, or an empty text."""
    return next((str(coding.get("code", "")) for coding in codings(concept)), "")


def on_lines(claim: dict[str, Any]) -> set[int]:
    """The sequences of the supportingInfo that lines point to."""
    return {sequence for item in claim.get("item", ()) for sequence in item.get("informationSequence", ())}


def _refusals(claim: dict[str, Any], layout: Layout, amounts: bool) -> _Refusals:
    yield from _care_team(claim)
    yield from _insurance(claim)
    if layout.diagnoses_by_line:
        yield from _unpointed(claim)
    yield from _supporting_info(claim, layout)
    for i, item in enumerate(claim.get("item", ())):
        yield from _line(item, f"Claim.item[{i}]", layout)
        yield from _line_notes(claim, item, f"Claim.item[{i}]")
        if amounts:
            yield from _amounts(item, f"Claim.item[{i}]")
    yield from _total(claim)


def _care_team(claim: dict[str, Any]) -> _Refusals:
    seen: dict[str, str] = {}
    pointed = {sequence for item in claim.get("item", ()) for sequence in item.get("careTeamSequence", ())}
    for i, member in enumerate(claim.get("careTeam", ())):
        role, reference = first_code(member.get("role")), member.get("provider", {}).get("reference", "")
        if seen.setdefault(role, reference) == reference:
            continue
        if role not in ("rendering", "ordering"):
            yield f"Claim.careTeam[{i}]", f"the messages have one {role} provider, the claim has several", BY_HAND
        elif member.get("sequence") not in pointed:
            yield f"Claim.careTeam[{i}]", f"no line points to this further {role} provider", BY_HAND


def _unpointed(claim: dict[str, Any]) -> _Refusals:
    pointed = {sequence for item in claim.get("item", ()) for sequence in item.get("diagnosisSequence", ())}
    for i, diagnosis in enumerate(claim.get("diagnosis", ())):
        if diagnosis.get("sequence") not in pointed:
            yield f"Claim.diagnosis[{i}]", "diagnoses stand under their lines, and no line points to this one", BY_HAND


def _insurance(claim: dict[str, Any]) -> _Refusals:
    for i, insurance in enumerate(claim.get("insurance", ())):
        where = f"Claim.insurance[{i}]"
        if bool(insurance.get("focal")) != (i == 0):
            yield where, "the first IN1 is billed first, so the first coverage must be the focal one", BY_HAND
        if len(insurance.get("preAuthRef", ())) > 1:
            yield f"{where}.preAuthRef", "IN1-28 has room for one authorization number", BY_HAND


def _supporting_info(claim: dict[str, Any], layout: Layout) -> _Refusals:
    seen: set[str] = set()
    pointed = on_lines(claim)
    sendable = "notes" in layout.used or layout.carried.get("Claim.supportingInfo.info", "").startswith("-")
    for i, info in enumerate(claim.get("supportingInfo", ())):
        kind, where = first_code(info.get("category")), f"Claim.supportingInfo[{i}]"
        if kind == "info":
            if "valueString" not in info:
                yield where, "additional information is sent as text only", BY_HAND
            if info.get("sequence") not in pointed and not sendable:
                yield where, "a charge message has no place for a note about the whole claim", AGREE
            continue
        if not any(name in info for name in _ONCE.get(kind, ())):
            yield where, "this information is sent as a date, a period or an amount only", BY_HAND
        if kind in seen:
            yield where, "the messages have one place for this information, the claim has several", BY_HAND
        seen.add(kind)


def _line(item: dict[str, Any], where: str, layout: Layout) -> _Refusals:
    if len(item.get("diagnosisSequence", ())) > 4:
        yield f"{where}.diagnosisSequence", "a line has at most four diagnoses", BY_HAND
    if len(item.get("modifier", ())) > 4:
        yield f"{where}.modifier", "a line has at most four modifiers", BY_HAND
    if _MINUTES & {item.get("quantity", {}).get("unit"), item.get("quantity", {}).get("code")}:
        yield f"{where}.quantity", "FT1-10 counts units, minutes have not been agreed", BY_HAND
    period = item.get("servicedPeriod", {})
    if period.get("end", period.get("start")) != period.get("start") and "item.servicedPeriod.end" not in layout.used:
        yield f"{where}.servicedPeriod", "FT1-4 of this HL7 version has one date, the line has two", BY_HAND
    drugs = item.get("detail", ())
    if len(drugs) > 1:
        yield f"{where}.detail", "FT1-29 has room for one drug", BY_HAND
    waived = layout.carried.get("Claim.item.detail", "").startswith("-")
    if any("quantity" in drug for drug in drugs) and not (waived or "drug.quantity" in layout.used):
        yield f"{where}.detail[0].quantity", "a charge message has no standard place for a drug's quantity", AGREE


def _line_notes(claim: dict[str, Any], item: dict[str, Any], where: str) -> _Refusals:
    kinds = {info.get("sequence"): first_code(info.get("category")) for info in claim.get("supportingInfo", ())}
    if any(kinds.get(sequence) != "info" for sequence in item.get("informationSequence", ())):
        yield f"{where}.informationSequence", "only a note (category info) can stand on a line", BY_HAND


def _amounts(item: dict[str, Any], where: str) -> _Refusals:
    quantity, price, net = item.get("quantity", {}), item.get("unitPrice", {}), item.get("net", {})
    if {price.get("currency", "USD"), net.get("currency", "USD")} != {"USD"}:
        yield f"{where}.unitPrice", "charges are in US dollars", BY_HAND
    if "value" not in quantity or "value" not in price or "value" not in net:
        return  # an absent price or quantity is named by its mapping row
    if Decimal(quantity["value"]) * Decimal(price["value"]) != Decimal(net["value"]):
        yield f"{where}.net", "the line's charge is not units times unit price", BY_HAND


def _total(claim: dict[str, Any]) -> _Refusals:
    total, nets = claim.get("total"), [item.get("net") for item in claim.get("item", ())]
    if total is None or not nets or not all(nets):
        return
    if sum(Decimal(net["value"]) for net in nets) != Decimal(total["value"]):
        yield "Claim.total", "MedicsPremier adds up the lines, which differs from the claim's total", BY_HAND
