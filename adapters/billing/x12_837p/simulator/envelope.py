"""Reading X12 strictly: delimiters from the ISA, the envelope's counts and control numbers (section 1).

`read_interchanges` gives what a file holds. An envelope that cannot be trusted has a TA1 note code in `problem`;
nothing of it is read any further.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ISA_LENGTH = 106
_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
_QUALIFIERS = frozenset(("01", "14", "20", "27", "28", "29", "30", "33", "ZZ"))
_PATTERNS = (
    (0, r"00|03", "010"),
    (2, r"00|01", "012"),
    (8, r"\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", "014"),
    (9, r"([01]\d|2[0-3])[0-5]\d", "015"),
    (11, r"00501", "017"),
    (12, r"\d{9}", "018"),
    (13, r"[01]", "019"),
    (14, r"[PT]", "020"),
)
"""Elements of the ISA by index from zero, what they look like, and the TA1 note code when they do not."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The four separators of an interchange."""

    element: str = "*"
    repetition: str = "^"
    component: str = ":"
    segment: str = "~"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; elements are counted from 1, as in the guides."""

    id: str
    elements: tuple[str, ...]

    def __getitem__(self, position: int) -> str:
        return self.elements[position - 1] if 0 < position <= len(self.elements) else ""


@dataclass(slots=True)
class Transaction:
    """ST to SE, both included; `number` is ST02, `problems` are IK502 codes of its envelope."""

    segments: list[Segment]
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """ST01."""
        return self.segments[0][1]

    @property
    def number(self) -> str:
        """ST02."""
        return self.segments[0][2]


@dataclass(slots=True)
class Group:
    """GS to GE; `problems` are AK905 codes of its envelope."""

    header: Segment
    transactions: list[Transaction] = field(default_factory=list)
    declared: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Interchange:
    """ISA to IEA; `problem` is a TA1 note code, "000" for none."""

    header: Segment
    delimiters: Delimiters
    groups: list[Group] = field(default_factory=list)
    problem: str = "000"

    @property
    def control_number(self) -> str:
        """ISA13."""
        return self.header[13]

    @property
    def parties(self) -> tuple[str, str]:
        """ISA06 and ISA08 without their padding."""
        return self.header[6].rstrip(), self.header[8].rstrip()


def read_interchanges(text: str) -> list[Interchange]:
    """All interchanges of a file; text that is no interchange at all gives an empty list."""
    found: list[Interchange] = []
    rest = text.lstrip()
    while rest.startswith("ISA"):
        interchange, rest = _one(rest)
        found.append(interchange)
    return found


def _one(text: str) -> tuple[Interchange, str]:
    header = _fixed_header(text)
    if header is None:
        separator = text[3:4] or "*"
        elements = [part[:15] for part in text[:ISA_LENGTH].split(separator)[1:17]]
        broken = Segment("ISA", tuple(elements + [""] * (16 - len(elements))))
        return Interchange(broken, Delimiters(separator), problem="022"), ""
    delimiters = Delimiters(text[3], header[11], header[16], text[ISA_LENGTH - 1])
    segments, rest = _segments(text[ISA_LENGTH:], delimiters)
    interchange = Interchange(header, delimiters)
    interchange.problem = _header_problem(interchange) or _fill(interchange, segments)
    return interchange, rest


def _fixed_header(text: str) -> Segment | None:
    if len(text) < ISA_LENGTH:
        return None
    elements = text[4 : ISA_LENGTH - 1].split(text[3])
    if tuple(map(len, elements)) != _WIDTHS:
        return None
    return Segment("ISA", tuple(elements))


def _header_problem(interchange: Interchange) -> str:
    header, marks = interchange.header, interchange.delimiters
    used = [marks.element, marks.repetition, marks.component, marks.segment]
    if len(set(used)) < 4 or any(mark.isalnum() or mark == " " for mark in used):
        return "026"
    for position, code in ((5, "005"), (7, "007")):
        if header[position] not in _QUALIFIERS:
            return code
    return next((code for i, pattern, code in _PATTERNS if not re.fullmatch(pattern, header.elements[i])), "")


def _segments(text: str, delimiters: Delimiters) -> tuple[list[Segment], str]:
    """Up to and with IEA; a line break after a terminator is for reading only."""
    segments = []
    while text.strip():
        raw, terminator, text = text.partition(delimiters.segment)
        parts = raw.lstrip("\r\n").split(delimiters.element)
        segments.append(Segment(parts[0] if terminator else "", tuple(parts[1:])))
        if parts[0] == "IEA" and terminator:
            break
    return segments, text.lstrip()


def _fill(interchange: Interchange, segments: list[Segment]) -> str:
    """Sort the segments into groups and transactions; gives the TA1 note code."""
    if not segments or segments[-1].id != "IEA":
        return "023"
    trailer = segments.pop()
    group: Group | None = None
    transaction: list[Segment] | None = None
    for segment in segments:
        if segment.id == "GS" and group is None:
            group = Group(segment)
            interchange.groups.append(group)
        elif segment.id == "GE" and group and transaction is None:
            _close_group(group, segment)
            group = None
        elif segment.id == "ST" and group and transaction is None:
            transaction = [segment]
        elif transaction is None or group is None or segment.id in ("GS", "GE", "ST", ""):
            return "022"
        else:
            transaction.append(segment)
            if segment.id == "SE":
                group.transactions.append(_closed(transaction))
                transaction = None
    if group is not None:
        return "022"
    if trailer[1] != str(len(interchange.groups)):
        return "021"
    return "000" if trailer[2] == interchange.control_number else "001"


def _closed(segments: list[Segment]) -> Transaction:
    """IK502: 3 control numbers differ, 4 the count differs, 6 and 7 a number is missing or malformed."""
    closed = Transaction(segments)
    if segments[0][2] != segments[-1][2]:
        closed.problems.append("3")
    if segments[-1][1] != str(len(segments)):
        closed.problems.append("4")
    if not re.fullmatch(r"[0-9A-Z]{4,9}", segments[0][2]):
        closed.problems.append("7")
    return closed


def _close_group(group: Group, trailer: Segment) -> None:
    """AK905: 4 control numbers differ, 5 the count differs, 6 the control number is malformed."""
    group.declared = trailer[1]
    if trailer[2] != group.header[6]:
        group.problems.append("4")
    if trailer[1] != str(len(group.transactions)):
        group.problems.append("5")
    if not re.fullmatch(r"\d{1,9}", group.header[6]):
        group.problems.append("6")
    numbers = [transaction.number for transaction in group.transactions]
    for transaction in group.transactions:
        if numbers.count(transaction.number) > 1:
            transaction.problems.append("23")
