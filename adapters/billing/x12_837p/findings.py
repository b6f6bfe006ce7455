"""Codes of acknowledgments as findings for a biller. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from adapters.billing.x12_837p import rows
from adapters.billing.x12_837p.errors import ENTITIES, SEGMENT_ERRORS, STATUS_CODES, SYNTAX_ERRORS, UNKNOWN_STATUS
from adapters.billing.x12_837p.segments import expression
from gateway.canonical.findings import Finding, error, warning

_CODE = re.compile(r"[A-Z]{0,4}\d[A-Za-z0-9._-]{0,39}|[A-Z]{1,3}")
_SYNTAX_FIX = "Correct the element; when it looks right, report the finding: the gateway and the receiver disagree."


def code_word(value: object, otherwise: str = "?", *, longest: int = 7) -> str:
    """A vendor's code, unless it looks like more than a code: a value in the wrong place must not be passed on."""
    text = str(value or "")
    return text if len(text) <= longest and _CODE.fullmatch(text) else otherwise


def status_finding(category: str, status: str, entity: str, line: int | None = None) -> Finding:
    """A finding of a claim status: category A3.., status code, entity code; `line` counts from 0."""
    meaning = STATUS_CODES.get(status, UNKNOWN_STATUS)
    where = meaning.expression or ENTITIES.get(entity, "Claim")
    if line is not None and line >= 0:
        where = where.replace("Claim.item", f"Claim.item[{line}]") if "Claim.item" in where else f"Claim.item[{line}]"
    return error(f"277-{code_word(category)}-{code_word(status)}", where, f"{meaning.message}.", meaning.fix)


def element_finding(segment: str, loop: str, position: str, syntax: str) -> Finding:
    """A finding of an IK4: segment and loop from its IK3, element position ("9" or "1:2"), syntax error code."""
    message = SYNTAX_ERRORS.get(syntax, "The receiver does not accept this element")
    number, _, component = position.partition(":")
    target = f"{segment}{number:>02}" + (f"-{component}" if component else "")
    where = place_of(segment, loop, target)
    return error(f"999-{code_word(syntax)}", where, f"{message} ({code_word(target)}).", _SYNTAX_FIX)


def segment_finding(segment: str, loop: str, syntax: str) -> Finding:
    """A finding of an IK3 without IK4."""
    message = SEGMENT_ERRORS.get(syntax, "The receiver does not accept a segment")
    where = place_of(segment, loop, "")
    return error(f"999-{code_word(syntax)}", where, f"{message} ({code_word(segment)}).", _SYNTAX_FIX)


def note(edit: str, message: str, fix: str = "") -> Finding:
    """A warning about the claim as a whole."""
    return warning(edit, "Claim", message, fix)


def place_of(segment: str, loop: str, target: str) -> str:
    """The FHIRPath that the rows write at this place; `Claim` when the place is not one of theirs, or is ambiguous."""
    exact = _expressions(f"{loop} {target}") if loop and target else frozenset()
    found = exact or _expressions(f"{loop} {segment}" if loop else f"* {target or segment}")
    if len(found) == 1:
        return next(iter(found))
    return _common(found) if found else "Claim"


def _common(paths: frozenset[str]) -> str:
    """The longest path that all share: `Claim.patient` of a name and a birth date."""
    split = [path.split(".") for path in sorted(paths)]
    shared = []
    for steps in zip(*split, strict=False):
        if len(set(steps)) > 1:
            break
        shared.append(steps[0])
    return ".".join(shared) or "Claim"


@cache
def _expressions(wanted: str) -> frozenset[str]:
    """The places of rows whose target begins with `wanted`, or ends in its segment when it begins with a star."""
    loop, _, rest = wanted.partition(" ")
    return frozenset(
        place for row, place in _all() if row.split(" ")[1].startswith(rest) and loop in ("*", row.split(" ")[0])
    )


def _all() -> Iterator[tuple[str, str]]:
    for row in rows.ALL:
        yield row.target, expression(row.source).partition(".where(")[0]
