"""How canonical values become HL7 texts: dates, amounts, sex, relationship. Pure; used by the mapping rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.kit.encoders import hl7

_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")
_INSTANT = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?(Z|[+-]\d{2}:\d{2})?")
_SEX = {"male": "M", "female": "F", "other": "O"}
_CLASSES = {"IMP": "I", "ACUTE": "I", "NONAC": "I", "EMER": "E"}
_ACCIDENTS = {"MVA": "AA", "WPA": "EM"}


def plain(value: Any) -> str:
    """As it is.

    Decimals without an exponent, booleans as Y and N; dates have their own words below.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "Y" if value else "N"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def day(value: str) -> str:
    """The date as YYYYMMDD, a month as YYYYMM; of an instant the date alone.

    Other texts stay as they are.
    """
    text = value[:10]
    return text.replace("-", "") if _DATE.fullmatch(text) else value


def moment(value: str) -> str:
    """A date or an instant."""
    return instant(value) if "T" in value else day(value)


def instant(value: str) -> str:
    """An instant as `20260303100000-0500`, its offset kept."""
    match = _INSTANT.fullmatch(value)
    if match is None:
        return value
    *parts, offset = match.groups()
    zone = "+0000" if offset == "Z" else (offset or "").replace(":", "")
    return "".join(part or "00" for part in parts) + zone


def sex(value: str) -> str:
    """F, M or O, else U (HL7 table 0001)."""
    return _SEX.get(value, "U")


def patient_class(value: str) -> str:
    """I for a stay, E for an emergency, else O (HL7 table 0004)."""
    return _CLASSES.get(value, "O")


def accident_code(value: str) -> str:
    """AA for a road accident, EM for one at work, else OA.

    ACC-2 is a site's own table; these are the 837's words.
    """
    return _ACCIDENTS.get(value, "OA")


def at_work(value: str) -> str:
    """Y for an accident at work, else N."""
    return "Y" if value == "WPA" else "N"


def area_code(value: str) -> str | None:
    """The first three digits of a number of ten digits (after a country code 1), else nothing."""
    digits = _ten_digits(value)
    return digits[:3] if digits else None


def local_number(value: str) -> str | None:
    """The last seven digits of a number of ten digits, else nothing."""
    digits = _ten_digits(value)
    return digits[3:] if digits else None


def _ten_digits(value: str) -> str:
    digits = "".join(filter(str.isdigit, value)).removeprefix("1")
    return digits if len(digits) == 10 else ""


def always(text: str) -> Callable[[Any], str]:
    """The same text whenever the source is there at all."""

    def constant(_: Any) -> str:
        return text

    constant.__doc__ = f"Always {text}."  # what the mapping document prints
    return constant


def repeated(coded: tuple[tuple[str, str], ...]) -> hl7.Repeated:
    """Each as `code^^label`, with the label of its code system; repeated with `~`."""
    return hl7.Repeated((code, "", label) for code, label in coded)
