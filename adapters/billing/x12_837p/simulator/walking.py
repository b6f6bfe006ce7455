"""Walking an 837P through its guide: the tree of loops, and every error as the 999 tells it.

Segment errors are IK304 codes: 1 unknown segment, 2 unexpected, 3 required one missing, 4 loop too often, 5 segment too
often, 7 out of order, 8 its elements are wrong, I6 needed because of another value. Element errors are IK403 codes:
1 missing, 2 missing because of its partner, 3 too many, 4 too short, 5 too long, 6 characters, 7 not in the code list,
8 date, 9 time, I10 not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from adapters.billing.x12_837p.simulator.elements import ElementError, element_errors, matches
from adapters.billing.x12_837p.simulator.envelope import Delimiters, Segment, Transaction
from adapters.billing.x12_837p.simulator.grammar import LoopRule, SegmentRule

_END = 10**9


@dataclass(frozen=True, slots=True)
class SegmentError:
    """One IK3 with its IK4; `place` counts segments from ST = 1, `account` is the CLM01 that it belongs to."""

    segment_id: str
    place: int
    loop: str
    code: str
    account: str = ""
    elements: tuple[ElementError, ...] = ()


@dataclass(slots=True)
class Loop:
    """One occurrence of a loop in the data."""

    id: str
    place: int = 0
    segments: list[Segment] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)

    def all(self, loop_id: str) -> list[Loop]:
        """The loops of this id directly inside."""
        return [loop for loop in self.loops if loop.id == loop_id]

    def first(self, loop_id: str) -> Loop:
        """The first loop of this id directly inside; an empty one when there is none."""
        return next(iter(self.all(loop_id)), Loop(loop_id))

    def segment(self, segment_id: str, qualifier: str = "") -> Segment:
        """The first segment of this id and first element; an empty one when there is none."""
        return next(self.each(segment_id, qualifier), Segment(segment_id, ()))

    def each(self, segment_id: str, qualifier: str = "") -> Iterator[Segment]:
        """The segments of this id (and first element)."""
        return (s for s in self.segments if s.id == segment_id and qualifier in ("", s[1]))


@dataclass(slots=True)
class _Frame:
    rule: LoopRule
    loop: Loop
    position: int = 0
    counts: dict[int, int] = field(default_factory=dict)

    def seen(self, entry: SegmentRule | LoopRule) -> int:
        return self.counts.get(id(entry), 0)

    def count(self, entry: SegmentRule | LoopRule) -> int:
        self.counts[id(entry)] = self.seen(entry) + 1
        return self.counts[id(entry)]


class Walker:
    """One transaction against one guide; `root` is the tree and `errors` what is wrong, after `walk`."""

    def __init__(self, guide: LoopRule, delimiters: Delimiters) -> None:
        self.errors: list[SegmentError] = []
        self.root = Loop(guide.id)
        self._delimiters = delimiters
        self._known = set(_segment_ids(guide))
        self._frames = [_Frame(guide, self.root)]
        self._account = ""

    def walk(self, transaction: Transaction) -> None:
        """Read all segments."""
        for place, segment in enumerate(transaction.segments, start=1):
            self._step(place, segment)
        while self._frames:
            self._leave(self._frames[-1], _END, len(transaction.segments))
            self._frames.pop()

    def _step(self, place: int, segment: Segment) -> None:
        found = self._find(segment)
        if found is None:
            self._stray(place, segment)
            return
        depth, entry = found
        while len(self._frames) > depth + 1:
            self._leave(self._frames[-1], _END, place)
            self._frames.pop()
        self._enter(place, segment, entry)

    def _find(self, segment: Segment) -> tuple[int, SegmentRule | LoopRule] | None:
        """The nearest use that still has room, or else the nearest that has none."""
        full: tuple[int, SegmentRule | LoopRule] | None = None
        for depth in range(len(self._frames) - 1, -1, -1):
            frame = self._frames[depth]
            for entry in frame.rule.entries[1 if depth else 0 :]:  # what starts a loop is its parent's to count
                if entry.position < frame.position or not matches(entry.trigger, segment, self._delimiters):
                    continue
                if frame.seen(entry) < entry.most:
                    return depth, entry
                full = full or (depth, entry)
        return full

    def _enter(self, place: int, segment: Segment, entry: SegmentRule | LoopRule) -> None:
        frame = self._frames[-1]
        self._leave(frame, entry.position, place)
        frame.position = entry.position
        if isinstance(entry, LoopRule) and entry.id in ("2000A", "2000B", "2000C"):
            self._account = ""
        if segment.id == "CLM":
            self._account = segment[1]
        if frame.count(entry) > entry.most:
            self._error(place, segment.id, frame.rule.id, "4" if isinstance(entry, LoopRule) else "5")
        if isinstance(entry, LoopRule):
            opened = Loop(entry.id, place)
            frame.loop.loops.append(opened)
            self._frames.append(_Frame(entry, opened))
            frame = self._frames[-1]
            frame.count(entry.entries[0])
        frame.loop.segments.append(segment)
        wrong = element_errors(entry.trigger, segment, self._delimiters)
        if wrong:
            self._error(place, segment.id, frame.rule.id, "8", tuple(wrong))

    def _leave(self, frame: _Frame, position: int, place: int) -> None:
        """What is required between the frame's position and the new one, and was not there."""
        for entry in frame.rule.entries:
            if entry.required and frame.position <= entry.position < position and not frame.seen(entry):
                frame.count(entry)
                loop = entry.id if isinstance(entry, LoopRule) else frame.rule.id
                self._error(place, entry.trigger.id, loop, "3")

    def _stray(self, place: int, segment: Segment) -> None:
        """A segment with no place: name the likeliest mistake."""
        frame = self._frames[-1]
        uses = [entry for entry in frame.rule.entries if entry.trigger.id == segment.id]
        if segment.id not in self._known:
            self._error(place, segment.id, frame.rule.id, "1")
        elif any(matches(entry.trigger, segment, self._delimiters) for entry in uses):
            self._error(place, segment.id, frame.rule.id, "7")
        elif uses and any(entry.position >= frame.position for entry in uses):
            wrong = ElementError.of(segment, _telling(uses[0].trigger), "7")
            self._error(place, segment.id, frame.rule.id, "8", (wrong,))
        else:
            self._error(place, segment.id, frame.rule.id, "2")

    def _error(
        self, place: int, segment_id: str, loop: str, code: str, elements: tuple[ElementError, ...] = ()
    ) -> None:
        self.errors.append(SegmentError(segment_id, place, loop, code, self._account, elements))


def _telling(rule: SegmentRule) -> int:
    return next((number for number, e in enumerate(rule.elements, start=1) if e.tells_apart), 1)


def _segment_ids(loop: LoopRule) -> Iterator[str]:
    for entry in loop.entries:
        if isinstance(entry, LoopRule):
            yield from _segment_ids(entry)
        else:
            yield entry.id
