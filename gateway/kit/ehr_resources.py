"""Canonical resources out of an EHR's, by the row tables: rewritten ids and references, provenance, validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fhirkit

from gateway.canonical import codes, jsonio
from gateway.canonical.errors import MappingError
from gateway.canonical.models import Resource
from gateway.kit.ehr_clinic import completed
from gateway.kit.ehr_element import SHAPE_FIX, Element
from gateway.kit.ehr_rows import Link, ResourceMap
from gateway.kit.ehr_source import Known, Source

REQUIRED_MISSING = "required element missing"  # fhirkit's words for a cardinality that is not met


def canonical_resources(source: Source, maps: Mapping[str, ResourceMap]) -> dict[str, Resource]:
    """Every resource marked as used, and what those reference, by canonical reference and in the maps' type order."""
    built: dict[str, Resource] = {}
    while todo := [known for reference, known in source.used.items() if reference not in built]:
        for known in todo:
            built[known.reference] = _canonical(source, known, maps[known.resource_type])
    order = list(maps)
    return dict(sorted(built.items(), key=lambda item: order.index(item[1]["resourceType"])))


def validate(resource: Resource) -> None:
    """Raise `MappingError` for the first element that FHIR R4 does not allow; quotes no value."""
    for issue in fhirkit.validate(jsonio.dumps(resource)):
        if issue.severity != "error":
            continue
        if issue.message == REQUIRED_MISSING:
            raise MappingError(issue.path, "this element is missing, and FHIR R4 requires it", SHAPE_FIX)
        raise MappingError(issue.path, "this element is not valid FHIR R4", SHAPE_FIX)


def _canonical(source: Source, known: Known, table: ResourceMap) -> Resource:
    name = known.resource_type
    resource: Resource = {
        "resourceType": name,
        "id": known.reference.partition("/")[2],
        "meta": {
            "source": f"{source.base_url}/{known.vendor_reference}",
            "profile": [f"{codes.PROFILE_BASE}/gateway-{name.lower()}"],
        },
    }
    _map_rows(resource, table, known, source)
    for link in table.links:
        _relink(resource, link, known, source)
    return completed(resource, known, source.clinic)


def _map_rows(resource: Resource, table: ResourceMap, known: Known, source: Source) -> None:
    roots: dict[str, Any] = {known.resource_type: known.element.value}
    if known.resource_type == "Practitioner":
        roots["PractitionerRole"] = source.role_of(known)
    for row in table.rows:
        value = row.value(roots)
        if value is None:
            continue
        if row.target.endswith("[]"):
            resource.setdefault(row.target.removesuffix("[]"), []).append(value)
        else:
            resource[row.target] = value
    for repeated in table.lists:
        found = known.element.value.get(repeated.name)
        if found is not None:
            known.element.children(repeated.name)  # raises when it is not a list of objects
            resource[repeated.name] = [repeated.via(element) for element in found]


def _relink(resource: Resource, link: Link, known: Known, source: Source) -> None:
    """Rewrite the references at one place of the table, or drop those that lead nowhere."""
    outer, _, inner = link.path.partition(".")
    held = resource.get(outer)
    if isinstance(held, list):
        elements = [Element(value, f"{known.element.path}.{outer}[{i}]") for i, value in enumerate(held)]
        linked = [_linked_member(element, inner, link, known, source) for element in elements]
        held = [value for value in linked if value is not None]
    elif held is not None:
        parent = Element(known.element.value, known.element.path)
        held = _linked(parent.child(outer), link, known, source)
    if held:
        resource[outer] = held
        return
    resource.pop(outer, None)
    if link.required:
        raise MappingError(
            known.element.at(outer),
            f"does not lead to a {' or '.join(link.types)} that the EHR gives",
            "Complete this reference in the EHR, or grant this client the right to read what it names.",
        )


def _linked_member(element: Element, inner: str, link: Link, known: Known, source: Source) -> dict[str, Any] | None:
    """One element of a list: itself a reference, or an object with a reference in `inner`."""
    if not inner:
        return _linked(element, link, known, source)
    linked = _linked(element.child(inner), link, known, source)
    return None if linked is None else {**element.value, inner: linked}


def _linked(reference: Element | None, link: Link, known: Known, source: Source) -> dict[str, Any] | None:
    found = source.resolve(reference, known, mint=link.mint)
    if found is not None and found.resource_type == "PractitionerRole" and "Practitioner" in link.types:
        found = source.provider(reference, known)
    if found is None or found.resource_type not in link.types:
        return None
    return {"reference": source.use(found)}
