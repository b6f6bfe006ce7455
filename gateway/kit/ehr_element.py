"""Reading elements out of FHIR JSON that somebody else wrote.

An `Element` knows its FHIRPath. An absent element reads as None or as an empty list; an element of the wrong shape
raises `MappingError` at its path, so nothing is silently dropped and no other exception escapes a mapper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import MINYEAR, UTC, date, datetime
from decimal import Decimal
from typing import Any

from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError

SHAPE_FIX = "The EHR sends this element in a form that FHIR R4 does not allow; ask the EHR's support to correct it."

_SMALLEST = -12  # as a power of ten


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON object of a resource, at `path`."""

    value: Mapping[str, Any]
    path: str

    def at(self, name: str) -> str:
        """The FHIRPath of a member."""
        return f"{self.path}.{name}"

    def text(self, name: str) -> str | None:
        """A string member without surrounding blanks; an empty one counts as absent."""
        found = self.value.get(name)
        if found is None:
            return None
        if not isinstance(found, str):
            raise wrong_shape(self.at(name), "text")
        return found.strip() or None

    def number(self, name: str, below: int = 10**9) -> Decimal | None:
        """A number member exactly as written; one of `below` or more, in size, is not believed."""
        found = self.value.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | Decimal) or not Decimal(found).is_finite():
            raise wrong_shape(self.at(name), "a number")
        number = Decimal(found)
        if not is_believable(number, below):
            raise MappingError(
                self.at(name), "this number is larger or smaller than a claim can hold", "Correct it in the EHR."
            )
        return number

    def integer(self, name: str) -> int | None:
        """A whole number member."""
        found = self.value.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int):
            raise wrong_shape(self.at(name), "a whole number")
        return found

    def flag(self, name: str) -> bool:
        """A boolean member; absent is false."""
        found = self.value.get(name)
        if found is not None and not isinstance(found, bool):
            raise wrong_shape(self.at(name), "true or false")
        return bool(found)

    def child(self, name: str) -> Element | None:
        """An object member."""
        found = self.value.get(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise wrong_shape(self.at(name), "an object")
        return Element(found, self.at(name))

    def children(self, name: str) -> list[Element]:
        """The objects of a repeating member; nulls in it are skipped."""
        return [
            Element(found, f"{self.at(name)}[{i}]")
            for i, found in enumerate(self._list(name))
            if found is not None and _is(found, dict, f"{self.at(name)}[{i}]", "an object")
        ]

    def texts(self, name: str) -> list[str]:
        """The strings of a repeating member; empty ones are skipped."""
        return [
            found.strip()
            for i, found in enumerate(self._list(name))
            if found is not None and _is(found, str, f"{self.at(name)}[{i}]", "text") and found.strip()
        ]

    def integers(self, name: str) -> list[int]:
        """The whole numbers of a repeating member."""
        found = self._list(name)
        if any(isinstance(n, bool) or not isinstance(n, int) for n in found):
            raise wrong_shape(self.at(name), "whole numbers")
        return found

    def _list(self, name: str) -> list[Any]:
        found = self.value.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise wrong_shape(self.at(name), "a list")
        return found


def is_believable(number: Decimal, below: int = 10**9) -> bool:
    """Whether a claim can reckon with a number: finite, smaller than `below` in size, 0 or not next to nothing.

    It compares and does not reckon itself: already the absolute value of 1E+999999999 overflows.
    """
    return number.is_finite() and -below < number < below and (not number or number.adjusted() >= _SMALLEST)


def wrong_shape(path: str, wanted: str) -> MappingError:
    """The error for an element whose JSON type is not the one that FHIR R4 gives it."""
    return MappingError(path, f"this is not {wanted}, as FHIR R4 asks", SHAPE_FIX)


def _is(found: Any, kind: type, path: str, wanted: str) -> bool:
    if not isinstance(found, kind):
        raise wrong_shape(path, wanted)
    return True


def codings(parent: Element, name: str) -> Iterator[Element]:
    """The codings of a CodeableConcept member."""
    concept = parent.child(name)
    if concept is not None:
        yield from concept.children("coding")


def code_values(concept: Element) -> set[str]:
    """All codes of a CodeableConcept, whatever their system, in lower case."""
    return {code.lower() for coding in concept.children("coding") if (code := coding.text("code"))}


def instant(text: str, path: str) -> datetime:
    """A FHIR instant, or a dateTime with time and zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise wrong_shape(path, "a date and time") from None
    if parsed.tzinfo is None:
        raise MappingError(path, "this time has no time zone, so its date at the clinic is unknown", SHAPE_FIX)
    return parsed


def parsed_instant(value: Any) -> datetime | None:
    """A JSON value as an instant with a zone, or None when it is not one.

    Nor is one of the year 1, which stands for "none" in some systems and has no local time in half of the world.
    """
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
        is_instant = parsed is not None and parsed.tzinfo is not None and parsed.astimezone(UTC).year > MINYEAR
    except (ValueError, OverflowError):
        return None
    return parsed if is_instant else None


def calendar_date(value: Any) -> date | None:
    """The date that a JSON value begins with, as it is written, or None."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def service_date(parent: Element, name: str, clinic: ClinicFacts) -> date | None:
    """The calendar date at the clinic of a date or dateTime member; a dateTime is moved into the clinic's zone."""
    text = parent.text(name)
    if text is None:
        return None
    path = parent.at(name)
    if "T" in text:
        return _local_date(text, path, clinic)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MappingError(
            path, "is not a full date (year, month and day)", "Enter the full date of service in the EHR."
        ) from None


def _local_date(text: str, path: str, clinic: ClinicFacts) -> date:
    try:
        return clinic.local_date(instant(text, path))
    except OverflowError:
        raise wrong_shape(path, "a date and time within the calendar") from None


def start_date(parent: Element, names: tuple[str, ...], clinic: ClinicFacts) -> date | None:
    """The first date among date members and Period members (their start), in the order of `names`."""
    for name in names:
        if name.endswith("Period"):
            period = parent.child(name)
            found = service_date(period, "start", clinic) if period else None
        else:
            found = service_date(parent, name, clinic)
        if found is not None:
            return found
    return None
