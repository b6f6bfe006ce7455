"""What a map takes once and a claim has twice: such a claim is held, never cut. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.billing.http_api.carrying import RELATED, Carrying
from adapters.billing.http_api.extract import Facts, number_of
from adapters.billing.http_api.facts import PRIOR, ROLE_SCOPES, find_fact
from adapters.billing.http_api.places import expression_of
from adapters.billing.http_api.template import Scope
from gateway.canonical.codes import codings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, Resource
from gateway.kit.payload import refuse_uncarried

_BY_HAND = "Enter this claim in the billing system by hand, or let the description carry it."


def refuse_unsupported(bundle: ClaimBundle, carrying: Carrying, vendor: str, frequencies: frozenset[str]) -> None:
    """Raise `UnsupportedElement` for the first thing of the claim that the description cannot carry."""
    frequency = bundle.frequency
    if frequency is not ClaimFrequency.ORIGINAL and frequency.value not in frequencies:
        verb = "void" if frequency is ClaimFrequency.VOID else "replace"
        text = f"{vendor} cannot {verb} a claim on file: the description has no `corrections.{verb}`"
        raise UnsupportedElement(RELATED, text, "Do it in the billing system by hand.")
    refuse_uncarried(bundle, carrying.table, vendor)
    for expression, what in _repeated(bundle.claim, carrying.facts):
        raise UnsupportedElement(expression, f"{vendor} takes {what}", _BY_HAND)


def refuse_unknown_prior(scope: Scope, facts: frozenset[str]) -> None:
    """Raise `MappingError` for a correction of a claim of which no mapped id of the vendor is known."""
    mapped = [name.partition(".")[2] for name in facts if name.startswith(f"{PRIOR}.")]
    if mapped and not any(scope[PRIOR].get(name) for name in mapped):
        text = "the claim on file has no id of the billing system"
        raise MappingError(RELATED, text, "Correct this claim in the billing system by hand.")


def refuse_overflow(scope: Scope, loops: Mapping[str, list[Facts]], carrying: Carrying) -> None:
    """Raise `UnsupportedElement` for a list that is longer than the map, or a refused fact that is there."""
    for name, most in carrying.capacity.items():
        for number, values in _everywhere(name, scope, loops):
            if len(values) > most:
                expression = f"{expression_of(name, number)}[{most}]"
                raise UnsupportedElement(expression, f"the description carries {most} of these", _BY_HAND)
    for name in carrying.refused:
        usual = _usual(name)
        for (number, value), (_, expected) in zip(
            _everywhere(name, scope, loops), _everywhere(usual or name, scope, loops), strict=True
        ):
            if value not in ("", [], expected if usual else _plainly_usual(name)):
                raise UnsupportedElement(expression_of(name, number), "the description refuses this", _BY_HAND)


def _everywhere(name: str, scope: Scope, loops: Mapping[str, list[Facts]]) -> Iterator[tuple[int, Any]]:
    """(number in the claim, value) of a fact: one, or one for each entry of a list."""
    root, _, member = name.partition(".")
    if root in loops:
        yield from ((number_of(facts, n), facts[member]) for n, facts in enumerate(loops[root]))
    elif member in scope.get(root, {}):
        yield scope.numbers.get(root, 0), scope[root][member]


def _usual(name: str) -> str:
    """The fact whose value a refused fact usually has, or ""."""
    fact = find_fact(name)
    return name.partition(".")[0] + fact.usual if fact and fact.usual.startswith(".") else ""


def _plainly_usual(name: str) -> str:
    fact = find_fact(name)
    return fact.usual if fact else ""


def _repeated(claim: Resource, facts: frozenset[str]) -> Iterator[tuple[str, str]]:
    scopes = {name.partition(".")[0] for name in facts}
    yield from _providers(claim, scopes, facts)
    yield from _information(claim, facts)
    yield from _insurances(claim, scopes, facts)
    if "item.location" not in facts:
        places = {_code(item.get("locationCodeableConcept")) for item in claim.get("item", ())}
        if len(places) > 1 and "claim.location" in facts:
            yield "Claim.item.locationCodeableConcept", "one place of service for the whole claim"
    if "item" in scopes:
        for i, item in enumerate(claim.get("item", ())):
            if len(item.get("detail", ())) > 1 and "item.ndc" in facts:
                yield f"Claim.item[{i}].detail[1]", "one drug a line"


def _providers(claim: Resource, scopes: set[str], facts: frozenset[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for i, member in enumerate(claim.get("careTeam", ())):
        role = _code(member.get("role"))
        on_lines = role == "rendering" and any(name.startswith("item.rendering_") for name in facts)
        if role in seen and ROLE_SCOPES.get(role) in scopes and "care_team" not in scopes and not on_lines:
            yield f"Claim.careTeam[{i}]", f"one provider with the role {role}"
        seen.add(role)


def _information(claim: Resource, facts: frozenset[str]) -> Iterator[tuple[str, str]]:
    mapped = {"onset": "claim.onset", "hospitalized": "claim.hospitalized_start", "patientPaid": "claim.patient_paid"}
    seen: set[str] = set()
    for i, info in enumerate(claim.get("supportingInfo", ())):
        category = _code(info.get("category"))
        if category in seen and mapped.get(category) in facts:
            yield f"Claim.supportingInfo[{i}]", "one entry of this category"
        seen.add(category)


def _insurances(claim: Resource, scopes: set[str], facts: frozenset[str]) -> Iterator[tuple[str, str]]:
    ordered = {"insurance.sequence", "coverage.focal"} & facts
    for i, insurance in enumerate(claim.get("insurance", ())):
        focal = insurance.get("focal")
        if focal and i > 0 and not ordered and {"insurance", "coverage"} & scopes:
            yield (
                f"Claim.insurance[{i}]",
                "the payer billed as the first coverage only: the map does not tell which one it is",
            )
        name = "insurance.pre_auth_ref" if focal else "other_insurance.pre_auth_ref"
        mapped = {name, "coverage.pre_auth_ref"} & facts
        if insurance.get("preAuthRef") and not mapped and {"insurance.pre_auth_ref"} & facts:
            yield f"Claim.insurance[{i}].preAuthRef", "the prior authorization of the payer billed only"


def _code(concept: Resource | None) -> str:
    return str(next((c.get("code", "") for c in codings(concept)), ""))
