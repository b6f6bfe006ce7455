"""What Tebra's encounter cannot express although it has the members: checked before anything is sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from adapters.billing.kareo_tebra.rows import CARRIED, VENDOR_TITLE
from gateway.canonical.codes import codings
from gateway.canonical.errors import UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency
from gateway.kit.payload import refuse_uncarried

BY_HAND = "Enter this claim in Tebra by hand, or split it."
_CORRECT_BY_HAND = "Correct the claim in Tebra by hand; or void it, and send the corrected one as a new claim."
_REMEDIES = {
    "Claim.careTeam": "Split it in the EHR into one claim for each provider, or enter it in Tebra by hand.",
    "Claim.item.quantity": "Enter this claim in Tebra by hand, with the time in the line's minutes.",
}
"""What to do, where there is more to say than `BY_HAND`; by the element's path without its indexes."""

_MINUTES = frozenset({"MJ", "min"})


def refuse_unsupported(bundle: ClaimBundle) -> None:
    """Raise `UnsupportedElement` for the first element that Tebra cannot carry."""
    if bundle.frequency is ClaimFrequency.REPLACEMENT:
        raise UnsupportedElement("Claim.related", "Tebra cannot change an encounter that it has", _CORRECT_BY_HAND)
    refuse_uncarried(bundle, CARRIED, VENDOR_TITLE)
    claim = bundle.claim
    for check in (_care_team, _insurance, _supporting_info, _places, _lines, _total):
        for expression, message in check(claim):
            remedy = _REMEDIES.get(re.sub(r"\[\d+\]", "", expression), BY_HAND)
            raise UnsupportedElement(expression, message, remedy)


def first_code(concept: dict[str, Any] | None) -> str:
    """The first code of a CodeableConcept, or an empty text."""
    return next((str(coding.get("code", "")) for coding in codings(concept)), "")


_Refusals = Iterator[tuple[str, str]]


def _care_team(claim: dict[str, Any]) -> _Refusals:
    seen: dict[str, str] = {}
    for i, member in enumerate(claim.get("careTeam", ())):
        role, reference = first_code(member.get("role")), member.get("provider", {}).get("reference", "")
        if seen.setdefault(role, reference) != reference:
            yield f"Claim.careTeam[{i}]", f"Tebra has one {role} provider per encounter, the claim has several"


def _insurance(claim: dict[str, Any]) -> _Refusals:
    for i, insurance in enumerate(claim.get("insurance", ())):
        where = f"Claim.insurance[{i}]"
        if bool(insurance.get("focal")) != (i == 0):
            yield where, "Tebra bills the first policy of the case first, so the first coverage must be the focal one"
        if len(insurance.get("preAuthRef", ())) > (1 if i == 0 else 0):
            yield f"{where}.preAuthRef", "Tebra has one authorization number per encounter, for the first coverage"


def _supporting_info(claim: dict[str, Any]) -> _Refusals:
    wanted = {
        "info": ("valueString",),
        "patientPaid": ("valueQuantity",),
        "hospitalized": ("timingPeriod", "timingDate"),
        "onset": ("timingDate",),
    }
    seen: set[str] = set()
    for i, info in enumerate(claim.get("supportingInfo", ())):
        kind = first_code(info.get("category"))
        if not any(name in info for name in wanted[kind]):
            yield f"Claim.supportingInfo[{i}]", f"Tebra takes this information only as {' or '.join(wanted[kind])}"
        if kind != "info" and kind in seen:
            yield f"Claim.supportingInfo[{i}]", "Tebra takes this information once per encounter"
        seen.add(kind)


def _places(claim: dict[str, Any]) -> _Refusals:
    places = [first_code(item.get("locationCodeableConcept")) for item in claim.get("item", ())]
    for i, place in enumerate(places):
        if place != places[0]:
            yield f"Claim.item[{i}].locationCodeableConcept", "Tebra has one place of service per encounter"


def _lines(claim: dict[str, Any]) -> _Refusals:
    notes = {
        info["sequence"]: first_code(info.get("category"))
        for info in claim.get("supportingInfo", ())
        if "sequence" in info
    }
    for i, item in enumerate(claim.get("item", ())):
        where = f"Claim.item[{i}]"
        if len(item.get("diagnosisSequence", ())) > 4:
            yield f"{where}.diagnosisSequence", "Tebra has four diagnoses per line"
        if len(item.get("modifier", ())) > 4:
            yield f"{where}.modifier", "Tebra has four modifiers per line"
        if any(notes.get(sequence) != "info" for sequence in item.get("informationSequence", ())):
            yield f"{where}.informationSequence", "Tebra takes only a note (category info) on a line"
        yield from _amounts(item, where)


def _amounts(item: dict[str, Any], where: str) -> _Refusals:
    quantity, price, net = item.get("quantity", {}), item.get("unitPrice", {}), item.get("net")
    if _MINUTES & {quantity.get("unit"), quantity.get("code")}:
        yield f"{where}.quantity", "Tebra's units count services, not minutes"
    if net is None or "value" not in quantity or "value" not in price:
        return  # an absent price or quantity is named by its mapping row
    if Decimal(quantity["value"]) * Decimal(price["value"]) != Decimal(net["value"]):
        yield f"{where}.net", "Tebra charges units times unit price, which differs from the line's charge"
    if {price.get("currency", "USD"), net.get("currency", "USD")} != {"USD"}:
        yield f"{where}.unitPrice", "Tebra's charges are in US dollars"


def _total(claim: dict[str, Any]) -> _Refusals:
    total = claim.get("total")
    nets = [item.get("net") for item in claim.get("item", ())]
    if (
        total is not None
        and nets
        and all(nets)
        and sum(Decimal(net["value"]) for net in nets) != Decimal(total["value"])
    ):
        yield "Claim.total", "Tebra's total is the sum of the lines, which differs from the claim's total"
