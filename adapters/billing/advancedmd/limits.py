"""What a visit with charges cannot express although it has the attributes: checked before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from adapters.billing.advancedmd.rows import CARRIED, ON_NOTE, VENDOR_TITLE
from gateway.canonical.codes import codings
from gateway.canonical.errors import UnsupportedElement
from gateway.canonical.models import ClaimBundle
from gateway.kit.payload import elements_of, refuse_uncarried

BY_HAND = "Enter this claim in AdvancedMD by hand, or split it."
DIAGNOSES, DIAGNOSES_PER_LINE, MODIFIERS, COVERAGES = 12, 4, 4, 3
NOTE_LENGTH = 255
_MINUTES = frozenset({"MJ", "min"})
_CENT = Decimal("0.01")

_Refusals = Iterator[tuple[str, str]]


def refuse_unsupported(bundle: ClaimBundle, *, approval: bool) -> None:
    """Raise `UnsupportedElement` for the first element that AdvancedMD cannot carry.

    `approval`: whether a biller sees the note before the charges are posted.
    """
    refuse_uncarried(bundle, CARRIED, VENDOR_TITLE, voids=False)
    if not approval:
        _refuse_notes(bundle)
    for check in (_care_team, _insurance, _supporting_info, _diagnoses, _lines, _total):
        for expression, message in check(bundle.claim):
            raise UnsupportedElement(expression, message, BY_HAND)


def first_code(concept: dict[str, Any] | None) -> str:
    """The first code of a CodeableConcept, or an empty text."""
    return next((str(coding.get("code", "")) for coding in codings(concept)), "")


def _refuse_notes(bundle: ClaimBundle) -> None:
    for element, expression in elements_of(bundle.claim):
        if element in ON_NOTE:
            message = "AdvancedMD has this only as a note for the biller, and these charges are posted without a biller"
            raise UnsupportedElement(expression, message, "Set `approval` of the connection to 1.")


def _care_team(claim: dict[str, Any]) -> _Refusals:
    seen: dict[str, str] = {}
    for i, member in enumerate(claim.get("careTeam", ())):
        role, reference = first_code(member.get("role")), member.get("provider", {}).get("reference", "")
        if seen.setdefault(role, reference) != reference:
            yield f"Claim.careTeam[{i}]", f"a visit in AdvancedMD has one {role} provider, the claim has several"


def _insurance(claim: dict[str, Any]) -> _Refusals:
    for i, insurance in enumerate(claim.get("insurance", ())):
        where = f"Claim.insurance[{i}]"
        if i >= COVERAGES:
            yield where, "AdvancedMD has three insurance plans in order, the claim has more"
        if bool(insurance.get("focal")) != (i == 0):
            yield where, "AdvancedMD bills the patient's first plan first, so the first coverage must be the focal one"
        if len(insurance.get("preAuthRef", ())) > (1 if i == 0 else 0):
            yield f"{where}.preAuthRef", "the note for the biller takes one authorization number, of the first coverage"


def _supporting_info(claim: dict[str, Any]) -> _Refusals:
    wanted = {"info": "valueString", "patientPaid": "valueQuantity"}
    seen: set[str] = set()
    for i, info in enumerate(claim.get("supportingInfo", ())):
        kind = first_code(info.get("category"))
        if wanted[kind] not in info:
            yield f"Claim.supportingInfo[{i}]", f"AdvancedMD takes this information only as {wanted[kind]}"
        if kind == "patientPaid" and kind in seen:
            yield f"Claim.supportingInfo[{i}]", "the note for the biller takes one amount paid by the patient"
        seen.add(kind)


def _diagnoses(claim: dict[str, Any]) -> _Refusals:
    if len(claim.get("diagnosis", ())) > DIAGNOSES:
        yield f"Claim.diagnosis[{DIAGNOSES}]", "AdvancedMD takes twelve diagnoses per claim"


def _lines(claim: dict[str, Any]) -> _Refusals:
    notes = {i["sequence"]: first_code(i.get("category")) for i in claim.get("supportingInfo", ()) if "sequence" in i}
    for i, item in enumerate(claim.get("item", ())):
        where = f"Claim.item[{i}]"
        if len(item.get("diagnosisSequence", ())) > DIAGNOSES_PER_LINE:
            yield f"{where}.diagnosisSequence", "AdvancedMD has four diagnoses per charge"
        if len(item.get("modifier", ())) > MODIFIERS:
            yield f"{where}.modifier", "AdvancedMD has four modifiers per charge"
        if any(notes.get(sequence) != "info" for sequence in item.get("informationSequence", ())):
            yield f"{where}.informationSequence", "AdvancedMD takes only a note (category info) for a line"
        yield from _amounts(item, where)


def _amounts(item: dict[str, Any], where: str) -> _Refusals:
    quantity, price, net = item.get("quantity", {}), item.get("unitPrice", {}), item.get("net", {})
    if _MINUTES & {quantity.get("unit"), quantity.get("code")}:
        yield f"{where}.quantity", "AdvancedMD's units count services, not minutes"
    if {price.get("currency", "USD"), net.get("currency", "USD")} != {"USD"}:
        yield f"{where}.unitPrice", "AdvancedMD's charges are in US dollars"
    if "value" not in price or "value" not in net or "value" not in quantity:
        return  # what is absent is named by its mapping row
    for name, money in (("unitPrice", price), ("net", net)):
        if Decimal(money["value"]) % _CENT:
            yield f"{where}.{name}", "AdvancedMD's amounts are whole cents"
    if Decimal(quantity["value"]) * Decimal(price["value"]) != Decimal(net["value"]):
        yield f"{where}.net", "AdvancedMD charges units times fee, which differs from the line's charge"


def _total(claim: dict[str, Any]) -> _Refusals:
    total, nets = claim.get("total"), [item.get("net") for item in claim.get("item", ())]
    if total is None or not nets or not all(nets):
        return
    if sum(Decimal(net["value"]) for net in nets) != Decimal(total["value"]):
        yield "Claim.total", "AdvancedMD's total is the sum of the charges, which differs from the claim's total"
