"""Search over the simulator's store: reading a query, finding, sorting and including (fhir_rest section 4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.kit.fhir_simulator.parameters import Parameter, parameters_of
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.fhir_simulator.values import KINDS, BadValue

Pairs = Iterable[tuple[str, str]]

_IGNORED = frozenset({"_format", "_pretty", "_total", "_elements"})
_SORTABLE = frozenset({"_lastUpdated", "_id", "date"})
_COMMA = re.compile(r"(?<!\\),")
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z]+")


class SearchRefused(Exception):
    """The search is not accepted: an R4 issue code and a text for the OperationOutcome."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition: any of the operands must match any of the resource's values."""

    parameter: Parameter
    modifier: str
    operands: tuple[Any, ...]

    def holds(self, stored: Stored) -> bool:
        """Whether a resource meets the condition."""
        values = stored.values(self.parameter)
        if self.modifier == "missing":
            wanted: bool = self.operands[0] == "true"
            return wanted is not bool(values)
        matches = _exactly if self.modifier == "exact" else KINDS[self.parameter.kind].matches
        hit = any(matches(value, operand) for operand in self.operands for value in values)
        return not hit if self.modifier == "not" else hit


@dataclass(frozen=True, slots=True)
class Include:
    """One _include or _revinclude: a type, its reference parameter ("*" for all), and the target type or ""."""

    source: str
    parameter: str
    target: str


@dataclass(slots=True)
class Query:
    """A search, read and checked."""

    type: str
    criteria: list[Criterion] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    sort: list[str] = field(default_factory=list)
    count: int | None = None
    accepted: list[tuple[str, str]] = field(default_factory=list)

    def holds(self, stored: Stored) -> bool:
        """Whether a resource meets every condition."""
        return all(criterion.holds(stored) for criterion in self.criteria)

    def names(self) -> set[str]:
        """The names of the parameters that narrow the search."""
        return {criterion.parameter.name for criterion in self.criteria}


def _exactly(value: Any, operand: Any) -> bool:
    return bool(value == operand)


def parse_query(resource_type: str, pairs: Pairs, *, base: str, lenient: bool = False) -> Query:
    """Read a query; raises `SearchRefused` for an unknown parameter (unless lenient), modifier or value."""
    query = Query(resource_type)
    for name, value in pairs:
        if not value or name in _IGNORED:
            continue
        if name in _CONTROLS:
            _CONTROLS[name](query, value)
        elif not _add_criterion(query, name, value, base):
            if lenient:
                continue
            raise SearchRefused("not-supported", f"the search parameter {name[:64]!r} is not supported")
        query.accepted.append((name, value))
    return query


def _add_criterion(query: Query, name: str, value: str, base: str) -> bool:
    base_name, _, modifier = name.partition(":")
    parameter = parameters_of(query.type).get(base_name)
    if parameter is None:
        return False
    values = [part.replace("\\,", ",") for part in _COMMA.split(value)]
    query.criteria.append(Criterion(parameter, *_operands(parameter, modifier, values, base)))
    return True


def _operands(parameter: Parameter, modifier: str, values: list[str], base: str) -> tuple[str, tuple[Any, ...]]:
    kind = parameter.kind
    if modifier == "missing":
        return modifier, (values[0],)
    if kind == "reference" and (not modifier or _TYPE_NAME.fullmatch(modifier)):
        targets = [value.removeprefix(f"{base}/") for value in values]
        return "", tuple(f"{modifier}/{target}" if modifier and "/" not in target else target for target in targets)
    if modifier == "exact" and kind == "string":
        return modifier, tuple(values)
    if modifier and not (modifier == "not" and kind == "token"):
        raise SearchRefused("not-supported", f"the modifier of {parameter.name!r} is not supported")
    try:
        return modifier, tuple(KINDS[kind].operand(value) for value in values)
    except BadValue as problem:
        raise SearchRefused("value", f"{parameter.name}: {problem}") from None


def _count(query: Query, value: str) -> None:
    if not value.isdecimal():
        raise SearchRefused("value", "_count is not a whole number")
    query.count = int(value)


def _summary(query: Query, value: str) -> None:
    if value not in ("count", "false"):
        raise SearchRefused("not-supported", "only _summary=count is supported")
    query.count = 0 if value == "count" else query.count


def _sort(query: Query, value: str) -> None:
    for key in value.split(","):
        if key.removeprefix("-") not in _SORTABLE:
            raise SearchRefused("not-supported", "results can be sorted by _lastUpdated, _id and date")
        query.sort.append(key)


def _include(value: str) -> Include:
    source, _, rest = value.partition(":")
    parameter, _, target = rest.partition(":")
    known = parameters_of(source).get(parameter)
    if parameter != "*" and (known is None or known.kind != "reference"):
        raise SearchRefused("not-supported", "the include names no reference parameter; write Type:parameter")
    return Include(source, parameter, target)


_CONTROLS: dict[str, Callable[[Query, str], None]] = {
    "_count": _count,
    "_summary": _summary,
    "_sort": _sort,
    "_include": lambda query, value: query.includes.append(_include(value)),
    "_revinclude": lambda query, value: query.revincludes.append(_include(value)),
}


def find(store: Store, query: Query) -> list[Stored]:
    """The matches of a query, sorted, or in a stable order (FHIR promises none)."""
    held = store.of_type(query.type)
    found = [held[resource_id] for resource_id in _candidates(store, query) if query.holds(held[resource_id])]
    for key in reversed(query.sort):
        found.sort(key=_sort_key(query.type, key.removeprefix("-")), reverse=key.startswith("-"))
    return found


def _candidates(store: Store, query: Query) -> list[str]:
    """The smallest set of ids that an index gives; everything of the type when none applies."""
    pools = [pool for criterion in query.criteria if (pool := _pool(store, query.type, criterion)) is not None]
    return min(pools, key=len) if pools else list(store.of_type(query.type))


def _pool(store: Store, resource_type: str, criterion: Criterion) -> list[str] | None:
    name, held = criterion.parameter.name, store.of_type(resource_type)
    if criterion.modifier:
        return None
    if name == "_id":
        return [code for _, code in dict.fromkeys(criterion.operands) if code in held]
    if criterion.parameter.kind != "reference":
        return None
    return list(dict.fromkeys(i for target in criterion.operands for i in store.referring(resource_type, name, target)))


def _sort_key(resource_type: str, name: str) -> Callable[[Stored], Any]:
    if name == "_lastUpdated":
        return lambda stored: stored.updated
    parameter = parameters_of(resource_type).get(name)
    if name == "_id" or parameter is None:
        return lambda stored: stored.id
    return lambda stored: min((value[0] for value in stored.values(parameter)), default=float("inf"))


def included(store: Store, query: Query, page: list[Stored]) -> list[Stored]:
    """What the page's matches point to (_include) and what points to them (_revinclude), each once."""
    seen = {stored.key for stored in page}
    extra: dict[str, Stored] = {}
    for stored in page:
        for other in (*_included(store, query, stored), *_revincluded(store, query, stored)):
            if other.key not in seen:
                extra.setdefault(other.key, other)
    return list(extra.values())


def _included(store: Store, query: Query, stored: Stored) -> Iterable[Stored]:
    for include in query.includes:
        if include.source != stored.type:
            continue
        for reference in _references(stored, include):
            other = store.get(*reference.split("/", 1)) if "/" in reference else None
            if other and include.target in ("", other.type):
                yield other


def _references(stored: Stored, include: Include) -> Iterable[str]:
    for name, parameter in parameters_of(stored.type).items():
        if parameter.kind == "reference" and include.parameter in ("*", name):
            yield from stored.values(parameter)


def _revincluded(store: Store, query: Query, stored: Stored) -> Iterable[Stored]:
    for include in query.revincludes:
        for resource_id in store.referring(include.source, include.parameter, stored.key):
            yield store.of_type(include.source)[resource_id]
