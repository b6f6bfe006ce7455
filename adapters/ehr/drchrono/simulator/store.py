"""The simulated practice's objects, with their former states: reads come from replicas that may lag behind writes.

Source: vendor document sections 3 (staleness, types, time) and 5-9 (objects).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

Object = dict[str, Any]
INDEXED = {"line_items": "appointment", "patient_authorizations": "patient"}
"""By which member the objects of a kind are found fast."""


@dataclass(slots=True)
class Clock:
    """The vendor's time in seconds: this machine's, or when it was stopped, and what it was put forward by."""

    zone: ZoneInfo
    ahead: float = 0.0
    stopped_at: float | None = None

    def now(self) -> float:
        """The present instant, in seconds since the epoch."""
        return (time.time() if self.stopped_at is None else self.stopped_at) + self.ahead

    def local(self) -> str:
        """The present time as the API writes it: practice-local, without offset."""
        return datetime.fromtimestamp(self.now(), self.zone).replace(tzinfo=None).isoformat(timespec="seconds")


@dataclass(slots=True)
class _States:
    """What an object was, oldest first; None after it was deleted."""

    held: list[tuple[float, Object | None]] = field(default_factory=list)

    def at(self, instant: float) -> Object | None:
        return next((state for since, state in reversed(self.held) if since <= instant), None)


class Store:
    """Objects by kind (the path below /api/) and id. `lag` is by how many seconds the replicas are behind."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.lag = clock, 0.0
        self._states: dict[str, dict[str, _States]] = {}
        self._owned: dict[tuple[str, str], dict[str, None]] = {}
        self._numbers = 88_100_000

    def number(self) -> int:
        """A new id."""
        self._numbers += 1
        return self._numbers

    def put(self, kind: str, obj: Object, *, seeded: bool = False) -> Object:
        """Keep an object under its id; what is seeded was always there."""
        key = str(obj["id"])
        states = self._states.setdefault(kind, {}).setdefault(key, _States())
        states.held = [*states.held[-3:], (0.0 if seeded else self.clock.now(), copy.deepcopy(obj))]
        if kind in INDEXED:
            self._owned.setdefault((kind, str(obj[INDEXED[kind]])), {})[key] = None
        return obj

    def change(self, kind: str, key: str, **members: Any) -> Object:
        """Change members of an object, and when it was updated."""
        held = self.newest(kind, key)
        assert held is not None
        return self.put(kind, {**held, **members, "updated_at": self.clock.local()})

    def remove(self, kind: str, key: str) -> None:
        """Delete an object."""
        self._states[kind][key].held.append((self.clock.now(), None))

    def newest(self, kind: str, key: str) -> Object | None:
        """An object as it is."""
        states = self._states.get(kind, {}).get(key)
        return copy.deepcopy(states.held[-1][1]) if states else None

    def read(self, kind: str, key: str) -> Object | None:
        """An object as a replica has it."""
        states = self._states.get(kind, {}).get(key)
        return states.at(self.clock.now() - self.lag) if states else None

    def all(self, kind: str, owner: str | None = None) -> Iterator[Object]:
        """The objects of a kind as a replica has them; with `owner` those of one appointment or patient."""
        instant = self.clock.now() - self.lag
        held = self._states.get(kind, {})
        keys = held if owner is None else self._owned.get((kind, owner), {})
        for key in keys:
            found = held[key].at(instant)
            if found is not None:
                yield found
