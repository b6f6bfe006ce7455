"""Declarative mapping: a row is both the code that maps a field and the line that the mapping document prints.

A row's source is a small path over named roots, a subset of FHIRPath with the same meaning:

    Claim.total.value                      members; a list gives its first element that goes on
    item.modifier[1].coding.code           an index picks one element
    Patient.identifier.where(system='http://hl7.org/fhir/sid/us-npi').value
    Coverage.subscriberId | Coverage.identifier.value          the first alternative that is there
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.canonical.errors import MappingError

_STEP = re.compile(r"(?P<name>\w+)(?:\[(?P<index>\d+)\])?(?:\.where\((?P<key>[\w.]+)='(?P<value>[^']*)'\))?")


def same(value: Any) -> Any:
    """The value as it is."""
    return value


@dataclass(frozen=True, slots=True)
class Row:
    """One mapped field: `target` receives `via(value at source)`; an absent value is left out unless required."""

    target: str
    source: str
    via: Callable[[Any], Any] = same
    required: bool = False
    note: str = ""
    fix: str = ""

    def value(self, roots: Mapping[str, Any]) -> Any:
        """The transformed value, or None when there is none; raises `MappingError` when it is required."""
        found = first(self.source, roots)
        result = None if found is None else self.via(found)
        if self.required and (result is None or result == ""):
            message = self.note or "this element is needed for a claim and is missing"
            raise MappingError(self.source.split(" | ", maxsplit=1)[0], message, self.fix)
        return result


def apply(rows: Iterable[Row], roots: Mapping[str, Any]) -> dict[str, Any]:
    """Target name to value, in row order, absent values left out."""
    mapped = ((row.target, row.value(roots)) for row in rows)
    return {target: value for target, value in mapped if value is not None}


def first(path: str, roots: Mapping[str, Any]) -> Any:
    """The first value that a path (or one of its alternatives) finds, else None."""
    for root, steps in _compiled(path):
        value = roots.get(root[0])
        found = None if value is None else _walk(value, steps, root)
        if found is not None and found not in ("", [], {}):
            return found
    return None


_Step = tuple[str, int | None, tuple[str, ...] | None, str]


@lru_cache(maxsize=4096)
def _compiled(path: str) -> tuple[tuple[_Step, tuple[_Step, ...]], ...]:
    """Each alternative as its root and the steps from there."""
    alternatives = [_steps(alternative.strip()) for alternative in path.split(" | ")]
    return tuple((steps[0], steps[1:]) for steps in alternatives)


def _steps(path: str) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"not a mapping path: {path}")
        index = match["index"]
        key = tuple(match["key"].split(".")) if match["key"] else None
        steps.append((match["name"], int(index) if index else None, key, match["value"] or ""))
        position = match.end() + 1
    return tuple(steps)


def _walk(value: Any, steps: tuple[_Step, ...], arrived_by: _Step) -> Any:
    """What the steps lead to. Only a list of several elements is walked by itself: most lists hold one."""
    position = 0
    while True:
        _, index, key, wanted = arrived_by
        if isinstance(value, list):
            kept = value if key is None else [v for v in value if _matches(v, key, wanted)]
            kept = kept if index is None else kept[index : index + 1]
            if len(kept) != 1:
                walked = (_walk(element, steps[position:], _ARRIVED) for element in kept)
                return next((found for found in walked if found is not None), None)
            value, arrived_by = kept[0], _ARRIVED
            continue
        if index or value is None or (key is not None and not _matches(value, key, wanted)):
            return None
        if position == len(steps):
            return value
        if not isinstance(value, dict):
            return None
        arrived_by = steps[position]
        value, position = value.get(arrived_by[0]), position + 1


_ARRIVED: _Step = ("", None, None, "")


def _matches(value: Any, key: tuple[str, ...], wanted: str) -> bool:
    if isinstance(value, list):
        return any(_matches(element, key, wanted) for element in value)
    if not key:
        return bool(value == wanted)
    return isinstance(value, dict) and _matches(value.get(key[0]), key[1:], wanted)
