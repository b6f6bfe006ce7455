"""HTTP calls that count, think, and fail on request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

Handler = Callable[[Request], Awaitable[Response]]
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE)
_GARBAGE = "<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body>Back soon.</body></html>"


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(jsonio.dumps(value), status_code=status, headers=headers, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Manners:
    """How a vendor says that something else went wrong, and how many requests it takes in a window of seconds."""

    throttled: Callable[[], Response]
    unauthorized: Callable[[], Response]
    broken: Callable[[], Response]
    most: int
    window: float


class Endpoint:
    """One path of a vendor's API. `operation` names it for faults and counts; `vendor` owns the rate limit."""

    def __init__(self, simulator: Simulator, vendor: str, operation: str, handler: Handler, manners: Manners) -> None:
        self._simulator, self._vendor, self._operation = simulator, vendor, operation
        self._handler, self._manners = handler, manners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request. A reset breaks the connection off in the middle of the answer."""
        request = Request(scope, receive)
        await request.body()
        try:
            response = await self._respond(request, receive)
        except ConnectionReset:
            await _break_off(send)
            return
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request: Request, receive: Receive) -> Response | None:
        simulator = self._simulator
        simulator.calls[self._operation] += 1
        if self._too_fast():
            return self._manners.throttled()
        kind = simulator.faults.pick(self._operation)
        if kind is None:
            return await self._handler(request)
        if kind in _SAVED_FIRST:
            await self._handler(request)
        if kind in _RESETS:
            raise ConnectionReset
        if kind not in _TIMEOUTS:
            return self._failure(kind)
        await _client_gone(receive)
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await asyncio.sleep(simulator.late_save_seconds)
            await self._handler(request)
        return None

    def _failure(self, kind: FaultKind) -> Response:
        if kind is FaultKind.RATE_LIMIT:
            return self._manners.throttled()
        if kind is FaultKind.UNAUTHORIZED:
            return self._manners.unauthorized()
        if kind is FaultKind.GARBAGE:
            return Response(_GARBAGE, media_type="text/html")
        return self._manners.broken()

    def _too_fast(self) -> bool:
        """Whether the window is full; at a pace of 0 it never is."""
        recent = self._simulator.requests.setdefault(self._vendor, deque())
        now = time.monotonic()
        while recent and recent[0] <= now - self._manners.window * self._simulator.options.pace:
            recent.popleft()
        if len(recent) >= self._manners.most:
            return True
        recent.append(now)
        return False


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _break_off(send: Send) -> None:
    """Promise a body and never send it: the server then closes the connection, an error at the client's transport."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
