"""An EHR's JSON made fit for mapping: nulls and empty members gone, code systems in their canonical spelling.

What no FHIR server may send stops here, so that everything after it meets only text and depth that it can carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.kit.ehr_element import SHAPE_FIX

DEEPEST = 100
"""Levels of JSON in one resource; real ones stay below thirty."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # R4 section 2.24.0.1: no string holds these
_TOO_DEEP = "this is nested more deeply than any FHIR resource"
_HOLDS_CONTROL = "this text holds a control character, which FHIR does not allow"
_NAMED_LEVELS = 10  # of a nesting without end the beginning is enough

CanonicalSystem = Callable[[str], str]


class _Unfit(Exception):
    """Something inside cannot be kept; where it is, is looked for only then."""


def pruned(resource: Any, canonical_system: CanonicalSystem) -> dict[str, Any]:
    """The resource without nulls and empty members; {} when it is no object.

    Raises `MappingError` for control characters in a text and for nesting that no resource needs.
    """
    if not isinstance(resource, dict):
        return {}
    try:
        return _object(resource, canonical_system, DEEPEST)
    except _Unfit:
        named = resource.get("resourceType")
        root = named if isinstance(named, str) and named.isalpha() else "Resource"
        steps, message = _fault(resource, DEEPEST) or ([], _TOO_DEEP)
        raise MappingError(f"{root}{''.join(steps[:_NAMED_LEVELS])}", message, SHAPE_FIX) from None


def _object(value: dict[str, Any], system: CanonicalSystem, deepest: int) -> dict[str, Any]:
    if not deepest:
        raise _Unfit
    kept: dict[str, Any] = {}
    for name, member in value.items():
        if isinstance(member, str):
            if _is_fit(member):
                kept[name] = member
        elif isinstance(member, dict):
            if held := _object(member, system, deepest - 1):
                kept[name] = held
        elif isinstance(member, list):
            if elements := _elements(member, system, deepest - 1):
                kept[name] = elements
        elif member is not None:
            kept[name] = member
    return _with_canonical_code(kept, system) if "system" in kept else kept


def _elements(value: list[Any], system: CanonicalSystem, deepest: int) -> list[Any]:
    if not deepest:
        raise _Unfit
    kept: list[Any] = []
    for element in value:
        if isinstance(element, dict):
            if held := _object(element, system, deepest - 1):
                kept.append(held)
        elif isinstance(element, str):
            if _is_fit(element):
                kept.append(element)
        elif isinstance(element, list):
            if elements := _elements(element, system, deepest - 1):
                kept.append(elements)
        elif element is not None:
            kept.append(element)
    return kept


def _is_fit(text: str) -> bool:
    """Whether a text is kept: an empty one is not; raises for one that FHIR does not allow."""
    if not text.isprintable() and _CONTROL.search(text):
        raise _Unfit
    return bool(text)


def _fault(value: Any, deepest: int) -> tuple[list[str], str] | None:
    """The steps to what cannot be kept, and what is wrong with it."""
    if isinstance(value, str):
        return ([], _HOLDS_CONTROL) if _CONTROL.search(value) else None
    if not isinstance(value, dict | list):
        return None
    if not deepest:
        return [], _TOO_DEEP
    for step, member in value.items() if isinstance(value, dict) else enumerate(value):
        if found := _fault(member, deepest - 1):
            return [_step(step), *found[0]], found[1]
    return None


def _step(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step if step.isidentifier() else '?'}"


def _with_canonical_code(value: dict[str, Any], canonical_system: CanonicalSystem) -> dict[str, Any]:
    """A coding or identifier with its system's canonical URI, and an ICD-10-CM code in canonical form."""
    system, code = value["system"], value.get("code")
    if not isinstance(system, str):
        return value
    canonical = {**value, "system": canonical_system(system.strip())}
    if isinstance(code, str):
        dotted = codes.icd10cm(code) if canonical["system"] == codes.ICD10CM else None
        canonical["code"] = dotted or code.strip()
    return canonical
