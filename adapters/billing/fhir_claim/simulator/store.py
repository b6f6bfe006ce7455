"""What the server holds: resources by type and id, with versions and search by identifier."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

from adapters.billing.fhir_claim.simulator.refused import Resource

SUBMISSION = "urn:fhir-billing-gateway:submission"
FIRST_ID = 2001


def now() -> str:
    """The present instant, as FHIR writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store:
    """The resources of one server; ids are made by the server and never used twice."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Resource]] = {}
        self._numbers = itertools.count(FIRST_ID)

    def new_id(self) -> str:
        """An id that no resource has."""
        return str(next(self._numbers))

    def save(self, resource: Resource, identity: str) -> Resource:
        """Keep a resource under an id as its next version; what it says of id and version is ignored (R4 create)."""
        kind = self._resources.setdefault(resource["resourceType"], {})
        version = int(kind[identity]["meta"]["versionId"]) + 1 if identity in kind else 1
        meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": now()}
        kind[identity] = {**resource, "id": identity, "meta": meta}
        return kind[identity]

    def get(self, kind: str, identity: str) -> Resource | None:
        """One resource, or None."""
        return self._resources.get(kind, {}).get(identity)

    def all(self, kind: str) -> list[Resource]:
        """The resources of a type, oldest first."""
        return list(self._resources.get(kind, {}).values())

    def by_identifier(self, kind: str, token: str) -> list[Resource]:
        """Search parameter `identifier`: `system|value`, or a value of any system."""
        return [resource for resource in self.all(kind) if token in _tokens(resource)]

    def counts(self) -> dict[str, int]:
        """How many resources of each type."""
        return {kind: len(held) for kind, held in self._resources.items()}


def _tokens(resource: Resource) -> Iterator[str]:
    for identifier in resource.get("identifier", ()):
        yield f"{identifier.get('system', '')}|{identifier.get('value', '')}"
        yield str(identifier.get("value", ""))


def submission_of(claim: Resource) -> str:
    """The submission id that a claim carries, or an empty text."""
    found = (i.get("value", "") for i in claim.get("identifier", ()) if i.get("system") == SUBMISSION)
    return next(found, "")
