"""A FHIR R4 server in one process, for the sandbox and the tests: an EHR that speaks SMART Backend Services.

It enforces what the standards make a conforming server enforce, serves synthetic or public example data, lets
clinicians sign encounters by control route, sends the notifications of both subscription styles, and can fail on
demand. Sources: the vendor document for generic SMART FHIR servers, SMART App Launch 2.2.0, FHIR R4 4.0.1,
Subscriptions R5 Backport 1.1.0.

Knobs in `options.credentials`, all strings: client_id, jwks (JSON text of the public keys), algorithms, scopes (what
the client may have), expires_in, page_size, rate_per_second, patient_anchored ("true"), strict ("true": invalid FHIR
is not loaded), jwks_url (the only jku accepted), topics (comma list of canonical URLs; without it, any http(s) URL is
taken to mean "an encounter was signed"), time_scale (shortens delivery back-off, handshake delay and heartbeats).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from joserfc.jwk import ECKey

from adapters.ehr.smart_fhir.simulator.delivery import Timing
from adapters.ehr.smart_fhir.simulator.signoff import SignOff
from adapters.ehr.smart_fhir.simulator.subscriptions import Subscriptions
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.access import RateLimit, authorize, check_acceptable
from gateway.kit.fhir_simulator.fhir import FhirApi, Paging
from gateway.kit.fhir_simulator.load import Loaded, load
from gateway.kit.fhir_simulator.metadata import capability_statement, smart_configuration
from gateway.kit.fhir_simulator.scopes import parse_scopes
from gateway.kit.fhir_simulator.store import Store
from gateway.kit.fhir_simulator.token import Client, TokenEndpoint
from gateway.kit.simulator import FaultKind, Faults, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_http import (
    Receive,
    Refused,
    Request,
    Response,
    Send,
    fault_response,
    fhir,
    outcome,
    parse_object,
    plain_json,
    read_request,
    refuse,
    reset_connection,
    send_response,
    until_client_leaves,
)

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


class ASGIApp(Protocol):
    """An ASGI 3 application."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None: ...


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


def build(options: SimulatorOptions) -> ASGIApp:
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


class SmartFhirSimulator:
    """The ASGI application: routes, faults, and the control routes under /_sim/."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.knobs = {**_DEFAULTS, **options.credentials}
        self.base_path = urlsplit(options.base_url).path.rstrip("/")
        self.base = f"{options.base_url}/fhir"
        self.token_url = f"{options.base_url}/auth/token"
        self.topics = tuple(filter(None, self.knobs.get("topics", "").split(",")))
        self.algorithms = frozenset(self.knobs["algorithms"].split(","))
        self.allowed = tuple(parse_scopes(self.knobs["scopes"]))
        self.faults = Faults(options.seed)
        self._start(options.data)

    def _start(self, data: Any) -> None:
        """The state of a new server over some data."""
        knobs, store = self.knobs, Store()
        paging = Paging(default=int(knobs["page_size"]))
        client = Client(knobs["client_id"], jsonio.loads(knobs["jwks"]), self.allowed, knobs.get("jwks_url", ""))
        self.store = store
        self.calls: Counter[str] = Counter()
        self.rejected: list[dict[str, str]] = []
        self.limit = RateLimit(float(knobs["rate_per_second"]))
        self.api = FhirApi(self.base, store, paging, patient_anchored=knobs.get("patient_anchored") == "true")
        self.tokens = TokenEndpoint(self.token_url, client, self.algorithms, int(knobs["expires_in"]))
        timing = Timing(scale=float(knobs["time_scale"]))
        self.subscriptions = Subscriptions(self.base, store, frozenset(self.topics), timing)
        self.signoff = SignOff(store, self.subscriptions)
        self._admit(data)

    def _admit(self, data: Any) -> int:
        loaded: Loaded = load(data, strict=self.knobs.get("strict") == "true")
        self.rejected += loaded.rejected
        return self.signoff.admit(loaded.resources.values())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request = await read_request(scope, receive, self.base_path)
            if request.path.startswith("/_sim/"):
                await send_response(send, await self._control(request))
            else:
                await self._serve(request, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.subscriptions.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        """One call of a client: counted, delayed, failed if a fault says so, else answered."""
        operation, call = _names(request)
        self.calls[call] += 1
        if self.options.think_seconds:
            await asyncio.sleep(self.options.think_seconds)
        kind = self.faults.pick(operation)
        if kind is None:
            await send_response(send, self._answer(request))
            return
        if kind is FaultKind.SAVE_AFTER_TIMEOUT:
            await until_client_leaves(receive)
        if kind.value.endswith("_after_save") or kind is FaultKind.SAVE_AFTER_TIMEOUT:
            self._answer(request)
        await _fail(kind, receive, send)

    def _answer(self, request: Request) -> Response:
        try:
            return self._route(request)
        except Refused as refusal:
            return refusal.response

    def _route(self, request: Request) -> Response:
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

    async def _control(self, request: Request) -> Response:
        """The control routes, in JSON; they are never delayed, limited or failed."""
        name = request.path.removeprefix("/_sim/")
        try:
            if (request.method, name) == ("GET", "ledger"):
                return plain_json(self.ledger())
            if request.method != "POST":
                raise refuse(405, "not-supported", "control routes are POST, the ledger is GET")
            return plain_json(await self._command(name, parse_object(request.body)))
        except Refused as refusal:
            return refusal.response
        except (KeyError, TypeError, ValueError) as problem:
            return outcome(400, "invalid", f"the control body is not understood: {type(problem).__name__}")

    async def _command(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if name == "reset":
            await self.subscriptions.aclose()
            self.faults = Faults(self.options.seed)
            self._start(body.get("data", self.options.data))
            return {"encounters": len(self.store.of_type("Encounter"))}
        commands: dict[str, Callable[[], dict[str, Any]]] = {
            "sign": lambda: {"signed": self.signoff.sign(body)},
            "amend": lambda: self.signoff.amend(body["encounter_id"]),
            "withdraw": lambda: self.signoff.withdraw(body["encounter_id"]),
            "duplicate": lambda: self.signoff.duplicate(body["encounter_id"]),
            "faults": lambda: self._set_faults(body),
            "expire_tokens": lambda: {"expired": self.tokens.expire_all()},
            "data": lambda: {"added": self._admit(body["resources"])},
        }
        if name not in commands:
            raise refuse(404, "not-found", "there is no such control route")
        return commands[name]()

    def _set_faults(self, body: dict[str, Any]) -> dict[str, Any]:
        self.faults.configure(body)
        return {"rules": len(self.faults.rules)}

    def ledger(self) -> dict[str, Any]:
        """What happened so far: encounters, signings with their notification times, calls, faults, rejected files."""
        encounters = {"total": len(self.store.of_type("Encounter")), "unsigned": self.signoff.unsigned}
        return {
            "at": time.time(),
            "encounters": encounters,
            "signed": [asdict(signing) for signing in self.signoff.signings],
            "calls": dict(self.calls),
            "faults": dict(self.faults.injected),
            "rejected_files": self.rejected,
        }


def _names(request: Request) -> tuple[str, str]:
    """The operation that faults name ("read:Encounter"), and the call that the ledger counts ("GET Encounter")."""
    if request.path == "/auth/token":
        return "token", "token"
    parts = request.path.removeprefix("/fhir").strip("/").split("/")
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


async def _fail(kind: FaultKind, receive: Receive, send: Send) -> None:
    answer = fault_response(kind)
    if answer is not None:
        await send_response(send, answer)
    elif kind in (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE):
        await reset_connection(receive, send)
    else:
        await until_client_leaves(receive)
