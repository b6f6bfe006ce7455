"""Reads at once: the first failure cancels the others and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Found = TypeVar("Found")


async def together(reads: Iterable[Coroutine[Any, Any, Found]]) -> list[Found]:
    """The results in order. No read goes on, and spends calls, after another one has failed."""
    tasks = [asyncio.create_task(read) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
