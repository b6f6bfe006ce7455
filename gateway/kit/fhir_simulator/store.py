"""The resources that the simulator holds: versions, ready-made bytes, and an index of references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.parameters import Parameter, parameters_of
from gateway.kit.fhir_simulator.values import now_instant, values_of
from gateway.kit.simulator_http import Resource


@dataclass(slots=True)
class Stored:
    """One version of one resource; `body` is its JSON, written once with every decimal's scale kept."""

    type: str
    id: str
    version: int
    updated: str
    resource: Resource
    body: bytes
    cache: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The relative reference Type/id."""
        return f"{self.type}/{self.id}"

    def values(self, parameter: Parameter) -> list[Any]:
        """The values of a search parameter, taken from the resource once."""
        if parameter.name not in self.cache:
            self.cache[parameter.name] = values_of(self.resource, parameter)
        return self.cache[parameter.name]


class Store:
    """Resources by type and id in order of arrival, with their history. Not durable, and of one process."""

    def __init__(self) -> None:
        self._current: dict[str, dict[str, Stored]] = {}
        self._history: dict[str, list[Stored | None]] = {}
        self._index: dict[tuple[str, str, str], dict[str, None]] = {}

    def put(self, resource: Resource) -> Stored:
        """Store a new version; the server's own meta.versionId and meta.lastUpdated replace those of the data."""
        resource_type, resource_id = resource["resourceType"], resource["id"]
        versions = self._history.setdefault(f"{resource_type}/{resource_id}", [])
        version, updated = len(versions) + 1, now_instant()
        meta = resource.get("meta")
        own = {"versionId": str(version), "lastUpdated": updated}
        resource = {**resource, "meta": {**(meta if isinstance(meta, dict) else {}), **own}}
        stored = Stored(resource_type, resource_id, version, updated, resource, jsonio.dumps(resource))
        self._reindex(resource_id, self.get(resource_type, resource_id), stored)
        self._current.setdefault(resource_type, {})[resource_id] = stored
        versions.append(stored)
        return stored

    def delete(self, resource_type: str, resource_id: str) -> None:
        """Take a resource away; later reads know that it was deleted."""
        self._reindex(resource_id, self._current[resource_type].pop(resource_id), None)
        self._history[f"{resource_type}/{resource_id}"].append(None)

    def get(self, resource_type: str, resource_id: str) -> Stored | None:
        """The current version, or None."""
        return self._current.get(resource_type, {}).get(resource_id)

    def was_deleted(self, resource_type: str, resource_id: str) -> bool:
        """Whether the resource existed and was deleted."""
        versions = self._history.get(f"{resource_type}/{resource_id}")
        return versions is not None and versions[-1] is None

    def version(self, resource_type: str, resource_id: str, version: str) -> Stored | None:
        """One version by its number, or None."""
        versions = self._history.get(f"{resource_type}/{resource_id}", [])
        index = int(version) - 1 if version.isdecimal() else -1
        return versions[index] if 0 <= index < len(versions) else None

    def types(self) -> list[str]:
        """The types that hold something."""
        return [resource_type for resource_type, held in self._current.items() if held]

    def of_type(self, resource_type: str) -> dict[str, Stored]:
        """Everything of a type by id, in order of arrival."""
        return self._current.get(resource_type, {})

    def referring(self, resource_type: str, parameter: str, target: str) -> Iterable[str]:
        """The ids of the resources whose reference parameter names a target (Type/id, or id alone)."""
        return self._index.get((resource_type, parameter, target), {})

    def _reindex(self, resource_id: str, previous: Stored | None, current: Stored | None) -> None:
        """Change only what changed, so that search results keep their order when a resource gets a new version."""
        old = dict.fromkeys(self._index_keys(previous)) if previous else {}
        new = dict.fromkeys(self._index_keys(current)) if current else {}
        for key in old.keys() - new.keys():
            del self._index[key][resource_id]
        for key in new:
            self._index.setdefault(key, {})[resource_id] = None

    def _index_keys(self, stored: Stored) -> Iterable[tuple[str, str, str]]:
        for parameter in parameters_of(stored.type).values():
            if parameter.kind == "reference":
                for target in stored.values(parameter):
                    yield stored.type, parameter.name, target
