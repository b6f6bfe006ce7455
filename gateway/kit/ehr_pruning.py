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
_EMPTY: tuple[Any, ...] = (None, "", [], {})

CanonicalSystem = Callable[[str], str]


class _Unfit(Exception):
    """Something inside cannot be kept; `steps` lead to it, the innermost first."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message, self.steps = message, list[str]()


def pruned(resource: Any, canonical_system: CanonicalSystem) -> dict[str, Any]:
    """The resource without nulls and empty members; {} when it is no object.

    Raises `MappingError` for control characters in a text and for nesting that no resource needs.
    """
    try:
        kept = _kept(resource, canonical_system, DEEPEST)
    except _Unfit as unfit:
        named = resource.get("resourceType") if isinstance(resource, dict) else None
        root = named if isinstance(named, str) and named.isalpha() else "Resource"
        raise MappingError(f"{root}{''.join(reversed(unfit.steps))}", unfit.message, SHAPE_FIX) from None
    return kept if isinstance(kept, dict) else {}


def _kept(value: Any, system: CanonicalSystem, deepest: int) -> Any:
    if isinstance(value, str):
        if not value.isprintable() and _CONTROL.search(value):
            raise _Unfit("this text holds a control character, which FHIR does not allow")
        return value
    if not isinstance(value, dict | list):
        return value
    if not deepest:
        raise _Unfit("this is nested more deeply than any FHIR resource")
    if isinstance(value, list):
        members = [_member(i, member, system, deepest) for i, member in enumerate(value)]
        return [member for member in members if member not in _EMPTY]
    kept = {name: _member(name, member, system, deepest) for name, member in value.items()}
    return _with_canonical_code({name: member for name, member in kept.items() if member not in _EMPTY}, system)


def _member(step: str | int, value: Any, system: CanonicalSystem, deepest: int) -> Any:
    try:
        return _kept(value, system, deepest - 1)
    except _Unfit as unfit:
        if deepest > DEEPEST - 10:  # of a nesting without end the beginning is enough
            unfit.steps.append(f"[{step}]" if isinstance(step, int) else f".{step if step.isidentifier() else '?'}")
        raise


def _with_canonical_code(value: dict[str, Any], canonical_system: CanonicalSystem) -> dict[str, Any]:
    """A coding or identifier with its system's canonical URI, and an ICD-10-CM code in canonical form."""
    system, code = value.get("system"), value.get("code")
    if not isinstance(system, str):
        return value
    canonical = {**value, "system": canonical_system(system.strip())}
    if isinstance(code, str):
        dotted = codes.icd10cm(code) if canonical["system"] == codes.ICD10CM else None
        canonical["code"] = dotted or code.strip()
    return canonical
