"""What an 837P table is made of: rows of the mapping, gathered into segments that write themselves. Pure.

A table is a tuple of segments in the guide's order. A segment has fixed elements (its template) and rows; it is written
when a row found a value, and always when it has a required row or none at all. A row's target names loop, segment and
element ("2010BA NM109", "2400 SV101-2"); the acknowledgments name the same place, so the rows lead back to the
FHIR element too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.billing.x12_837p.places import PLACES
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.kit.encoders import x12
from gateway.kit.mapping import Row

_ELEMENT = re.compile(r"(\d\d)(?:-(\d))?")
_QUALIFIED = frozenset({"REF", "DTP", "AMT"})  # several of a name in one loop: the row's target tells them apart
SHORTEN = "Shorten it where it comes from, or enter this claim in the billing system by hand."


class Unfit(ValueError):
    """A value that X12 cannot take: a sentence and a remedy, never the value."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message, self.fix = message, fix


@dataclass(frozen=True, slots=True)
class Element(Row):
    """A row whose value may have at most `longest` characters; a longer one is refused, never cut."""

    longest: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The roots that the rows of a loop read, and which of several elements they are of, for messages.

    `general` is the path of such elements ("Claim.item") and `own` that of the one at hand ("Claim.item[2]").
    """

    roots: Mapping[str, Any]
    general: str = ""
    own: str = ""

    def expression(self, source: str) -> str:
        """The FHIRPath of a row's source."""
        found = expression(source)
        return self.own + found.removeprefix(self.general) if self.own and found.startswith(self.general) else found


def expression(source: str) -> str:
    """A row's source with its root replaced by the root's place in the claim."""
    root, _, rest = source.split(" | ", maxsplit=1)[0].partition(".")
    name, bracket, index = root.partition("[")
    place = PLACES.get(name, name) + bracket + index
    return f"{place}.{rest}" if rest else place


@dataclass(frozen=True, slots=True)
class SegmentMap:
    """A segment: its fixed elements, and its rows as (element, component or 0, row, the row's only root)."""

    template: tuple[str, ...]
    rows: tuple[tuple[int, int, Element, str], ...]
    always: bool

    def write(self, scope: Scope) -> str:
        """The segment with its terminator, or nothing when no row has a value.

        Raises `MappingError` for what is missing and `UnsupportedElement` for what does not fit.
        """
        elements, found = list(self.template), self.always
        roots = scope.roots
        for position, component, row, root in self.rows:
            if root and not row.required and roots.get(root) is None:
                continue  # what the claim lacks as a whole needs no look at its parts
            value = element_value(row, scope)
            if value:
                found = True
                elements[position] = _placed(elements[position], component, value) if component else value
        return x12.segment(elements) if found else ""


def _placed(element: str, component: int, value: str) -> str:
    parts = element.split(x12.COMPONENT)
    parts.extend([""] * (component - len(parts)))
    parts[component - 1] = value
    return x12.composite(parts)


def element_value(row: Element, scope: Scope) -> Any:
    """A row's value, checked against its length; refusals name the element's place in the claim."""
    try:
        value = row.value(scope.roots)
    except MappingError as problem:
        found = problem.findings[0]
        raise MappingError(scope.expression(row.source), found.message, found.fix) from None
    except x12.NotInCharacterSet as problem:
        raise UnsupportedElement(scope.expression(row.source), f"X12 cannot carry this: {problem}", SPELL) from None
    except Unfit as problem:
        raise MappingError(scope.expression(row.source), problem.message, problem.fix) from None
    if row.longest and value and len(value) > row.longest:
        text = f"X12 carries at most {row.longest} characters here ({row.target})"
        raise UnsupportedElement(scope.expression(row.source), text, SHORTEN)
    return value


SPELL = "Spell it with letters A to Z, digits and common punctuation."


def seg(loop: str, template: str, *rows: tuple[str, Element]) -> SegmentMap:
    """A segment of a loop; `template` is its fixed elements ("NM1*IL*1*****MI"), `rows` are (element, row) pairs."""
    elements = template.split(x12.ELEMENT)
    qualifier = f" ({elements[1]})" if elements[0] in _QUALIFIED else ""
    placed = []
    for target, row in rows:
        match = _ELEMENT.fullmatch(target)
        assert match is not None, target
        position, component = int(match[1]), int(match[2] or 0)
        named = Element(
            f"{loop} {elements[0]}{target}{qualifier}",
            row.source,
            row.via,
            row.required,
            row.note,
            row.fix,
            row.longest,
        )
        root = "" if " | " in row.source else row.source.partition(".")[0].partition("[")[0]
        placed.append((position, component, named, root))
        elements.extend([""] * (position + 1 - len(elements)))
    always = not rows or any(row.required for _, row in rows)
    return SegmentMap(tuple(elements), tuple(placed), always)


def write(loop: Iterable[SegmentMap], scope: Scope) -> str:
    """The segments of a loop, in order."""
    return "".join([segment.write(scope) for segment in loop])


def rows_of(*loops: Iterable[SegmentMap]) -> tuple[Element, ...]:
    """The rows of some loops, in order, for the mapping document."""
    return tuple(row for loop in loops for segment in loop for _, _, row, _ in segment.rows)
