"""Rows for what a path alone cannot say: the function that does it is the row's, and it is told what to read.

A source is one or more members, separated by " | " where they are alternatives and by ", " where they belong together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.canonical.mapping import Row, same

_BETWEEN = re.compile(r" \| |, ")


@dataclass(frozen=True, slots=True)
class Reading(Row):
    """A row whose `via` is given a place to read from and the names of the members there that `source` lists.

    "Claim.item.servicedDate | Claim.item.servicedPeriod" becomes `via(place, "servicedDate", "servicedPeriod")`. Of
    several targets ("system, code") `via` gives one value each.
    """

    via: Callable[..., Any] = same
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    targets: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = (path.rpartition(".")[2] for path in _BETWEEN.split(self.source))
        object.__setattr__(self, "names", tuple(names))
        object.__setattr__(self, "targets", tuple(self.target.split(", ")))


def read(rows: Iterable[Reading], place: object) -> dict[str, Any]:
    """Target to value, absent ones as None; raises what the rows' functions raise, the first row's first."""
    values: dict[str, Any] = {}
    for row in rows:
        value = row.via(place, *row.names)
        if len(row.targets) == 1:
            values[row.target] = value
        else:
            values.update(zip(row.targets, value, strict=True))
    return values


@dataclass(frozen=True, slots=True)
class Rule(Row):
    """A row whose `via` is the whole rule: which elements it weighs against each other stands in `source`."""

    via: Callable[..., Any] = same
