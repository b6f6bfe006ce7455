"""Validation at the border: FHIR R4 schema, required bindings, profiles and the rules across resources.

All findings come at once, each with the FHIRPath of its element (element names and indexes only, as R4's
`OperationOutcome.issue.expression` asks) and a sentence for a biller, never with a value of the resource:

    Claim.item[1].diagnosisSequence[0]        the root resource's own elements
    Patient.birthDate                         a resource that is the only one of its type
    Claim.insurance[1].coverage.subscriberId  one of several of its type: the path by which the claim reaches it
    Condition[2].code                         one of several that the root does not reach: its number within its type
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.canonical import bindings, profile, schema
from gateway.canonical.crosschecks import RULES, Index, dangling, followed
from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import Finding, Severity, error
from gateway.canonical.models import ClaimBundle, EncounterBundle, Resource
from gateway.canonical.tolerant import objects, references, text

_ROLE_TYPES = frozenset({"Practitioner", "Organization", "Location"})
_NOT_THERE = "The resource that is named here is missing, or is of a kind that a claim cannot use here."
_FETCH_AGAIN = "Correct the reference in the EHR, then fetch the encounter again."


def check_resource(resource: Resource) -> tuple[Finding, ...]:
    """Schema, required bindings and the profile of the resource's type. Never raises, whatever the JSON."""
    return _checked(resource, with_profile=True)


def check_claim(bundle: ClaimBundle) -> tuple[Finding, ...]:
    """The Claim, everything it references, and the rules across them. Never raises, whatever the JSON."""
    if text(bundle.claim, "resourceType") != "Claim":
        return _no_root("Claim")
    reached = _reached(bundle.claim, bundle.resources)
    labels = _labels("Claim", bundle.claim, reached, bundle.resources)
    found = [*check_resource(bundle.claim)]
    found += _reference_findings("Claim", bundle.claim, bundle.resources, every=True)
    for reference in reached:
        found += _of_part(bundle.resources[reference], bundle.resources, labels[reference])
    found += _rule_findings(bundle, labels)
    return _distinct(found)


def check_encounter(bundle: EncounterBundle) -> tuple[Finding, ...]:
    """The canonical encounter and its resources. Never raises, whatever the JSON of the resources.

    Practitioners, Organizations and Locations must meet their profile when they have a role on the claim or pay for
    it; an assisting nurse without an NPI does not hold the encounter.
    """
    if text(bundle.encounter, "resourceType") != "Encounter":
        return _no_root("Encounter")
    index = _index([bundle.encounter, *bundle.resources])
    reached = _reached(bundle.encounter, index)
    labels = _labels("Encounter", bundle.encounter, reached, index)
    on_claim = {*bundle.roles.values(), *_payors(bundle.resources)}
    found = [*check_resource(bundle.encounter)]
    found += _reference_findings("Encounter", bundle.encounter, index)
    for reference, resource in index.items():
        if resource is not bundle.encounter:
            profiled = text(resource, "resourceType") not in _ROLE_TYPES or reference in on_claim
            found += _of_part(resource, index, labels[reference], with_profile=profiled)
    found += _role_findings(bundle.roles, index)
    return _distinct(found)


def check_source(resources: Iterable[Any]) -> tuple[Finding, ...]:
    """What an EHR sent, before mapping: schema and required bindings of each resource. Never raises."""
    index = _index(resources)
    labels = _labels("", {}, {}, index)
    found = (_checked(resource, with_profile=False) for resource in index.values())
    pairs = zip(labels.values(), found, strict=True)
    return _distinct(_relabelled(finding, label) for label, findings in pairs for finding in findings)


def _no_root(kind: str) -> tuple[Finding, ...]:
    return (error(schema.EDIT, kind, f"This is no FHIR {kind}.", f"Send a FHIR R4 {kind}."),)


def _checked(resource: Any, *, with_profile: bool) -> tuple[Finding, ...]:
    structural = schema.check(resource)
    if not schema.readable(structural):
        return tuple(structural)
    layers = (profile.check(resource) if with_profile else [], bindings.check(resource), structural)
    return _distinct(_most_helpful(layers))


def _most_helpful(layers: Iterable[list[Finding]]) -> Iterator[Finding]:
    """What holds the claim in an earlier layer says it better than a later layer's finding on the same element."""
    covered: set[str] = set()
    for layer in layers:
        yield from (finding for finding in layer if finding.expression not in covered)
        covered.update(finding.expression for finding in layer if finding.severity is Severity.ERROR)


def _distinct(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding per edit and element."""
    return tuple({(finding.edit, finding.expression): finding for finding in found}.values())


def _index(resources: Iterable[Any]) -> dict[str, Resource]:
    """`Type/id` to resource; one without an id is kept under a key that nothing references."""
    index: dict[str, Resource] = {}
    for resource in resources:
        identity = text(resource, "id")
        kind = text(resource, "resourceType")
        index[f"{kind}/{identity}" if kind and identity else f"#{len(index)}"] = resource
    return index


def _reached(root: Resource, index: Index) -> dict[str, str]:
    """Reference to the path by which the root reaches the resource: its own references, then those of its coverages."""
    reached: dict[str, str] = {}
    waiting = references(root)
    for path, reference in waiting:  # grows on the way
        resource = index.get(reference)
        if resource is not None and resource is not root and reference not in reached:
            reached[reference] = path
            waiting.extend((f"{path}.{inner}", further) for inner, further in followed(resource))
    return reached


def _labels(root_type: str, root: Resource, reached: Mapping[str, str], index: Index) -> dict[str, str]:
    """Reference to the beginning of an expression about the resource, by the convention of this module."""
    relevant = reached if root_type == "Claim" else index
    kinds = {reference: expression_of(str(text(index[reference], "resourceType"))) for reference in relevant}
    totals = Counter(kinds.values())
    numbers: Counter[str] = Counter()
    labels: dict[str, str] = {}
    for reference, kind in kinds.items():
        path = reached.get(reference)
        alone = kind if index[reference] is root or totals[kind] == 1 else None
        labels[reference] = alone or (expression_of(f"{root_type}.{path}") if path else f"{kind}[{numbers[kind]}]")
        numbers[kind] += 1
    return labels


def _of_part(resource: Any, index: Index, label: str, *, with_profile: bool = True) -> Iterator[Finding]:
    for finding in _checked(resource, with_profile=with_profile):
        yield _relabelled(finding, label)
    yield from _reference_findings(label, resource, index)


def _relabelled(finding: Finding, label: str) -> Finding:
    head, dot, tail = finding.expression.partition(".")
    return replace(finding, expression=f"{label}{dot}{tail}" if head != "Resource" else label)


def _reference_findings(label: str, resource: Resource, index: Index, *, every: bool = False) -> Iterator[Finding]:
    for path in dangling(resource, index, every=every):
        tail = expression_of(f"{text(resource, 'resourceType')}.{path}").partition(".")[2]
        yield error("claim-reference", f"{label}.{tail}".rstrip("."), _NOT_THERE, _FETCH_AGAIN)


def _rule_findings(bundle: ClaimBundle, labels: Mapping[str, str]) -> Iterator[Finding]:
    for rule in RULES:
        for reference, path in rule.violations(bundle):
            yield error(rule.edit, f"{labels.get(reference, 'Claim')}.{path}", rule.message, rule.fix)


def _role_findings(roles: Mapping[str, str], index: Index) -> Iterator[Finding]:
    for role, reference in roles.items():
        if reference not in index:
            message = f"The {role.replace('_', ' ')} is named but was not found in the EHR."
            yield error("encounter-role", "Encounter", message, _FETCH_AGAIN)


def _payors(resources: Iterable[Any]) -> Iterator[str]:
    for resource in resources:
        if text(resource, "resourceType") == "Coverage":
            yield from (ref for _, payor in objects(resource, "payor") if (ref := text(payor, "reference")))
