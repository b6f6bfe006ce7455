"""Which canonical elements a description carries, waives or refuses: each must be one of the three. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapters.billing.http_api.expressions import Mention
from adapters.billing.http_api.facts import essential_facts, find_fact
from adapters.billing.http_api.problems import Problem
from gateway.kit.payload import CLAIM_ELEMENTS

RELATED = "Claim.related"


@dataclass(frozen=True, slots=True)
class Carrying:
    """What becomes of each element.

    `table` is the adapter's `carried`: element to vendor field, or to "- why none is needed". `facts` are the mapped
    facts; `capacity` tells how many entries of a list they take (absent: all); `refused` are facts that hold a claim.
    """

    table: Mapping[str, str]
    facts: frozenset[str]
    capacity: Mapping[str, int]
    refused: frozenset[str]


def decide(
    mentions: Sequence[tuple[str, Mention]], waived: Mapping[str, str], refused: Mapping[str, str], corrections: bool
) -> tuple[Carrying, list[Problem]]:
    """The table of elements, and what is wrong with it."""
    fields = _fields(mentions)
    problems = [*_unknown(waived, "waived"), *_unknown(refused, "refused")]
    table: dict[str, str] = {}
    undecided = []
    for element in CLAIM_ELEMENTS:
        ways = [element in fields, element in waived, element in refused]
        if element == RELATED and not corrections:
            continue
        if not any(ways):
            undecided.append(element)
        elif sum(ways) > 1:
            problems.append(_twice(element, fields, waived, refused))
        elif element in fields:
            table[element] = ", ".join(dict.fromkeys(fields[element]))
        elif element in waived:
            table[element] = f"- {waived[element]}"
    if undecided:
        problems.append(_undecided(undecided))
    facts = frozenset(mention.name for _, mention in mentions)
    problems += _half_carried(facts, fields, {*waived, *refused})
    return Carrying(table, facts, _capacity(mentions), frozenset(name for name in refused if find_fact(name))), problems


def _fields(mentions: Sequence[tuple[str, Mention]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for target, mention in mentions:
        fact = find_fact(mention.name)
        for element in fact.elements if fact else ():
            fields.setdefault(element, []).append(target)
    return fields


def _capacity(mentions: Sequence[tuple[str, Mention]]) -> dict[str, int]:
    indexes: dict[str, list[int | None]] = {}
    for _, mention in mentions:
        indexes.setdefault(mention.name, []).append(mention.index)
    known = {name: [i for i in found if i is not None] for name, found in indexes.items() if None not in found}
    return {name: max(found) + 1 for name, found in known.items()}


def _unknown(names: Mapping[str, str], where: str) -> Iterator[Problem]:
    for name, why in names.items():
        fact = find_fact(name)
        if name == RELATED:
            yield Problem((where, name), "is decided by `corrections`; remove it")
        elif name not in CLAIM_ELEMENTS and fact is None:
            yield Problem((where, name), "is no canonical element and no fact; see the two tables in the README")
        elif fact is not None and not fact.essential:
            text = "is a fact that needs no decision; remove it, or name its element"
            yield Problem((where, name), text)
        elif not why.strip():
            yield Problem((where, name), "needs a reason, which the mapping document prints")


def _twice(
    element: str, fields: Mapping[str, Sequence[str]], waived: Mapping[str, str], refused: Mapping[str, str]
) -> Problem:
    where = "waived" if element in waived else "refused"
    if element in fields:
        return Problem((where, element), f"is carried by {fields[element][0]}; remove it here or from the map")
    return Problem((where, element), "stands under waived and under refused; keep one of the two")


def _undecided(elements: Sequence[str]) -> Problem:
    described = ", ".join(f"{element} ({CLAIM_ELEMENTS[element]})" for element in elements)
    return Problem(
        ("submit", "map"),
        f"leaves elements of the claim open: {described}; map a fact of each, or name it under `waived` (why it need "
        "not be carried) or `refused` (claims that have it are held)",
    )


def _half_carried(facts: frozenset[str], fields: Mapping[str, Sequence[str]], decided: set[str]) -> Iterator[Problem]:
    scopes = {name.partition(".")[0] for name in facts}
    for element in fields:
        for name in essential_facts(element):
            if name in facts or name in decided or name.partition(".")[0] not in scopes:
                continue
            fact = find_fact(name)
            if not any(name.partition(".")[0] == f.partition(".")[0] and _same_element(f, element) for f in facts):
                continue
            usual = f" (usually {fact.usual.lstrip('.')})" if fact and fact.usual else ""
            text = f"carries {element} without `{name}`{usual}; map it too, or name it under `waived` or `refused`"
            yield Problem(("submit", "map"), text)


def _same_element(name: str, element: str) -> bool:
    fact = find_fact(name)
    return fact is not None and element in fact.elements
