"""The named forms of `$as`. Pure; money never passes through a binary fraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from adapters.billing.http_api.expressions import digits, format_date
from adapters.billing.http_api.facts import Kind

_TEXTS = frozenset(Kind)
_NUMBERS = frozenset({Kind.DECIMAL, Kind.INTEGER, Kind.INTEGERS})


@dataclass(frozen=True, slots=True)
class Transform:
    """How a value is written; `write` raises `ValueError` for a value that has no such form."""

    takes: frozenset[Kind]
    write: Callable[[Any], Any]


def _number(value: Any) -> int | Decimal:
    """As a number."""
    if isinstance(value, int):
        return value
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("not a number")
    return number


def _whole(value: Any) -> int:
    """As a whole number."""
    number = _number(value)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _cents(value: Any) -> int:
    """In whole cents."""
    return _whole(_number(value) * 100)


def _truth(value: Any) -> bool:
    """As true or false."""
    return bool(value == "true")


def _digits(value: Any) -> str:
    """The digits only."""
    return digits(str(value))


def _upper(value: Any) -> str:
    """In capitals."""
    return str(value).upper()


def _undotted(value: Any) -> str:
    """Without dots."""
    return str(value).replace(".", "")


_NAMED = {
    "number": Transform(_NUMBERS, _number),
    "integer": Transform(_NUMBERS, _whole),
    "cents": Transform(_NUMBERS, _cents),
    "boolean": Transform(frozenset({Kind.BOOLEAN}), _truth),
    "digits": Transform(_TEXTS, _digits),
    "upper": Transform(_TEXTS, _upper),
    "undotted": Transform(_TEXTS, _undotted),
}


def _date(value: Any, *, form: str) -> str:
    """As a date in the vendor's form."""
    return format_date(str(value), form)


def _worded(value: Any, *, words: Mapping[str, Any], otherwise: Any) -> Any:
    """In the vendor's words."""
    return words[str(value)] if otherwise is None else words.get(str(value), otherwise)


def words_of(words: Mapping[str, Any], otherwise: Any) -> Callable[[Any], Any]:
    """The transform of `$words`; raises `KeyError` for a code without a word, unless there is `$otherwise`."""
    return partial(_worded, words=words, otherwise=otherwise)


def transform_of(name: str) -> Transform | None:
    """The form of a name (`date:%m/%d/%Y` takes any strftime form), or None."""
    kind, colon, form = name.partition(":")
    if kind == "date" and colon and "%" in form:
        return Transform(frozenset({Kind.DATE}), partial(_date, form=form))
    return _NAMED.get(name)
