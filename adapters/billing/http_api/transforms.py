"""The named forms of `$as`. Pure; money never passes through a binary fraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from adapters.billing.http_api.expressions import digits, format_date
from adapters.billing.http_api.facts import Kind
from gateway.kit.mapping import same

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


def _date(form: str) -> Callable[[Any], str]:
    def written(value: Any) -> str:
        return format_date(str(value), form)

    written.__doc__ = f"As a date in the form {form}"
    return written


def always(constant: Any) -> Callable[[Any], Any]:
    """The same value for every claim."""

    def fixed(_: Any) -> Any:
        return constant

    shown = str(constant).lower() if isinstance(constant, bool) else constant
    fixed.__doc__ = f"Always {shown}"
    return fixed


def by_expression(text: str, via: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`via` of what an expression gives; for the mapping document it tells the expression too."""

    def written(value: Any) -> Any:
        return via(value)

    then = "" if via is same else f", then: {via.__doc__}"
    written.__doc__ = f"By the expression `{text}`{then}"
    return written


def words_of(words: Mapping[str, Any], otherwise: Any) -> Callable[[Any], Any]:
    """The transform of `$words`; raises `KeyError` for a code without a word, unless there is `$otherwise`."""

    def worded(value: Any) -> Any:
        return words[str(value)] if otherwise is None else words.get(str(value), otherwise)

    told = [code if code == word else f"{code} as {word}" for code, word in words.items()]
    worded.__doc__ = ", ".join(told if otherwise is None else [*told, f"else {otherwise}"])
    return worded


def transform_of(name: str) -> Transform | None:
    """The form of a name (`date:%m/%d/%Y` takes any strftime form), or None."""
    kind, colon, form = name.partition(":")
    if kind == "date" and colon and "%" in form:
        return Transform(frozenset({Kind.DATE}), _date(form))
    return _NAMED.get(name)
