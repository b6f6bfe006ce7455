"""A small notation for implementation guides, and what it is read into.

One line is a loop or a segment, indented below its loop:

    > 2010AA R1                                    loop id, usage and most repeats (0: no limit)
      NM1 R1 =85! 1,2! an60! an35 - - - XX! an80   segment id, usage and repeats, then its elements in order
      DTP R1 =472! D8,RD8! when! | P0203           after | a relation: both or none

An element is `-` (not used), a list of codes in capitals, or a type with its length: an60, an3-15, n9, r18 (number),
date, time, when (a date in the form that the element before it names). `!` makes it required, `=` makes it tell apart
the uses of a segment, `[a b c]` is a composite. `...` accepts whatever follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"=?\[[^\]]*\]!?|\S+")
_TYPE = re.compile(r"(an|n|r|date|time|when)(?:(\d+)-)?(\d+)?")


@dataclass(frozen=True, slots=True)
class Element:
    """What an element or component must look like."""

    required: bool = False
    used: bool = True
    codes: frozenset[str] = frozenset()
    kind: str = "an"
    shortest: int = 1
    longest: int = 264
    tells_apart: bool = False
    parts: tuple[Element, ...] = ()


@dataclass(eq=False, slots=True)
class SegmentRule:
    """One use of a segment in its loop."""

    id: str
    required: bool
    most: int
    elements: tuple[Element, ...]
    relations: tuple[str, ...] = ()
    open_ended: bool = False
    position: int = 0

    @property
    def trigger(self) -> SegmentRule:
        """Itself: what a segment is compared with."""
        return self


@dataclass(eq=False, slots=True)
class LoopRule:
    """A loop; its first entry is the segment that starts it."""

    id: str
    required: bool
    most: int
    entries: list[SegmentRule | LoopRule] = field(default_factory=list)
    position: int = 0

    @property
    def trigger(self) -> SegmentRule:
        """The segment that starts the loop."""
        return self.entries[0].trigger


def read_guide(text: str, root: str) -> LoopRule:
    """The guide as a tree; neighbours with the same segment id share a position, so their order is free."""
    top = LoopRule(root, required=True, most=1)
    open_loops: list[tuple[int, LoopRule]] = [(-1, top)]
    for line in filter(str.strip, text.splitlines()):
        depth = len(line) - len(line.lstrip())
        while depth <= open_loops[-1][0]:
            open_loops.pop()
        entry = _entry(line.strip())
        open_loops[-1][1].entries.append(entry)
        if isinstance(entry, LoopRule):
            open_loops.append((depth, entry))
    _place(top)
    return top


def _place(loop: LoopRule) -> None:
    position, before = -1, None
    for entry in loop.entries:
        if isinstance(entry, LoopRule):
            _place(entry)
        kind = (type(entry), entry.trigger.id)
        position += kind != before
        entry.position, before = position, kind


def _entry(line: str) -> SegmentRule | LoopRule:
    body, _, relations = line.partition("|")
    tokens = _TOKEN.findall(body)
    is_loop = tokens[0] == ">"
    name, usage, *elements = tokens[is_loop:]
    required, most = usage[0] == "R", int(usage[1:]) or 10**9
    if is_loop:
        return LoopRule(name, required, most)
    open_ended = elements[-1:] == ["..."]
    rules = tuple(_element(token) for token in elements if token != "...")
    return SegmentRule(name, required, most, rules, tuple(relations.split()), open_ended)


def _element(token: str) -> Element:
    tells_apart, required = token.startswith("="), token.endswith("!")
    body = token.removeprefix("=").removesuffix("!")
    if body == "-":
        return Element(used=False)
    if body.startswith("["):
        parts = tuple(_element(part) for part in body.strip("[]").split())
        return Element(required, parts=parts, tells_apart=tells_apart)
    typed = _TYPE.fullmatch(body)
    if typed:
        kind, shortest, longest = typed.groups()
        return Element(required, kind=kind, shortest=int(shortest or 1), longest=int(longest or 35))
    return Element(required, codes=frozenset(body.split(",")), tells_apart=tells_apart)
