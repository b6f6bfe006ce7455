"""The clinic's prices by date of service: what one unit of a procedure costs, in USD."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from gateway.canonical import codes
from gateway.canonical.errors import ConfigurationError

REQUIRED_COLUMNS = ("code", "fee", "effective_from")
OPTIONAL_COLUMNS = ("modifiers", "effective_to")
COLUMNS = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
_MONEY = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PRICE_REMEDY = "Write dollars and cents without a currency sign, for example 185.00."
_DATE_REMEDY = "Write the date as year-month-day, for example 2026-01-31."


@dataclass(frozen=True, slots=True)
class Fee:
    """The price of one unit of `code` from `start` to `end`, both included, for lines that bear all of `modifiers`."""

    code: str
    price: Decimal
    modifiers: frozenset[str] = frozenset()
    start: date = date.min
    end: date = date.max

    def holds(self, modifiers: Collection[str], on: date) -> bool:
        """Whether it prices a line with these modifiers on that date of service."""
        return self.start <= on <= self.end and self.modifiers.issubset(modifiers)


class FeeSchedule:
    """Prices, found by code."""

    def __init__(self, fees: Iterable[Fee] = ()) -> None:
        """Of fees with the same code and modifiers no two may hold on one day; `parse_fee_schedule` sees to that."""
        self._by_code: dict[str, list[Fee]] = {}
        for fee in fees:
            self._by_code.setdefault(fee.code, []).append(fee)

    @classmethod
    def flat(cls, prices: Mapping[str, Decimal]) -> FeeSchedule:
        """One price per code, whatever the date and the modifiers."""
        return cls(Fee(code, price) for code, price in prices.items())

    def price(self, code: str, modifiers: Sequence[str], on: date) -> Decimal | None:
        """The price of one unit in USD on a date of service, or None when the clinic has none for it.

        The fee with the most of the line's modifiers counts ("26" before the plain one); between two with as many, the
        one whose modifiers stand first on the line.
        """
        held = [fee for fee in self._by_code.get(code, ()) if fee.holds(modifiers, on)]
        if not held:
            return None
        return min(held, key=lambda fee: (-len(fee.modifiers), sorted(map(modifiers.index, fee.modifiers)))).price

    def __len__(self) -> int:
        return sum(map(len, self._by_code.values()))

    def __iter__(self) -> Iterator[Fee]:
        return (fee for fees in self._by_code.values() for fee in fees)


def parse_fee_schedule(text: str, name: str) -> FeeSchedule:
    """The schedule in a CSV file with the columns code, modifiers, fee, effective_from and effective_to.

    `name` is the file's, for messages. Raises `ConfigurationError` with line and column for the first mistake.
    """
    table = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    found: list[tuple[Fee, int]] = []
    try:
        columns = _columns(next(table, []), name)
        filled = (cells for cells in table if any(cell.strip() for cell in cells))
        found.extend((_Line(name, table.line_num, columns, cells).fee(), table.line_num) for cells in filled)
    except csv.Error:
        raise ConfigurationError(f"{name}:{table.line_num}", "is not CSV here.", "Check its quotes.") from None
    _refuse_overlaps(found, name)
    return FeeSchedule(fee for fee, _ in found)


def _columns(header: Sequence[str], name: str) -> list[str]:
    columns = [cell.strip().lower() for cell in header]
    known = f"Use {', '.join(REQUIRED_COLUMNS)} and, where needed, {', '.join(OPTIONAL_COLUMNS)}."
    for i, column in enumerate(columns):
        if column not in COLUMNS:
            raise ConfigurationError(f"{name}:1 column {i + 1}", f"{column!r} is not a known column.", known)
        if column in columns[:i]:
            raise ConfigurationError(f"{name}:1 column {i + 1}", f"{column} is there twice.", "Remove one of them.")
    for column in REQUIRED_COLUMNS:
        if column not in columns:
            raise ConfigurationError(f"{name}:1", f"the column {column} is missing.", known)
    return columns


def _refuse_overlaps(found: Iterable[tuple[Fee, int]], name: str) -> None:
    same: dict[tuple[str, frozenset[str]], list[tuple[date, date, int]]] = {}
    for fee, line in found:
        same.setdefault((fee.code, fee.modifiers), []).append((fee.start, fee.end, line))
    for periods in same.values():
        for (_, end, earlier), (start, _, later) in pairwise(sorted(periods)):
            if start <= end:
                raise ConfigurationError(
                    f"{name}:{max(earlier, later)} effective_from",
                    f"its time overlaps that of line {min(earlier, later)}, with the same code and modifiers.",
                    "End the earlier fee on the day before the later one begins (effective_to).",
                )


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file."""

    name: str
    number: int
    columns: Sequence[str]
    cells: Sequence[str]

    def fee(self) -> Fee:
        if len(self.cells) != len(self.columns):
            problem = f"has {len(self.cells)} cells under {len(self.columns)} columns."
            raise ConfigurationError(f"{self.name}:{self.number}", problem, "Check the commas and quotes of this line.")
        fee = Fee(
            self._code(),
            self._price(),
            self._modifiers(),
            self._date("effective_from", date.min),
            self._date("effective_to", date.max),
        )
        if fee.end < fee.start:
            raise self._wrong("effective_to", "is before effective_from.", "Correct one of the two dates.")
        return fee

    def _cell(self, column: str) -> str:
        return self.cells[self.columns.index(column)].strip() if column in self.columns else ""

    def _wrong(self, column: str, problem: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(f"{self.name}:{self.number} {column}", problem, remedy)

    def _code(self) -> str:
        code = self._cell("code").upper()
        if codes.procedure_system(code) is None:
            raise self._wrong("code", "is not a CPT or HCPCS code.", "Write five characters, such as G2211.")
        return code

    def _price(self) -> Decimal:
        cell = self._cell("fee")
        if not _MONEY.fullmatch(cell):
            raise self._wrong("fee", "is not an amount in dollars.", _PRICE_REMEDY)
        return Decimal(cell)

    def _modifiers(self) -> frozenset[str]:
        found = [codes.modifier(word) for word in self._cell("modifiers").split()]
        kept = frozenset(code for code in found if code)
        if len(kept) < len(found):
            remedy = "Write two letters or digits, each once, with a blank between two modifiers: 26 59."
            raise self._wrong("modifiers", "does not hold procedure modifiers.", remedy)
        return kept

    def _date(self, column: str, otherwise: date) -> date:
        cell = self._cell(column)
        if not cell and column not in REQUIRED_COLUMNS:
            return otherwise
        with suppress(ValueError):
            if _DAY.fullmatch(cell):
                return date.fromisoformat(cell)
        raise self._wrong(column, "is not a date." if cell else "is empty.", _DATE_REMEDY)
