"""How the kinds of search parameters take values from a resource, read an operand, and match (R4 search, 3.1.1.4)."""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.kit.fhir_simulator.parameters import Parameter
from gateway.kit.simulator_http import Resource

Range = tuple[float, float]
_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.+)", re.DOTALL)
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?(T.*)?", re.DOTALL)
_FRACTION = re.compile(r"\.(\d+)")


class BadValue(ValueError):
    """The value of a search parameter cannot be read."""


def walk(value: Any, path: str) -> Iterator[Any]:
    """The elements at a dotted path, repeating elements flattened."""
    head, _, rest = path.partition(".")
    found = value.get(head) if isinstance(value, dict) else None
    for item in found if isinstance(found, list) else [found]:
        if item is None:
            continue
        if rest:
            yield from walk(item, rest)
        else:
            yield item


def date_range(text: str) -> Range:
    """The half-open range [start, end) in epoch seconds that a date or dateTime covers; UTC when it has no zone."""
    parts = _DATE.fullmatch(text.strip().replace(" ", "+"))
    if parts is None:
        raise BadValue("not a FHIR date")
    year, month, day, time = parts.groups()
    try:
        if time:
            return _instant_range(parts.string)
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        return start.timestamp(), _end(start, month, day)
    except (ValueError, OverflowError):
        raise BadValue("not a FHIR date") from None


def _end(start: datetime, month: str | None, day: str | None) -> float:
    days = 1 if day else calendar.monthrange(start.year, start.month)[1] if month else 365 + calendar.isleap(start.year)
    return start.timestamp() + days * 86400


def _instant_range(text: str) -> Range:
    moment = datetime.fromisoformat(text)
    start = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    fraction = _FRACTION.search(text)
    width = 10.0 ** -len(fraction[1]) if fraction else 1.0 if text.count(":", 0, 19) > 1 else 60.0
    return start, start + width


def _dates(element: Any) -> Iterator[Range]:
    try:
        if isinstance(element, dict):
            start, end = element.get("start"), element.get("end")
            yield (date_range(start)[0] if start else -math.inf), (date_range(end)[1] if end else math.inf)
        else:
            yield date_range(str(element))
    except BadValue:
        return  # a resource that is not valid FHIR has no value here, and is still served


def _instants(element: Any) -> Iterator[Range]:
    for start, _ in _dates(element):
        yield start, start


def _date_operand(text: str) -> tuple[str, Range]:
    parts = _PREFIX.fullmatch(text)
    if parts is None:
        raise BadValue("not a FHIR date")
    return parts[1] or "eq", date_range(parts[2])


def _contains(search: Range, value: Range) -> bool:
    return search[0] <= value[0] and value[1] <= search[1]


_COMPARE: dict[str, Callable[[Range, Range], bool]] = {
    "eq": _contains,
    "ne": lambda search, value: not _contains(search, value),
    "gt": lambda search, value: value[1] > search[1] or value[0] >= search[1],
    "lt": lambda search, value: value[0] < search[0],
    "ge": lambda search, value: value[1] > search[1] or value[0] >= search[1] or _contains(search, value),
    "le": lambda search, value: value[0] < search[0] or _contains(search, value),
    "sa": lambda search, value: value[0] >= search[1],
    "eb": lambda search, value: value[1] <= search[0],
    "ap": lambda search, value: value[0] < search[1] and search[0] < value[1],
}


def _match_date(value: Range, operand: tuple[str, Range]) -> bool:
    prefix, search = operand
    return _COMPARE[prefix](search, value)


def _tokens(element: Any) -> Iterator[tuple[str | None, str]]:
    """(system, code) pairs; the system is "*" for a code element, whose system is fixed by its binding."""
    if isinstance(element, bool):
        yield "*", "true" if element else "false"
    elif isinstance(element, str):
        yield "*", element
    elif isinstance(element, dict) and "coding" in element:
        for coding in walk(element, "coding"):
            yield from _tokens(coding)
    elif isinstance(element, dict):
        code = element.get("code", element.get("value"))
        if isinstance(code, str):
            yield element.get("system"), code


def _token_operand(text: str) -> tuple[str | None, str]:
    system, bar, code = text.rpartition("|")
    return (system if bar else None), code


def _match_token(value: tuple[str | None, str], operand: tuple[str | None, str]) -> bool:
    system, code = operand
    same_system = system is None or value[0] == "*" or (value[0] or "") == system
    return same_system and code in ("", value[1])


def _strings(element: Any) -> Iterator[str]:
    if isinstance(element, str):
        yield element
    elif isinstance(element, dict):
        for name, part in element.items():
            if name not in ("use", "type", "period"):
                yield from _strings(part)
    elif isinstance(element, list):
        for part in element:
            yield from _strings(part)


def _references(element: Any) -> Iterator[str]:
    """Both forms in which a search may name the target: Type/id and id."""
    text = element.get("reference") if isinstance(element, dict) else None
    if isinstance(text, str) and "/" in text and "://" not in text:
        target = text.partition("/_history/")[0]
        yield target
        yield target.partition("/")[2]


def _uris(element: Any) -> Iterator[str]:
    if isinstance(element, str):
        yield element


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of parameter works."""

    extract: Callable[[Any], Iterator[Any]]
    operand: Callable[[str], Any]
    matches: Callable[[Any, Any], bool]


def _same(value: Any, operand: Any) -> bool:
    return bool(value == operand)


KINDS = {
    "date": Kind(_dates, _date_operand, _match_date),
    "instant": Kind(_instants, _date_operand, _match_date),
    "token": Kind(_tokens, _token_operand, _match_token),
    "string": Kind(_strings, str.casefold, lambda value, operand: value.casefold().startswith(operand)),
    "reference": Kind(_references, str, _same),
    "uri": Kind(_uris, str, _same),
}


def values_of(resource: Resource, parameter: Parameter) -> list[Any]:
    """What a resource holds for a parameter, in the comparable form of the parameter's kind."""
    extract = KINDS[parameter.kind].extract
    found: list[Any] = []
    for path, target in parameter.paths:
        for element in walk(resource, path):
            values = list(extract(element))
            if not target or (values and values[0].startswith(f"{target}/")):
                found.extend(values)
    return found


def now_instant() -> str:
    """The current time as a FHIR instant with milliseconds, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
