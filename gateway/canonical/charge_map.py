"""The clinic's charge map: which of the things that an EHR holds of a visit are billed, and as what.

Nothing is guessed: a coded thing that no rule takes and that is not ignored comes back as unmapped. Pure, and the rules
are found by code, not tried one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from gateway.canonical import codes

Coding = tuple[str, str]
"""Code system and code; "" is any system, "*" any code of the system."""

SYSTEMS: Mapping[str, str] = {
    "cpt": codes.CPT,
    "hcpcs": codes.HCPCS,
    "snomed": codes.SNOMED,
    "loinc": "http://loinc.org",
    **dict.fromkeys(codes.HCPCS_ALIASES, codes.HCPCS),
}
"""Short names and other spellings of code systems; any other system is written as its URI."""

_Spellings = Callable[[str, str], tuple[Coding, ...]]

ANY = "*"
OWN = "own"
"""In place of a line's code: the CPT or HCPCS code that the thing itself has."""


class Kind(StrEnum):
    """The coded things of a visit that a rule can ask for."""

    ENCOUNTER_TYPE = "encounter_type"
    SERVICE_TYPE = "service_type"
    APPOINTMENT_TYPE = "appointment_type"
    DOCUMENT_TYPE = "document_type"
    CHARGE_ITEM = "charge_item"
    PROCEDURE = "procedure"
    SERVICE_REQUEST = "service_request"


REPEATED = (Kind.CHARGE_ITEM, Kind.PROCEDURE, Kind.SERVICE_REQUEST)
"""Kinds of which each counts: a rule makes its lines once for every one that it takes; for other kinds once a visit."""


class Rounding(StrEnum):
    """How minutes become units."""

    EIGHT_MINUTE = "eight_minute"  # Medicare's: 8 to 22 minutes are one unit of 15, 23 to 37 two
    MIDPOINT = "midpoint"  # CPT's: a unit counts once more than half of it has passed
    UP = "up"  # a unit counts once it is begun
    DOWN = "down"  # only whole units count


@dataclass(frozen=True, slots=True)
class UnitsOfTime:
    """One unit for every `per` minutes of the visit."""

    per: int
    rule: Rounding

    def units(self, minutes: int) -> int:
        """The units of so many minutes, perhaps none."""
        share = Decimal(minutes) / self.per
        if self.rule is Rounding.DOWN:
            return int(share.to_integral_value(ROUND_FLOOR))
        passed = share if self.rule is Rounding.UP else share - Decimal("0.5")  # eight of fifteen is past the middle
        return max(0, int(passed.to_integral_value(ROUND_CEILING)))


@dataclass(frozen=True, slots=True)
class MapLine:
    """A claim line that a rule makes. `diagnoses` are ICD-10-CM codes with the dot; empty: see `first_only`."""

    code: str
    modifiers: tuple[str, ...] = ()
    units: Decimal | UnitsOfTime | None = None  # None: what the thing itself says, else 1
    diagnoses: tuple[str, ...] = ()
    first_only: bool = False  # point at the first diagnosis, not at all of them
    fee: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MapRule:
    """Makes `lines` when every condition holds; an empty one always does. `minutes` are a range, both included."""

    lines: tuple[MapLine, ...]
    codes: Mapping[Kind, frozenset[Coding]] = field(default_factory=dict)
    minutes: tuple[int, int] | None = None
    encounter_class: frozenset[str] = frozenset()
    practitioner: frozenset[str] = frozenset()
    specialty: frozenset[str] = frozenset()
    start: date = date.min
    end: date = date.max

    @property
    def repeated(self) -> Kind | None:
        """The kind of which each thing makes the lines anew; a line of the thing's own code needs one."""
        own = any(line.code == OWN for line in self.lines)
        return next((kind for kind in (*REPEATED, *(Kind if own else ())) if kind in self.codes), None)

    def holds(self, found: Mapping[Kind, object], visit: Visit) -> bool:
        """Whether every condition holds, given the kinds of which something was found by its code."""
        return (
            self.start <= visit.on <= self.end
            and self.codes.keys() <= found.keys()
            and (self.minutes is None or _within(visit.minutes, self.minutes))
            and (not self.encounter_class or visit.encounter_class in self.encounter_class)
            and (not self.practitioner or not self.practitioner.isdisjoint(visit.practitioners))
            and (not self.specialty or not self.specialty.isdisjoint(visit.specialties))
        )


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A coded thing of a visit. `key` puts the things of a visit in an order that is always the same."""

    kind: Kind
    codings: tuple[Coding, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """What rules look at. `minutes` is None when the EHR does not tell how long the visit was."""

    on: date
    items: Sequence[Item] = ()
    minutes: int | None = None
    encounter_class: str = ""
    practitioners: frozenset[str] = frozenset()
    specialties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule, by its number, that makes its lines once; of `item` when it makes them for each."""

    number: int
    item: Item | None


@dataclass(frozen=True, slots=True)
class Matched:
    """What the map makes of a visit: each of its things is taken by a rule, ignored, or left."""

    fired: tuple[Fired, ...]
    taken: tuple[Item, ...]
    ignored: tuple[Item, ...]
    left: tuple[Item, ...]


class ChargeMap:
    """The rules of one clinic, in their order in the configuration."""

    def __init__(self, rules: Iterable[MapRule] = (), ignore: Iterable[Coding] = ()) -> None:
        """`ignore` are codes of things that are not billed, on purpose."""
        self.rules = tuple(rules)
        self.kinds = frozenset(kind for rule in self.rules for kind in rule.codes)
        self._ignored = frozenset(ignore)
        self._without_codes = frozenset(number for number, rule in enumerate(self.rules) if not rule.codes)
        self._by_code: dict[tuple[Kind, Coding], list[int]] = {}
        for number, rule in enumerate(self.rules):
            for kind, codings in rule.codes.items():
                for coding in codings:
                    self._by_code.setdefault((kind, coding), []).append(number)

    def considers(self, kind: Kind) -> bool:
        """Whether things of this kind must be billed or ignored: those that a rule asks for, and all procedures."""
        return kind in self.kinds or kind is Kind.PROCEDURE

    def match(self, visit: Visit) -> Matched:
        """The rules that fire, and what becomes of each thing. The order of the things makes no difference."""
        found: dict[int, dict[Kind, list[Item]]] = {number: {} for number in self._without_codes}
        for item in sorted(visit.items, key=lambda item: item.key):
            for number in self._asking_for(item):
                found.setdefault(number, {}).setdefault(item.kind, []).append(item)
        firing = [number for number in sorted(found) if self.rules[number].holds(found[number], visit)]
        of_rules = {id(item) for number in firing for items in found[number].values() for item in items}
        left = [item for item in visit.items if id(item) not in of_rules]
        return Matched(
            fired=tuple(fired for number in firing for fired in self._fire(number, found[number])),
            taken=tuple(item for item in visit.items if id(item) in of_rules),
            ignored=tuple(item for item in left if self._is_ignored(item)),
            left=tuple(item for item in left if not self._is_ignored(item)),
        )

    def _fire(self, number: int, found: Mapping[Kind, Sequence[Item]]) -> Iterable[Fired]:
        kind = self.rules[number].repeated
        return [Fired(number, item) for item in found[kind]] if kind else [Fired(number, None)]

    def _asking_for(self, item: Item) -> set[int]:
        """The rules that name one of the thing's codes; those that name a whole system only where none does."""
        named = self._numbers(item, lambda system, code: ((system, code), ("", code)))
        return named or self._numbers(item, lambda system, _: ((system, ANY),))

    def _numbers(self, item: Item, spellings: _Spellings) -> set[int]:
        return {
            number
            for coding in item.codings
            for spelt in spellings(*coding)
            for number in self._by_code.get((item.kind, spelt), ())
        }

    def _is_ignored(self, item: Item) -> bool:
        return any(
            spelt in self._ignored
            for system, code in item.codings
            for spelt in ((system, code), ("", code), (system, ANY))
        )


def coding_of(text: str) -> Coding:
    """A coding as the configuration writes it: `code`, or `system|code`, or `system|*`. Raises `ValueError`."""
    system, bar, code = (part.strip() for part in text.rpartition("|"))
    if not code or (bar and not system):
        raise ValueError("is not a code, nor system|code")
    if not system and code == ANY:
        raise ValueError("needs a system before the asterisk, such as cpt|*")
    known = SYSTEMS.get(system, system)
    if system and ":" not in known:
        raise ValueError(f"begins with an unknown system; use {', '.join(sorted(_SHORT))}, or its URI")
    return known, code


def _within(minutes: int | None, span: tuple[int, int]) -> bool:
    return minutes is not None and span[0] <= minutes <= span[1]


_SHORT = [name for name in SYSTEMS if ":" not in name]
