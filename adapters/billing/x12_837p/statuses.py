"""277CA: what clearinghouse and payer say of each claim (section 3). Pure.

The same shape of statuses comes as X12 and as Stedi's JSON; `standing` judges both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.billing.x12_837p.findings import code_word, note, status_finding
from adapters.billing.x12_837p.interchange import control_number_of
from gateway.canonical.findings import Finding
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimOutcome, Evidence, SubmissionState
from gateway.kit.encoders.x12 import Interchange, Segment, element

CLEARINGHOUSE_CLAIM_NUMBER = "ClearinghouseClaimNumber"
REJECTING = frozenset({"A3", "A4", "A6", "A7", "A8"})
_HELD_BY_SOMEBODY = frozenset({"A0", "A1", "A2", "A5"})
_REJECT_ACTION = "U"


@dataclass(frozen=True, slots=True)
class Status:
    """One status composite: category, status code, entity code; `line` counts from 0, `action` is STC03."""

    category: str
    code: str
    entity: str = ""
    action: str = ""
    line: int | None = None

    @property
    def rejects(self) -> bool:
        """Whether it refuses the claim; an unknown category does when its action says so."""
        return self.category in REJECTING or (self.category not in _HELD_BY_SOMEBODY and self.action == _REJECT_ACTION)


@dataclass(slots=True)
class Level:
    """A level of a 277CA with its own statuses and references."""

    code: str
    trace: str = ""
    statuses: list[Status] = field(default_factory=list)
    vendor_ids: dict[str, str] = field(default_factory=dict)


def told(statuses: Iterable[Status]) -> str:
    """The statuses as words of an evidence."""
    return " ".join(dict.fromkeys(f"{code_word(s.category)}:{code_word(s.code)}" for s in statuses))


def standing(statuses: Sequence[Status], *, by_payer: bool) -> tuple[SubmissionState, tuple[Finding, ...]]:
    """The state that a claim's statuses prove, and what a biller is told.

    A2 of a payer is its acceptance into adjudication; the same word of a clearinghouse proves only that it holds the
    claim. A word that nobody knows proves no more than that the claim was sent.
    """
    refusals = [s for s in statuses if s.rejects]
    if refusals:
        findings = dict.fromkeys(status_finding(s.category, s.code, s.entity, s.line) for s in refusals)
        return SubmissionState.REJECTED, tuple(findings)
    words = {s.category for s in statuses if s.line is None} or {s.category for s in statuses}
    split = (note("277-A5", "The payer split the claim", "Expect several answers for it."),) if "A5" in words else ()
    if words and words <= _HELD_BY_SOMEBODY:
        return SubmissionState.ACCEPTED if by_payer and "A2" in words else SubmissionState.RECEIVED, split
    return SubmissionState.SENT, (
        note("277-unknown", "The clearinghouse reports a status that the gateway does not know"),
    )


def status_outcomes(interchange: Interchange, segments: Sequence[Segment], seen_at: datetime) -> Iterator[ClaimOutcome]:
    """The outcomes of one 277CA: of each claim, or of the batch when it was refused before any claim was looked at."""
    batch = code_word(element(segments[1], 3) if len(segments) > 1 else "", longest=30)
    by_payer, control, named, refused = False, "", 0, []
    for level, source in _levels(interchange, segments):
        by_payer = source == "PR"
        who = "payer" if by_payer else "clearinghouse"
        if level.code == "21":
            control = control_number_of(level.trace)
            refused = [s for s in level.statuses if s.rejects]
        elif level.code == "PT" and level.trace and level.statuses:
            named += 1
            state, findings = standing(level.statuses, by_payer=by_payer)
            evidence = Evidence(state, f"277CA {batch} {who} {told(level.statuses)}", seen_at)
            yield ClaimOutcome("", evidence, findings, None, level.trace, vendor_ids=level.vendor_ids)
    if refused and not named and control:
        findings = tuple(dict.fromkeys(status_finding(s.category, s.code, s.entity) for s in refused))
        evidence = Evidence(SubmissionState.REJECTED, f"277CA {batch} batch", seen_at)
        yield ClaimOutcome("", evidence, findings, control_number=control)


def _levels(interchange: Interchange, segments: Sequence[Segment]) -> Iterator[tuple[Level, str]]:
    """Each level with the kind of its information source: AY a clearinghouse, PR a payer."""
    level, source, in_line, line_from = Level(""), "", False, 0
    for found in segments:
        match found[0]:
            case "HL":
                yield level, source
                level, in_line = Level(element(found, 3)), False
            case "NM1" if level.code == "20":
                source = element(found, 1)
            case "TRN":
                level.trace = element(found, 2)
            case "SVC":
                in_line, line_from = True, len(level.statuses)
            case "STC":
                level.statuses.extend(_statuses(interchange, found, -1 if in_line else None))
            case "REF":
                if in_line and element(found, 1) == "FJ":
                    _name_line(level, line_from, element(found, 2))
                else:
                    _keep_reference(level, found)
    yield level, source


def _statuses(interchange: Interchange, found: Segment, line: int | None) -> Iterator[Status]:
    for position in (1, 10, 11):
        composite = element(found, position)
        if composite:
            category, code, entity, *_ = [*interchange.parts(composite), "", ""]
            yield Status(category, code, entity, element(found, 3), line)


def line_of(control: str) -> int:
    """The index of the line that a line control number names (`payload.line_control`), or -1."""
    number = control.rpartition("L")[2]
    return int(number) - 1 if number.isdigit() else -1


def _name_line(level: Level, start: int, control: str) -> None:
    index = line_of(control)
    level.statuses[start:] = [Status(s.category, s.code, s.entity, s.action, index) for s in level.statuses[start:]]


def _keep_reference(level: Level, found: Segment) -> None:
    name = {"1K": PAYER_CLAIM_CONTROL_NUMBER, "D9": CLEARINGHOUSE_CLAIM_NUMBER}.get(element(found, 1))
    if name and element(found, 2):
        level.vendor_ids[name] = element(found, 2)
