"""What an 837P cannot carry, and what no check of the syntax sees: refused with the element's path. Pure.

Lengths and character sets are checked by the rows themselves (`segments`), codes and check digits by `codes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from adapters.billing.x12_837p.places import CARRIED
from gateway.canonical.codes import codings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, Resource
from gateway.kit.payload import refuse_uncarried

TITLE = "an 837P"
MOST_DIAGNOSES, MOST_LINES, MOST_POINTERS, MOST_MODIFIERS = 12, 50, 4, 4
_BY_HAND = "Enter this claim in the billing system by hand."
_SPLIT = "Split the encounter into two claims."
_INPATIENT = frozenset({"21", "51", "61"})
_ONCE = frozenset({"hospitalized", "onset", "patientPaid"})
_ONE_PER_CLAIM = frozenset({"referring", "supervisor", "ordering"})


def first_code(concept: dict[str, Any] | None) -> str:
    """The first code of a CodeableConcept, or nothing."""
    return next((str(c.get("code", "")) for c in codings(concept)), "")


def refuse_unsupported(bundle: ClaimBundle) -> None:
    """Raise `UnsupportedElement` or `MappingError` for the first thing that cannot be written as it is."""
    refuse_uncarried(bundle, CARRIED, TITLE)
    claim = bundle.claim
    for expression, message, remedy in _unsupported(bundle):
        raise UnsupportedElement(expression, message, remedy)
    for expression, message in _inconsistent(claim):
        raise MappingError(expression, message, "Correct the encounter in the EHR.")


_Refusal = tuple[str, str, str]


def _unsupported(bundle: ClaimBundle) -> Iterator[_Refusal]:
    claim = bundle.claim
    if len(claim.get("diagnosis", ())) > MOST_DIAGNOSES:
        yield "Claim.diagnosis", f"an 837P carries {MOST_DIAGNOSES} diagnoses", "Keep those that the lines point to."
    if len(claim.get("item", ())) > MOST_LINES:
        yield "Claim.item", f"an 837P carries {MOST_LINES} lines", _SPLIT
    if bundle.frequency is ClaimFrequency.ORIGINAL and claim.get("related"):
        yield "Claim.related", "an 837P relates a claim only to the one that it replaces or voids", _BY_HAND
    if len(claim.get("related", ())) > 1:
        yield "Claim.related", "an 837P replaces one claim", _BY_HAND
    yield from _unsupported_insurance(claim)
    yield from _repeated(claim)
    for i, item in enumerate(claim.get("item", ())):
        yield from _unsupported_line(claim, i, item)


def _unsupported_insurance(claim: Resource) -> Iterator[_Refusal]:
    for i, insurance in enumerate(claim.get("insurance", ())):
        where = f"Claim.insurance[{i}]"
        if bool(insurance.get("focal")) != (i == 0):
            yield (
                where,
                "billing a later payer needs the first payer's decision, which the claim does not hold",
                _BY_HAND,
            )
        authorizations = insurance.get("preAuthRef", ())
        if i and authorizations:
            yield f"{where}.preAuthRef", "only the payer that is billed gets an authorization number", _BY_HAND
        if len(authorizations) > 1:
            yield f"{where}.preAuthRef", "an 837P carries one authorization number per claim", _SPLIT


def _repeated(claim: Resource) -> Iterator[_Refusal]:
    seen: set[str] = set()
    for i, info in enumerate(claim.get("supportingInfo", ())):
        category = first_code(info.get("category"))
        if category in _ONCE and category in seen:
            yield f"Claim.supportingInfo[{i}]", "an 837P carries this once per claim", "Keep the one that applies."
        if category == "info" and "valueString" not in info:
            yield f"Claim.supportingInfo[{i}]", "an 837P carries additional information as text only", _BY_HAND
        seen.add(category)
    seen = set()
    for i, member in enumerate(claim.get("careTeam", ())):
        role = first_code(member.get("role"))
        if role in _ONE_PER_CLAIM and role in seen:
            yield f"Claim.careTeam[{i}]", "the gateway sends one provider of this role per claim", _SPLIT
        seen.add(role)


def _unsupported_line(claim: Resource, index: int, item: dict[str, Any]) -> Iterator[_Refusal]:
    where = f"Claim.item[{index}]"
    if len(item.get("diagnosisSequence", ())) > MOST_POINTERS:
        yield f"{where}.diagnosisSequence", f"a line points to at most {MOST_POINTERS} diagnoses", _BY_HAND
    if len(item.get("modifier", ())) > MOST_MODIFIERS:
        yield f"{where}.modifier", f"a line carries at most {MOST_MODIFIERS} modifiers", _BY_HAND
    if len(item.get("detail", ())) > 1:
        yield f"{where}.detail", "a line carries one drug", "Charge each drug on a line of its own."
    roles = {m["sequence"]: first_code(m.get("role")) for m in claim.get("careTeam", ())}
    if sum(roles.get(n) == "rendering" for n in item.get("careTeamSequence", ())) > 1:
        yield f"{where}.careTeamSequence", "a line has one rendering provider", "Split the line."


def _inconsistent(claim: Resource) -> Iterator[tuple[str, str]]:
    if not claim.get("insurance"):
        yield "Claim.insurance", "a claim needs a coverage; self-pay is not sent to a payer"
    if not claim.get("diagnosis"):
        yield "Claim.diagnosis", "a claim needs at least one diagnosis"
    if not claim.get("item"):
        yield "Claim.item", "a claim needs at least one line"
    if not any(first_code(m.get("role")) == "rendering" for m in claim.get("careTeam", ())):
        yield "Claim.careTeam", "a claim names the rendering provider"
    known = [d["sequence"] for d in claim.get("diagnosis", ())]
    if known != list(range(1, len(known) + 1)):
        yield "Claim.diagnosis", "the diagnoses are not numbered from one, so the pointers of the lines would go astray"
    information = {i.get("sequence"): first_code(i.get("category")) for i in claim.get("supportingInfo", ())}
    categories = set(information.values())
    team = {m["sequence"] for m in claim.get("careTeam", ())}
    for i, item in enumerate(claim.get("item", ())):
        where = f"Claim.item[{i}]"
        if not set(item.get("diagnosisSequence", ())) <= set(known):
            yield f"{where}.diagnosisSequence", "the line points to a diagnosis that the claim lacks"
        if not set(item.get("careTeamSequence", ())) <= team:
            yield f"{where}.careTeamSequence", "the line points to a provider that the claim lacks"
        if any(information.get(n) != "info" for n in item.get("informationSequence", ())):
            yield f"{where}.informationSequence", "the line points to information that is no note"
        yield from _inconsistent_money(where, item)
    yield from _inconsistent_total(claim)
    if first_code(claim["item"][0].get("locationCodeableConcept")) in _INPATIENT and "hospitalized" not in categories:
        yield "Claim.supportingInfo", "a hospital stay needs the day of admission (DTP*435)"


def _inconsistent_money(where: str, item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("net", "unitPrice"):
        if name in item and item[name].get("currency", "USD") != "USD":
            yield f"{where}.{name}", "an 837P counts in US dollars"
    net, price = _money(item.get("net")), _money(item.get("unitPrice"))
    units = _money(item.get("quantity"))
    if net is not None and price is not None and units is not None and abs(net - price * units) > Decimal("0.005"):
        yield f"{where}.net", "the line charge is not the unit price times the units"


def _inconsistent_total(claim: Resource) -> Iterator[tuple[str, str]]:
    total = _money(claim.get("total"))
    nets = [_money(item.get("net")) for item in claim.get("item", ())]
    if total is not None and sum((net or Decimal(0) for net in nets), Decimal(0)) != total:
        yield "Claim.total", "the total is not the sum of the line charges"


def _money(holder: Mapping[str, Any] | None) -> Decimal | None:
    value = (holder or {}).get("value")
    return None if value is None else Decimal(value)
