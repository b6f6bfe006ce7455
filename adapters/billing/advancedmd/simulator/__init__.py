"""A simulator of AdvancedMD's XMLRPC message API: `build(options)` makes the ASGI app.

Written from the vendor document only. The partner's login host and the office's server are two paths of one port. It
enforces login, tokens, required members, ids and the classes of actions, counts calls beyond the free ones, keeps a
ledger, and fails on request. Control routes, in JSON: GET /_sim/ledger, POST /_sim/faults, POST /_sim/advance,
POST /_sim/reset.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.billing.advancedmd.simulator.codec import BadForm, Tree, read_message, write_reply
from adapters.billing.advancedmd.simulator.control import ControlRefused, advance, ledger
from adapters.billing.advancedmd.simulator.directory import DEFAULT_DIRECTORY, load_directory
from adapters.billing.advancedmd.simulator.gate import DEFAULT_CREDENTIALS
from adapters.billing.advancedmd.simulator.service import Answer, Service, fault
from adapters.billing.advancedmd.simulator.state import Office
from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind, Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "updvisitwithquickcharges"
LOGIN_PATH = "/practicemanager/xmlrpc/processrequest.aspx"
SERVER_PATH = "/processrequest/api-801/{app}/xmlrpc/processrequest.aspx"
_GARBAGE = (
    b"<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body>We are back soon.</body></html>"
)
_SERVER_ERROR = b"<!DOCTYPE html><html><head><title>500 - Internal server error.</title></head><body></body></html>"
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE)


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app."""
    simulator = Simulator(options)
    return Starlette(
        routes=[
            Route(LOGIN_PATH, MessageEndpoint(simulator, at_login_host=True), methods=["POST"]),
            Route(SERVER_PATH, MessageEndpoint(simulator, at_login_host=False), methods=["POST"]),
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
        ]
    )


def connection(options: SimulatorOptions) -> SandboxConnection:
    """The settings and secrets of a clinic's connection to this simulator."""
    credentials = DEFAULT_CREDENTIALS | options.credentials
    directory = load_directory(options.data or DEFAULT_DIRECTORY)
    return SandboxConnection(
        settings={
            "login_url": f"{options.base_url}{LOGIN_PATH}",
            "username": "env:ADVANCEDMD_USERNAME",
            "password": "env:ADVANCEDMD_PASSWORD",
            "office_key": "env:ADVANCEDMD_OFFICE_KEY",
            "app_name": credentials["app_name"],
            "allowed_hosts": ["127.0.0.1"],
            "profiles": {entry.npi: entry.entry_id for entry in directory.profiles[:1]},  # the others go by name
            "throttle_scale": min(options.pace, 1.0),
            "settle_seconds": 1.0,
            "timeout_seconds": 5,
        },
        secrets={
            "ADVANCEDMD_USERNAME": credentials["username"],
            "ADVANCEDMD_PASSWORD": credentials["password"],
            "ADVANCEDMD_OFFICE_KEY": credentials["office_key"],
        },
    )


class Simulator:
    """The service with its faults and counters, and the control routes over them."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self._start()

    def _start(self) -> None:
        self.service = Service(self.options)
        self.faults = Faults(seed=self.options.seed)
        self.calls: Counter[str] = Counter()
        self.late_save_seconds = 0.5

    @property
    def office(self) -> Office:
        """What is saved."""
        return self.service.office

    async def show_ledger(self, request: Request) -> Response:
        """GET /_sim/ledger: what is saved, and counts of calls, faults, and calls beyond the free ones."""
        gate = self.service.gate
        counters: dict[str, Any] = {"calls": self.calls, "faults": self.faults.injected, "excess": gate.excess}
        return _json(ledger(self.office) | counters | {"bad_logins": gate.bad_logins, "locked": gate.locked})

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: the rules, and optionally `late_save_seconds` for SAVE_AFTER_TIMEOUT."""
        body = jsonio.loads(await request.body())
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        return _json({"rules": len(self.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance: move charges, end sessions, set the clock."""
        try:
            return _json(advance(self.office, self.service.gate, jsonio.loads(await request.body() or b"{}")))
        except ControlRefused as problem:
            return _json({"error": str(problem)}, status=400)

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything."""
        self._start()
        return _json({})


class MessageEndpoint:
    """A path that takes messages: the partner's login host, or the office's server."""

    def __init__(self, simulator: Simulator, *, at_login_host: bool) -> None:
        self._simulator, self._at_login_host = simulator, at_login_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request. A reset breaks the connection off in the middle of the answer."""
        try:
            response = await self._respond(Request(scope, receive), receive)
        except ConnectionReset:
            await _break_off(send)
            return
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request: Request, receive: Receive) -> Response | None:
        content_type = request.headers.get("content-type", "").lower()
        try:
            message = read_message(await request.body(), content_type)
        except BadForm:
            return _reply(fault("2052", "Parse error"), content_type)
        action = str(message.get("@action", ""))
        self._simulator.calls[action] += 1
        token = request.cookies.get("token", "")
        response = await self._call(action, message, token, content_type, receive)
        await asyncio.sleep(self._simulator.options.think_seconds)
        return response

    async def _call(
        self, action: str, message: Tree, token: str, content_type: str, receive: Receive
    ) -> Response | None:
        simulator, service = self._simulator, self._simulator.service
        kind = simulator.faults.pick(action)
        if kind is None:
            return _reply(service.call(message, token, at_login_host=self._at_login_host), content_type)
        if kind in _SAVED_FIRST:
            service.call(message, token, at_login_host=self._at_login_host)
        if kind in _RESETS:
            raise ConnectionReset
        if kind not in _TIMEOUTS:
            return _failure(kind, action, content_type)
        await _client_gone(receive)
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await asyncio.sleep(simulator.late_save_seconds)
            service.call(message, token, at_login_host=self._at_login_host)
        return None


def _failure(kind: FaultKind, action: str, content_type: str) -> Response:
    if kind is FaultKind.RATE_LIMIT:
        return Response(b"Too many requests", status_code=429)
    if kind is FaultKind.UNAUTHORIZED:
        return _reply(fault("1024" if action == "login" else "1025", "Session has timed out"), content_type)
    if kind is FaultKind.GARBAGE:
        return Response(_GARBAGE, media_type="text/html")
    return Response(_SERVER_ERROR, status_code=500, media_type="text/html")


def _reply(answer: Answer, content_type: str) -> Response:
    if answer.text:
        return Response(answer.text, status_code=answer.status)
    content, media_type = write_reply(answer.reply, content_type)
    return Response(content, status_code=answer.status, headers={"content-type": media_type})


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _break_off(send: Send) -> None:
    """Promise a body and never send it: the server then closes the connection, an error at the client's transport."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _json(value: object, *, status: int = 200) -> Response:
    return Response(jsonio.dumps(value), status_code=status, media_type="application/json")
