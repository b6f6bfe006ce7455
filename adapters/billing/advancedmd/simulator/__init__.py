"""A simulator of AdvancedMD's XMLRPC message API: `build(options)` makes the ASGI app.

Written from the vendor document only. The partner's login host and the office's server are two paths of one port. It
enforces login, tokens, required members, ids and the classes of actions, counts calls beyond the free ones, keeps a
ledger, and fails on request. Control routes, in JSON: GET /_sim/ledger, POST /_sim/faults, POST /_sim/advance,
POST /_sim/reset.
"""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from typing import Any

from adapters.billing.advancedmd.simulator.codec import BadForm, Tree, read_message, write_reply
from adapters.billing.advancedmd.simulator.control import advance, ledger
from adapters.billing.advancedmd.simulator.directory import DEFAULT_DIRECTORY, load_directory
from adapters.billing.advancedmd.simulator.gate import DEFAULT_CREDENTIALS
from adapters.billing.advancedmd.simulator.service import Answer, Service, fault
from adapters.billing.advancedmd.simulator.state import Office
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fault_response, html

CREATE_OPERATION = "updvisitwithquickcharges"
LOGIN_PATH = "/practicemanager/xmlrpc/processrequest.aspx"
_SERVER_PATH = re.compile(r"/processrequest/api-801/[^/]+/xmlrpc/processrequest\.aspx")


def build(options: SimulatorOptions) -> Simulator:
    """The simulator as an ASGI app."""
    return Simulator(options)


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


class Simulator(SimulatorApp):
    """Two paths that take messages: the partner's login host, and the office's server."""

    def restart(self, data: Any) -> None:
        """An empty office; its directory is the sandbox's."""
        self.service = Service(self.options)

    @property
    def office(self) -> Office:
        """What is saved."""
        return self.service.office

    def names(self, request: Request) -> tuple[str, str]:
        """The message's action."""
        action = str((_message(request) or {}).get("@action", ""))
        return action, action

    def answer(self, request: Request) -> Response:
        """A reply in the form of the message, JSON or XML."""
        at_login_host = request.path == LOGIN_PATH
        if request.method != "POST" or not (at_login_host or _SERVER_PATH.fullmatch(request.path)):
            return Response(404, media="text/plain")
        message = _message(request)
        if message is None:
            return _reply(fault("2052", "Parse error"), request)
        return _reply(self.service.call(message, _token(request), at_login_host=at_login_host), request)

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """A session that has ended is a fault with HTTP 200; the rest is the web server's."""
        if kind is FaultKind.RATE_LIMIT:
            return Response(429, b"Too many requests", "text/plain")
        if kind is FaultKind.UNAUTHORIZED:
            ended = "1024" if self.names(request)[0] == "login" else "1025"
            return _reply(fault(ended, "Session has timed out"), request)
        return html(500, "500 - Internal server error.") if "500" in kind.value else fault_response(kind)

    def commands(self) -> dict[str, Command]:
        """`advance`: move charges, end sessions, set the clock."""
        return {"advance": lambda body: advance(self.office, self.service.gate, body)}

    def state(self) -> dict[str, Any]:
        """What is saved, calls beyond the free ones, and bad logins."""
        gate = self.service.gate
        return ledger(self.office) | {"excess": gate.excess, "bad_logins": gate.bad_logins, "locked": gate.locked}


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


def _message(request: Request) -> Tree | None:
    try:
        return read_message(request.body, _content_type(request))
    except BadForm:
        return None


def _token(request: Request) -> str:
    cookie = SimpleCookie(request.headers.get("cookie", "")).get("token")
    return cookie.value if cookie else ""


def _reply(answer: Answer, request: Request) -> Response:
    if answer.text:
        return Response(answer.status, answer.text, "text/plain")
    content, media_type = write_reply(answer.reply, _content_type(request))
    return Response(answer.status, content, media_type)
