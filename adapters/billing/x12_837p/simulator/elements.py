"""Checking a segment's elements against its rule; errors are IK403 codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from adapters.billing.x12_837p.simulator.envelope import Delimiters, Segment
from adapters.billing.x12_837p.simulator.grammar import Element, SegmentRule
from adapters.billing.x12_837p.simulator.guide import ELEMENT_NUMBERS

_EXTENDED = re.compile(r"[A-Za-z0-9!\"&'()*+,\-./:;?= %~@\[\]_{}\\|<>#$^`]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)?(?:\.\d*[1-9])?")
_SHOWN = 99


@dataclass(frozen=True, slots=True)
class ElementError:
    """One IK4: the element's place, its component's, the data element number, the code, the bad value."""

    place: int
    component: int
    number: int | None
    code: str
    value: str = ""

    @classmethod
    def of(cls, segment: Segment, place: int, code: str, component: int = 0, value: str | None = None) -> ElementError:
        """The error with the data element number of its place; values are cut at 99 characters."""
        numbers = ELEMENT_NUMBERS.get(segment.id, ())
        number = numbers[place - 1] if place <= len(numbers) else None
        return cls(place, component, number, code, (segment[place] if value is None else value)[:_SHOWN])


def matches(rule: SegmentRule, segment: Segment, delimiters: Delimiters) -> bool:
    """Whether the segment is this use: the same id, and the codes that tell uses apart."""
    if rule.id != segment.id:
        return False
    for place, element in enumerate(rule.elements, start=1):
        if not element.tells_apart:
            continue
        codes = element.parts[0].codes if element.parts else element.codes
        if segment[place].split(delimiters.component)[0] not in codes:
            return False
    return True


def element_errors(rule: SegmentRule, segment: Segment, delimiters: Delimiters) -> list[ElementError]:
    """Everything that is wrong with a segment's elements."""
    found = [error for place, e in enumerate(rule.elements, 1) for error in _checked(segment, place, e, delimiters)]
    if len(segment.elements) > len(rule.elements) and not rule.open_ended:
        found.append(ElementError.of(segment, len(rule.elements) + 1, "3"))
    elif segment.elements and not segment.elements[-1]:
        found.append(ElementError.of(segment, len(segment.elements), "3"))
    return found + [error for relation in rule.relations for error in _related(segment, relation)]


def _checked(segment: Segment, place: int, element: Element, delimiters: Delimiters) -> Iterator[ElementError]:
    value = segment[place]
    if element.parts and value:
        yield from _composite(segment, place, element, value.split(delimiters.component))
        return
    before = segment[place - 1]
    code = _fault(element, value, before)
    if code:
        yield ElementError.of(segment, place, code)


def _composite(segment: Segment, place: int, element: Element, values: list[str]) -> Iterator[ElementError]:
    if len(values) > len(element.parts):
        yield ElementError.of(segment, place, "3", len(element.parts) + 1, values[len(element.parts)])
    for number, part in enumerate(element.parts, start=1):
        value = values[number - 1] if number <= len(values) else ""
        code = _fault(part, value, "")
        if code:
            yield ElementError.of(segment, place, code, number, value)


def _fault(element: Element, value: str, before: str) -> str:
    """The IK403 code of one value, or an empty text."""
    if not value:
        return "1" if element.required else ""
    if not element.used:
        return "I10"
    if not _EXTENDED.fullmatch(value):
        return "6"
    if element.codes:
        return "" if value in element.codes else "7"
    return _KINDS[element.kind](element, value, before)


def _text(element: Element, value: str, before: str) -> str:
    if len(value) > element.longest:
        return "5"
    if len(value) < element.shortest:
        return "4"
    return "6" if value != value.strip() else ""


def _digits(element: Element, value: str, before: str) -> str:
    return "6" if not value.isdigit() else "5" if len(value) > element.longest else ""


def _number(element: Element, value: str, before: str) -> str:
    if not _NUMBER.fullmatch(value) or not re.search(r"\d", value):
        return "6"
    return "5" if len(value.strip("-").replace(".", "")) > element.longest else ""


def _date(element: Element, value: str, before: str) -> str:
    try:
        datetime.strptime(value, "%Y%m%d")  # noqa: DTZ007  (a date of service has no zone)
    except ValueError:
        return "8"
    return "" if len(value) == 8 else "8"


def _time(element: Element, value: str, before: str) -> str:
    return "" if re.fullmatch(r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?", value) else "9"


def _when(element: Element, value: str, before: str) -> str:
    parts = value.split("-") if before == "RD8" else [value]
    if len(parts) != (2 if before == "RD8" else 1) or any(_date(element, part, "") for part in parts):
        return "8"
    return "8" if parts != sorted(parts) else ""


_KINDS = {"an": _text, "n": _digits, "r": _number, "date": _date, "time": _time, "when": _when}


def _related(segment: Segment, relation: str) -> Iterator[ElementError]:
    """P0809: both or none."""
    first, second = int(relation[1:3]), int(relation[3:5])
    for here, there in ((first, second), (second, first)):
        if segment[here] and not segment[there]:
            yield ElementError.of(segment, there, "2")
