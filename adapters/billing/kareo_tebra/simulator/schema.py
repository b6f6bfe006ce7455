"""The schema of the simulated service: types whose members have a fixed order, written in a compact notation.

The same tables drive the parser, the replies and the WSDL, so the three cannot drift apart
(vendor document, sections 2 and 2.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

SLASH = "http://www.kareo.com/api/schemas/"
"""xsd0: operation elements, `request`, `RequestHeader` and almost every type."""

NO_SLASH = "http://www.kareo.com/api/schemas"
"""xsd7: `Fields`, `Filter` and the criteria of GetServiceLocations and GetProcedureCodes."""

_NOTATION = re.compile(r"(?P<name>\w+)(?::(?P<list>\[?)(?P<type>\w+)\]?)?(?P<required>!?)")


@dataclass(frozen=True, slots=True)
class Member:
    """One element of a sequence. A `many` member wraps elements that are named after their type."""

    name: str
    type_name: str
    many: bool
    required: bool
    namespace: str

    @property
    def tag(self) -> str:
        """The name in lxml's `{namespace}name` form."""
        return f"{{{self.namespace}}}{self.name}"


@dataclass(frozen=True, slots=True)
class Shape:
    """A complex type: the members of its base first, then its own, in the order of the wire."""

    name: str
    members: tuple[Member, ...]
    own: tuple[Member, ...]
    namespace: str
    base: str | None
    positions: dict[str, tuple[int, Member]] = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all members, in order."""
        return tuple(member.name for member in self.members)


class Schema:
    """The types by name, and the values of each enumeration by its name."""

    def __init__(self, enumerations: dict[str, tuple[str, ...]]) -> None:
        self.enumerations = enumerations
        self.shapes: dict[str, Shape] = {}

    def add(self, name: str, notation: str, *, base: str | None = None, namespace: str = SLASH) -> None:
        """Define a type from its members: `Name`, `Name:Type`, `Name:[ItemType]`, each with `!` when required.

        A member without a type is a string. A base has to be defined before the types that extend it.
        """
        own = tuple(_member(word, namespace) for word in notation.split())
        members = (*self.shapes[base].members, *own) if base else own
        positions = {member.tag: (position, member) for position, member in enumerate(members)}
        self.shapes[name] = Shape(name, members, own, namespace, base, positions)

    def array_items(self) -> list[str]:
        """The types that some member holds a list of, sorted."""
        return sorted({member.type_name for shape in self.shapes.values() for member in shape.own if member.many})


def notation_of(names: Iterable[str], type_name: str = "string") -> str:
    """The notation of members that all have one type, in ordinal order."""
    return " ".join(f"{name}:{type_name}" for name in sorted(names))


def _member(word: str, namespace: str) -> Member:
    match = _NOTATION.fullmatch(word)
    if match is None:
        raise ValueError(f"not the notation of a member: {word!r}")
    return Member(match["name"], match["type"] or "string", bool(match["list"]), bool(match["required"]), namespace)
