"""The data's charges in the way of the vendor that is played: Claims, ChargeItems, or nothing but coded Procedures.

Source: shared vendors generic_smart_fhir section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.kit.simulator_http import Resource

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"


@dataclass(frozen=True, slots=True)
class Line:
    """One charge, whatever held it; `reasons` are CodeableConcepts, `total` is the line's price."""

    id: str
    code: dict[str, Any]
    modifiers: tuple[dict[str, Any], ...]
    quantity: Decimal
    total: Decimal | None
    reasons: tuple[dict[str, Any], ...]
    when: str
    patient: dict[str, Any]
    encounter: dict[str, Any]


def charged_as(style: str, resources: Iterable[Resource]) -> list[Resource]:
    """The resources with every charge in one style: "claim", "charge_item" or "procedure"; "" leaves them alone."""
    held = list(resources)
    if not style:
        return held
    concepts = {f"Condition/{r.get('id')}": r.get("code", {}) for r in held if r["resourceType"] == "Condition"}
    kept = [resource for resource in held if resource["resourceType"] not in ("Claim", "ChargeItem")]
    lines = [line for resource in held for line in _lines(resource, concepts)]
    return [*kept, *_WRITERS[style](lines)]


def _lines(resource: Resource, concepts: Mapping[str, dict[str, Any]]) -> Iterator[Line]:
    if resource["resourceType"] == "ChargeItem" and resource.get("status") == "billable":
        yield _line_of_charge_item(resource)
    elif resource["resourceType"] == "Claim":
        for item in resource.get("item", []):
            yield _line_of_item(resource, item, concepts)


def _line_of_charge_item(resource: Resource) -> Line:
    first, *beside = resource["code"]["coding"]
    return Line(
        id=resource["id"],
        code=first,
        modifiers=tuple(beside),
        quantity=Decimal(resource.get("quantity", {}).get("value", 1)),
        total=resource.get("priceOverride", {}).get("value"),
        reasons=tuple(resource.get("reason", [])),
        when=resource.get("occurrenceDateTime", ""),
        patient=resource["subject"],
        encounter=resource["context"],
    )


def _line_of_item(claim: Resource, item: dict[str, Any], concepts: Mapping[str, dict[str, Any]]) -> Line:
    quantity = Decimal(item.get("quantity", {}).get("value", 1))
    price = item.get("unitPrice", {}).get("value")
    entries = {entry["sequence"]: entry for entry in claim.get("diagnosis", [])}
    pointed = [_concept(entries[number], concepts) for number in item.get("diagnosisSequence", []) if number in entries]
    return Line(
        id=f"{claim['id']}-{item['sequence']}",
        code=item["productOrService"]["coding"][0],
        modifiers=tuple(modifier["coding"][0] for modifier in item.get("modifier", [])),
        quantity=quantity,
        total=item.get("net", {}).get("value", None if price is None else price * quantity),
        reasons=tuple(pointed),
        when=item.get("servicedDate", "") or item.get("servicedPeriod", {}).get("start", ""),
        patient=claim["patient"],
        encounter=item.get("encounter", [{}])[0],
    )


def _concept(entry: dict[str, Any], concepts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The ICD-10-CM coding of a Claim.diagnosis alone: reasons are written by billing people."""
    named = entry.get("diagnosisReference", {}).get("reference", "")
    concept = entry.get("diagnosisCodeableConcept") or concepts.get(named, {})
    return {"coding": [coding for coding in concept.get("coding", []) if coding.get("system") == ICD10CM]}


def _charge_items(lines: Iterable[Line]) -> Iterator[Resource]:
    for line in lines:
        price = {} if line.total is None else {"priceOverride": {"value": line.total, "currency": "USD"}}
        yield {
            "resourceType": "ChargeItem",
            "id": line.id,
            "status": "billable",
            "code": {"coding": [line.code, *line.modifiers]},
            "subject": line.patient,
            "context": line.encounter,
            "occurrenceDateTime": line.when,
            "quantity": {"value": line.quantity},
            "reason": list(line.reasons),
            **price,
        }


def _procedures(lines: Iterable[Line]) -> Iterator[Resource]:
    """One for each unit is not how EHRs write: a Procedure has neither units nor a price."""
    for line in lines:
        yield {
            "resourceType": "Procedure",
            "id": line.id,
            "status": "completed",
            "code": {"coding": [line.code, *line.modifiers]},
            "subject": line.patient,
            "encounter": line.encounter,
            "performedDateTime": line.when,
            "reasonCode": list(line.reasons),
        }


def _claims(lines: Iterable[Line]) -> Iterator[Resource]:
    """One draft Claim for each encounter."""
    visits: dict[str, list[Line]] = {}
    for line in lines:
        visits.setdefault(line.encounter["reference"], []).append(line)
    for reference, own in visits.items():
        concepts = {concept["coding"][0]["code"]: concept for line in own for concept in line.reasons}
        numbers = {code: number for number, code in enumerate(concepts, start=1)}
        yield {
            "resourceType": "Claim",
            "id": f"claim-{reference.rpartition('/')[2]}",
            "status": "draft",
            "type": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]
            },
            "use": "claim",
            "patient": own[0].patient,
            "created": own[0].when[:10],
            "diagnosis": [
                {"sequence": numbers[code], "diagnosisCodeableConcept": concept} for code, concept in concepts.items()
            ],
            "item": [_item(number, line, numbers) for number, line in enumerate(own, start=1)],
        }


def _item(sequence: int, line: Line, numbers: Mapping[str, int]) -> dict[str, Any]:
    net = {} if line.total is None else {"net": {"value": line.total, "currency": "USD"}}
    return {
        "sequence": sequence,
        "diagnosisSequence": [numbers[concept["coding"][0]["code"]] for concept in line.reasons],
        "productOrService": {"coding": [line.code]},
        "modifier": [{"coding": [modifier]} for modifier in line.modifiers],
        "servicedDate": line.when[:10],
        "quantity": {"value": line.quantity},
        "encounter": [line.encounter],
        **net,
    }


_WRITERS: Mapping[str, Callable[[Iterable[Line]], Iterator[Resource]]] = {
    "claim": _claims,
    "charge_item": _charge_items,
    "procedure": _procedures,
}
