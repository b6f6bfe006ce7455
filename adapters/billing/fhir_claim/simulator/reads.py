"""What the server shows: its CapabilityStatement, single resources, and searches (fhir_rest sections 1, 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adapters.billing.fhir_claim.simulator.refused import Resource, refuse
from adapters.billing.fhir_claim.simulator.store import Store

READABLE = ("Claim", "ClaimResponse", "Coverage", "Organization", "Patient", "Practitioner")
_HL7 = "http://hl7.org/fhir"
_SEARCHES: Mapping[str, Sequence[tuple[str, str]]] = {
    "Claim": (("identifier", "token"),),
    "ClaimResponse": (("identifier", "token"), ("request", "reference")),
    "Patient": (("identifier", "token"),),
}


def statement(base: str, *, submit: bool) -> Resource:
    """GET /metadata; `submit`: whether the operation Claim/$submit is offered."""
    resources = [_about(kind) for kind in READABLE]
    if submit:
        resources[0]["operation"] = [{"name": "submit", "definition": f"{_HL7}/OperationDefinition/Claim-submit"}]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "implementation": {"description": "FHIR billing server (simulator)", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{"mode": "server", "resource": resources, "interaction": [{"code": "transaction"}]}],
    }


def _about(kind: str) -> Resource:
    interactions = [{"code": "read"}, {"code": "search-type"}]
    about: Resource = {"type": kind, "interaction": interactions, "conditionalCreate": True}
    parameters = [{"name": name, "type": type_} for name, type_ in _SEARCHES.get(kind, ())]
    return {**about, **({"searchParam": parameters} if parameters else {})}


def read(store: Store, kind: str, identity: str) -> Resource:
    """GET /Type/id."""
    found = store.get(kind, identity)
    if found is None:
        raise refuse(404, "not-found", f"{kind}/{identity} is not known.")
    return found


def search(store: Store, kind: str, parameters: Sequence[tuple[str, str]], base: str) -> Resource:
    """GET /Type?name=value: parameters are joined by AND; an unknown one is refused, as HAPI does."""
    offered = {name for name, _ in _SEARCHES.get(kind, ())}
    for name, _ in parameters:
        if name not in offered:
            raise refuse(400, "not-supported", f"Search parameter {name} is not known for {kind}.")
    filters: dict[str, Callable[[str], list[Resource]]] = {
        "identifier": lambda value: store.by_identifier(kind, value),
        "request": lambda value: _answers(store, value, base),
    }
    found = store.all(kind)
    for name, value in parameters:
        matching = [resource["id"] for resource in filters[name](value)]
        found = [resource for resource in found if resource["id"] in matching]
    entries = [
        {"fullUrl": f"{base}/{kind}/{r['id']}", "resource": r, "search": {"mode": "match"}} for r in reversed(found)
    ]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    return {
        **bundle,
        "link": [{"relation": "self", "url": f"{base}/{kind}"}],
        **({"entry": entries} if entries else {}),
    }


def _answers(store: Store, reference: str, base: str) -> list[Resource]:
    wanted = reference.removeprefix(f"{base}/")
    wanted = wanted if "/" in wanted else f"Claim/{wanted}"
    return [r for r in store.all("ClaimResponse") if r["request"]["reference"] == wanted]
