"""Reading a superbill file: every mistake is told by line and column, and good superbills beside it are still taken."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from gateway.canonical.superbill import Layout, Problem, RefusedSuperbill, Superbill, SuperbillFile, Visit
from gateway.canonical.superbill_claim import MOST_LINES, claim_of, diagnoses_of, missing_pointers
from gateway.canonical.superbill_columns import (
    CELL_ROWS,
    COLUMNS,
    MOST_DIAGNOSES,
    REQUIRED,
    SHARED,
    VISIT_ROWS,
    column_of,
)

_DATE = "serviced_date"
_NOT_A_DATE = "this is not a date in the configured form (date_format)"


@dataclass(slots=True)
class _Row:
    """One row: cells by our column, blanks and empty ones taken off; what is wrong with it."""

    line: int
    cells: dict[str, str]
    problems: list[Problem] = field(default_factory=list)


class _Refused(Exception):
    """The file cannot be read at all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_superbills(content: bytes, layout: Layout) -> SuperbillFile:
    """The superbills of a CSV file, and what is wrong with it; a file that cannot be read has one problem and no more.

    Never raises for what the file holds.
    """
    try:
        rows = list(_rows(content, layout))
    except _Refused as refusal:
        return SuperbillFile(0, (), (), (refusal.problem,))
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.cells.get("superbill_id", ""), []).append(row)
    headers = _headers(layout)
    superbills = []
    refused = []
    for number, group in groups.items():
        _check_group(group, headers)
        problems = tuple(problem for row in group for problem in row.problems)
        if problems:
            refused.append(RefusedSuperbill(number, _visit(group) if number else None, problems))
        else:
            superbills.append(_superbill(number, group, layout))
    found = sorted((p for r in refused for p in r.problems), key=lambda problem: problem.line)
    return SuperbillFile(len(rows), tuple(superbills), tuple(r for r in refused if r.number), tuple(found))


def _headers(layout: Layout) -> dict[str, str]:
    """Our column to the file's header; empty where the map gives a column's own name to another one."""
    claimed = {header.casefold() for header in layout.columns.values()}
    return {c: layout.columns.get(c, "" if c in claimed else c) for c in COLUMNS}


def _rows(content: bytes, layout: Layout) -> Iterator[_Row]:
    lines = _lines(_text(content, layout), layout)
    _, header = next(lines, (1, []))
    places = _places(header, layout)
    headers = _headers(layout)
    for count, (line, cells) in enumerate(lines):
        if count >= layout.max_rows:
            fix = "Split the file, or raise max_rows in gateway.yaml."
            raise _Refused(Problem(line, "", f"the file has more than {layout.max_rows} rows", fix))
        row = _Row(line, {column: cells[place] for column, place in places.items() if place < len(cells)})
        if len(cells) != len(header):
            message = f"the row has {len(cells)} cells and the header has {len(header)}"
            row.problems.append(Problem(line, "", message, "Put quotes around cells that hold the delimiter."))
        _check_cells(row, headers, layout)
        yield row


def _text(content: bytes, layout: Layout) -> str:
    try:
        return content.decode("utf-8-sig" if layout.encoding == "utf-8" else layout.encoding)
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        message = f"the file is not written in {layout.encoding}"
        raise _Refused(Problem(line, "", message, "Set encoding in gateway.yaml: utf-8 or cp1252.")) from None


def _lines(text: str, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """(line on which the record begins, cells), empty records left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield begins, stripped
            begins = reader.line_num + 1
    except csv.Error:
        fix = "Save it as CSV with quotes doubled inside quoted cells."
        raise _Refused(Problem(begins, "", "the file is not CSV from here on", fix)) from None


def _places(header: Sequence[str], layout: Layout) -> dict[str, int]:
    """Our column to its place in a row; raises `_Refused` for the first mistake in the header."""
    if not header:
        raise _Refused(Problem(1, "", "the file is empty", "Export it again."))
    ours = {name.casefold(): column for column, name in _headers(layout).items() if name}
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        column = ours.get(name.casefold())
        if column in places:
            raise _Refused(Problem(1, name, "the column is there twice", "Export each column once."))
        if column is not None:
            places[column] = place
        elif name.casefold() not in {ignored.casefold() for ignored in layout.ignored}:
            fix = "Map it in superbills.columns, or name it in superbills.ignored_columns."
            told = _safe(name) if any(each.casefold() in ours for each in header) else ""
            raise _Refused(Problem(1, told, "the column is not known", fix))
    needed = [column for column in COLUMNS if column in REQUIRED or column in layout.columns]
    absent = next((column for column in needed if column not in places), None)
    if absent is not None:
        fix = "Export it, or correct its header in superbills.columns."
        raise _Refused(Problem(1, _headers(layout)[absent] or absent, "the column is not in the file", fix))
    return places


def _safe(header: str) -> str:
    """A header to be told of; where a file has none, its first row could hold values of a patient."""
    return header if header.replace(" ", "").replace("_", "").isalpha() and len(header) <= 40 else ""


def _check_cells(row: _Row, headers: Mapping[str, str], layout: Layout) -> None:
    _read_date(row, headers, layout)
    row.cells = {column: text for column, text in row.cells.items() if text}
    for rule in CELL_ROWS:
        column = column_of(rule)
        text = row.cells.get(column)
        header = headers[column]
        if text is None:
            if rule.required and not any(problem.column == header for problem in row.problems):
                row.problems.append(Problem(row.line, header, rule.note, rule.fix))
            continue
        try:
            rule.via(text)
        except ValueError as wrong:
            row.problems.append(Problem(row.line, header, str(wrong), rule.fix))


def _read_date(row: _Row, headers: Mapping[str, str], layout: Layout) -> None:
    text = row.cells.get(_DATE)
    if text:
        try:
            row.cells[_DATE] = datetime.strptime(text, layout.date_format).date().isoformat()  # noqa: DTZ007
        except ValueError:
            del row.cells[_DATE]
            fix = next(rule.fix for rule in VISIT_ROWS if column_of(rule) == _DATE)
            row.problems.append(Problem(row.line, headers[_DATE], _NOT_A_DATE, fix))


def _check_group(group: list[_Row], headers: Mapping[str, str]) -> None:
    """What only the rows of a superbill together show."""
    first = group[0]
    for row in group:
        for column in SHARED:
            if row.cells.get(column) != first.cells.get(column) and not _has_problem((row, first), headers[column]):
                message = f"differs from the superbill's first row (line {first.line})"
                fix = "All rows of one superbill belong to one patient, date and provider: export it again."
                row.problems.append(Problem(row.line, headers[column], message, fix))
    sound = [row for row in group if not row.problems]
    for row in sound:
        if missing_pointers(row.cells):
            header, message = headers["diagnosis_pointers"], "points at a diagnosis that the row does not have"
            row.problems.append(Problem(row.line, header, message, "Correct the pointer on the superbill in the EHR."))
    last = group[-1]
    if len(diagnoses_of(row.cells for row in sound)) > MOST_DIAGNOSES:
        message = f"the superbill has more than {MOST_DIAGNOSES} diagnoses, and a claim cannot"
        last.problems.append(Problem(last.line, "", message, "Split the superbill."))
    if len(group) > MOST_LINES:
        message = f"the superbill has more than {MOST_LINES} lines, and a claim cannot"
        last.problems.append(Problem(last.line, "", message, "Split the superbill."))


def _has_problem(rows: Iterable[_Row], header: str) -> bool:
    return any(problem.column == header for row in rows for problem in row.problems)


def _visit(group: Sequence[_Row]) -> Visit | None:
    """Whose superbill it is, unless the very columns that say so are among the bad ones."""
    cells = group[0].cells
    told = {row.target: cells.get(column_of(row)) for row in VISIT_ROWS}
    if not all(told.values()) or any(cells.get(c) != row.cells.get(c) for row in group for c in _KEY_COLUMNS):
        return None
    try:
        values = {row.target: row.via(cells[column_of(row)]) for row in VISIT_ROWS}
    except ValueError:
        return None
    return Visit(values["record_number"], datetime.fromisoformat(values["serviced"]).date(), values["rendering_npi"])


_KEY_COLUMNS = tuple(column_of(row) for row in VISIT_ROWS)


def _superbill(number: str, group: Sequence[_Row], layout: Layout) -> Superbill:
    visit = _visit(group)
    assert visit is not None
    status = group[0].cells.get("status")
    ready = status is None or status.casefold() in {ready.casefold() for ready in layout.ready_statuses}
    return Superbill(number, visit, claim_of([row.cells for row in group]), ready)


def report_lines(problems: Sequence[Problem], most: int = 1000) -> list[str]:
    """The problems as lines of text for the report beside a refused file."""
    told = [
        f"line {problem.line}" + (f", column {problem.column}" if problem.column else "") + f": {problem.message}."
        f" {problem.fix}"
        for problem in islice(problems, most)
    ]
    return [*told, *([f"... and {len(problems) - most} more"] if len(problems) > most else [])]
