"""The Claim profile's constraints C1-C12 (claim_profile section 5), one function per key.

Each takes the element that the constraint stands on and gives the paths below it that violate the rule. Absent
elements and wrong types are not their business: cardinalities and the schema report those.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.tolerant import (
    codes_in,
    first,
    identifiers,
    number,
    numbers,
    objects,
    text,
)

_WITH_ZONE = re.compile(r".*T.*(Z|[+-][0-9]{2}:[0-9]{2})")
_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T.*)?")
_ACCOUNT = re.compile(r"[A-Za-z0-9 -]{1,20}")
_PLACE_OF_SERVICE = re.compile(r"[0-9]{2}")
_MODIFIER = re.compile(r"[0-9A-Z]{2}")
_ICD10CM = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")
_PROCEDURE = {
    codes.CPT: re.compile(r"[0-9]{4}[0-9FTU]"),
    codes.HCPCS: re.compile(r"[A-V][0-9]{4}"),
}
_CENT = Decimal("0.01")
_CHARGE_LIMIT = Decimal(100_000_000)
_HALF_CENT = Decimal("0.005")
_SEQUENCED = ("careTeam", "supportingInfo", "diagnosis", "insurance", "item")


def created_with_zone(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-1."""
    created = text(claim, "created")
    if created and not _WITH_ZONE.fullmatch(created):
        yield "created"


def one_claim_id(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-2a."""
    if len(identifiers(claim, codes.CLAIM_IDENTIFIER)) != 1:
        yield "identifier"


def one_account_number(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-2b."""
    if len(identifiers(claim, codes.ACCOUNT_IDENTIFIER)) != 1:
        yield "identifier"


def account_number_typed(identifier: dict[str, Any]) -> Iterator[str]:
    """gwc-2c."""
    if identifier.get("system") == codes.ACCOUNT_IDENTIFIER and "PLAC" not in codes_in(
        first(identifier, "type"), codes.IDENTIFIER_TYPE
    ):
        yield "type"


def account_number_form(identifier: dict[str, Any]) -> Iterator[str]:
    """gwc-2d."""
    value = text(identifier, "value")
    if value and identifier.get("system") == codes.ACCOUNT_IDENTIFIER and not _ACCOUNT.fullmatch(value):
        yield "value"


def sequences_without_gap(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-3."""
    for name in _SEQUENCED:
        for position, (path, entry) in enumerate(objects(claim, name), start=1):
            if number(entry, "sequence") not in (None, position):
                yield f"{path}.sequence"


def diagnosis_form(diagnosis: dict[str, Any]) -> Iterator[str]:
    """gwc-4a."""
    concept = diagnosis.get("diagnosisCodeableConcept")
    found = codes_in(concept, codes.ICD10CM)
    if isinstance(concept, dict) and not (found and all(_ICD10CM.fullmatch(code) for code in found)):
        yield "diagnosis"


def diagnoses_distinct(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-4b."""
    found = (
        (f"{path}.diagnosis", code)
        for path, entry in objects(claim, "diagnosis")
        for code in codes_in(entry.get("diagnosisCodeableConcept"), codes.ICD10CM)
    )
    yield from _repeated(found)


def first_is_principal(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-4c."""
    for position, (path, entry) in enumerate(objects(claim, "diagnosis")):
        found = [code for _, kind in objects(entry, "type") for code in codes_in(kind, codes.DIAGNOSIS_TYPE)]
        if ("principal" in found) != (position == 0):
            yield f"{path}.type"


def procedure_form(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6a."""
    concept = item.get("productOrService")
    found = ((form, code) for system, form in _PROCEDURE.items() for code in codes_in(concept, system))
    if concept and not any(form.fullmatch(code) for form, code in found):
        yield "productOrService"


def place_of_service_form(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6b."""
    concept = item.get("locationCodeableConcept")
    if isinstance(concept, dict) and not any(_PLACE_OF_SERVICE.fullmatch(c) for c in codes_in(concept, codes.POS)):
        yield "location"


def quantity_positive(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6c."""
    value = number(first(item, "quantity"), "value")
    if value is not None and value <= 0:
        yield "quantity.value"


def net_in_cents(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6d."""
    value = number(first(item, "net"), "value")
    if value is not None and (not 0 <= value < _CHARGE_LIMIT or value % _CENT):
        yield "net.value"


def net_is_product(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6e: rounded to the cent, because drugs are priced in fractions of a cent."""
    price, quantity, net = (number(first(item, name), "value") for name in ("unitPrice", "quantity", "net"))
    if price is None or quantity is None or net is None:
        return
    if abs(price * quantity - net) > _HALF_CENT:
        yield "net.value"


def pointers_distinct(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6f."""
    pointers = ((f"diagnosisSequence[{i}]", p) for i, p in enumerate(numbers(item, "diagnosisSequence")))
    yield from _repeated(pointers)


def pointers_resolve(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-6g."""
    yield from _dangling(claim, "diagnosisSequence", "diagnosis")


def modifier_form(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6h."""
    for path, concept in objects(item, "modifier"):
        if not any(_MODIFIER.fullmatch(code) for code in codes_in(concept, codes.CPT, codes.HCPCS)):
            yield path


def service_date_full(item: dict[str, Any]) -> Iterator[str]:
    """gwc-6i."""
    dates = (text(item, "servicedDate"), text(first(item, "servicedPeriod"), "start"))
    period = isinstance(item.get("servicedPeriod"), dict)
    if any(date and not _FULL_DATE.fullmatch(date) for date in dates) or (period and dates[1] is None):
        yield "serviced"


def total_is_sum(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-7."""
    total = number(first(claim, "total"), "value")
    nets = [number(first(item, "net"), "value") for _, item in objects(claim, "item")]
    known = [net for net in nets if net is not None]
    if total is not None and len(known) == len(nets) and sum(known, Decimal(0)) != total:
        yield "total.value"


def one_focal(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-8a."""
    insurances = [entry for _, entry in objects(claim, "insurance")]
    if insurances and sum(entry.get("focal") is True for entry in insurances) != 1:
        yield "insurance"


def coverages_distinct(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-8b."""
    found = (
        (f"{path}.coverage", reference)
        for path, entry in objects(claim, "insurance")
        if (reference := text(entry.get("coverage"), "reference"))
    )
    yield from _repeated(found)


def has_rendering(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-9a."""
    if claim.get("careTeam") and not _rendering(claim):
        yield "careTeam"


def further_rendering_on_lines(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-9b."""
    named = {n for _, item in objects(claim, "item") for n in numbers(item, "careTeamSequence")}
    for path, member in _rendering(claim)[1:]:
        sequence = number(member, "sequence")
        if sequence is not None and sequence not in named:
            yield path


def line_providers_resolve(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-9c."""
    yield from _dangling(claim, "careTeamSequence", "careTeam")


def one_encounter(claim: dict[str, Any]) -> Iterator[str]:
    """gwc-11."""
    found = [
        (f"{path}.{inner}", reference)
        for path, item in objects(claim, "item")
        for inner, encounter in objects(item, "encounter")
        if (reference := text(encounter, "reference"))
    ]
    yield from (path for path, reference in found if reference != found[0][1])


def prior_claim_named(related: dict[str, Any]) -> Iterator[str]:
    """gwc-12."""
    if "prior" not in codes_in(related.get("relationship"), codes.RELATED_CLAIM):
        yield "relationship"
    if not (text(related.get("claim"), "reference") or text(related.get("reference"), "value")):
        yield "claim"


def _rendering(claim: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, member)
        for path, member in objects(claim, "careTeam")
        if "rendering" in codes_in(member.get("role"), codes.CARE_TEAM_ROLE)
    ]


def _repeated(found: Iterable[tuple[str, Hashable]]) -> Iterator[str]:
    """The paths of values that came before; None stands for a value of a wrong type and is passed over."""
    seen: set[Hashable] = set()
    for path, value in found:
        if value is not None and value in seen:
            yield path
        seen.add(value)


def _dangling(claim: dict[str, Any], pointer: str, target: str) -> Iterator[str]:
    """Numbers of the items' pointers that no entry of the target list has as its sequence."""
    known = {number(entry, "sequence") for _, entry in objects(claim, target)}
    for path, item in objects(claim, "item"):
        for i, sequence in enumerate(numbers(item, pointer)):
            if sequence is not None and sequence not in known:
                yield f"{path}.{pointer}[{i}]"
