"""The service behind the transport: a message is authorized, counted, checked, handled and answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.billing.advancedmd.simulator.codec import Tree
from adapters.billing.advancedmd.simulator.directory import DEFAULT_DIRECTORY, load_directory
from adapters.billing.advancedmd.simulator.gate import DEFAULT_CREDENTIALS, Gate, Refused
from adapters.billing.advancedmd.simulator.reads import READS
from adapters.billing.advancedmd.simulator.state import Office
from adapters.billing.advancedmd.simulator.writes import WRITES
from gateway.kit.simulator import SimulatorOptions

REDIRECT = "-2147220476"
CLASSES = {
    "getdemographic": {"demographics", "api"},
    "lookupfacility": {"lookup"},
    "getschedulersetup": {"masterfiles"},
    "getchargedetaildata": {"demographics"},
    "gettxhistory": {"demographics"},
    "addrespparty": {"demographics"},
    "addvisit": {"chargeentry"},
    "updvisitwithquickcharges": {"onlinechargeslips"},
    "updvisitwithnewcharges": {"chargeentry"},
    "savecharges": {"api", "onlinechargeslips"},
}
"""Action to the classes that it is known under; the others are `api`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status with a reply, or with a bare text."""

    reply: Tree = field(default_factory=dict)
    status: int = 200
    text: bytes = b""


def fault(code: str, description: str, results: Tree | None = None) -> Answer:
    """A fault comes with HTTP 200 (section 3)."""
    detail = {"detail": {"code": code, "description": description}}
    return Answer({"Results": {"@success": "0", **(results or {})}, "Error": {"Fault": detail}})


def good(results: Tree) -> Answer:
    """A success; `Error` is empty."""
    return Answer({"Results": {"@success": "1", **results}, "Error": ""})


class Service:
    """One simulated office with its account.

    `options.credentials` may carry `webserver`: where the login redirects to instead of this simulator.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        self.office = Office(load_directory(options.data or DEFAULT_DIRECTORY))
        self.gate = Gate(options.credentials, options.pace)
        known = DEFAULT_CREDENTIALS | options.credentials
        here = f"{options.base_url}/processrequest/api-801/{known['app_name']}"
        self._webserver = known.get("webserver", here)

    def call(self, message: Tree, cookie: str, *, at_login_host: bool) -> Answer:
        """Answer one message, and save what it saves."""
        try:
            if message.get("@action") == "login":
                return self._login(message, at_login_host=at_login_host)
            if "@usercontext" in message:
                return Answer(status=400, text=b"Improperly Formatted Token")
            self.gate.check_token(str(message.get("usercontext") or cookie))
            return self._handled(message)
        except Refused as problem:
            if problem.code == "400":
                return Answer(status=400, text=problem.description.encode())
            return fault(problem.code, problem.description)

    def _login(self, message: Tree, *, at_login_host: bool) -> Answer:
        if at_login_host and self.gate.login_too_soon():
            return Answer(status=429, text=b"Too many requests")
        self.gate.check_login(message)
        if at_login_host:
            return fault(REDIRECT, "Redirect", {"usercontext": {"@webserver": self._webserver}})
        return good({"usercontext": {"@webserver": self._webserver, "#text": self.gate.new_token()}})

    def _handled(self, message: Tree) -> Answer:
        action = str(message.get("@action", ""))
        handle = READS.get(action) or WRITES.get(action)
        if handle is None or message.get("@class") not in CLASSES.get(action, {"api"}):
            raise Refused("2051", "Invalid attribute action or class")
        if not message.get("@msgtime"):
            raise Refused("2048", "Missing attribute msgtime")
        self.gate.count(action)
        return good(handle(self.office, message))
