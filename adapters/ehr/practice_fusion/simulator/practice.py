"""A clinic day as Practice Fusion's FHIR facade shows it: no charges, no Location, payers and places by name only.

Source: vendors practice_fusion sections 2 (types on offer), 3 and 5 (payloads).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import Resource

SCOPED = (
    *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport"),
    *("DocumentReference", "Encounter", "Goal", "Immunization", "MedicationDispense", "MedicationRequest"),
    *("Observation", "Organization", "Patient", "Practitioner", "Procedure", "Provenance", "RelatedPerson"),
    *("ServiceRequest", "Specimen"),
)
"""The 22 types of which a scope may be asked for (section 2)."""
SERVED = frozenset({*SCOPED, "ExplanationOfBenefit", "Group"})
"""The types with an endpoint; any other path is unrouted."""
RECORD_NUMBERS = "https://practicefusion-prod.medicasoft.us/PF"
_RENDERING = frozenset({"PPRF", "ATND"})


def as_served(resources: Iterable[Resource]) -> Iterator[Resource]:
    """The resources that the facade has, in its form."""
    held = {f"{r['resourceType']}/{r['id']}": r for r in resources}
    for resource in held.values():
        if resource["resourceType"] in SERVED:
            form = _FORMS.get(resource["resourceType"])
            yield form(resource, held) if form else resource


def record_number(patient: Resource) -> str:
    """Two letters and six digits (section 5), stable per patient."""
    if own := codes.identifier(patient, RECORD_NUMBERS):
        return own
    own = next((i.get("value", "") for i in patient.get("identifier", ())), "") or patient["id"]
    return f"AB{int(re.sub(r'[^0-9]', '', own) or 0) % 10**6:06d}"


def known_locations(data: Any) -> dict[str, dict[str, Any]]:
    """What the clinic writes into gateway.yaml of its places, as the facade tells their names alone."""
    places = [r for r in data or () if isinstance(r, dict) and r.get("resourceType") == "Location"]
    return {place["name"]: _known(place) for place in places if place.get("name")}


def _known(place: Resource) -> dict[str, Any]:
    kinds = (c for concept in place.get("type", ()) for c in codes.codings(concept))
    known = {
        "place_of_service": next((c["code"] for c in kinds if c.get("system") == codes.POS), ""),
        "npi": codes.identifier(place, codes.NPI),
        "name": place["name"],
        "address": place.get("address"),
    }
    return {name: value for name, value in known.items() if value}


def _patient(patient: Resource, _: Mapping[str, Resource]) -> Resource:
    number = {
        "type": codes.concept(codes.IDENTIFIER_TYPE, "MR"),
        "system": RECORD_NUMBERS,
        "value": record_number(patient),
    }
    return {**patient, "identifier": [number]}


def _encounter(encounter: Resource, held: Mapping[str, Resource]) -> Resource:
    """Whoever saw the patient is the one participant, without a type; the place has a name and no resource."""
    seen_by = [p["individual"] for p in encounter.get("participant", ()) if _kinds(p) & _RENDERING or not _kinds(p)]
    kept = {name: value for name, value in encounter.items() if name not in ("diagnosis", "location", "participant")}
    places = [{"location": {"display": name}} for name in _places(encounter, held)]
    return {
        **kept,
        **({"participant": [{"individual": who} for who in seen_by]} if seen_by else {}),
        **({"location": places} if places else {}),
    }


def _kinds(participant: Mapping[str, Any]) -> set[str]:
    return {c["code"] for concept in participant.get("type", ()) for c in concept.get("coding", ())}


def _places(encounter: Resource, held: Mapping[str, Resource]) -> list[str]:
    named = (entry["location"] for entry in encounter.get("location", ()))
    found = (r.get("display") or held.get(r.get("reference", ""), {}).get("name") for r in named)
    return [name for name in found if name]


def _coverage(coverage: Resource, held: Mapping[str, Resource]) -> Resource:
    payers = (p.get("display") or held.get(p.get("reference", ""), {}).get("name") for p in coverage.get("payor", ()))
    return {**coverage, "payor": [{"display": name} for name in payers if name]}


_FORMS: Mapping[str, Callable[[Resource, Mapping[str, Resource]], Resource]] = {
    "Patient": _patient,
    "Encounter": _encounter,
    "Coverage": _coverage,
}
