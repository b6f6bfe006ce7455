"""What a strict FHIR billing server checks of a claim: R4 structure, references, and the claim's own arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from adapters.billing.fhir_claim.simulator.refused import Refused, Resource, issue
from gateway.canonical import schema
from gateway.canonical.codes import NPI, PAYER_IDENTIFIER, npi_is_valid

Issue = dict[str, Any]


def structure(resource: Resource, where: str) -> list[Issue]:
    """R4 structure of one entry; the diagnostics quote nothing, the expression names the element."""
    return [
        issue("required" if "requires" in finding.message else "structure", finding.message, f"{where}.{rest}")
        for finding in schema.check(resource)
        for rest in (finding.expression.partition(".")[2] or finding.expression,)
    ]


def unresolved(resource: Resource, where: str, known: Iterable[str]) -> list[Issue]:
    """Literal references that neither the Bundle nor the server resolves."""
    held = set(known)
    return [
        issue("not-found", f"Reference {reference} does not resolve.", f"{where}{path}")
        for path, reference in references(resource)
        if not reference.startswith("#") and reference not in held
    ]


def references(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path below the resource, literal reference) of each reference in a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield path, value["reference"]
        for name, member in value.items():
            yield from references(member, f"{path}.{name}")
    elif isinstance(value, list):
        for i, element in enumerate(value):
            yield from references(element, f"{path}[{i}]")


def claim_rules(claim: Resource) -> list[Issue]:
    """The rules of a claim that its structure cannot say: use, focal insurance, sequences, sums."""
    found = []
    if claim.get("use") != "claim":
        found.append(issue("business-rule", "Only claims are taken here.", "Claim.use"))
    if sum(1 for insurance in claim.get("insurance", ()) if insurance.get("focal")) != 1:
        found.append(issue("business-rule", "Exactly one insurance must be focal.", "Claim.insurance"))
    if not claim.get("item"):
        found.append(issue("required", "A claim needs at least one line.", "Claim.item"))
    return [*found, *_sequences(claim), *_sums(claim)]


def _sequences(claim: Resource) -> Iterator[Issue]:
    for name in ("item", "diagnosis", "insurance", "careTeam", "supportingInfo"):
        numbers = [element.get("sequence") for element in claim.get(name, ())]
        if numbers != list(range(1, len(numbers) + 1)):
            yield issue("invariant", "Sequence numbers must count from 1.", f"Claim.{name}")
    diagnoses = {d["sequence"] for d in claim.get("diagnosis", ())}
    for i, item in enumerate(claim.get("item", ())):
        if not set(item.get("diagnosisSequence", ())) <= diagnoses:
            yield issue("invariant", "The line points to no diagnosis.", f"Claim.item[{i}].diagnosisSequence")


def _sums(claim: Resource) -> Iterator[Issue]:
    total = sum((Decimal(str(item["net"]["value"])) for item in claim.get("item", ()) if "net" in item), Decimal(0))
    if "total" in claim and Decimal(str(claim["total"]["value"])) != total:
        yield issue("business-rule", "The total differs from the sum of the lines.", "Claim.total")


def people(resource: Resource, where: str) -> list[Issue]:
    """National provider identifiers must have the right check digit."""
    held = enumerate(resource.get("identifier", ()))
    return [
        issue("value", "This is no NPI.", f"{where}.identifier[{i}].value")
        for i, identifier in held
        if identifier.get("system") == NPI and not npi_is_valid(str(identifier.get("value")))
    ]


def unknown_payer(insurer: Resource | None, payers: Iterable[str]) -> bool:
    """Whether the insurer is none of the payers that this server knows; without a list it knows all."""
    known = set(payers)
    held = {i.get("value") for i in (insurer or {}).get("identifier", ()) if i.get("system") == PAYER_IDENTIFIER}
    return bool(known) and not held & known


def settle(issues: list[Issue], status: int = 422) -> None:
    """Refuse with all issues at once; do nothing when there is none."""
    if issues:
        raise Refused(status, *issues)
