"""A bounded cache with a lifetime, in which concurrent readers of one key share one load."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Loaded = TypeVar("Loaded")


class TimedCache(Generic[Key, Loaded]):
    """Least recently used entries go first; a failed load is never kept."""

    def __init__(
        self, *, lifetime_seconds: float, max_entries: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime, self._max, self._clock = lifetime_seconds, max_entries, clock
        self._kept: OrderedDict[Key, tuple[float, Loaded]] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Loaded]] = {}

    def peek(self, key: Key) -> Loaded | None:
        """The value when it is there and fresh."""
        kept = self._kept.get(key)
        if kept is None or self._clock() - kept[0] >= self._lifetime:
            return None
        self._kept.move_to_end(key)
        return kept[1]

    async def get(self, key: Key, load: Callable[[], Awaitable[Loaded]]) -> Loaded:
        """The value, loaded when it is absent or too old; raises what `load` raises."""
        found = self.peek(key)
        if found is not None:
            return found
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, load))
            task.add_done_callback(_seen)
            self._loading[key] = task
        # Shielded: one reader that gives up must not take the load away from the others.
        return await asyncio.shield(task)

    def put(self, key: Key, value: Loaded) -> None:
        """Keep a value that was learned in another way."""
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget a value, so that the next reader loads it."""
        self._kept.pop(key, None)

    def age(self, key: Key) -> float:
        """Seconds since the value was kept; 0 when there is none."""
        kept = self._kept.get(key)
        return 0.0 if kept is None else self._clock() - kept[0]

    async def aclose(self) -> None:
        """End the loads that are under way."""
        loads = list(self._loading.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def _load(self, key: Key, load: Callable[[], Awaitable[Loaded]]) -> Loaded:
        try:
            value = await load()
            self.put(key, value)
            return value
        finally:
            self._loading.pop(key, None)


def _seen(load: asyncio.Task[Loaded]) -> None:
    if not load.cancelled():
        load.exception()  # every reader may have gone away before it failed
