"""SMART scopes as a client writes them: v1 and v2 of the same right, and whether a grant covers a wish.

Source: SMART App Launch 2.2.0, scopes and launch context (shared standards smart_backend_services section 7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

V1_LETTERS: Mapping[str, str] = {"read": "rs", "write": "cud", "*": "cruds"}
"""What a v1 permission means in v2 (R126-R128)."""

_SCOPE = re.compile(r"(?P<context>patient|user|system)/(?P<type>\*|[A-Za-z]+)\.(?P<rights>[a-z*]+)(?P<query>\?.+)?")


class ScopeStyle(StrEnum):
    """Which grammar the authorization server takes; the two are never mixed in one request."""

    V1 = "v1"
    V2 = "v2"
    NONE = "none"  # nothing is asked for: the app's registration fixes the scopes


def in_style(scopes: Iterable[str], style: ScopeStyle) -> tuple[str, ...]:
    """The scopes to send: written in v1 or v2, they all leave in the server's grammar, each once.

    Raises `ValueError` for a scope that v1 cannot say (`?category=...`).
    """
    if style is ScopeStyle.NONE:
        return ()
    write = _as_v1 if style is ScopeStyle.V1 else _as_v2
    return tuple(dict.fromkeys(written for scope in scopes for written in write(scope)))


def is_covered(wanted: str, granted: Iterable[str]) -> bool:
    """Whether granted scopes together allow what `wanted` asks; v1 is read as its v2 meaning."""
    held = set(granted)
    if wanted in held:
        return True
    context, resource, permissions = _parts(wanted.partition("?")[0])
    left = set(permissions)
    for scope in held:
        granted_context, granted_resource, granted_permissions = _parts(scope)
        if granted_context == context and granted_resource in (resource, "*"):
            left -= set(granted_permissions)
    return bool(resource) and not left


def resource_type(scope: str) -> str:
    """The type that a scope names, "*" for all of them, or "" for a scope that names none (`launch`)."""
    parsed = _SCOPE.fullmatch(scope)
    return parsed["type"] if parsed else ""


def _as_v2(scope: str) -> list[str]:
    parsed = _SCOPE.fullmatch(scope)
    if parsed is None:
        return [scope]
    letters = V1_LETTERS.get(parsed["rights"], parsed["rights"])
    return [f"{parsed['context']}/{parsed['type']}.{letters}{parsed['query'] or ''}"]


def _as_v1(scope: str) -> list[str]:
    """The smallest v1 scopes that hold the v2 rights; v1 knows only read, write and both."""
    parsed = _SCOPE.fullmatch(scope)
    if parsed is None or parsed["rights"] in V1_LETTERS:
        return [scope]
    if parsed["query"]:
        raise ValueError("SMART v1 has no scopes with a query: leave it out, or set scope_style to v2")
    letters = set(parsed["rights"])
    words = [word for word in ("read", "write") if letters & set(V1_LETTERS[word])]
    return [f"{parsed['context']}/{parsed['type']}.{word}" for word in words]


def _parts(scope: str) -> tuple[str, str, str]:
    """Context, resource type and v2 permissions; none of a narrowed scope (`?...`), which grants nothing for sure."""
    if "?" in scope:
        return "", "", ""
    context, _, rest = scope.partition("/")
    resource, _, permissions = rest.rpartition(".")
    return context, resource, V1_LETTERS.get(permissions, permissions)
