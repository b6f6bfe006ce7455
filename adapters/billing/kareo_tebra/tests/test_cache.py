"""The cache: lifetime, bound, one load for many readers."""

from __future__ import annotations

import asyncio
import gc

import pytest

from adapters.billing.kareo_tebra.cache import TimedCache


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Loader:
    def __init__(self) -> None:
        self.loads = 0

    async def __call__(self) -> int:
        self.loads += 1
        await asyncio.sleep(0)
        return self.loads


async def test_lifetime() -> None:
    clock, load = Clock(), Loader()
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2, clock=clock)
    assert await cache.get("a", load) == 1
    clock.now = 9.9
    assert await cache.get("a", load) == 1
    assert cache.age("a") == 9.9
    clock.now = 10.0
    assert cache.peek("a") is None
    assert await cache.get("a", load) == 2


async def test_bound_drops_the_least_recently_used() -> None:
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.peek("a") == 1
    cache.put("c", 3)
    assert (cache.peek("a"), cache.peek("b"), cache.peek("c")) == (1, None, 3)


async def test_readers_share_one_load_and_a_cancelled_one_does_not_end_it() -> None:
    load = Loader()
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2)
    first, second = (asyncio.create_task(cache.get("a", load)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    assert load.loads == 1


async def test_closing_ends_the_loads() -> None:
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2)
    ended = asyncio.Event()

    async def endless() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 1

    reader = asyncio.create_task(cache.get("a", endless))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cache.aclose()
    assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_a_failed_load_is_not_kept() -> None:
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2)

    async def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        await cache.get("a", fail)
    assert await cache.get("a", Loader()) == 1
    cache.drop("a")
    assert cache.peek("a") is None


async def test_a_failed_load_whose_readers_have_gone_is_not_reported_by_the_event_loop() -> None:
    """The loop would log the exception with its traceback, as of a task that nobody asked."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    cache: TimedCache[str, int] = TimedCache(lifetime_seconds=10, max_entries=2)
    fail = asyncio.Event()

    async def load() -> int:
        await fail.wait()
        raise LookupError

    reader = asyncio.create_task(cache.get("a", load))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    fail.set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert reported == []
