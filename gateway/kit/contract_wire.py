"""What may become of any vendor's answers on the way, for contract tests: `simulator_running` puts it before each one.

`Simulator.spoil` gives the order. No simulator knows of it, as none of it is a vendor's own doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from enum import StrEnum
from typing import Any

from gateway.canonical import jsonio
from gateway.kit.simulator_http import Message, Receive, Response, Send, plain_json, read_request, send_response

CONTROL = "/_wire"
_BLANKS = b" " * 65536
_WITHOUT_END = 64 * 2**20

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Any]


class Spoil(StrEnum):
    """What becomes of an answer."""

    CUT_SHORT = "cut_short"  # half of its body, announced as the whole
    WITHOUT_END = "without_end"  # blanks follow it, more than anybody should take
    IN_A_CIRCLE = "in_a_circle"  # its link to the next page leads to itself
    REFUSED = "refused"  # `status` with `retry_after` in its place


class Wire:
    """An ASGI application before another one. `order` is the last `{"spoil", "times"?, "status"?, "retry_after"?}`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.order: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve ASGI 3."""
        path = scope.get("path", "")
        if path == CONTROL:
            self.order = jsonio.loads((await read_request(scope, receive, "")).body)
            await send_response(send, plain_json({}))
        elif scope["type"] != "http" or path.startswith("/_sim/") or not self._spoils():
            await self._app(scope, receive, send)
        else:
            await self._spoiled(scope, receive, send)

    def _spoils(self) -> bool:
        left = self.order.get("times", 1)
        if "times" in self.order and left:
            self.order["times"] = left - 1
        return bool(self.order and left)

    async def _spoiled(self, scope: Scope, receive: Receive, send: Send) -> None:
        spoil = Spoil(self.order["spoil"])
        if spoil is Spoil.REFUSED:
            await send_response(
                send, Response(self.order["status"], headers=(("Retry-After", self.order["retry_after"]),))
            )
            return
        start, body = await self._answer(scope, receive)
        if spoil is Spoil.WITHOUT_END:
            await _send_without_end(send, start, body)
            return
        changed = body[: len(body) // 2] if spoil is Spoil.CUT_SHORT else _circled(body, _address(scope))
        length = (b"content-length", str(len(changed)).encode())
        await send({**start, "headers": [*_unmeasured(start), length]})
        await send({"type": "http.response.body", "body": changed})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """What the application would have sent: the start, and the whole body."""
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, keep)
        return sent[0], b"".join(message.get("body", b"") for message in sent[1:])


async def _send_without_end(send: Send, start: Message, body: bytes) -> None:
    await send({**start, "headers": _unmeasured(start)})
    for chunk in (body, *[_BLANKS] * (_WITHOUT_END // len(_BLANKS))):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(0)  # the server's send does not wait once the client has gone
    await send({"type": "http.response.body", "body": b""})


def _unmeasured(start: Message) -> list[tuple[bytes, bytes]]:
    return [header for header in start["headers"] if header[0] != b"content-length"]


def _address(scope: Scope) -> str:
    host = dict(scope["headers"])[b"host"].decode()
    return f"{scope['scheme']}://{host}{scope['path']}?{scope['query_string'].decode()}"


def _circled(body: bytes, address: str) -> bytes:
    """A page that is followed by itself, by a FHIR link or a member `next`; what is no page stays as it is."""
    try:
        page = jsonio.loads(body)
    except jsonio.NotJson:
        return body
    if not isinstance(page, dict):
        return body
    if page.get("resourceType") == "Bundle":
        return jsonio.dumps({**page, "link": [{"relation": "next", "url": address}]})
    return jsonio.dumps({**page, "next": address}) if any(isinstance(v, list) for v in page.values()) else body
