"""What changes seldom at an EHR, kept for a while: people, organizations and places."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.canonical.models import Resource

CACHE_ENTRIES = 4096
CACHE_SECONDS = 600.0
CACHED_TYPES = frozenset({"Practitioner", "PractitionerRole", "Organization", "Location"})


class ResourceCache:
    """The least recently used resources, each for a bounded time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, types: frozenset[str] = CACHED_TYPES) -> None:
        self._clock, self._types = clock, types
        self._held: OrderedDict[str, tuple[float, Resource]] = OrderedDict()

    def get(self, reference: str) -> Resource | None:
        """The resource at `Type/id`, while it is fresh."""
        held = self._held.get(reference)
        if held is None or held[0] < self._clock():
            return None
        self._held.move_to_end(reference)
        return held[1]

    def put(self, reference: str, resource: Resource) -> None:
        """Keep a resource whose type changes seldom."""
        if resource["resourceType"] in self._types:
            self._held[reference] = (self._clock() + CACHE_SECONDS, resource)
            self._held.move_to_end(reference)
            if len(self._held) > CACHE_ENTRIES:
                self._held.popitem(last=False)
