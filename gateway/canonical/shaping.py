"""Making FHIR JSON of rows: a row's target is a path in the resource that is made.

name[0].family       a member of the first element of a list
class.code           a member of an object
given[]              one more element of a list, for each row that has it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.canonical.mapping import Row, apply
from gateway.canonical.models import Resource

_STEP = re.compile(r"(\w+)(?:\[(\d*)\])?")


def shaped(rows: Iterable[Row], roots: Mapping[str, Any]) -> dict[str, Any]:
    """The object that rows make of vendor objects; what a row has no value for is absent, empty parts are left out."""
    made: dict[str, Any] = {}
    for target, value in _applied(rows, roots):
        if value not in ("", [], {}):
            _put(made, target, value)
    return made


def resource(resource_type: str, vendor_id: object, rows: Iterable[Row], roots: Mapping[str, Any]) -> Resource:
    """A FHIR resource with an id, made by rows."""
    return {"resourceType": resource_type, "id": str(vendor_id), **shaped(rows, roots)}


def _applied(rows: Iterable[Row], roots: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Targets may repeat ("given[]"), so each row is applied by itself."""
    for row in rows:
        yield from apply((row,), roots).items()


def _put(made: dict[str, Any], target: str, value: Any) -> None:
    steps = [(match[1], match[2]) for match in _STEP.finditer(target)]
    place = made
    for name, index in steps[:-1]:
        place = place.setdefault(name, {}) if index is None else _element(place, name, index)
    name, index = steps[-1]
    if index is None:
        place[name] = value
    else:
        place.setdefault(name, []).append(value)


def _element(place: dict[str, Any], name: str, index: str) -> dict[str, Any]:
    """The object at an index of a list, which is made as long as it must be; `[]` is a new one."""
    held: list[dict[str, Any]] = place.setdefault(name, [])
    wanted = int(index) if index else len(held)
    while len(held) <= wanted:
        held.append({})
    return held[wanted]
