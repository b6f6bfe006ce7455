"""The validation errors that Tebra hides as XML in `ErrorMessage` (section 6.1), read as findings. Pure.

The echo is not always well-formed, so its tags are walked one by one instead of parsed. No value is ever read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapters.billing.kareo_tebra.errors import FIELD_REFUSALS, MEMBER_PARENTS, UNKNOWN_REFUSAL, Refusal
from gateway.canonical.errors import ErrorCode
from gateway.canonical.findings import Finding, error
from gateway.kit.encoders import soap

_TAG = re.compile(r"<(?P<end>/?)(?:\w+:)?(?P<name>[A-Za-z]\w*)(?P<rest>[^<>]*)>")
_ID = re.compile(r"""\bid\s*=\s*["']?(\w{1,16})""")
_NUMBERED = re.compile(r"(?P<name>[A-Za-z]+?)(?P<number>\d?)")
_LINES = frozenset({"ServiceLine", "ServiceLineReq"})


def findings_in(message: str) -> tuple[Finding, ...]:
    """One finding per `err`, its edit `tebra-<id>`; the general one is left out when others say more."""
    found = list(_refusals(message))
    specific = [entry for entry in found if entry[1] is not UNKNOWN_REFUSAL]
    return tuple(
        error(f"tebra-{number}", _expression(refusal, line, member), refusal.message, refusal.fix)
        for number, refusal, line, member in dict.fromkeys(specific or found)
    )


def refusal_code(message: str) -> ErrorCode:
    """The code of the first `err` that names an element."""
    codes = (refusal.code for _, refusal, _, _ in _refusals(message))
    return next((code for code in codes if code is not ErrorCode.OTHER), ErrorCode.OTHER)


_Found = tuple[str, Refusal, int, int]
"""The vendor's number, its meaning, the line's index (-1 outside lines), the member's index."""


def _refusals(message: str) -> Iterator[_Found]:
    line = -1
    path: list[str] = []
    for tag in _TAG.finditer(soap.unescaped(message)):
        name = tag["name"]
        if tag["end"]:
            if name in path:
                del path[len(path) - 1 - path[::-1].index(name) :]
            continue
        if name == "err":
            number = _ID.search(tag["rest"])
            yield (number[1] if number else "unknown", *_meaning(path, line))
        line += name in _LINES
        if not tag["rest"].endswith("/"):
            path.append(name)


def _meaning(path: list[str], line: int) -> tuple[Refusal, int, int]:
    on_line = line if _LINES & set(path) else -1
    for name in reversed(path):
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None:
            continue
        plain = MEMBER_PARENTS.get(numbered["name"], numbered["name"])
        if plain in FIELD_REFUSALS:
            return FIELD_REFUSALS[plain], on_line, max(int(numbered["number"] or 1) - 1, 0)
    return UNKNOWN_REFUSAL, on_line, 0


def _expression(refusal: Refusal, line: int, member: int) -> str:
    if not refusal.expression.startswith("."):
        return refusal.expression
    item = "Claim.item" if line < 0 else f"Claim.item[{line}]"
    return item + refusal.expression.format(n=member)
