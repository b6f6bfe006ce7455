"""What the guide asks for because of another value (section 2); errors like those of `walking`."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.billing.x12_837p.simulator.elements import ElementError
from adapters.billing.x12_837p.simulator.envelope import Delimiters, Segment
from adapters.billing.x12_837p.simulator.walking import Loop, SegmentError

_LEVEL_LOOPS = ("2000A", "2000B", "2000C")


def situation_errors(root: Loop, delimiters: Delimiters) -> list[SegmentError]:
    """Everything that is missing or contradictory although each segment is well formed."""
    return [*_hierarchy(root), *_subscribers(root), *_claims(root, delimiters)]


def _hierarchy(root: Loop) -> Iterator[SegmentError]:
    """HL01 counts from 1; HL02 names the level above; HL04 says whether there are levels below."""
    for expected, (loop, parent) in enumerate(_levels(root, None), start=1):
        level = loop.segments[0]
        wrong = []
        if level[1] != str(expected):
            wrong.append(ElementError.of(level, 1, "7"))
        if parent is not None and level[2] != parent.segments[0][1]:
            wrong.append(ElementError.of(level, 2, "7"))
        if level[4] in ("0", "1") and (level[4] == "1") != any(below.id in _LEVEL_LOOPS for below in loop.loops):
            wrong.append(ElementError.of(level, 4, "7"))
        if wrong:
            yield SegmentError("HL", loop.place, loop.id, "8", elements=tuple(wrong))


def _levels(loop: Loop, parent: Loop | None) -> Iterator[tuple[Loop, Loop | None]]:
    if loop.id in _LEVEL_LOOPS:
        yield loop, parent
        parent = loop
    for below in loop.loops:
        yield from _levels(below, parent)


def _subscribers(root: Loop) -> Iterator[SegmentError]:
    for subscriber in (s for billing in root.all("2000A") for s in billing.all("2000B")):
        itself = subscriber.segment("SBR")[2] == "18"
        if itself == bool(subscriber.all("2000C")):
            error = ElementError.of(subscriber.segment("SBR"), 2, "I13" if itself else "I9")
            yield SegmentError("SBR", subscriber.place + 1, subscriber.id, "8", elements=(error,))
        if not subscriber.all("2000C") and not subscriber.all("2300"):
            yield SegmentError("CLM", subscriber.place, "2300", "I6")
        person = subscriber.first("2010BA")
        account = subscriber.first("2300").segment("CLM")[1]
        for needed in ("N3", "N4", "DMG") if itself else ():
            if not person.segment(needed).elements:
                yield SegmentError(needed, person.place, "2010BA", "I6", account)


def _claims(root: Loop, delimiters: Delimiters) -> Iterator[SegmentError]:
    for claim in claim_loops(root):
        clm = claim.segment("CLM")
        causes = clm[11].split(delimiters.component)
        if {"AA", "OA"} & set(causes) and not claim.segment("DTP", "439").elements:
            yield SegmentError("DTP", claim.place, "2300", "I6", clm[1])
        if "AA" in causes[:3] and not (causes + [""] * 4)[3]:
            yield SegmentError("CLM", claim.place, "2300", "8", clm[1], (ElementError.of(clm, 11, "I9", 4, ""),))
        if clm[5].split(delimiters.component)[0] == "21" and not claim.segment("DTP", "435").elements:
            yield SegmentError("DTP", claim.place, "2300", "I6", clm[1])
        for number, line in enumerate(claim.all("2400"), start=1):
            yield from _line(line, number, clm)


def _line(line: Loop, number: int, clm: Segment) -> Iterator[SegmentError]:
    counter = line.segment("LX")
    if counter[1] != str(number):
        yield SegmentError("LX", line.place, "2400", "8", clm[1], (ElementError.of(counter, 1, "7"),))


def claim_loops(root: Loop) -> Iterator[Loop]:
    """All 2300 loops, of subscribers and of patients, in the order of the file."""
    if root.id == "2300":
        yield root
        return
    for loop in root.loops:
        yield from claim_loops(loop)
