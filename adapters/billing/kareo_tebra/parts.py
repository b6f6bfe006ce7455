"""Small pieces that the parts of a document are built with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource
from gateway.kit.mapping import Row, apply


def resolve(bundle: ClaimBundle, reference: Mapping[str, Any] | None, where: str) -> Resource:
    """The resource that a reference names; raises `MappingError` at `where`."""
    found = bundle.find((reference or {}).get("reference"))
    if found is None:
        raise MappingError(where, "this does not resolve to a resource that came with the claim")
    return found


def official_name(person: Resource) -> dict[str, Any]:
    """The official name of a person, else the first one, else an empty one."""
    names: list[dict[str, Any]] = person.get("name") or [{}]
    return next((name for name in names if name.get("use") == "official"), names[0])


def apply_at(rows: tuple[Row, ...], roots: Mapping[str, Any], where: str, local: tuple[str, ...]) -> dict[str, Any]:
    """`apply` for one element of a list: the error names the element's place in the claim, not the row's root."""
    try:
        return apply(rows, roots)
    except MappingError as problem:
        finding = problem.findings[0]
        root = next((name for name in local if finding.expression.startswith(name)), "")
        rest = "" if root == finding.expression else finding.expression.removeprefix(root)
        suffix = ".diagnosisSequence" if root.startswith("pointed") else rest
        raise MappingError(f"{where}{suffix}", finding.message, finding.fix) from None


def value_at(row: Row, roots: Mapping[str, Any], where: str) -> Any:
    """The value of one row; the error names `where`, not the row's root."""
    try:
        return row.value(roots)
    except MappingError as problem:
        finding = problem.findings[0]
        raise MappingError(where, finding.message, finding.fix) from None


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"A.B": 1}` as `{"A": {"B": 1}}`."""
    made: dict[str, Any] = {}
    for target, value in flat.items():
        outer, _, inner = target.rpartition(".")
        (made.setdefault(outer, {}) if outer else made)[inner] = value
    return made
