"""Writes whose answer was lost: all workers wait until Tebra can no longer be saving, before another one is made.

Tebra has no idempotency key. A creation is therefore made under a lock, after a look; but a look proves nothing while
an earlier creation may still be under way. What is open is kept in Postgres, so that it outlives a killed worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from adapters.billing.kareo_tebra.errors import VENDOR
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical.errors import AdapterError, ErrorCode, VendorUnavailable
from gateway.ports.context import AdapterContext


class Doubts:
    """The open writes of one connection. Keys are made of ids, never of patient values."""

    def __init__(self, settings: KareoTebraSettings, context: AdapterContext) -> None:
        self._context = context
        self._settle = timedelta(seconds=settings.settle_seconds)
        self._answer = timedelta(seconds=settings.timeout_seconds)

    @asynccontextmanager
    async def writing(self, key: str, operation: str) -> AsyncIterator[None]:
        """Around one write, under a lock: raises `VendorUnavailable` while an earlier one may still be saving."""
        key = f"in-doubt:{key}"
        open_until = await self._context.shared.get(key)
        seconds = 0.0 if open_until is None else self._seconds_to(open_until)
        if seconds > 0:
            text = "the answer to an earlier write was lost, and Tebra may still be saving it"
            raise VendorUnavailable(VENDOR, operation, text, code=ErrorCode.TIMEOUT, retry_after=seconds)
        await self._put(key, self._answer + self._settle)
        try:
            yield
        except VendorUnavailable as lost:
            await self._put(key, self._settle)
            seconds = self._settle.total_seconds()
            raise VendorUnavailable(VENDOR, operation, lost.text, code=lost.code, retry_after=seconds) from None
        except AdapterError:
            await self._context.shared.drop(key)  # a definite no
            raise
        await self._context.shared.drop(key)

    async def _put(self, key: str, lifetime: timedelta) -> None:
        until = self._context.now() + lifetime
        await self._context.shared.put(key, until.isoformat().encode(), lifetime)

    def _seconds_to(self, until: bytes) -> float:
        return (datetime.fromisoformat(until.decode()) - self._context.now()).total_seconds()
