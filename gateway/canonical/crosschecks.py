"""Rules over several resources: what a Claim references must be there, fit together and be billable.

A rule yields places as (reference of the resource, path below it); the reference "" is the bundle's root resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import ClaimBundle, Resource
from gateway.canonical.tolerant import codes_in, identifiers, number, objects, references, text

Place = tuple[str, str]
Index = Mapping[str, Resource]

TARGETS: Mapping[str, frozenset[str]] = {
    "Claim.careTeam.provider": frozenset({"Practitioner", "Organization"}),
    "Claim.facility": frozenset({"Location", "Organization"}),
    "Claim.insurance.coverage": frozenset({"Coverage"}),
    "Claim.insurer": frozenset({"Organization"}),
    "Claim.item.encounter": frozenset({"Encounter"}),
    "Claim.patient": frozenset({"Patient"}),
    "Claim.provider": frozenset({"Organization", "Practitioner"}),
    "Coverage.beneficiary": frozenset({"Patient"}),
    "Coverage.payor": frozenset({"Organization"}),
    "Coverage.subscriber": frozenset({"Patient", "RelatedPerson"}),
    "Condition.subject": frozenset({"Patient"}),
    "Encounter.subject": frozenset({"Patient"}),
    "Procedure.subject": frozenset({"Patient"}),
    "RelatedPerson.patient": frozenset({"Patient"}),
}
"""References that a claim is built from, to the resource types that they may name (narrower than FHIR R4)."""

_POINTING = frozenset(element.partition(".")[0] for element in TARGETS)
_ADDRESS_PARTS = ("city", "state", "postalCode")
_TAX_SYSTEMS = (codes.EIN, codes.SSN)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule over a claim and all that it references."""

    edit: str
    message: str
    fix: str
    violations: Callable[[ClaimBundle], Iterator[Place]]


def followed(resource: Resource) -> Iterator[tuple[str, str]]:
    """(path, reference) of the resource's references that `TARGETS` names, in document order."""
    kind = text(resource, "resourceType")
    for path, reference in references(resource) if kind in _POINTING else ():
        if f"{kind}.{without_indexes(path)}" in TARGETS:
            yield path, reference


def without_indexes(path: str) -> str:
    """`item[0].encounter[0]` as `item.encounter`."""
    return ".".join(step.partition("[")[0] for step in path.split("."))


def dangling(resource: Resource, index: Index, *, every: bool = False) -> Iterator[str]:
    """Paths of references that name no resource of the bundle, or one of a type that a claim cannot use there.

    With `every`, all references must resolve, except the one to a prior claim.
    """
    kind = text(resource, "resourceType")
    for path, reference in references(resource) if every or kind in _POINTING else ():
        element = f"{kind}.{without_indexes(path)}"
        allowed = TARGETS.get(element)
        if allowed is None and (not every or element == "Claim.related.claim"):
            continue
        target = index.get(reference)
        if target is None or (allowed is not None and text(target, "resourceType") not in allowed):
            yield path


def _coverages(bundle: ClaimBundle) -> Iterator[tuple[str, str, Resource]]:
    """(path of the insurance, reference, Coverage) of each insurance that resolves."""
    for path, insurance in objects(bundle.claim, "insurance"):
        reference = text(insurance.get("coverage"), "reference")
        coverage = bundle.find(reference)
        if reference and isinstance(coverage, dict):
            yield path, reference, coverage


def _other_patient(bundle: ClaimBundle) -> Iterator[Place]:
    patient = text(bundle.claim.get("patient"), "reference")
    for _, reference, coverage in _coverages(bundle):
        beneficiary = text(coverage.get("beneficiary"), "reference")
        if patient and beneficiary and beneficiary != patient:
            yield reference, "beneficiary"


def _out_of_order(bundle: ClaimBundle) -> Iterator[Place]:
    previous = None
    for path, _, coverage in _coverages(bundle):
        order = number(coverage, "order")
        if order is not None and previous is not None and order <= previous:
            yield "", f"{path}.sequence"
        previous = order if order is not None else previous


def _focal_is_first(bundle: ClaimBundle) -> Iterator[Place]:
    focal = [path for path, insurance in objects(bundle.claim, "insurance") if insurance.get("focal") is True]
    if len(focal) == 1 and focal[0] != "insurance[0]":
        yield "", f"{focal[0]}.focal"


def _payers(bundle: ClaimBundle) -> Iterator[tuple[str, Resource]]:
    """Each payer Organization of the claim's coverages once."""
    payors = (payor for _, _, coverage in _coverages(bundle) for _, payor in objects(coverage, "payor"))
    named = {text(payor, "reference") for payor in payors}
    yield from ((reference, payer) for reference, payer in bundle.resources.items() if reference in named)


def _payer_without_id(bundle: ClaimBundle) -> Iterator[Place]:
    for reference, payer in _payers(bundle):
        if not identifiers(payer, codes.PAYER_IDENTIFIER):
            yield reference, "identifier"


def _billing_provider(bundle: ClaimBundle) -> tuple[str, Resource] | None:
    reference = text(bundle.claim.get("provider"), "reference")
    provider = bundle.find(reference)
    return (reference, provider) if reference and isinstance(provider, dict) else None


def _billing_without(*systems: str) -> Callable[[ClaimBundle], Iterator[Place]]:
    def violations(bundle: ClaimBundle) -> Iterator[Place]:
        provider = _billing_provider(bundle)
        if provider and not identifiers(provider[1], *systems):
            yield provider[0], "identifier"

    return violations


def _billing_without_address(bundle: ClaimBundle) -> Iterator[Place]:
    provider = _billing_provider(bundle)
    if provider and not _has_full_address(provider[1]):
        yield provider[0], "address"


def _patient_subscriber_without_address(bundle: ClaimBundle) -> Iterator[Place]:
    reference = text(bundle.claim.get("patient"), "reference")
    patient = bundle.find(reference)
    if reference is None or not isinstance(patient, dict) or _has_full_address(patient):
        return
    if any(_subscriber(coverage) == reference for _, _, coverage in _coverages(bundle)):
        yield reference, "address"


def _subscriber(coverage: Resource) -> str | None:
    """The subscriber's reference; the beneficiary's when the relationship is self."""
    own = "self" in codes_in(coverage.get("relationship"), codes.RELATIONSHIP)
    return text(coverage.get("beneficiary" if own else "subscriber"), "reference")


def _self_with_other_subscriber(bundle: ClaimBundle) -> Iterator[Place]:
    for _, reference, coverage in _coverages(bundle):
        given = text(coverage.get("subscriber"), "reference")
        beneficiary = text(coverage.get("beneficiary"), "reference")
        own = "self" in codes_in(coverage.get("relationship"), codes.RELATIONSHIP)
        if given and beneficiary and own != (given == beneficiary):
            yield reference, "relationship"


def _subscriber_without_birth_date(bundle: ClaimBundle) -> Iterator[Place]:
    for reference in dict.fromkeys(_subscriber(coverage) for _, _, coverage in _coverages(bundle)):
        # A Patient's birth date is already the business of its profile.
        related = bundle.find(reference) if reference and reference.startswith("RelatedPerson/") else None
        if reference and related is not None and not text(related, "birthDate"):
            yield reference, "birthDate"


def _has_full_address(resource: dict[str, Any]) -> bool:
    return any(
        any(isinstance(line, str) and line.strip() for line in _lines(address))
        and all(text(address, part) for part in _ADDRESS_PARTS)
        for _, address in objects(resource, "address")
    )


def _lines(address: dict[str, Any]) -> list[Any]:
    lines = address.get("line")
    return lines if isinstance(lines, list) else []


RULES: tuple[Rule, ...] = (
    Rule(
        "claim-coverage-patient",
        "The coverage belongs to another patient than the claim.",
        "Choose the coverage of this patient in the EHR.",
        _other_patient,
    ),
    Rule(
        "claim-coverage-order",
        "The coverages are not in the order in which they pay (first, second, third).",
        "Give each coverage of the patient its own order in the EHR, the first payer first.",
        _out_of_order,
    ),
    Rule(
        "claim-focal-first",
        "The payer billed now is not the first payer of the patient.",
        "Bill the first payer first; the next one follows after its answer.",
        _focal_is_first,
    ),
    Rule(
        "claim-payer-id",
        "The payer has no payer id, so the billing system cannot route the claim.",
        "Add the payer's name with its payer id to payer_ids in the clinic's configuration.",
        _payer_without_id,
    ),
    Rule(
        "claim-billing-npi",
        "The billing provider has no NPI (box 33a).",
        "Enter the NPI of the billing provider in the clinic's configuration.",
        _billing_without(codes.NPI),
    ),
    Rule(
        "claim-billing-tax-id",
        "The billing provider has no federal tax id (box 25).",
        "Enter the EIN of the billing provider in the clinic's configuration.",
        _billing_without(*_TAX_SYSTEMS),
    ),
    Rule(
        "claim-billing-address",
        "The billing provider has no complete address: street, city, state and ZIP code (box 33).",
        "Enter the address of the billing provider in the clinic's configuration.",
        _billing_without_address,
    ),
    Rule(
        "claim-patient-address",
        "The patient is the insured person and has no complete address: street, city, state and ZIP code (box 7).",
        "Complete the patient's address in the EHR.",
        _patient_subscriber_without_address,
    ),
    Rule(
        "claim-subscriber-self",
        "The relationship of the patient to the insured person contradicts the person named as insured (boxes 4, 6).",
        "Correct the relationship or the insured person of this coverage in the EHR.",
        _self_with_other_subscriber,
    ),
    Rule(
        "claim-subscriber-birth-date",
        "The insured person has no birth date (box 11a).",
        "Enter the birth date of the insured person in the EHR.",
        _subscriber_without_birth_date,
    ),
)
"""Every rule over a claim bundle, besides that its references resolve (`claim-reference`)."""
