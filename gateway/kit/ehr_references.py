"""FHIR references between resources that were read from one server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_VENDOR_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9\-._]{1,128}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{2,40}")


def is_vendor_id(value: str) -> bool:
    """Whether an id may be put into a URL: FHIR's id form, widened by the underscore and length that vendors use."""
    return _VENDOR_ID.fullmatch(value) is not None


def local_reference(reference: Any, base_url: str) -> str | None:
    """`Type/id` when a literal reference names a resource of this server, else None (foreign, contained, `urn:`)."""
    if not isinstance(reference, str):
        return None
    relative = reference.strip().removeprefix(f"{base_url.rstrip('/')}/").partition("/_history/")[0]
    resource_type, _, resource_id = relative.partition("/")
    return relative if _TYPE.fullmatch(resource_type) and is_vendor_id(resource_id) else None


def version_of(reference: str) -> str | None:
    """The version that a reference names (`Type/id/_history/2`)."""
    return reference.partition("/_history/")[2] or None


def references_at(resource: Any, path: str) -> Iterator[str]:
    """Every literal reference at a dotted path, through lists; anything of another shape is passed over."""
    yield from _walk(resource, (*path.split("."), "reference"))


def _walk(value: Any, steps: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list):
        for element in value:
            yield from _walk(element, steps)
    elif not steps:
        if isinstance(value, str):
            yield value
    elif isinstance(value, dict):
        yield from _walk(value.get(steps[0]), steps[1:])
