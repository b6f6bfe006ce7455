"""Loading the simulator's data: resources, a folder of FHIR JSON and NDJSON, Bundles with their own references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import fhirkit

from gateway.canonical import jsonio
from gateway.kit.simulator_http import Resource

_TYPES = frozenset(fhirkit.RESOURCE_TYPES)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_URN = "urn:uuid:"


@dataclass(slots=True)
class Loaded:
    """What could be loaded, in order and each Type/id once (the last wins), and what could not, with the reason."""

    resources: dict[str, Resource] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    _full_urls: dict[str, str] = field(default_factory=dict)

    def reject(self, source: str, reason: str) -> None:
        """Report a file, line or resource that is skipped."""
        self.rejected.append({"file": source, "reason": reason})

    def add(self, resource: Resource, full_url: str = "") -> None:
        """Keep a resource; it gets an id when it has none: that of its urn:uuid, else a number."""
        kind, identity = resource["resourceType"], resource.get("id")
        if not (isinstance(identity, str) and _ID.fullmatch(identity)):
            given = full_url.removeprefix(_URN) if full_url.startswith(_URN) else ""
            identity = given if _ID.fullmatch(given) else f"{kind.lower()}-{len(self.resources) + 1}"
        self.resources[f"{kind}/{identity}"] = {**resource, "id": identity}
        if full_url:
            self._full_urls[full_url] = f"{kind}/{identity}"

    def link(self) -> None:
        """Make references to full URLs, and conditional references, relative ones to the resources loaded."""
        identifiers = {pair: key for key, resource in self.resources.items() for pair in _identifiers(resource)}
        for resource in self.resources.values():
            for holder in _reference_holders(resource):
                target = self._full_urls.get(holder["reference"]) or _conditional(holder["reference"], identifiers)
                if target:
                    holder["reference"] = target


def load(data: Any, *, strict: bool = False) -> Loaded:
    """Load `data`: None, a list of resources, or a folder (str or Path) of .json and .ndjson files.

    A resource that is not valid FHIR is kept, as EHRs do serve such resources, unless `strict`.
    """
    loaded = Loaded()
    documents = _files(Path(data), loaded) if isinstance(data, str | Path) else _items(data or [])
    for source, document in documents:
        _accept(loaded, source, document, strict)
    loaded.link()
    return loaded


def _items(data: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """A private copy of each item, its decimals as the JSON reader gives them."""
    for index, item in enumerate(data):
        yield f"data[{index}]", jsonio.loads(jsonio.dumps(item))


def _files(folder: Path, loaded: Loaded) -> Iterator[tuple[str, Any]]:
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        content = path.read_bytes()
        lines = content.splitlines() if path.suffix == ".ndjson" else [content]
        for number, line in enumerate(lines, start=1):
            source = f"{path.name}:{number}" if path.suffix == ".ndjson" else path.name
            if not line.strip():
                continue
            try:
                yield source, jsonio.loads(line)
            except jsonio.NotJson as problem:
                loaded.reject(source, str(problem))


def _accept(loaded: Loaded, source: str, document: Any, strict: bool) -> None:
    if not isinstance(document, dict) or document.get("resourceType") not in _TYPES:
        loaded.reject(source, "not a FHIR R4 resource")
    elif document["resourceType"] == "Bundle":
        for index, entry in enumerate(_entries(document)):
            _accept_entry(loaded, f"{source} entry[{index}]", entry, strict)
    else:
        _add(loaded, source, document, "", strict)


def _accept_entry(loaded: Loaded, source: str, entry: Any, strict: bool) -> None:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if resource is None:
        return  # an entry of a history or a batch may have no resource
    if not isinstance(resource, dict) or resource.get("resourceType") not in _TYPES:
        loaded.reject(source, "not a FHIR R4 resource")
    else:
        _add(loaded, source, resource, str(entry.get("fullUrl") or ""), strict)


def _add(loaded: Loaded, source: str, resource: Resource, full_url: str, strict: bool) -> None:
    problems = [issue.path for issue in fhirkit.validate(resource) if issue.severity == "error"] if strict else []
    if problems:
        loaded.reject(source, f"not valid FHIR: {', '.join(problems[:3])}")
    else:
        loaded.add(resource, full_url)


def _entries(bundle: Resource) -> list[Any]:
    entries = bundle.get("entry")
    return entries if isinstance(entries, list) else []


def _reference_holders(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        for part in value.values():
            yield from _reference_holders(part)
    elif isinstance(value, list):
        for part in value:
            yield from _reference_holders(part)


def _identifiers(resource: Resource) -> Iterator[tuple[str, str, str]]:
    found = resource.get("identifier")
    for identifier in found if isinstance(found, list) else []:
        if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
            yield resource["resourceType"], str(identifier.get("system") or ""), identifier["value"]


def _conditional(reference: str, identifiers: dict[tuple[str, str, str], str]) -> str | None:
    """The target of a conditional reference of a transaction, such as Practitioner?identifier=system|value."""
    kind, mark, query = reference.partition("?")
    if not mark:
        return None
    system, _, value = dict(parse_qsl(query)).get("identifier", "").partition("|")
    return identifiers.get((kind, system, value))
