"""A simulator of the Tebra (Kareo) SOAP 2.1 service: `build(options)` makes the ASGI app.

Written from the vendor document only. It enforces the order of members, the RequestHeader, the rate gaps and the
validation of encounters, keeps a ledger, and fails on request. Control routes, in JSON: GET /_sim/ledger,
POST /_sim/faults, POST /_sim/advance, POST /_sim/reset.
"""

from __future__ import annotations

from typing import Any

from adapters.billing.kareo_tebra.simulator.control import advance, ledger
from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY, insurance_plans
from adapters.billing.kareo_tebra.simulator.gate import DEFAULT_CREDENTIALS, bad_login
from adapters.billing.kareo_tebra.simulator.parser import action_mismatch, operation_of
from adapters.billing.kareo_tebra.simulator.replies import THROTTLED, business_error, fault, refused
from adapters.billing.kareo_tebra.simulator.service import Service
from adapters.billing.kareo_tebra.simulator.wsdl import wsdl
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fault_response, html

CREATE_OPERATION = "CreateEncounter"
PATH = "/services/soap/2.1/KareoServices.svc"
_XML = "text/xml; charset=utf-8"


def build(options: SimulatorOptions) -> Simulator:
    """The simulator as an ASGI app."""
    return Simulator(options)


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


class Simulator(SimulatorApp):
    """The service on its one path: GET answers the WSDL, POST a SOAP call."""

    def restart(self, data: Any) -> None:
        """An empty account; its directory is the sandbox's."""
        self.service = Service(self.options)

    def names(self, request: Request) -> tuple[str, str]:
        """The SOAP operation."""
        operation = operation_of(request.headers.get("soapaction", "")) or request.method
        return operation, operation

    def answer(self, request: Request) -> Response:
        """A SOAP envelope, or what a web server says to something else."""
        if request.path != PATH:
            return Response(404, media="text/plain")
        if request.method != "POST":
            return self._describe(request)
        if not request.headers.get("content-type", "").lower().startswith("text/xml"):
            return Response(415, media="text/plain")
        action = request.headers.get("soapaction", "")
        operation = operation_of(action)
        if operation is None:
            return _soap(500, fault(action_mismatch(action.strip('"'))))
        return _soap(*self.service.call(operation, request.body))

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """Throttling and bad logins are SOAP answers with HTTP 200; the rest is the web server's."""
        operation, _ = self.names(request)
        if kind is FaultKind.RATE_LIMIT:
            return _soap(200, business_error(operation, THROTTLED))
        if kind is FaultKind.UNAUTHORIZED:
            return _soap(200, refused(operation, bad_login().security))
        return html(500, "500 - Internal server error.") if "500" in kind.value else fault_response(kind)

    def commands(self) -> dict[str, Command]:
        """`advance`: move encounters or charges to a later status."""
        return {"advance": lambda body: advance(self.service.account, body)}

    def state(self) -> dict[str, Any]:
        """What is saved, and the calls that came too fast."""
        return ledger(self.service.account) | {"throttled": self.service.gate.throttled}

    def _describe(self, request: Request) -> Response:
        if not {"wsdl", "singlewsdl"} & {name.lower() for name in request.query.split("&")}:
            return html(200, "KareoServices Service")
        return Response(200, wsdl(f"{self.options.base_url}{PATH}"), _XML)


def _soap(status: int, content: bytes) -> Response:
    return Response(status, content, _XML)
