"""What every simulated vendor is: an ASGI application that counts, delays and fails calls, and obeys `/_sim/` routes.

Inherit, and add `names`, `answer`, `restart`, `state` and the vendor's own `commands`. `GET /_sim/ledger` tells what
happened; `POST /_sim/faults` and `/_sim/reset` are for every vendor.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from gateway.kit.simulator import FaultKind, Faults, SimulatorOptions
from gateway.kit.simulator_http import (
    Receive,
    Refused,
    Request,
    Response,
    Send,
    fault_response,
    outcome,
    parse_object,
    plain_json,
    read_request,
    refuse,
    reset_connection,
    send_response,
    until_client_leaves,
)

Command = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]


class ControlRefused(ValueError):
    """An order that the simulator cannot carry out; the text says why."""


class SimulatorApp(ABC):
    """One vendor. `calls` counts the calls of clients by name, `faults` decides which of them fail."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self._base_path = urlsplit(options.base_url).path.rstrip("/")
        self._begin(options.data)

    def _begin(self, data: Any) -> None:
        self.faults = Faults(self.options.seed)
        self.calls: Counter[str] = Counter()
        self.late_save_seconds = 0.5
        self.restart(data)

    @abstractmethod
    def restart(self, data: Any) -> None:
        """A new vendor that serves `data`."""

    @abstractmethod
    def names(self, request: Request) -> tuple[str, str]:
        """The operation that faults name, and the call that the ledger counts."""

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """The vendor's answer; `Refused` may be raised for one."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The vendor's own part of the ledger."""

    def commands(self) -> Mapping[str, Command]:
        """Further control routes: name to what it does with the JSON body."""
        return {}

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """The vendor's own words for a fault; None for the faults that answer nothing."""
        return fault_response(kind)

    async def aclose(self) -> None:  # noqa: B027  (most vendors have nothing to stop)
        """Stop what runs beside the requests."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve ASGI 3."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request = await read_request(scope, receive, self._base_path)
            if request.path.startswith("/_sim/"):
                await send_response(send, await self._control(request))
            else:
                await self._serve(request, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        operation, call = self.names(request)
        self.calls[call] += 1
        if self.options.think_seconds:
            await asyncio.sleep(self.options.think_seconds)
        kind = self.faults.pick(operation)
        if kind is None:
            await send_response(send, self._answered(request))
            return
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await until_client_leaves(receive)
            await asyncio.sleep(self.late_save_seconds)
        if kind.value.endswith("_after_save") or kind is FaultKind.SAVE_AFTER_TIMEOUT:
            self._answered(request)
        await self._fail(kind, request, receive, send)

    def _answered(self, request: Request) -> Response:
        try:
            return self.answer(request)
        except Refused as refusal:
            return refusal.response

    async def _fail(self, kind: FaultKind, request: Request, receive: Receive, send: Send) -> None:
        response = self.failure(kind, request)
        if response is not None:
            await send_response(send, response)
        elif kind in (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE):
            await reset_connection(receive, send)
        else:
            await until_client_leaves(receive)

    async def _control(self, request: Request) -> Response:
        """The control routes, in JSON; they are never delayed, limited or failed."""
        name = request.path.removeprefix("/_sim/")
        try:
            if (request.method, name) == ("GET", "ledger"):
                return plain_json(self.ledger())
            if request.method != "POST":
                raise refuse(405, "not-supported", "control routes are POST, the ledger is GET")
            return plain_json(await self._commanded(name, parse_object(request.body)))
        except Refused as refusal:
            return refusal.response
        except ControlRefused as problem:
            return outcome(400, "invalid", str(problem))
        except (KeyError, TypeError, ValueError) as problem:
            return outcome(400, "invalid", f"the control body is not understood: {type(problem).__name__}")

    async def _commanded(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        commands: dict[str, Command] = {"faults": self._set_faults, "reset": self._reset, **self.commands()}
        command = commands.get(name)
        if command is None:
            raise refuse(404, "not-found", "there is no such control route")
        done = command(body)
        return done if isinstance(done, dict) else await done

    def _set_faults(self, body: dict[str, Any]) -> dict[str, Any]:
        """The rules, and optionally `late_save_seconds` for SAVE_AFTER_TIMEOUT."""
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        return {"rules": len(self.faults.rules)}

    async def _reset(self, body: dict[str, Any]) -> dict[str, Any]:
        await self.aclose()
        self._begin(body.get("data", self.options.data))
        return self.state()

    def ledger(self) -> dict[str, Any]:
        """What happened so far; `at` is in epoch seconds."""
        return {
            "at": time.time(),
            "calls": dict(self.calls),
            "faults": dict(self.faults.injected),
            **self.state(),
        }
