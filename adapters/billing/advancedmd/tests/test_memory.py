"""The memory of ids and patients: bounded, ageing, and loaded once for all who wait."""

from __future__ import annotations

import asyncio

import pytest

from adapters.billing.advancedmd.memory import Memory


async def test_readers_of_one_key_share_one_load() -> None:
    memory: Memory[str, int] = Memory(lifetime_seconds=10, max_entries=9)
    loads = []

    async def load() -> int:
        loads.append(1)
        await asyncio.sleep(0.01)
        return len(loads)

    assert await asyncio.gather(*(memory.get("a", load) for _ in range(5))) == [1] * 5
    assert memory._turns == {}


async def test_a_failed_load_is_not_kept_and_the_next_reader_tries() -> None:
    memory: Memory[str, int] = Memory(lifetime_seconds=10, max_entries=9)
    answers = iter([KeyError("down"), 7])

    async def load() -> int:
        await asyncio.sleep(0)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    first, second = await asyncio.gather(*(memory.get("a", load) for _ in range(2)), return_exceptions=True)
    assert isinstance(first, KeyError)
    assert second == 7


async def test_a_reader_that_gives_up_does_not_block_the_others() -> None:
    memory: Memory[str, int] = Memory(lifetime_seconds=10, max_entries=9)
    begun = asyncio.Event()

    async def hang() -> int:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    async def load() -> int:
        return 3

    hanging = asyncio.create_task(memory.get("a", hang))
    await begun.wait()
    waiting = asyncio.create_task(memory.get("a", load))
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await waiting == 3


def test_entries_age_and_the_oldest_go_first() -> None:
    now = [0.0]
    memory: Memory[int, str] = Memory(lifetime_seconds=5, max_entries=2, clock=lambda: now[0])
    for key in (1, 2, 3):
        memory.put(key, "x")
    assert [memory.peek(key) for key in (1, 2, 3)] == [None, "x", "x"]
    now[0] = 5.0
    assert memory.peek(3) is None
    memory.put(2, "y")
    memory.drop(2)
    assert memory.peek(2) is None
