"""TA1 and 999: what the clearinghouse says about an interchange and about its syntax (section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.billing.x12_837p.simulator.envelope import Group, Interchange, Transaction
from adapters.billing.x12_837p.simulator.walking import SegmentError
from adapters.billing.x12_837p.simulator.writing import SUB, Row

FUNCTIONAL = ("FA", "005010X231A1")
_BAD_VALUES_SHOWN = frozenset("56789")


@dataclass(frozen=True, slots=True)
class Judged:
    """A transaction with its syntax errors."""

    transaction: Transaction
    errors: tuple[SegmentError, ...]

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.errors and not self.transaction.problems


def interchange_acknowledgment(interchange: Interchange) -> list[Row]:
    """The TA1: accepted, or rejected with its note code."""
    header, code = interchange.header, interchange.problem
    verdict = "A" if code == "000" else "R"
    return [("TA1", header[13], header[9], header[10], verdict, code)]


def functional_acknowledgment(group: Group, judged: list[Judged]) -> list[Row]:
    """The 999 of a group, without ST and SE."""
    header = group.header
    rows: list[Row] = [("AK1", header[1], header[6], header[8])]
    for each in judged:
        rows += _answer(each)
    accepted = sum(each.accepted for each in judged)
    refused = group.problems or not accepted
    verdict = "R" if refused else "A" if accepted == len(judged) else "P"
    counts = (group.declared or "0", str(len(judged)), "0" if group.problems else str(accepted))
    return [*rows, ("AK9", verdict, *counts, *group.problems[:5])]


def _answer(judged: Judged) -> list[Row]:
    transaction = judged.transaction
    rows: list[Row] = [("AK2", transaction.kind, transaction.number, "005010X222A1")]
    for error in judged.errors:
        rows += _segment_rows(error)
    codes = [*transaction.problems, *(["5"] if judged.errors else [])]
    return [*rows, ("IK5", "A" if judged.accepted else "R", *codes[:5])]


def _segment_rows(error: SegmentError) -> list[Row]:
    loop = error.loop[:4] if error.loop[:1].isdigit() else ""  # IK303 has four places
    rows: list[Row] = [("IK3", error.segment_id, str(error.place), loop, error.code)]
    if error.account:
        rows.append(("CTX", f"CLM01{SUB}{error.account}"))
    for element in error.elements:
        place = f"{element.place}{SUB}{element.component}" if element.component else str(element.place)
        number = str(element.number) if element.number and not element.component else ""
        shown = element.value if element.code in _BAD_VALUES_SHOWN else ""
        rows.append(("IK4", place, number, element.code, shown))
    return rows
