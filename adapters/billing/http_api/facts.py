"""The facts of a claim that a description may name: one table from short names to canonical elements. Pure.

A fact is `scope.member`, e.g. `item.unit_price`. Every fact is text, a whole number or a list of those; what the claim
lacks is "" or []. Decimals are text exactly as the claim writes them. Dates are `YYYY-MM-DD`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from gateway.canonical import codes
from gateway.kit.payload import CLAIM_ELEMENTS


class Kind(Enum):
    """What a fact's value is."""

    TEXT = "text"
    DATE = "date"
    DECIMAL = "decimal"
    INTEGER = "integer"
    BOOLEAN = "boolean"  # "true" or "false"
    TEXTS = "texts"
    INTEGERS = "integers"

    @property
    def many(self) -> bool:
        """Whether the value is a list."""
        return self in (Kind.TEXTS, Kind.INTEGERS)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: where it comes from, and which canonical elements are carried when it is mapped.

    `essential`: an element is not carried by its other facts alone. `usual`: what the value is in the usual case, as
    text or as `.member` of the same scope; a fact that the description refuses holds a claim only when it differs.
    `told` is what the mapping document says of it beside its source.
    """

    source: str
    elements: tuple[str, ...] = ()
    kind: Kind = Kind.TEXT
    essential: bool = False
    usual: str = ""
    told: str = ""


_MR = "identifier.where(type.coding.code='MR').value"
_NPI = f"identifier.where(system='{codes.NPI}').value"
_TAXONOMY = f"coding.where(system='{codes.TAXONOMY}').code"


def _address(root: str) -> dict[str, Fact]:
    return {
        "address_line": Fact(f"{root}.address[0].line", kind=Kind.TEXTS),
        "city": Fact(f"{root}.address[0].city"),
        "state": Fact(f"{root}.address[0].state"),
        "postal_code": Fact(f"{root}.address[0].postalCode"),
    }


def _name(root: str) -> dict[str, Fact]:
    def part(path: str) -> Fact:
        return Fact(f"{root}.name.where(use='official').{path} | {root}.name.{path}")

    return {
        "family": part("family"),
        "given": part("given[0]"),
        "middle": part("given[1]"),
        "suffix": part("suffix[0]"),
    }


def _person(root: str) -> dict[str, Fact]:
    return {
        **_name(root),
        "birth_date": Fact(f"{root}.birthDate", kind=Kind.DATE),
        "gender": Fact(f"{root}.gender"),
        "phone": Fact(f"{root}.telecom.where(system='phone').value"),
        **_address(root),
    }


def _of(elements: tuple[str, ...], facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """The same facts, as facts of these elements where they name none themselves."""
    return {name: fact if fact.elements else replace(fact, elements=elements) for name, fact in facts.items()}


def _provider(root: str) -> dict[str, Fact]:
    taxonomy = f"{root}.qualification.code.{_TAXONOMY} | {root}.type.{_TAXONOMY}"
    return {"npi": Fact(f"{root}.{_NPI}", essential=True), **_name(root), "taxonomy": Fact(taxonomy)}


def _coverage(elements: tuple[str, ...]) -> dict[str, Fact]:
    def group(kind: str, member: str) -> Fact:
        return Fact(f"Coverage.class.where(type.coding.code='{kind}').{member}")

    return _of(
        elements,
        {
            "sequence": Fact("Insurance.sequence", kind=Kind.INTEGER),
            "focal": Fact("Insurance.focal", kind=Kind.BOOLEAN),
            "subscriber_id": Fact("Coverage.subscriberId | Coverage.identifier.value", essential=True),
            "relationship": Fact("Coverage.relationship.coding.code", essential=True, usual="self"),
            "type": Fact("Coverage.type.coding.code"),
            "group": group("group", "value"),
            "plan": group("plan", "value"),
            "plan_name": group("plan", "name"),
            "payer_id": Fact(f"Payor.identifier.where(system='{codes.PAYER_IDENTIFIER}').value"),
            "payer_name": Fact("Payor.name"),
            **{f"payer_{name}": fact for name, fact in _address("Payor").items()},
            **{f"subscriber_{name}": fact for name, fact in _person("Subscriber").items()},
            "pre_auth_ref": Fact("Insurance.preAuthRef", ("Claim.insurance.preAuthRef",), Kind.TEXTS),
        },
    )


_ROLES = {
    "rendering_provider": "Claim.careTeam.rendering",
    "referring_provider": "Claim.careTeam.referring",
    "supervising_provider": "Claim.careTeam.supervisor",
    "ordering_provider": "Claim.careTeam.ordering",
}

_CLAIM_NOTES = "those that no line points to, where the lines' notes are mapped, else all"
_POINTED = "the codes that the line points to, in its order"
_LINE_PROVIDER = "of the rendering member of the care team that the line points to"

_CLAIM = {
    "submission_id": Fact("the gateway's id of this submission"),
    "identifier": Fact(f"Claim.identifier.where(system='{codes.CLAIM_IDENTIFIER}').value", ("Claim.identifier",)),
    "account_number": Fact(
        f"Claim.identifier.where(system='{codes.ACCOUNT_IDENTIFIER}').value", ("Claim.identifier",), essential=True
    ),
    "created_on": Fact("Claim.created", kind=Kind.DATE, told="the date at the clinic"),
    "frequency": Fact("Claim.related.relationship", ("Claim.related",), told="1 original, 7 replacement, 8 void"),
    "billable_start": Fact("Claim.billablePeriod.start", ("Claim.billablePeriod",), Kind.DATE, essential=True),
    "billable_end": Fact(
        "Claim.billablePeriod.end", ("Claim.billablePeriod",), Kind.DATE, essential=True, usual=".billable_start"
    ),
    "total": Fact("Claim.total.value", ("Claim.total",), Kind.DECIMAL),
    "referral": Fact("Claim.referral.identifier.value", ("Claim.referral",)),
    "diagnosis_code": Fact("diagnosis_code", ("Claim.diagnosis",), Kind.TEXTS),
    "location": Fact("Claim.item[0].locationCodeableConcept.coding.code", ("Claim.item.location",)),
    "onset": Fact("onset.timingDate", ("Claim.supportingInfo.onset",), Kind.DATE),
    "hospitalized_start": Fact(
        "hospitalized.timingPeriod.start", ("Claim.supportingInfo.hospitalized",), Kind.DATE, essential=True
    ),
    "hospitalized_end": Fact(
        "hospitalized.timingPeriod.end", ("Claim.supportingInfo.hospitalized",), Kind.DATE, essential=True
    ),
    "patient_paid": Fact("patient_paid.valueQuantity.value", ("Claim.supportingInfo.patientPaid",), Kind.DECIMAL),
    "note": Fact("claim_note", ("Claim.supportingInfo.info",), Kind.TEXTS, told=_CLAIM_NOTES),
}

_ITEM = {
    "sequence": Fact("item.sequence", kind=Kind.INTEGER),
    "product_or_service": Fact("item.productOrService.coding.code", ("Claim.item.productOrService",)),
    "product_or_service_system": Fact("item.productOrService.coding.system"),
    "modifier": Fact("item.modifier.coding[0].code", ("Claim.item.modifier",), Kind.TEXTS),
    "serviced_start": Fact(
        "item.servicedDate | item.servicedPeriod.start", ("Claim.item.serviced",), Kind.DATE, essential=True
    ),
    "serviced_end": Fact(
        "item.servicedPeriod.end | item.servicedDate",
        ("Claim.item.serviced",),
        Kind.DATE,
        essential=True,
        usual=".serviced_start",
    ),
    "location": Fact("item.locationCodeableConcept.coding.code", ("Claim.item.location",)),
    "quantity": Fact("item.quantity.value", ("Claim.item.quantity",), Kind.DECIMAL, essential=True),
    "unit": Fact("unit", ("Claim.item.quantity",), essential=True, usual="UN", told="UN when the claim names none"),
    "unit_price": Fact("item.unitPrice.value", ("Claim.item.unitPrice",), Kind.DECIMAL),
    "net": Fact("item.net.value", ("Claim.item.net",), Kind.DECIMAL),
    "diagnosis_sequence": Fact("item.diagnosisSequence", ("Claim.item.diagnosisSequence",), Kind.INTEGERS),
    "diagnosis_code": Fact("line_diagnosis", ("Claim.item.diagnosisSequence",), Kind.TEXTS, told=_POINTED),
    "ndc": Fact("item.detail.productOrService.coding.code", ("Claim.item.detail",), essential=True),
    "ndc_quantity": Fact("item.detail.quantity.value", ("Claim.item.detail",), Kind.DECIMAL, essential=True),
    "ndc_unit": Fact("item.detail.quantity.unit", ("Claim.item.detail",), essential=True),
    "note": Fact(
        "line_note", ("Claim.item.informationSequence",), Kind.TEXTS, told="the texts that the line points to"
    ),
    **{
        f"rendering_{name}": replace(
            fact, elements=("Claim.item.careTeamSequence",), essential=False, told=_LINE_PROVIDER
        )
        for name, fact in _provider("LineProvider").items()
    },
}

FACTS: Mapping[str, Mapping[str, Fact]] = {
    "claim": _CLAIM,
    "patient": {**_person("Patient"), "mrn": Fact(f"Patient.{_MR}")},
    "billing_provider": _of(
        ("Claim.provider",),
        {
            "npi": Fact(f"BillingProvider.{_NPI}"),
            "name": Fact("BillingProvider.name"),
            "tax_id": Fact(f"BillingProvider.identifier.where(system='{codes.EIN}').value"),
            "taxonomy": Fact(f"BillingProvider.type.{_TAXONOMY}"),
            "phone": Fact("BillingProvider.telecom.where(system='phone').value"),
            **_address("BillingProvider"),
        },
    ),
    "facility": _of(
        ("Claim.facility",),
        {"npi": Fact(f"Facility.{_NPI}"), "name": Fact("Facility.name"), **_address("Facility")},
    ),
    **{scope: _of((element,), _provider("Provider")) for scope, element in _ROLES.items()},
    "accident": _of(
        ("Claim.accident",),
        {
            "date": Fact("Claim.accident.date", kind=Kind.DATE, essential=True),
            "type": Fact("Claim.accident.type.coding.code", essential=True),
            "state": Fact("Claim.accident.locationAddress.state", essential=True),
        },
    ),
    "insurance": _coverage(("Claim.insurance.focal",)),
    "item": _ITEM,
    "diagnosis": {
        "sequence": Fact("diagnosis.sequence", kind=Kind.INTEGER),
        "code": Fact("diagnosis.diagnosisCodeableConcept.coding.code", ("Claim.diagnosis",)),
        "type": Fact("diagnosis.type.coding.code"),
    },
    "other_insurance": _coverage(("Claim.insurance.other",)),
    "coverage": _coverage(("Claim.insurance.focal", "Claim.insurance.other")),
    "care_team": {"role": Fact("Member.role.coding.code"), **_of(tuple(_ROLES.values()), _provider("Provider"))},
}
"""Scope to member to fact. `prior` is one more scope: the vendor's ids of the claim that this one replaces."""

LOOPS = frozenset({"item", "diagnosis", "other_insurance", "coverage", "care_team"})
"""Scopes that stand for each of several: only inside `$each`."""

ROLE_SCOPES: Mapping[str, str] = {element.rpartition(".")[2]: scope for scope, element in _ROLES.items()}
"""Role code of a care team member to its scope."""

PRIOR = "prior"
PRIOR_FACT = Fact("Claim.related.reference", ("Claim.related",))


def find_fact(name: str) -> Fact | None:
    """The fact that `scope.member` names, or None."""
    scope, _, member = name.partition(".")
    if scope == PRIOR:
        return PRIOR_FACT
    return FACTS.get(scope, {}).get(member)


def all_facts() -> Iterator[tuple[str, Fact]]:
    """Every fact by its name."""
    for scope, members in FACTS.items():
        for member, fact in members.items():
            yield f"{scope}.{member}", fact


def essential_facts(element: str) -> Iterator[str]:
    """The essential facts of an element, of every scope that can carry it."""
    assert element in CLAIM_ELEMENTS
    return (name for name, fact in all_facts() if fact.essential and element in fact.elements)
