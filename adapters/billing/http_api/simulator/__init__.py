"""A simulator of Acme Billing, a made-up vendor with a JSON API: `build(options)` makes the ASGI app.

Acme's API, as its (made-up) manual has it:

    POST /oauth/token              client credentials by HTTP basic or in the body; a bearer token for ten minutes
    POST /v1/claims                201 {id, reference, status}; 422 {errors: [{code, field}]}
    GET  /v1/claims?reference=R    200 {claims: [{id, reference, status, errors}]}
    GET  /v1/claims/{id}           200 the same of one claim; 404
    401 unknown token, 403 wrong scope, 429 with Retry-After over 20 calls a second, 415 not JSON

`options.credentials`: `client_id`, `client_secret`; `unique_reference: "true"` makes Acme answer 409 to a reference
that it holds. A request with `Idempotency-Key` is answered as before when the key is known. Control routes, in JSON:
GET /_sim/ledger, POST /_sim/faults, POST /_sim/advance, POST /_sim/forget_tokens, POST /_sim/reset.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.simulator.account import Account
from adapters.billing.http_api.simulator.gate import DEFAULT_CREDENTIALS, Gate, Reply
from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind, Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "CreateClaim"
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE)


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app."""
    simulator = Simulator(options)
    return Starlette(
        routes=[
            Route("/oauth/token", Endpoint(simulator, "Token"), methods=["POST"]),
            Route("/v1/claims", Endpoint(simulator, CREATE_OPERATION), methods=["POST"]),
            Route("/v1/claims", Endpoint(simulator, "FindClaims"), methods=["GET"]),
            Route("/v1/claims/{claim_id}", Endpoint(simulator, "GetClaim"), methods=["GET"]),
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/forget_tokens", simulator.forget_tokens, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
        ]
    )


def connection(options: SimulatorOptions) -> SandboxConnection:
    """The settings and secrets of a clinic's connection to this simulator, with the example as its description."""
    import yaml  # noqa: PLC0415  only the sandbox writes a gateway.yaml

    credentials = DEFAULT_CREDENTIALS | options.credentials
    return SandboxConnection(
        settings={
            "base_url": options.base_url,
            "client_id": "env:ACME_CLIENT_ID",
            "client_secret": "env:ACME_CLIENT_SECRET",
            "settle_seconds": 1.0,
            "timeout_seconds": 5,
            "description": yaml.safe_load(acme()),
        },
        secrets={"ACME_CLIENT_ID": credentials["client_id"], "ACME_CLIENT_SECRET": credentials["client_secret"]},
    )


class Simulator:
    """Acme's account with its gate, faults and counters, and the control routes over them."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self._start()

    def _start(self) -> None:
        self.gate = Gate(self.options)
        self.account = Account(self.options)
        self.faults = Faults(seed=self.options.seed)
        self.calls: Counter[str] = Counter()
        self.late_save_seconds = 0.5

    def answer(self, operation: str, request: Request, body: bytes) -> Reply:
        """What Acme answers to a call, after its gate."""
        headers = dict(request.headers)
        if operation == "Token":
            return self.gate.token(headers, body)
        refusal = self.gate.refusal(headers)
        if refusal is not None:
            return refusal
        if operation == CREATE_OPERATION:
            return self.account.create(headers, body)
        if operation == "FindClaims":
            return self.account.search(request.query_params.get("reference", ""))
        return self.account.get(request.path_params["claim_id"])

    async def show_ledger(self, request: Request) -> Response:
        """GET /_sim/ledger: what is saved, and counts of calls, faults and throttled calls."""
        counters = {"calls": self.calls, "faults": self.faults.injected, "throttled": self.gate.throttled}
        return _json(200, self.account.ledger() | counters)

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: the rules, and optionally `late_save_seconds` for SAVE_AFTER_TIMEOUT."""
        body = jsonio.loads(await request.body())
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        return _json(200, {"rules": len(self.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance {"id"?, "to"?, "code"?}: move claims to a later state; `to: rejected` with an error."""
        moved = self.account.advance(jsonio.loads(await request.body() or b"{}"))
        return _json(200 if moved is not None else 400, {"moved": moved})

    async def forget_tokens(self, request: Request) -> Response:
        """POST /_sim/forget_tokens: every token is unknown from now on."""
        self.gate.forget_tokens()
        return _json(200, {})

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything."""
        self._start()
        return _json(200, {})


class Endpoint:
    """One operation's route, with its faults. A reset breaks the connection off in the middle of the answer."""

    def __init__(self, simulator: Simulator, operation: str) -> None:
        self._simulator, self._operation = simulator, operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        try:
            response = await self._respond(Request(scope, receive), receive)
        except ConnectionReset:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"1024")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            return
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request: Request, receive: Receive) -> Response | None:
        simulator = self._simulator
        body = await request.body()
        simulator.calls[self._operation] += 1
        kind = simulator.faults.pick(self._operation)
        response = await self._fail(kind, request, body, receive) if kind else self._answer(request, body)
        await asyncio.sleep(simulator.options.think_seconds)
        return response

    def _answer(self, request: Request, body: bytes) -> Response:
        status, content, headers = self._simulator.answer(self._operation, request, body)
        return _json(status, content, headers)

    async def _fail(self, kind: FaultKind, request: Request, body: bytes, receive: Receive) -> Response | None:
        if kind in _SAVED_FIRST:
            self._answer(request, body)
        if kind in _RESETS:
            raise ConnectionReset
        if kind not in _TIMEOUTS:
            return _failure(kind)
        while (await receive())["type"] != "http.disconnect":
            continue
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await asyncio.sleep(self._simulator.late_save_seconds)
            self._answer(request, body)
        return None


def _failure(kind: FaultKind) -> Response:
    if kind is FaultKind.RATE_LIMIT:
        return _json(429, {"errors": [{"code": "RATE_LIMIT"}]}, {"retry-after": "1"})
    if kind is FaultKind.UNAUTHORIZED:
        return _json(401, {"errors": [{"code": "TOKEN_UNKNOWN"}]})
    if kind is FaultKind.GARBAGE:
        return Response(b"<html><body>We are back soon.</body></html>", media_type="text/html")
    return Response(b"<html><body>500</body></html>", status_code=500, media_type="text/html")


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    return Response(jsonio.dumps(content), status_code=status, media_type="application/json", headers=headers)
