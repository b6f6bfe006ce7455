"""A small strict FHIR R4 server that takes claims: `build(options)` makes the ASGI app.

Written from the FHIR notes only. It offers Claim/$submit and transactions, checks structure, references and sums, keeps
a ledger, answers as a payer would, and fails on request. Control routes, in JSON: GET /_sim/ledger, POST /_sim/faults,
POST /_sim/advance, POST /_sim/expire, POST /_sim/reset.
"""

from __future__ import annotations

from typing import Any

from adapters.billing.fhir_claim.simulator.access import DEFAULT_CREDENTIALS
from adapters.billing.fhir_claim.simulator.adjudication import advance
from adapters.billing.fhir_claim.simulator.refused import BROKEN, THROTTLED, UNAUTHORIZED
from adapters.billing.fhir_claim.simulator.service import PATH, Call, Reply, Service, refused
from adapters.billing.fhir_claim.simulator.store import submission_of
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fault_response

CREATE_OPERATION = "Claim/$submit"
_FAILURES = {
    FaultKind.RATE_LIMIT: THROTTLED,
    FaultKind.UNAUTHORIZED: UNAUTHORIZED,
    FaultKind.HTTP_500: BROKEN,
    FaultKind.HTTP_500_AFTER_SAVE: BROKEN,
}


def build(options: SimulatorOptions) -> Simulator:
    """The simulator as an ASGI app."""
    return Simulator(options)


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


class Simulator(SimulatorApp):
    """The server with its payer."""

    def restart(self, data: Any) -> None:
        """A server without claims."""
        self.service = Service(self.options)

    def names(self, request: Request) -> tuple[str, str]:
        """The call's operation."""
        operation = _call(request).operation
        return operation, operation

    def answer(self, request: Request) -> Response:
        """A resource, a token, or an OperationOutcome."""
        return _response(self.service.handle(_call(request)))

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """In FHIR's words, but for a maintenance page."""
        return _response(refused(_FAILURES[kind])) if kind in _FAILURES else fault_response(kind)

    def commands(self) -> dict[str, Command]:
        """`advance`: the payer's next answers. `expire`: end every token that was issued."""
        return {"advance": lambda body: {"moved": advance(self.service.store, body)}, "expire": self._expire}

    def state(self) -> dict[str, Any]:
        """The claims, the payer's answers, and counts of resources."""
        store = self.service.store
        claims = [{"submission_id": submission_of(c), "vendor_id": c["id"]} for c in store.all("Claim")]
        answers = [
            {"id": r["id"], "claim": r["request"]["reference"], "outcome": r["outcome"]}
            for r in store.all("ClaimResponse")
        ]
        return {"claims": claims, "responses": answers, "resources": store.counts()}

    def _expire(self, _: dict[str, Any]) -> dict[str, Any]:
        self.service.access.expire()
        return {}


def _call(request: Request) -> Call:
    return Call(request.method, request.path, request.query, request.headers, request.body)


def _response(reply: Reply) -> Response:
    return Response(reply.status, reply.body, reply.content_type, tuple(reply.headers.items()))
