"""Writing X12: segments, and the envelope of the clearinghouse's own files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from adapters.billing.x12_837p.simulator.envelope import Delimiters

Row = Sequence[str]
"""A segment: its id and elements; components are joined with the sub-element mark `SUB`."""

SUB = "\x1f"
"""Stands for the component separator until a file is written."""


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """How the clearinghouse writes: its delimiters, and a line break after each segment or not."""

    delimiters: Delimiters = field(default_factory=lambda: Delimiters(component=">"))
    line_breaks: bool = False


def plain(value: Decimal) -> str:
    """An amount without leading zeros or trailing decimals."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.lstrip("0") or "0"


def transaction(kind: str, version: str, body: Iterable[Row]) -> list[Row]:
    """ST to SE around the body."""
    rows: list[Row] = [("ST", kind, "0001", version), *body]
    return [*rows, ("SE", str(len(rows) + 1), "0001")]


def interchange(
    rows: Iterable[Row],
    *,
    form: ReplyForm,
    sender: tuple[str, str],
    receiver: tuple[str, str],
    number: int,
    moment: datetime,
    group: tuple[str, str] | None = None,
    usage: str = "P",
) -> str:
    """An interchange; `group` is GS01 and GS08, and None for a TA1, which has no group.

    `sender` and `receiver` are qualifier and id; `number` is ISA13 and GS06.
    """
    day, time = f"{moment:%Y%m%d}", f"{moment:%H%M}"
    marks = form.delimiters
    isa = ("ISA", "00", " " * 10, "00", " " * 10, sender[0], f"{sender[1]:<15}", receiver[0], f"{receiver[1]:<15}",
           day[2:], time, marks.repetition, "00501", f"{number:09}", "0", usage, marks.component)  # fmt: skip
    inside: list[Row] = list(rows)
    if group:
        head = ("GS", group[0], sender[1], receiver[1], day, time, str(number), "X", group[1])
        inside = [head, *inside, ("GE", "1", str(number))]
    whole = [isa, *inside, ("IEA", "1" if group else "0", f"{number:09}")]
    return "".join(_segment(row, form) for row in whole)


def _segment(row: Row, form: ReplyForm) -> str:
    marks = form.delimiters
    elements = list(row)
    while elements[0] != "ISA" and not elements[-1]:
        elements.pop()
    text = marks.element.join(elements).replace(SUB, marks.component)
    return text + marks.segment + ("\n" if form.line_breaks else "")
