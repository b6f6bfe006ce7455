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

from typing import Any
from urllib.parse import parse_qs

from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.simulator.account import Account
from adapters.billing.http_api.simulator.gate import DEFAULT_CREDENTIALS, Gate, Reply
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, ControlRefused, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fault_response, html, plain_json

CREATE_OPERATION = "CreateClaim"
_CLAIMS = "/v1/claims"
_OPERATIONS = {("POST", "/oauth/token"): "Token", ("POST", _CLAIMS): CREATE_OPERATION, ("GET", _CLAIMS): "FindClaims"}


def build(options: SimulatorOptions) -> Simulator:
    """The simulator as an ASGI app."""
    return Simulator(options)


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


class Simulator(SimulatorApp):
    """Acme's account behind its gate."""

    def restart(self, data: Any) -> None:
        """An account without claims."""
        self.gate = Gate(self.options)
        self.account = Account(self.options)

    def names(self, request: Request) -> tuple[str, str]:
        """The operation of Acme's manual."""
        one = request.method == "GET" and request.path.startswith(f"{_CLAIMS}/")
        operation = "GetClaim" if one else _OPERATIONS.get((request.method, request.path), "")
        return operation, operation

    def answer(self, request: Request) -> Response:
        """JSON, after the gate."""
        operation, _ = self.names(request)
        if not operation:
            return Response(404, media="text/plain")
        return _json(self._reply(operation, request))

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """In Acme's words, but for what its web server says."""
        if kind is FaultKind.RATE_LIMIT:
            return _json((429, {"errors": [{"code": "RATE_LIMIT"}]}, {"retry-after": "1"}))
        if kind is FaultKind.UNAUTHORIZED:
            return _json((401, {"errors": [{"code": "TOKEN_UNKNOWN"}]}, {}))
        return html(500, "500") if "500" in kind.value else fault_response(kind)

    def commands(self) -> dict[str, Command]:
        """`advance` {"id"?, "to"?, "code"?}: claims to a later state. `forget_tokens`: every token is unknown."""
        return {"advance": self._advance, "forget_tokens": self._forget_tokens}

    def state(self) -> dict[str, Any]:
        """What is saved, and the throttled calls."""
        return self.account.ledger() | {"throttled": self.gate.throttled}

    def _reply(self, operation: str, request: Request) -> Reply:
        if operation == "Token":
            return self.gate.token(request.headers, request.body)
        refusal = self.gate.refusal(request.headers)
        if refusal is not None:
            return refusal
        if operation == CREATE_OPERATION:
            return self.account.create(request.headers, request.body)
        if operation == "FindClaims":
            return self.account.search(parse_qs(request.query).get("reference", [""])[0])
        return self.account.get(request.path.removeprefix(f"{_CLAIMS}/"))

    def _advance(self, body: dict[str, Any]) -> dict[str, Any]:
        moved = self.account.advance(body)
        if moved is None:
            raise ControlRefused("there is no such claim or state")
        return {"moved": moved}

    def _forget_tokens(self, _: dict[str, Any]) -> dict[str, Any]:
        self.gate.forget_tokens()
        return {}


def _json(reply: Reply) -> Response:
    status, content, headers = reply
    return plain_json(content, status, tuple(headers.items()))
