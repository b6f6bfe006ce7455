"""Elation's ways to refuse, and its paging parameters."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.kit.simulator_http import Refused, Response, plain_json


def detail(status: int, text: str) -> Response:
    """The body of most refusals."""
    return plain_json({"detail": text}, status)


def fields(problems: Mapping[str, list[str]]) -> Response:
    """The body of a refused change: what is wrong, by field."""
    return plain_json(dict(problems), 400)


def page_number(query: Mapping[str, str], name: str, default: int) -> int:
    """A paging parameter; refused when it is no number."""
    text = query.get(name, str(default))
    if not text.isdigit():
        raise Refused(fields({name: ["A valid integer is required."]}))
    return int(text)
