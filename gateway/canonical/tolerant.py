"""Readers that never raise: checks run on JSON that may be wrong in any way; wrong types are the schema's findings."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

ABSURD = Decimal("1E+30")
DEEPEST = 200  # the schema check refuses what is nested deeper


def objects(parent: object, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a member, each with its path below the parent: `("item[0]", {...})`, `("total", {...})`."""
    value = parent.get(name) if isinstance(parent, dict) else None
    if isinstance(value, dict):
        yield name, value
    elif isinstance(value, list):
        yield from ((f"{name}[{i}]", element) for i, element in enumerate(value) if isinstance(element, dict))


def first(parent: object, name: str) -> dict[str, Any]:
    """The first JSON object of a member, or an empty one."""
    return next((element for _, element in objects(parent, name)), {})


def text(parent: object, name: str) -> str | None:
    """A member that is a string with something in it besides blanks."""
    value = parent.get(name) if isinstance(parent, dict) else None
    return value if isinstance(value, str) and value.strip() else None


def number(parent: object, name: str) -> Decimal | None:
    """A finite JSON number as `Decimal`; a truth value is no number."""
    value = parent.get(name) if isinstance(parent, dict) else None
    return as_number(value)


def as_number(value: object) -> Decimal | None:
    """The value itself as `Decimal` when it is a finite JSON number, cut at `ABSURD` so that no sum can overflow."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    result = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not result.is_finite():
        return None
    return result if result.adjusted() < ABSURD.adjusted() else ABSURD.copy_sign(result)


def numbers(parent: object, name: str) -> list[Decimal | None]:
    """The elements of a list member as numbers, in place; anything else is an empty list."""
    value = parent.get(name) if isinstance(parent, dict) else None
    return [as_number(element) for element in value] if isinstance(value, list) else []


def codes_in(concept: object, *systems: str) -> list[str]:
    """The codes that a CodeableConcept has in any of the systems."""
    found = ((text(coding, "system"), text(coding, "code")) for _, coding in objects(concept, "coding"))
    return [code for system, code in found if code and system in systems]


def identifiers(resource: object, *systems: str) -> list[tuple[str, str]]:
    """(path, value) of the resource's identifiers in any of the systems."""
    found = ((path, text(i, "system"), text(i, "value")) for path, i in objects(resource, "identifier"))
    return [(path, value) for path, system, value in found if value and system in systems]


def references(value: object, expression: str = "") -> list[tuple[str, str]]:
    """(path of the Reference, its `reference` text) of every literal reference inside, in document order."""
    found: list[tuple[str, str]] = []
    _collect_references(value, expression, found, DEEPEST)
    return found


def _collect_references(value: object, expression: str, found: list[tuple[str, str]], depth: int) -> None:
    if depth == 0:
        return
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, dict | list):
                _collect_references(member, f"{expression}.{name}" if expression else name, found, depth - 1)
            elif name == "reference" and isinstance(member, str):
                found.append((expression, member))
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            if isinstance(entry, dict | list):
                _collect_references(entry, f"{expression}[{i}]", found, depth - 1)
