"""Request lines of a description: `POST /v1/claims/{claim_id}`. Pure. Only ids may stand in an address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

_LINE = re.compile(r"(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>/[!-~]*)")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Request:
    """A method and a path below the base URL, with `{placeholders}` for ids."""

    method: str
    path: str
    placeholders: tuple[str, ...]


def parse_request(line: str) -> Request:
    """Read a request line; raises `ValueError` with what is wrong with it."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise ValueError("is no request line; write a method and a path, e.g. `POST /v1/claims`")
    placeholders = tuple(_PLACEHOLDER.findall(found["path"]))
    if re.search(r"[{}]", _PLACEHOLDER.sub("", found["path"])):
        raise ValueError("has a brace without its partner")
    return Request(found["method"], found["path"], placeholders)


def placeholder_problem(request: Request, allowed: Iterable[str]) -> str:
    """What is wrong with the placeholders, or "": an address is logged on the way, so it may hold ids only."""
    known = sorted(allowed)
    wrong = [name for name in request.placeholders if name not in known]
    if not wrong:
        return ""
    names = ", ".join(f"{{{name}}}" for name in known) or "none"
    return f"has {{{wrong[0]}}}, but an address may hold ids only, never a patient's value; allowed here: {names}"


def fill(request: Request, ids: Mapping[str, str]) -> str:
    """The path with its ids, percent-encoded."""
    return _PLACEHOLDER.sub(lambda found: quote(str(ids[found[1]]), safe=""), request.path)
