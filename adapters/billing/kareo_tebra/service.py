"""Calls to the SOAP service: pace, send, read. One pooled client per connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from adapters.billing.kareo_tebra import errors, operations, replies
from adapters.billing.kareo_tebra.errors import VENDOR
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.kit.encoders import soap
from gateway.kit.errors import AdapterError
from gateway.kit.http import open_client, rate_limited, transport_errors
from gateway.ports.context import Pacer

LEARN_SECONDS = 1.0


class TebraService:
    """The service with one connection's credentials and pace."""

    def __init__(self, settings: KareoTebraSettings, pacer: Pacer) -> None:
        self._endpoint, self._pacer = settings.endpoint, pacer
        self._header = operations.request_header(
            settings.customer_key.get_secret_value(),
            settings.password.get_secret_value(),
            settings.user.get_secret_value(),
        )
        self._gaps = {name: ms / 1000 * settings.rate_gap_scale for name, ms in operations.GAPS_MS.items()}
        self._learn = settings.learn_rate_gaps
        self._learning: asyncio.Task[None] | None = None
        self._client = open_client(timeout_seconds=settings.timeout_seconds)

    async def call(self, operation: str, contract: Mapping[str, soap.Value]) -> soap.Element:
        """The `<Op>Result` of one call; raises the `AdapterError` that any other answer means."""
        if self._learn:
            await self._gaps_learned()
        return await self._call(operation, contract)

    async def _call(self, operation: str, contract: Mapping[str, soap.Value]) -> soap.Element:
        gap = self._gaps[operation] * operations.GAP_MARGIN
        if gap:
            await self._pacer.wait(operation, gap)
        response = await self._send(operation, operations.request(operation, self._header, contract))
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise rate_limited(VENDOR, operation, response)
        return replies.read(operation, response.status_code, response.content, gap)

    async def _gaps_learned(self) -> None:
        """Ask once, before anything is paced. GetThrottles has the longest gap of all: no claim waits long for it."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn_gaps())
        if not self._learning.done():
            await asyncio.wait({self._learning}, timeout=LEARN_SECONDS)

    async def _learn_gaps(self) -> None:
        # The documented gaps stay in force when the account's own cannot be read.
        with contextlib.suppress(AdapterError):
            gaps = replies.throttles(await self._call(operations.GET_THROTTLES, {}))
            self._gaps.update({name: gap for name, gap in gaps.items() if name in self._gaps})

    async def _send(self, operation: str, body: bytes) -> httpx.Response:
        headers = operations.action_headers(operation)
        try:
            with transport_errors(VENDOR, operation, may_have_saved=operation in operations.CLAIM_WRITES):
                return await self._client.post(self._endpoint, content=body, headers=headers)
        except httpx.DecodingError:  # a broken content encoding is an answer, not a transport failure, to httpx
            raise errors.unreadable(operation) from None

    async def aclose(self) -> None:
        """Close the network client."""
        if self._learning is not None:
            self._learning.cancel()
        await self._client.aclose()


@dataclass(slots=True)
class Session:
    """The calls made for one purpose, counted."""

    service: TebraService
    calls: int = 0

    async def call(self, operation: str, contract: Mapping[str, soap.Value]) -> soap.Element:
        """`TebraService.call`, counted when it is made, whatever becomes of it."""
        self.calls += 1
        return await self.service.call(operation, contract)
