"""One call to the server: what is asked, whether the caller may, and the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from adapters.billing.fhir_claim.simulator import reads
from adapters.billing.fhir_claim.simulator.access import DEFAULT_CREDENTIALS, Access, OAuthRefused
from adapters.billing.fhir_claim.simulator.intake import Intake
from adapters.billing.fhir_claim.simulator.refused import Refused, Resource, refuse
from adapters.billing.fhir_claim.simulator.store import Store
from gateway.canonical import jsonio
from gateway.kit.simulator import SimulatorOptions

PATH = "/fhir"
SUBMIT = "Claim/$submit"
FHIR_JSON = "application/fhir+json"
_ACCEPTED = frozenset({"", "*/*", FHIR_JSON, "application/json"})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; `path` is below the server's root, header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def operation(self) -> str:
        """The name under which the call is counted and can be made to fail."""
        below = self.path.removeprefix(PATH).strip("/")
        if self.path == "/token":
            return "token"
        if self.method == "POST":
            return below or "transaction"
        if below in ("metadata", ".well-known/smart-configuration"):
            return below.rpartition("/")[2]
        kind, _, identity = below.partition("/")
        return f"read {kind}" if identity else f"search {kind}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, body, content type, further headers."""

    status: int
    body: bytes
    content_type: str = FHIR_JSON
    headers: dict[str, str] = field(default_factory=dict)


class Service:
    """The server with its store; `handle` answers a call completely before it returns."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.base = f"{options.base_url}{PATH}"
        credentials = DEFAULT_CREDENTIALS | options.credentials
        self.store = Store()
        self.access = Access(credentials, f"{options.base_url}/token")
        payers = (options.data or {}).get("payers", ())
        self._offers_submit = credentials.get("submit") != "false"
        known = frozenset(str(payer["payer_id"]) for payer in payers if payer.get("payer_id"))
        self._intake = Intake(self.store, self.base, known)

    def handle(self, call: Call) -> Reply:
        """The answer to any call but the control routes."""
        try:
            return self._handle(call)
        except Refused as refusal:
            return refused(refusal)
        except OAuthRefused as refusal:
            body = jsonio.dumps({"error": refusal.error, "error_description": "The token request is refused."})
            return Reply(refusal.status, body, "application/json", {"cache-control": "no-store"})

    def _handle(self, call: Call) -> Reply:
        if call.operation == "token":
            token = self.access.issue(call.headers.get("content-type", ""), call.body)
            return Reply(200, jsonio.dumps(token), "application/json", {"cache-control": "no-store"})
        if call.operation == "smart-configuration":
            return Reply(200, jsonio.dumps(self._discovery()), "application/json")
        if call.headers.get("accept", "").partition(";")[0] not in _ACCEPTED:
            raise refuse(406, "not-supported", "Only JSON is served.")
        if call.operation == "metadata":
            return _fhir(reads.statement(self.base, submit=self._offers_submit))
        return self._write(call) if call.method == "POST" else self._read(call)

    def _write(self, call: Call) -> Reply:
        self.access.check(call.headers.get("authorization", ""), "Claim", "c")
        known = (SUBMIT, "transaction") if self._offers_submit else ("transaction",)
        if call.operation not in known:
            raise refuse(404, "not-supported", "There is no such operation.")
        if call.headers.get("content-type", "").partition(";")[0] not in (FHIR_JSON, "application/json"):
            raise refuse(415, "not-supported", "Only JSON is taken.")
        try:
            body: Any = jsonio.loads(call.body)
        except jsonio.NotJson:
            raise refuse(400, "structure", "The body is not JSON.") from None
        if call.operation == SUBMIT:
            return _fhir(self._intake.submit(body, call.headers.get("if-none-exist", "")))
        return _fhir(self._intake.transaction(body))

    def _read(self, call: Call) -> Reply:
        kind, _, identity = call.path.removeprefix(PATH).strip("/").partition("/")
        self.access.check(call.headers.get("authorization", ""), kind, "r" if identity else "s")
        if call.method != "GET":
            raise refuse(405, "not-supported", "Only reading is offered here.")
        if kind not in reads.READABLE:
            raise refuse(404, "not-found", f"{kind} is not served.")
        if identity:
            return _fhir(reads.read(self.store, kind, identity))
        return _fhir(reads.search(self.store, kind, parse_qsl(call.query), self.base))

    def _discovery(self) -> Resource:
        return {
            "token_endpoint": self.access.token_url,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
            "code_challenge_methods_supported": ["S256"],
        }


def refused(refusal: Refused) -> Reply:
    """The answer that a refusal means."""
    return Reply(refusal.status, jsonio.dumps(refusal.outcome), headers=refusal.headers)


def _fhir(resource: Resource) -> Reply:
    return Reply(200, jsonio.dumps(resource))
