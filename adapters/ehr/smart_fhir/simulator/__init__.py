"""A FHIR R4 server in one process, for the sandbox and the tests: an EHR that speaks SMART Backend Services.

It enforces what the standards make a conforming server enforce, serves synthetic or public example data, lets
clinicians sign encounters by control route, sends the notifications of both subscription styles, and can fail on
demand. Sources: the vendor document for generic SMART FHIR servers, SMART App Launch 2.2.0, FHIR R4 4.0.1,
Subscriptions R5 Backport 1.1.0.

Knobs in `options.credentials`, all strings: client_id, jwks (JSON text of the public keys), algorithms, scopes (what
the client may have), expires_in, page_size, rate_per_second, patient_anchored ("true"), strict ("true": invalid FHIR
is not loaded), jwks_url (the only jku accepted), topics (comma list of canonical URLs; without it, any http(s) URL is
taken to mean "an encounter was signed"), export, export_polls, export_retry_after, export_lines, export_post (see
`ExportRules`), refuse (JSON text: which feeds are refused and how, see `Refusals`), time_scale (shortens delivery
back-off, handshake delay and heartbeats).
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from adapters.ehr.smart_fhir.simulator.delivery import Timing
from adapters.ehr.smart_fhir.simulator.signoff import SignOff
from adapters.ehr.smart_fhir.simulator.subscriptions import Subscriptions
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.access import RateLimit, authorize, check_acceptable
from gateway.kit.fhir_simulator.appointments import appointments
from gateway.kit.fhir_simulator.export import ExportRules
from gateway.kit.fhir_simulator.fhir import FhirApi, Paging
from gateway.kit.fhir_simulator.load import Loaded, load
from gateway.kit.fhir_simulator.metadata import capability_statement, smart_configuration
from gateway.kit.fhir_simulator.refusals import Refusals
from gateway.kit.fhir_simulator.scopes import parse_scopes
from gateway.kit.fhir_simulator.store import Store
from gateway.kit.fhir_simulator.token import Client, TokenEndpoint
from gateway.kit.simulator import SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fhir, plain_json, refuse

DEFAULT_TOPIC = "https://fhir-billing-gateway.org/fhir/SubscriptionTopic/encounter-signed"
_DEFAULTS = {
    "client_id": "gateway-demo",
    "jwks": '{"keys":[]}',
    "algorithms": "RS384,ES384",
    "scopes": "system/*.rs system/Subscription.cruds",
    "expires_in": "300",
    "page_size": "50",
    "rate_per_second": "0",
    "time_scale": "1",
}


def new_credentials(seed: int) -> dict[str, str]:
    """A fresh registration: client_id, private_jwk and jwks (JSON texts, P-384), webhook_secret.

    The keys are random in every run; the seed only names the key.
    """
    key = ECKey.generate_key("P-384", {"kid": f"sandbox-{seed}", "alg": "ES384", "use": "sig"}, private=True)
    return {
        "client_id": _DEFAULTS["client_id"],
        "private_jwk": jsonio.dumps(key.as_dict(private=True)).decode(),
        "jwks": jsonio.dumps({"keys": [key.as_dict(private=False)]}).decode(),
        "webhook_secret": secrets.token_urlsafe(32),
    }


def build(options: SimulatorOptions) -> SmartFhirSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return SmartFhirSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic's connection reaches this simulator; needs "private_jwk" and "webhook_secret" in the credentials,
    from `new_credentials`."""
    private = options.credentials["private_jwk"]
    settings = {
        "base_url": f"{options.base_url}/fhir",
        "client_id": options.credentials.get("client_id", _DEFAULTS["client_id"]),
        "private_key": "env:SMART_PRIVATE_KEY",
        "key_id": jsonio.loads(private)["kid"],
        "algorithm": "ES384",
        "webhook_secret": "env:SMART_WEBHOOK_SECRET",
        "poll_seconds": 5,
        "subscription": "r4",
        "follow_unsigned": isinstance(options.data, str | Path),  # every encounter of somebody's data shall be seen
    }
    webhook_secret = options.credentials["webhook_secret"]
    return SandboxConnection(settings, {"SMART_PRIVATE_KEY": private, "SMART_WEBHOOK_SECRET": webhook_secret})


class SmartFhirSimulator(SimulatorApp):
    """The FHIR server with its token endpoint, subscriptions and clinicians."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.knobs = {**_DEFAULTS, **options.credentials}
        self.base = f"{options.base_url}/fhir"
        self.token_url = f"{options.base_url}/auth/token"
        self.topics = tuple(filter(None, self.knobs.get("topics", "").split(",")))
        self.algorithms = frozenset(self.knobs["algorithms"].split(","))
        self.allowed = tuple(parse_scopes(self.knobs["scopes"]))
        super().__init__(options)

    def restart(self, data: Any) -> None:
        """The state of a new server over some data."""
        knobs, store = self.knobs, Store()
        paging = Paging(default=int(knobs["page_size"]))
        client = Client(knobs["client_id"], jsonio.loads(knobs["jwks"]), self.allowed, knobs.get("jwks_url", ""))
        self.store = store
        self.rejected: list[dict[str, str]] = []
        self.limit = RateLimit(float(knobs["rate_per_second"]))
        self.api = FhirApi(
            self.base,
            store,
            paging,
            patient_anchored=knobs.get("patient_anchored") == "true",
            rules=ExportRules.of(knobs),
            refusals=Refusals(jsonio.loads(knobs.get("refuse", "{}"))),
        )
        self.tokens = TokenEndpoint(self.token_url, client, self.algorithms, int(knobs["expires_in"]))
        timing = Timing(scale=float(knobs["time_scale"]))
        self.subscriptions = Subscriptions(self.base, store, frozenset(self.topics), timing)
        self.signoff = SignOff(store, self.subscriptions)
        self._admit(data)

    def _admit(self, data: Any) -> int:
        loaded: Loaded = load(data, strict=self.knobs.get("strict") == "true")
        self.rejected += loaded.rejected
        admitted = self.signoff.admit(loaded.resources.values())
        self.signoff.admit(appointments(loaded.resources.values()))
        return admitted

    async def aclose(self) -> None:
        """Stop what is still being delivered."""
        await self.subscriptions.aclose()

    def names(self, request: Request) -> tuple[str, str]:
        """The operation that faults name ("read:Encounter"), and the call that the ledger counts ("GET Encounter")."""
        return _names(request)

    def answer(self, request: Request) -> Response:
        """The server's answer, or an OperationOutcome."""
        path = request.path
        if path == "/auth/token":
            return self.tokens.handle(request)
        if path != "/fhir" and not path.startswith("/fhir/"):
            raise refuse(404, "not-found", "there is nothing here")
        self.limit.check()
        if path == "/fhir/.well-known/smart-configuration":
            return plain_json(smart_configuration(self.token_url, self.algorithms, self.allowed))
        check_acceptable(request)
        if path == "/fhir/metadata":
            topics = self.topics or (DEFAULT_TOPIC,)
            return fhir(capability_statement(self.base, self.token_url, topics, self.store.types()))
        access = authorize(request, self.tokens, self.base)
        request.path = path.removeprefix("/fhir")
        handler = self.subscriptions if self.subscriptions.handles(request) else self.api
        return handler.handle(request, access)

    def commands(self) -> dict[str, Command]:
        """What clinicians and administrators do."""
        return {
            "sign": lambda body: {"signed": self.signoff.sign(body)},
            "amend": lambda body: self.signoff.amend(body["encounter_id"]),
            "withdraw": lambda body: self.signoff.withdraw(body["encounter_id"]),
            "duplicate": lambda body: self.signoff.duplicate(body["encounter_id"]),
            "expire_tokens": lambda body: {"expired": self.tokens.expire_all()},
            "data": lambda body: {"added": self._admit(body["resources"])},
            "refuse": self._refuse,
        }

    def _refuse(self, body: dict[str, Any]) -> dict[str, Any]:
        self.api.refusals.set(body.get("feeds", {}))
        self.api.exports.problems = [jsonio.dumps(outcome_) for outcome_ in body.get("export_errors", [])]
        return {"refused": self.api.refusals.styles}

    def state(self) -> dict[str, Any]:
        """Encounters, signings with their notification times, and files that could not be loaded."""
        return {
            "encounters": {"total": len(self.store.of_type("Encounter")), "unsigned": self.signoff.unsigned},
            "signed": [asdict(signing) for signing in self.signoff.signings],
            "rejected_files": self.rejected,
        }


def _names(request: Request) -> tuple[str, str]:
    if request.path == "/auth/token":
        return "token", "token"
    parts = request.path.removeprefix("/fhir").strip("/").split("/")
    if parts[-1] == "$export":
        return "export", f"{request.method} $export"
    if request.method == "POST" and parts == [""]:
        return "batch", "POST batch"
    if len(parts) == 1 or parts[-1] == "_search":
        operation = {"GET": "search", "POST": "search" if parts[-1] == "_search" else "create"}.get(request.method, "")
        if parts[0] == "metadata":
            operation = ""
        return f"{operation}:{parts[0]}".lstrip(":"), f"{request.method} {parts[0]}"
    verb = {"GET": "read", "POST": "operation", "PUT": "update", "DELETE": "delete"}.get(request.method, "")
    if parts[0] == ".well-known":
        return parts[-1], f"{request.method} {parts[-1]}"
    return f"{verb}:{parts[0]}", f"{request.method} {parts[0]}"
