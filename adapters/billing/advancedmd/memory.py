"""A bounded memory with a lifetime, in which concurrent readers of one key share one load."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class Memory(Generic[Key, Kept]):
    """The oldest entries go first; what a load raised is never kept."""

    def __init__(
        self, *, lifetime_seconds: float, max_entries: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime, self._max, self._clock = lifetime_seconds, max_entries, clock
        self._kept: OrderedDict[Key, tuple[float, Kept]] = OrderedDict()
        self._turns: dict[Key, tuple[asyncio.Lock, int]] = {}

    def peek(self, key: Key) -> Kept | None:
        """The value when it is there and fresh."""
        kept = self._kept.get(key)
        return None if kept is None or self._clock() - kept[0] >= self._lifetime else kept[1]

    def put(self, key: Key, value: Kept) -> None:
        """Keep a value."""
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget a value."""
        self._kept.pop(key, None)

    async def get(self, key: Key, load: Callable[[], Awaitable[Kept]]) -> Kept:
        """The value, loaded when it is absent or too old; readers of one key wait for the first one's load."""
        found = self.peek(key)
        if found is not None:
            return found
        lock, waiting = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, waiting + 1)
        try:
            async with lock:
                found = self.peek(key)
                if found is None:
                    found = await load()
                    self.put(key, found)
                return found
        finally:
            lock, waiting = self._turns.pop(key)
            if waiting > 1:
                self._turns[key] = (lock, waiting - 1)
