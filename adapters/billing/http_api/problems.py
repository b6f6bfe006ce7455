"""Mistakes in a description, each with the keys that lead to it, as pydantic reports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what is wrong and what to do."""

    place: tuple[str | int, ...]
    text: str


def refuse(problems: Sequence[Problem]) -> None:
    """Raise a `ValidationError` with every mistake; does nothing when there is none."""
    if problems:
        # pydantic formats the text as a template: the text itself is passed as a value, so that braces stay.
        details: list[InitErrorDetails] = [
            InitErrorDetails(
                type=PydanticCustomError("description", "{text}", {"text": p.text}), loc=p.place, input=_NONE
            )
            for p in problems
        ]
        raise ValidationError.from_exception_data("description", details)


_NONE: Any = None
