"""A simulator of the Tebra (Kareo) SOAP 2.1 service: `build(options)` makes the ASGI app.

Written from the vendor document only. It enforces the order of members, the RequestHeader, the rate gaps and the
validation of encounters, keeps a ledger, and fails on request. Control routes, in JSON: GET /_sim/ledger,
POST /_sim/faults, POST /_sim/advance, POST /_sim/reset.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.billing.kareo_tebra.simulator.control import ControlRefused, advance, ledger
from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY, insurance_plans
from adapters.billing.kareo_tebra.simulator.gate import DEFAULT_CREDENTIALS, bad_login
from adapters.billing.kareo_tebra.simulator.parser import action_mismatch, operation_of
from adapters.billing.kareo_tebra.simulator.replies import THROTTLED, business_error, fault, refused
from adapters.billing.kareo_tebra.simulator.service import Service
from adapters.billing.kareo_tebra.simulator.wsdl import wsdl
from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind, Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "CreateEncounter"
PATH = "/services/soap/2.1/KareoServices.svc"
_XML = "text/xml; charset=utf-8"
_SERVER_ERROR = b"<!DOCTYPE html><html><head><title>500 - Internal server error.</title></head><body></body></html>"
_GARBAGE = (
    b"<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body>We are back soon.</body></html>"
)
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE)


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app."""
    simulator = Simulator(options)
    return Starlette(
        routes=[
            Route(PATH, SoapEndpoint(simulator), methods=["GET", "POST"]),
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
        ]
    )


def connection(options: SimulatorOptions) -> SandboxConnection:
    """The settings and secrets of a clinic's connection to this simulator."""
    credentials = DEFAULT_CREDENTIALS | options.credentials
    data = options.data or DEFAULT_DIRECTORY
    return SandboxConnection(
        settings={
            "endpoint": f"{options.base_url}{PATH}",
            "customer_key": "env:KAREO_CUSTOMER_KEY",
            "user": "env:KAREO_USER",
            "password": "env:KAREO_PASSWORD",
            "practice_name": data["practice"]["name"],
            "insurance_plans": insurance_plans(data["payers"]),
            "rate_gap_scale": min(options.pace, 1.0),
            "settle_seconds": 1.0,
            "timeout_seconds": 5,
        },
        secrets={
            "KAREO_CUSTOMER_KEY": credentials["customer_key"],
            "KAREO_USER": credentials["user"],
            "KAREO_PASSWORD": credentials["password"],
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

    async def show_ledger(self, request: Request) -> Response:
        """GET /_sim/ledger: what is saved, and counts of calls, faults and throttled calls."""
        counters = {"calls": self.calls, "faults": self.faults.injected, "throttled": self.service.gate.throttled}
        return _json(ledger(self.service.account) | counters)

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: the rules, and optionally `late_save_seconds` for SAVE_AFTER_TIMEOUT."""
        body = jsonio.loads(await request.body())
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        return _json({"rules": len(self.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance: move encounters or charges to a later status."""
        try:
            return _json(advance(self.service.account, jsonio.loads(await request.body() or b"{}")))
        except ControlRefused as problem:
            return _json({"error": str(problem)}, status=400)

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything."""
        self._start()
        return _json({})


class SoapEndpoint:
    """The service's one path: GET answers the WSDL, POST a SOAP call."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

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
        if request.method != "POST":
            return self._describe(request)
        if not request.headers.get("content-type", "").lower().startswith("text/xml"):
            return Response(status_code=415)
        action = request.headers.get("soapaction", "")
        operation = operation_of(action)
        body = await request.body()
        if operation is None:
            return _soap(500, fault(action_mismatch(action.strip('"'))))
        self._simulator.calls[operation] += 1
        response = await self._call(operation, body, receive)
        await asyncio.sleep(self._simulator.options.think_seconds)
        return response

    def _describe(self, request: Request) -> Response:
        if not {"wsdl", "singlewsdl"} & {name.lower() for name in request.query_params}:
            return Response("<html><body>KareoServices Service</body></html>", media_type="text/html")
        return Response(wsdl(f"{self._simulator.options.base_url}{PATH}"), media_type=_XML)

    async def _call(self, operation: str, body: bytes, receive: Receive) -> Response | None:
        simulator, service = self._simulator, self._simulator.service
        kind = simulator.faults.pick(operation)
        if kind is None:
            return _soap(*service.call(operation, body))
        if kind in _SAVED_FIRST:
            service.call(operation, body)
        if kind in _RESETS:
            raise ConnectionReset
        if kind not in _TIMEOUTS:
            return _failure(kind, operation)
        await _client_gone(receive)
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await asyncio.sleep(simulator.late_save_seconds)
            service.call(operation, body)
        return None


def _failure(kind: FaultKind, operation: str) -> Response:
    if kind is FaultKind.RATE_LIMIT:
        return _soap(200, business_error(operation, THROTTLED))
    if kind is FaultKind.UNAUTHORIZED:
        return _soap(200, refused(operation, bad_login().security))
    if kind is FaultKind.GARBAGE:
        return Response(_GARBAGE, media_type="text/html")
    return Response(_SERVER_ERROR, status_code=500, media_type="text/html")


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _break_off(send: Send) -> None:
    """Promise a body and never send it: the server then closes the connection, an error at the client's transport."""
    headers = [(b"content-type", _XML.encode()), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _soap(status: int, content: bytes) -> Response:
    return Response(content, status_code=status, headers={"content-type": _XML})


def _json(value: object, *, status: int = 200) -> Response:
    return Response(jsonio.dumps(value), status_code=status, media_type="application/json")
