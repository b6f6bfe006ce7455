"""Waiting, with a bound, for processes that were started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from gateway.canonical.errors import ConfigurationError, GatewayError
from gateway.sandbox.plan import CLINIC_ID
from gateway.sandbox.processes import Child
from gateway.store.postgres import PostgresStore

START_SECONDS = 60.0

Found = TypeVar("Found")


async def until(what: str, child: Child, look: Callable[[], Awaitable[Found | None]], *, every: float = 0.05) -> Found:
    """What `look` finds, asked again and again; raises `ConfigurationError` when the child dies or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := await look()):
        if child.ended is not None or time.monotonic() > deadline:
            raise ConfigurationError(what, "did not start.", f"Its last words:\n{child.last_words()}")
        await asyncio.sleep(every)
    return found


async def is_ready(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a gateway answers that it is ready."""
    try:
        return (await http.get(f"{url}/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def is_subscribed(store: PostgresStore) -> bool:
    """Whether the gateway has asked the EHR for notifications."""
    try:
        return not await store.report("unsubscribed", CLINIC_ID)
    except GatewayError:
        return False
