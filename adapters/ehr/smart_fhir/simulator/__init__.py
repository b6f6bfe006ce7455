"""A FHIR R4 server in one process, for the sandbox and the tests: an EHR that speaks SMART Backend Services.

It enforces what the standards make a conforming server enforce, serves synthetic or public example data, lets
clinicians sign encounters by control route, sends the notifications of both subscription styles, and can fail on
demand. Sources: the vendor document for generic SMART FHIR servers, SMART App Launch 2.2.0, FHIR R4 4.0.1,
Subscriptions R5 Backport 1.1.0.

Knobs in `options.credentials`, all strings; lists are separated by commas:

* `variant`: a vendor of `variants.VARIANTS`, whose knobs are the defaults of all others; `dialect` of the connection.
* Registration: client_id, client_secret, jwks (JSON text of the public keys), jwks_url (the only jku accepted),
  jwks_read (nightly: new keys count after POST /_sim/nightly), scopes (what the client may have).
* Token endpoint: client_authentication, algorithms, grammar (v1, v2 or ignored), mixed, letters (rs), refused_scopes
  (Type=error), errors (oauth, epic, subcode, gateway, html), expires_in, lifetime (number, text, absent), discovery
  (smart, metadata, wrong, none).
* FHIR: types, accept, patient_anchored, anchored, refused_parameters (Type.name), refusals_as_200, page_size,
  largest_page, total, repeats, masked (Type.element), rate_per_second, calls_per_minute (its minute is scaled by the
  pace), export, export_polls, export_retry_after, export_lines, export_post (see `ExportRules`), refuse (JSON text:
  which feeds are refused and how, see `Refusals`).
* Clinic: charges (claim, charge_item, procedure), proof (document, provenance), closed_early, strict (invalid FHIR is
  not loaded), topics (canonical URLs; without them any http(s) URL means "an encounter was signed"), time_scale
  (shortens delivery back-off, handshake delay and heartbeats).
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from adapters.ehr.smart_fhir.simulator.charging import charged_as
from adapters.ehr.smart_fhir.simulator.delivery import Timing
from adapters.ehr.smart_fhir.simulator.proofs import Proof
from adapters.ehr.smart_fhir.simulator.signoff import SignOff
from adapters.ehr.smart_fhir.simulator.subscriptions import Subscriptions
from adapters.ehr.smart_fhir.simulator.variants import VARIANTS, Knobs, manners, token_rules
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.access import Access, RateLimit, authorize, check_acceptable
from gateway.kit.fhir_simulator.appointments import appointments
from gateway.kit.fhir_simulator.export import ExportRules
from gateway.kit.fhir_simulator.fhir import FhirApi, Paging
from gateway.kit.fhir_simulator.load import Loaded, load
from gateway.kit.fhir_simulator.manners import MinuteLimit, Shaping
from gateway.kit.fhir_simulator.metadata import capability_statement, smart_configuration
from gateway.kit.fhir_simulator.refusals import Refusals
from gateway.kit.fhir_simulator.scopes import Scope, parse_scopes
from gateway.kit.fhir_simulator.store import Store
from gateway.kit.fhir_simulator.token import Client, TokenEndpoint
from gateway.kit.simulator import SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Refused, Request, Resource, Response, fhir, plain_json, refuse

DEFAULT_TOPIC = "https://fhir-billing-gateway.org/fhir/SubscriptionTopic/encounter-signed"
_DEFAULTS = {
    "client_id": "gateway-demo",
    "jwks": '{"keys":[]}',
    "algorithms": "RS384,ES384",
    "scopes": "system/*.rs system/Subscription.cruds",
    "expires_in": "300",
    "page_size": "50",
    "largest_page": "1000",
    "rate_per_second": "0",
    "time_scale": "1",
    "variant": "generic",
    "client_authentication": "private_key_jwt",
    "grammar": "v1,v2",
    "errors": "oauth",
    "lifetime": "number",
    "discovery": "smart",
    "calls_per_minute": "0",
}
_EVERYTHING = (Scope("*", "cruds"),)


def new_credentials(seed: int) -> dict[str, str]:
    """A fresh registration: client_id, client_secret, private_jwk (P-384), private_rsa_jwk, jwks (JSON texts, both
    keys), webhook_secret.

    The keys are random in every run; the seed only names them.
    """
    ec = ECKey.generate_key("P-384", {"kid": f"sandbox-{seed}", "alg": "ES384", "use": "sig"}, private=True)
    rsa = RSAKey.generate_key(2048, {"kid": f"sandbox-rsa-{seed}", "alg": "RS384", "use": "sig"}, private=True)
    return {
        "client_id": _DEFAULTS["client_id"],
        "client_secret": secrets.token_urlsafe(32),
        "private_jwk": jsonio.dumps(ec.as_dict(private=True)).decode(),
        "private_rsa_jwk": jsonio.dumps(rsa.as_dict(private=True)).decode(),
        "jwks": jsonio.dumps({"keys": [key.as_dict(private=False) for key in (ec, rsa)]}).decode(),
        "webhook_secret": secrets.token_urlsafe(32),
    }


def knobs_of(options: SimulatorOptions) -> Knobs:
    """All knobs: the defaults, those of the vendor that is played, those that were given."""
    variant = options.credentials.get("variant", _DEFAULTS["variant"])
    return {**_DEFAULTS, **VARIANTS[variant], **options.credentials}


def build(options: SimulatorOptions) -> SmartFhirSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return SmartFhirSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic's connection reaches this simulator, with credentials from `new_credentials`."""
    knobs = knobs_of(options)
    registered, private = _registration(knobs)
    settings = {
        "base_url": f"{options.base_url}/fhir",
        "poll_seconds": 5,
        "follow_unsigned": isinstance(options.data, str | Path),  # every encounter of somebody's data shall be seen
        **registered,
    }
    if knobs["variant"] == "generic":
        settings["subscription"] = "r4"
    else:
        settings["dialect"] = knobs["variant"]
    if "types" not in knobs:  # Subscription is on offer
        settings["webhook_secret"] = "env:SMART_WEBHOOK_SECRET"
        private["SMART_WEBHOOK_SECRET"] = knobs["webhook_secret"]
    return SandboxConnection(settings, private)


def _registration(knobs: Knobs) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings and secrets of the first client authentication that the vendor takes."""
    method = knobs["client_authentication"].split(",")[0]
    if method == "none":
        return {}, {}
    if method != "private_key_jwt":
        settings = {"client_id": knobs["client_id"], "client_secret": "env:SMART_CLIENT_SECRET"}
        return settings, {"SMART_CLIENT_SECRET": knobs["client_secret"]}
    algorithm = "ES384" if "ES384" in knobs["algorithms"] else "RS384"
    private = knobs["private_jwk" if algorithm == "ES384" else "private_rsa_jwk"]
    settings = {
        "client_id": knobs["client_id"],
        "private_key": "env:SMART_PRIVATE_KEY",
        "key_id": jsonio.loads(private)["kid"],
        "algorithm": algorithm,
    }
    return settings, {"SMART_PRIVATE_KEY": private}


class SmartFhirSimulator(SimulatorApp):
    """The FHIR server with its token endpoint, subscriptions and clinicians."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.knobs = knobs_of(options)
        self.base = f"{options.base_url}/fhir"
        self.token_url = f"{options.base_url}/auth/token"
        self.topics = tuple(filter(None, self.knobs.get("topics", "").split(",")))
        self.algorithms = frozenset(self.knobs["algorithms"].split(","))
        self.allowed = tuple(parse_scopes(self.knobs["scopes"]))
        self.manners, self.rules = manners(self.knobs), token_rules(self.knobs)
        super().__init__(options)

    def restart(self, data: Any) -> None:
        """The state of a new server over some data."""
        knobs, store = self.knobs, Store()
        paging = Paging(default=int(knobs["page_size"]), maximum=int(knobs["largest_page"]))
        client = Client(knobs["client_id"], jsonio.loads(knobs["jwks"]), self.allowed, knobs.get("jwks_url", ""))
        self.store = store
        self.rejected: list[dict[str, str]] = []
        self.limit = RateLimit(float(knobs["rate_per_second"]))
        self.minute = MinuteLimit(int(knobs["calls_per_minute"]), 60.0 * self.options.pace)
        self.shaping = Shaping(self.manners)
        self.api = FhirApi(
            self.base,
            store,
            paging,
            patient_anchored=bool(self.manners.anchored),
            rules=ExportRules.of(knobs),
            refusals=Refusals(jsonio.loads(knobs.get("refuse", "{}"))),
        )
        self.tokens = TokenEndpoint(self.token_url, client, self.algorithms, int(knobs["expires_in"]), self.rules)
        timing = Timing(scale=float(knobs["time_scale"]))
        self.subscriptions = Subscriptions(self.base, store, frozenset(self.topics), timing)
        proof = Proof(knobs.get("proof", ""), knobs.get("closed_early") == "true")
        self.signoff = SignOff(store, self.subscriptions, proof)
        self._admit(data)

    def _admit(self, data: Any) -> int:
        loaded: Loaded = load(data, strict=self.knobs.get("strict") == "true")
        self.rejected += loaded.rejected
        return self._shown(charged_as(self.knobs.get("charges", ""), loaded.resources.values()))

    def _shown(self, resources: list[Resource]) -> int:
        admitted = self.signoff.admit(resources)
        self.signoff.admit(appointments(resources))
        return admitted

    async def aclose(self) -> None:
        """Stop what is still being delivered."""
        await self.subscriptions.aclose()

    def names(self, request: Request) -> tuple[str, str]:
        """The operation that faults name ("read:Encounter"), and the call that the ledger counts ("GET Encounter")."""
        return _names(request)

    def answer(self, request: Request) -> Response:
        """The server's answer, or an OperationOutcome."""
        self.minute.check()
        if request.path == "/auth/token":
            return self.tokens.handle(request)
        if request.path != "/fhir" and not request.path.startswith("/fhir/"):
            raise refuse(404, "not-found", "there is nothing here")
        self.limit.check()
        request.path = request.path.removeprefix("/fhir")
        if request.path == "/.well-known/smart-configuration":
            return self._discovery()
        check_acceptable(request)
        try:
            return self.shaping.shape(request, self._fhir(request))
        except Refused as refusal:
            return self.manners.refusal(refusal.response)

    def _discovery(self) -> Response:
        if self.knobs["discovery"] not in ("smart", "wrong") or "none" in self.rules.methods:
            raise refuse(404, "not-found", "there is no such document")
        document = smart_configuration(self._announced_url(), self.algorithms, self.allowed)
        return plain_json({**document, "token_endpoint_auth_methods_supported": sorted(self.rules.methods)})

    def _announced_url(self) -> str:
        return f"{self.token_url}-retired" if self.knobs["discovery"] == "wrong" else self.token_url

    def _fhir(self, request: Request) -> Response:
        if request.path == "/metadata":
            return fhir(self._statement())
        open_to_all = "none" in self.rules.methods
        access = Access(_EVERYTHING, self.base) if open_to_all else authorize(request, self.tokens, self.base)
        self.manners.check(request)
        handler = self.subscriptions if self.subscriptions.handles(request) else self.api
        return handler.handle(request, access)

    def _statement(self) -> dict[str, Any]:
        statement = capability_statement(
            self.base, self._announced_url(), self.topics or (DEFAULT_TOPIC,), self.store.types()
        )
        rest = statement["rest"][0]
        if self.manners.types:
            rest["resource"] = [listed for listed in rest["resource"] if listed["type"] in self.manners.types]
        if self.knobs["discovery"] == "none" or "none" in self.rules.methods:
            del rest["security"]
        return statement

    def commands(self) -> dict[str, Command]:
        """What clinicians and administrators do."""
        return {
            "sign": lambda body: {"signed": self.signoff.sign(body)},
            "amend": lambda body: self.signoff.amend(body["encounter_id"]),
            "withdraw": lambda body: self.signoff.withdraw(body["encounter_id"]),
            "duplicate": lambda body: self.signoff.duplicate(body["encounter_id"]),
            "subscriptions": self.subscriptions.disturb,
            "close": lambda body: self.signoff.close(body["encounter_id"]),
            "publish_keys": lambda body: {"known": self.tokens.publish(body["jwks"])},
            "nightly": lambda body: {"known": self.tokens.read_keys()},
            "expire_pages": lambda body: {"expired": self.api.forget_pages()},
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
