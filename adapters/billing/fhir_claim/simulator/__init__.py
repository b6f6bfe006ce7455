"""A small strict FHIR R4 server that takes claims: `build(options)` makes the ASGI app.

Written from the FHIR notes only. It offers Claim/$submit and transactions, checks structure, references and sums, keeps
a ledger, answers as a payer would, and fails on request. Control routes, in JSON: GET /_sim/ledger, POST /_sim/faults,
POST /_sim/advance, POST /_sim/reset.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.billing.fhir_claim.simulator.access import DEFAULT_CREDENTIALS
from adapters.billing.fhir_claim.simulator.adjudication import UnknownStep, advance
from adapters.billing.fhir_claim.simulator.refused import BROKEN, THROTTLED, UNAUTHORIZED
from adapters.billing.fhir_claim.simulator.service import FHIR_JSON, PATH, Call, Reply, Service, refused
from adapters.billing.fhir_claim.simulator.store import submission_of
from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind, Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "Claim/$submit"
_GARBAGE = b"<!doctype html><html><title>Maintenance</title><body>We are back soon.</body></html>"
_FAILURES = {FaultKind.RATE_LIMIT: THROTTLED, FaultKind.UNAUTHORIZED: UNAUTHORIZED}
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE)


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app."""
    simulator = Simulator(options)
    return Starlette(
        routes=[
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/expire", simulator.expire, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
            Mount("/", Endpoint(simulator)),
        ]
    )


def connection(options: SimulatorOptions) -> SandboxConnection:
    """The settings and secrets of a clinic's connection to this simulator."""
    credentials = DEFAULT_CREDENTIALS | options.credentials
    return SandboxConnection(
        settings={
            "base_url": f"{options.base_url}{PATH}",
            "auth": "bearer",
            "token": "env:FHIR_CLAIM_TOKEN",
            "settle_seconds": 1.0,
            "timeout_seconds": 5,
        },
        secrets={"FHIR_CLAIM_TOKEN": credentials["token"]},
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
        """GET /_sim/ledger: the claims and the payer's answers, and counts of resources, calls and faults."""
        store = self.service.store
        claims = [{"submission_id": submission_of(c), "vendor_id": c["id"]} for c in store.all("Claim")]
        answers = [
            {"id": r["id"], "claim": r["request"]["reference"], "outcome": r["outcome"]}
            for r in store.all("ClaimResponse")
        ]
        counters = {"resources": store.counts(), "calls": self.calls, "faults": self.faults.injected}
        return _json({"claims": claims, "responses": answers, **counters})

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: the rules, and optionally `late_save_seconds` for SAVE_AFTER_TIMEOUT."""
        body = jsonio.loads(await request.body())
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        return _json({"rules": len(self.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance: the payer's next answers; see `adjudication.advance`."""
        try:
            return _json({"moved": advance(self.service.store, jsonio.loads(await request.body() or b"{}"))})
        except UnknownStep as problem:
            return _json({"error": str(problem)}, status=400)

    async def expire(self, request: Request) -> Response:
        """POST /_sim/expire: end every token that was issued."""
        self.service.access.expire()
        return _json({})

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything."""
        self._start()
        return _json({})


class Endpoint:
    """Everything but the control routes."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request. A reset breaks the connection off in the middle of the answer."""
        request = Request(scope, receive)
        call = Call(
            request.method,
            request.url.path,
            request.url.query,
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        self._simulator.calls[call.operation] += 1
        try:
            reply = await self._answer(call, receive)
        except ConnectionReset:
            await _break_off(send)
            return
        if reply is None:
            return
        await asyncio.sleep(self._simulator.options.think_seconds)
        response = Response(reply.body, reply.status, reply.headers, reply.content_type)
        await response(scope, receive, send)

    async def _answer(self, call: Call, receive: Receive) -> Reply | None:
        simulator, service = self._simulator, self._simulator.service
        kind = simulator.faults.pick(call.operation)
        if kind is None:
            return service.handle(call)
        if kind in _SAVED_FIRST:
            service.handle(call)
        if kind in _RESETS:
            raise ConnectionReset
        if kind not in _TIMEOUTS:
            return Reply(200, _GARBAGE, "text/html") if kind is FaultKind.GARBAGE else _failure(kind)
        await _client_gone(receive)
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await asyncio.sleep(simulator.late_save_seconds)
            service.handle(call)
        return None


def _failure(kind: FaultKind) -> Reply:
    return refused(_FAILURES.get(kind, BROKEN))


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _break_off(send: Send) -> None:
    """Promise a body and never send it: the server then closes the connection, an error at the client's transport."""
    headers = [(b"content-type", FHIR_JSON.encode()), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(jsonio.dumps(value), status_code=status, media_type="application/json")
