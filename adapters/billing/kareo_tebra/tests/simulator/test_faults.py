"""Each way the simulator can be told to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.kit.http import open_client
from gateway.kit.simulator import FaultKind


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await condition():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("kind", "saved"), [(FaultKind.HTTP_500, 0), (FaultKind.HTTP_500_AFTER_SAVE, 1), (FaultKind.GARBAGE, 0)]
)
async def test_answers_that_are_no_soap(sandbox: Any, kind: FaultKind, saved: int) -> None:
    await sandbox.patient()
    await sandbox.fail(kind)
    reply = await sandbox.post_encounter(sandbox.client)
    assert reply.status_code == (200 if kind is FaultKind.GARBAGE else 500)
    assert reply.headers["content-type"].startswith("text/html")
    ledger = await sandbox.ledger()
    assert len(ledger["encounters"]) == saved
    assert ledger["faults"] == {kind.value: 1}
    assert ledger["calls"] == {"CreatePatient": 1, "CreateEncounter": 1}
    assert (await sandbox.encounter()).text("IsError") == "false"


@pytest.mark.parametrize(("kind", "saved"), [(FaultKind.RESET, 0), (FaultKind.RESET_AFTER_SAVE, 1)])
@pytest.mark.parametrize("open_any", [httpx.AsyncClient, open_client])
async def test_a_reset_is_an_error_of_the_transport(
    sandbox: Any, kind: FaultKind, saved: int, open_any: Callable[[], httpx.AsyncClient]
) -> None:
    await sandbox.patient()
    await sandbox.fail(kind)
    async with open_any() as client:
        with pytest.raises(httpx.TransportError):
            await sandbox.post_encounter(client)
    assert len((await sandbox.ledger())["encounters"]) == saved


@pytest.mark.parametrize(
    ("kind", "at_once", "later"),
    [(FaultKind.TIMEOUT, 0, 0), (FaultKind.TIMEOUT_AFTER_SAVE, 1, 1), (FaultKind.SAVE_AFTER_TIMEOUT, 0, 1)],
)
async def test_a_timeout_never_answers(sandbox: Any, kind: FaultKind, at_once: int, later: int) -> None:
    await sandbox.patient()
    await sandbox.fail(kind, late_save_seconds=0.05)
    with pytest.raises(httpx.ReadTimeout):
        await sandbox.post_encounter(sandbox.client, timeout=0.05)

    async def count(expected: int) -> bool:
        return len((await sandbox.ledger())["encounters"]) == expected

    assert await count(at_once)
    if at_once == later:
        await asyncio.sleep(0.08)
    assert await until(lambda: count(later))


async def test_a_throttle_burst_and_refused_credentials_can_be_told(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.fail(FaultKind.RATE_LIMIT)
    assert "requested more than allowed" in ((await sandbox.encounter()).text("ErrorMessage") or "")
    await sandbox.fail(FaultKind.UNAUTHORIZED, operation="*")
    assert (await sandbox.encounter()).text("Authenticated") == "false"
    assert (await sandbox.ledger())["encounters"] == []


async def test_thinking_takes_its_time(running: Any) -> None:
    async with running(think_seconds=0.05) as sandbox:
        start = time.monotonic()
        await sandbox.call("GetPractices", "<Fields/><Filter/>")
        assert time.monotonic() - start >= 0.05
