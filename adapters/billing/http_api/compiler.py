"""From the YAML of `map` to nodes: every mistake is collected with its place, before any claim. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.billing.http_api.expressions import (
    BadExpression,
    Mention,
    Program,
    Unanswered,
    activation_of,
    compile_expression,
    unknown_fact,
)
from adapters.billing.http_api.facts import LOOPS, PRIOR, Kind, find_fact
from adapters.billing.http_api.places import document_path
from adapters.billing.http_api.problems import Problem
from adapters.billing.http_api.template import VALUE, Entries, Fixed, Leaf, Loop, Members, Node
from adapters.billing.http_api.transforms import by_expression, transform_of, words_of
from gateway.kit.mapping import same

Place = tuple[str | int, ...]
_NOTHING = Fixed.of("", "")
_FACT = re.compile(r"(?P<name>[a-z_]+\.\w+)(?:\[(?P<index>\d+)\])?")
_LEAF_OPTIONS = frozenset({"$from", "$as", "$words", "$otherwise", "$max", "$most", "$required", "$note", "$fix"})
_LOOP_OPTIONS = frozenset({"$each", "$most", "$map"})
_OPTIONS = ", ".join(sorted(_LEAF_OPTIONS | _LOOP_OPTIONS | {"$if"}))


@dataclass
class Compiler:
    """Turns the YAML of `map` into nodes and collects what is wrong with it, each with its place."""

    problems: list[Problem] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    fixed: list[Fixed] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)  # facts that are asked for, but not carried
    _lists: list[str] = field(default_factory=list)  # facts over which the loops around a leaf go
    _only_if: list[str] = field(default_factory=list)  # conditions of the objects around a leaf

    def node(self, raw: Any, place: Place, target: str = "", inside: frozenset[str] = frozenset()) -> Node:
        """The node of a piece of YAML; a mistake is collected and gives a fixed value."""
        if isinstance(raw, dict):
            return self._mapping(raw, place, target, inside)
        if isinstance(raw, list):
            each = (self.node(r, (*place, i), f"{target}[{i}]", inside) for i, r in enumerate(raw))
            return Entries(tuple(each))
        if isinstance(raw, str):
            return self._leaf({"$from": raw}, place, target, inside, short=True)
        if isinstance(raw, bool | int):
            return self._fixed(raw, target)
        kind = "an empty value" if raw is None else f"a {type(raw).__name__}"
        return self._wrong(place, f'{kind} is no leaf; write a fact, "=" and an expression, a whole number, or ="text"')

    def _mapping(self, raw: dict[Any, Any], place: Place, target: str, inside: frozenset[str]) -> Node:
        odd = [key for key in raw if not isinstance(key, str)]
        if odd:
            return self._wrong(place, f"the key {odd[0]!r} is not text; put it in quotes")
        if "$each" in raw:
            return self._loop(raw, place, target, inside)
        if "$from" in raw:
            return self._leaf(raw, place, target, inside)
        nodes = []
        condition = self._condition(raw["$if"], (*place, "$if"), inside) if "$if" in raw else None
        self._only_if += [condition.source] if condition else []
        for key, inner in raw.items():
            if key == "$if":
                continue
            if key.startswith("$") and not key.startswith("$$"):
                return self._wrong((*place, key), f"is out of place or not known; known are {_OPTIONS}")
            name = key.removeprefix("$") if key.startswith("$$") else key
            below = f"{target}.{name}" if target else name
            nodes.append((name, self.node(inner, (*place, key), below, inside)))
        if condition:
            self._only_if.pop()
        return Members(tuple(nodes), condition)

    def _condition(self, raw: Any, place: Place, inside: frozenset[str]) -> Leaf | None:
        """A condition tells what is sent, but carries nothing itself."""
        source = str(raw).strip()
        mentions, program = self._source(source, place, inside)
        if mentions is None:
            return None
        self.conditions += [mention.name for mention in mentions]
        return Leaf(target="$if", source=source, mentions=mentions, program=program)

    def _loop(self, raw: dict[str, Any], place: Place, target: str, inside: frozenset[str]) -> Node:
        if self._unknown_options(raw, _LOOP_OPTIONS, place):
            return _NOTHING
        each, over = str(raw["$each"]), None
        if each in LOOPS and each not in inside:
            scope = each
        else:
            over = self._fact(each, (*place, "$each"), inside)
            known = over and find_fact(over.name)
            if not over or not known or not known.kind.many or over.index is not None:
                names = ", ".join(sorted(LOOPS))
                return self._wrong((*place, "$each"), f"is none of {names}, and no fact that is a list")
            scope = VALUE
            self._lists.append(over.name)
        if "$map" not in raw:
            return self._wrong(place, "has $each without $map; add what one entry looks like")
        body = self.node(raw["$map"], (*place, "$map"), f"{target}[]", inside | {scope})
        if over:
            self._lists.pop()
        most = self._whole(raw, "$most", place)
        loop = Loop(scope, over, body, most, target)
        self.loops.append(loop)
        return loop

    def _leaf(
        self, raw: dict[str, Any], place: Place, target: str, inside: frozenset[str], short: bool = False
    ) -> Node:
        if self._unknown_options(raw, _LEAF_OPTIONS, place):
            return _NOTHING
        at = place if short else (*place, "$from")
        source = str(raw["$from"]).strip()
        if not isinstance(raw.get("$required", False), bool):
            self._wrong((*place, "$required"), "is true or false")
        required = raw.get("$required") is True or source.endswith("!")
        source = source if source.startswith("=") else source.removesuffix("!")
        mentions, program = self._source(source, at, inside)
        if mentions is None:
            return _NOTHING
        if program is not None and not mentions and len(raw) == 1:
            return self._constant(program, at, target)
        leaf = Leaf(
            target=target,
            source=self._shown(mentions, source),
            via=self._transform(raw, place, mentions, program),
            required=required and source != VALUE,
            note=str(raw.get("$note", "")) or (source if program and required else ""),
            fix=str(raw.get("$fix", "")),
            mentions=mentions,
            program=program,
            longest=self._whole(raw, "$max", place),
            most=self._whole(raw, "$most", place),
        )
        if not leaf.required:  # the note of a required one is what a biller reads
            leaf = replace(leaf, note="; ".join(filter(None, (leaf.note, *self._remarks(leaf)))))
        self.leaves.append(leaf)
        return leaf

    def _shown(self, mentions: Sequence[Mention], source: str) -> str:
        """The canonical paths of a leaf's facts."""
        names = self._lists[-1:] if source == VALUE else [mention.name for mention in mentions]
        return ", ".join(dict.fromkeys(map(document_path, names))) or source

    def _remarks(self, leaf: Leaf) -> Iterator[str]:
        """What else the mapping document says of a leaf."""
        for mention in leaf.mentions:
            fact = find_fact(mention.name)
            yield fact.told if fact else ""
        if leaf.longest is not None:
            yield f"at most {leaf.longest} characters, a claim with more is held"
        if leaf.most is not None:
            yield f"at most {leaf.most}, a claim with more is held"
        for condition in self._only_if:
            yield f"only if {condition.removeprefix('=').strip()}"

    def _fixed(self, value: Any, target: str) -> Fixed:
        self.fixed.append(Fixed.of(target, value))
        return self.fixed[-1]

    def _constant(self, program: Program, place: Place, target: str) -> Fixed:
        try:
            return self._fixed(program.of(activation_of({})), target)
        except Unanswered as problem:
            return self._wrong(place, f"this expression is wrong: {problem}")

    def _source(
        self, source: str, place: Place, inside: frozenset[str]
    ) -> tuple[tuple[Mention, ...] | None, Program | None]:
        if source == VALUE:
            if VALUE in inside:
                return (), None
            self._wrong(place, "$value stands only inside $each over a fact that is a list")
            return None, None
        if not source.startswith("="):
            mention = self._fact(source, place, inside)
            return ((mention,), None) if mention else (None, None)
        try:
            program = compile_expression(source[1:].strip())
        except BadExpression as problem:
            self._wrong(place, str(problem))
            return None, None
        self.conditions += [mention.name for mention in program.mentions if mention.sized]
        seen = [self._reachable(mention.name, place, inside) for mention in program.mentions]
        return (program.mentions, program) if all(seen) else (None, None)

    def _fact(self, text: str, place: Place, inside: frozenset[str]) -> Mention | None:
        match = _FACT.fullmatch(text)
        fact = find_fact(match["name"]) if match else None
        if match is None or fact is None:
            self._wrong(place, unknown_fact(text))
            return None
        if match["index"] and not fact.kind.many:
            self._wrong(place, f"`{match['name']}` is one value, not a list; remove the index")
            return None
        mention = Mention(match["name"], int(match["index"]) if match["index"] else None)
        return mention if self._reachable(mention.name, place, inside) else None

    def _reachable(self, name: str, place: Place, inside: frozenset[str]) -> bool:
        scope = name.partition(".")[0]
        if scope in LOOPS and scope not in inside:
            self._wrong(place, f"`{name}` stands only inside `$each: {scope}`")
            return False
        return True

    def _transform(
        self, raw: dict[str, Any], place: Place, mentions: Sequence[Mention], program: Program | None
    ) -> Callable[[Any], Any]:
        written = self._written_as(raw, place, mentions, program)
        return by_expression(program.text.strip(), written) if program else written

    def _written_as(
        self, raw: dict[str, Any], place: Place, mentions: Sequence[Mention], program: Program | None
    ) -> Callable[[Any], Any]:
        if "$words" in raw:
            return self._words(raw, place)
        if "$as" not in raw:
            return same
        at = (*place, "$as")
        transform = transform_of(str(raw["$as"]))
        if transform is None:
            self._wrong(
                at, "is not known; use number, integer, cents, boolean, digits, upper, undotted or date:%m/%d/%Y"
            )
            return same
        fact = find_fact(mentions[0].name) if program is None and mentions else None
        if fact and mentions[0].name.partition(".")[0] != PRIOR and fact.kind not in transform.takes:
            kinds = " or ".join(kind.value for kind in Kind if kind in transform.takes)
            self._wrong(at, f"does not fit `{mentions[0].name}`, which is {fact.kind.value}; it takes {kinds}")
        return transform.write

    def _words(self, raw: dict[str, Any], place: Place) -> Callable[[Any], Any]:
        words = raw["$words"]
        if "$as" in raw:
            self._wrong((*place, "$as"), "stands beside $words; keep one of the two")
        if not isinstance(words, dict) or not words or not all(isinstance(w, str | int) for w in words.values()):
            self._wrong((*place, "$words"), "maps codes to words; write {code: word, ...}")
            return same
        if not isinstance(raw.get("$otherwise", ""), str | int):
            self._wrong((*place, "$otherwise"), "is one word")
        texts = {str(code).lower() if isinstance(code, bool) else str(code): word for code, word in words.items()}
        return words_of(texts, raw.get("$otherwise"))

    def _whole(self, raw: dict[str, Any], option: str, place: Place) -> int | None:
        value = raw.get(option)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            self._wrong((*place, option), "is a whole number from 1 up")
            return None
        return value

    def _unknown_options(self, raw: dict[str, Any], known: frozenset[str], place: Place) -> bool:
        unknown = [key for key in raw if key not in known]
        for key in unknown:
            self._wrong((*place, key), f"is not known here; known are {', '.join(sorted(known))}")
        return bool(unknown)

    def _wrong(self, place: Place, text: str) -> Fixed:
        self.problems.append(Problem(place, text))
        return _NOTHING
