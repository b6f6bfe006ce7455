"""SMART scopes: the grammar, what is granted of a request, and what a grant covers (SMART 2.2.0, scopes)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import fhirkit

_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?(.+))?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_TYPES = frozenset(fhirkit.RESOURCE_TYPES)


class InvalidScope(ValueError):
    """A scope that has not the grammar's form or names an unknown type."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope: a type or "*", letters out of "cruds", a narrowing query or "", and the form it was written in."""

    type: str
    letters: str
    query: str = ""
    v1: str = ""

    def __str__(self) -> str:
        return f"system/{self.type}.{self.v1 or self.letters}" + (f"?{self.query}" if self.query else "")

    def covers(self, resource_type: str, letter: str) -> bool:
        """Whether an interaction on a type is within the scope, its query apart."""
        return self.type in ("*", resource_type) and letter in self.letters


def parse_scope(text: str) -> Scope:
    """One scope of a backend service; patient/ and user/ need a context that a backend service has not."""
    parts = _SCOPE.fullmatch(text)
    if parts is None or not parts[2]:
        raise InvalidScope("a scope is not of the form system/Type.rs or system/Type.read")
    resource_type, permission, query = parts.groups()
    if resource_type != "*" and resource_type not in _TYPES:
        raise InvalidScope("a scope names an unknown resource type")
    v1 = permission if permission in _V1 else ""
    return Scope(resource_type, _V1.get(permission, permission), query or "", v1)


def parse_scopes(text: str) -> list[Scope]:
    """Every scope of a space-separated list; raises `InvalidScope` for the first bad one and for an empty list."""
    scopes = [parse_scope(part) for part in text.split(" ") if part]
    if not scopes:
        raise InvalidScope("no scope was asked for")
    return scopes


def granted(asked: Iterable[Scope], allowed: Iterable[Scope]) -> list[Scope]:
    """What of a request lies within the pre-authorized scopes: asked scopes whole, or narrowed to the common part."""
    permitted = list(allowed)
    common = [both for scope in asked for other in permitted if (both := _meet(scope, other))]
    return [scope for scope in dict.fromkeys(common) if not _within_another(scope, common)]


def _meet(asked: Scope, allowed: Scope) -> Scope | None:
    letters = "".join(letter for letter in asked.letters if letter in allowed.letters)
    if "*" not in (asked.type, allowed.type) and asked.type != allowed.type:
        return None
    resource_type = allowed.type if asked.type == "*" else asked.type
    query = "&".join(filter(None, (asked.query, allowed.query)))
    return Scope(resource_type, letters, query, asked.v1 if letters == asked.letters else "") if letters else None


def _within_another(scope: Scope, others: Iterable[Scope]) -> bool:
    return any(
        other != scope
        and other.type in ("*", scope.type)
        and set(scope.letters) <= set(other.letters)
        and other.query in ("", scope.query)
        and (other.type, other.letters, other.query) != (scope.type, scope.letters, scope.query)
        for other in others
    )


def narrowing(scopes: Iterable[Scope], resource_type: str, letter: str) -> list[list[tuple[str, str]]] | None:
    """What a grant says of an interaction: None when it is not covered, [] when it is free, else the queries of
    which a resource must meet one."""
    queries = [scope.query for scope in scopes if scope.covers(resource_type, letter)]
    if not queries:
        return None
    return [] if "" in queries else [parse_qsl(query) for query in queries]
