"""Practice Fusion in one process: a practice's FHIR facade behind an API gateway, and staff who export superbills.

Source: vendors practice_fusion, all sections; its checklist (section 10) is this module's.

Knobs in `options.credentials`, all strings: client_id, jwks (JSON text of the public keys), jwks_url (the only jku
accepted), practice (GUID), granted ("false": the practice has not pressed Authorize App), expires_in, page_size,
largest_page, unanchored ("false": an Encounter search must name the patient), rate_per_second (scaled by the pace),
proof ("document" or "provenance": what a sign-off leaves beside the status), superbill_seconds (how long an export lags
its encounter; "" : only POST /_sim/export exports), repeat_every (each n-th superbill is sent twice), timezone, and
those of the exports (`ExportRules`).

Control routes beside the usual: close (finished without a signature), export (superbills, now), unready (a superbill
goes back to draft), practice (whether it has authorized the app), expire_tokens.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from joserfc.jwk import ECKey

from adapters.ehr.practice_fusion.simulator import front
from adapters.ehr.practice_fusion.simulator.practice import SCOPED, SERVED, as_served, known_locations
from adapters.ehr.practice_fusion.simulator.signoff import SignOff
from adapters.ehr.practice_fusion.simulator.superbills import DRAFT, Superbills
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.access import RateLimit, authorize, check_acceptable
from gateway.kit.fhir_simulator.export import ExportRules
from gateway.kit.fhir_simulator.fhir import FhirApi, Paging
from gateway.kit.fhir_simulator.load import load
from gateway.kit.fhir_simulator.metadata import capability_statement
from gateway.kit.fhir_simulator.scopes import Scope
from gateway.kit.fhir_simulator.store import Store
from gateway.kit.fhir_simulator.token import Client, TokenEndpoint
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fhir, plain_json
from gateway.kit.simulator_seed import visits

_DEFAULTS = {
    "client_id": "pf-gateway-demo",
    "jwks": '{"keys":[]}',
    "practice": "3f0c0de0-0000-4000-8000-000000000001",
    "granted": "true",
    "expires_in": "3600",
    "page_size": "50",
    "largest_page": "1000",
    "unanchored": "true",
    "rate_per_second": "10",
    "superbill_seconds": "1.0",
    "repeat_every": "3",
    "timezone": "America/Chicago",
}
_ALGORITHMS = frozenset({"RS384", "ES384"})
_ROOT = "/fhir/r4/v1"
_ROUTED = SERVED | {"Export", "Binary"}
_SUPERBILL_COLUMNS = {
    "serviced_date": "dos",
    "product_or_service": "cpt",
    "quantity": "units",
    "diagnosis_pointers": "dx_ptr",
    "prior_authorization": "pa",
    **{f"diagnosis_{n}": f"dx{n}" for n in range(1, 5)},
    **{f"modifier_{n}": f"mod{n}" for n in range(1, 5)},
}


def new_credentials(seed: int) -> dict[str, str]:
    """A fresh registration: client_id, private_jwk and jwks (JSON texts, P-384), superbill_key.

    The keys are random in every run; the seed only names the key.
    """
    key = ECKey.generate_key("P-384", {"kid": f"pf-sandbox-{seed}", "alg": "ES384", "use": "sig"}, private=True)
    return {
        "client_id": _DEFAULTS["client_id"],
        "private_jwk": jsonio.dumps(key.as_dict(private=True)).decode(),
        "jwks": jsonio.dumps({"keys": [key.as_dict(private=False)]}).decode(),
        "superbill_key": secrets.token_hex(24),
    }


def build(options: SimulatorOptions) -> PracticeFusionSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return PracticeFusionSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic connects, with credentials from `new_credentials`; its superbills arrive in a folder."""
    knobs = {**_DEFAULTS, **options.credentials}
    settings = {
        "base_url": f"{options.base_url}{_ROOT}/{knobs['practice']}",
        "client_id": knobs["client_id"],
        "private_key": "env:PF_PRIVATE_KEY",
        "key_id": jsonio.loads(knobs["private_jwk"])["kid"],
        "algorithm": "ES384",
        "poll_seconds": 1,
        "calls_per_minute": round(120 / options.pace) if options.pace else 0,
    }
    found = {"PF_PRIVATE_KEY": knobs["private_jwk"], "PF_SUPERBILL_KEY": knobs["superbill_key"]}
    superbills: dict[str, Any] = {
        "matching_key": "env:PF_SUPERBILL_KEY",
        "columns": _SUPERBILL_COLUMNS,
        "look_seconds": 0.5,
    }
    if options.directory is not None:
        superbills["folder"] = str(options.directory / "superbills")
    return SandboxConnection(settings, found, {"superbills": superbills, "locations": known_locations(options.data)})


class PracticeFusionSimulator(SimulatorApp):
    """One practice behind the API gateway."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.knobs = {**_DEFAULTS, **options.credentials}
        self.base = f"{options.base_url}{_ROOT}/{self.knobs['practice']}"
        self.own_path = urlsplit(self.base).path
        super().__init__(options)

    def restart(self, data: Any) -> None:
        """A practice with some data, in which nothing has been signed yet."""
        knobs, store, pace = self.knobs, Store(), self.options.pace
        loaded = load(data).resources.values()
        client = Client(
            knobs["client_id"],
            jsonio.loads(knobs["jwks"]),
            tuple(Scope(name, "rs") for name in SCOPED),
            knobs.get("jwks_url", ""),
        )
        self.granted = knobs["granted"] == "true"
        self.store, self._timer = store, None
        self.limit = RateLimit(float(knobs["rate_per_second"]) / pace if pace else 0.0, front.too_many)
        self.tokens = TokenEndpoint(
            f"{self.base}/token", client, _ALGORITHMS, int(knobs["expires_in"]), front.TOKEN_RULES
        )
        self.api = FhirApi(
            self.base,
            store,
            Paging(default=int(knobs["page_size"]), maximum=int(knobs["largest_page"])),
            patient_anchored=knobs["unanchored"] != "true",
            rules=ExportRules.of(knobs),
        )
        folder = self.options.directory / "superbills" if self.options.directory else None
        seeds = {visit.id: visit for visit in visits(loaded)}
        self.superbills = Superbills(seeds, ZoneInfo(knobs["timezone"]), folder, int(knobs["repeat_every"]))
        self.signoff = SignOff(store, knobs.get("proof", ""), self._superbill)
        self.signoff.admit(as_served(loaded))

    _timer: asyncio.TimerHandle | None = None

    async def aclose(self) -> None:
        """No export any more."""
        if self._timer is not None:
            self._timer.cancel()

    def names(self, request: Request) -> tuple[str, str]:
        """The operation that faults name ("read:Encounter"), and the call that the ledger counts ("GET Encounter")."""
        parts = request.path.removeprefix(self._path).strip("/").split("/")
        if parts[0] in ("token", "metadata", ".well-known"):
            return parts[-1], parts[-1]
        verb = "search" if len(parts) == 1 else "read"
        return f"{verb}:{parts[0]}", f"{request.method} {parts[0]}"

    @property
    def _path(self) -> str:
        return f"{_ROOT}/{self.knobs['practice']}"

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """A 429 has no headers here."""
        return front.too_many() if kind is FaultKind.RATE_LIMIT else super().failure(kind, request)

    def answer(self, request: Request) -> Response:
        """What the gateway routes, the facade answers; all else is Kong's 404."""
        self.limit.check()
        if not f"{request.path}/".startswith(f"{self._path}/"):
            return front.unrouted()
        request.path = request.path.removeprefix(self._path)
        match request.path.strip("/").split("/"):
            case ["token"]:
                return self._token(request)
            case [".well-known", "smart-configuration"]:
                return plain_json(self._discovery())
            case ["metadata"]:
                check_acceptable(request)
                return fhir(self._statement())
            case [name, *rest] if name in _ROUTED and rest[-1:] != ["$everything"]:
                check_acceptable(request)
                return self.api.handle(request, authorize(request, self.tokens, self.base))
        return front.unrouted()

    def _token(self, request: Request) -> Response:
        if not self.granted:
            return front.unauthorized(front.NOT_GRANTED)
        return front.token_answer(self.tokens.handle(request))

    def _discovery(self) -> dict[str, Any]:
        """No `scopes_supported`, no `token_endpoint_auth_methods_supported` (section 2)."""
        return {
            "issuer": self.base,
            "jwks_uri": f"{self.base}/.well-known/jwk",
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "introspection_endpoint": f"{self.base}/introspect",
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "capabilities": ["client-confidential-symmetric", "client-confidential-asymmetric", "permission-v2"],
        }

    def _statement(self) -> dict[str, Any]:
        statement = capability_statement(self.base, f"{self.base}/token", (), self.store.types())
        rest = statement["rest"][0]
        rest["resource"] = [listed for listed in rest["resource"] if listed["type"] in SERVED]
        return statement

    def commands(self) -> dict[str, Command]:
        """What clinicians, staff and administrators do."""
        return {
            "sign": lambda body: {"signed": self.signoff.sign(body)},
            "close": lambda body: self.signoff.close(body["encounter_id"]),
            "amend": self._amend,
            "withdraw": lambda body: self.signoff.withdraw(body["encounter_id"]),
            "duplicate": self._duplicate,
            "unready": lambda body: self._superbill(self.signoff.known(body["encounter_id"]).id, DRAFT),
            "export": lambda body: self._export(),
            "practice": self._practice,
            "expire_tokens": lambda body: {"expired": self.tokens.expire_all()},
        }

    def _amend(self, body: dict[str, Any]) -> dict[str, Any]:
        """A late edit: the superbill's first line doubles, and the encounter's lastUpdated moves."""
        encounter = self.signoff.known(body["encounter_id"])
        changed = self.superbills.double_first_line(encounter.id)
        return {**self.signoff.touch(encounter.id), "changed": f"SB-{encounter.id}" if changed else None}

    def _duplicate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Somebody sends the superbill once more."""
        encounter_id = self.signoff.known(body["encounter_id"]).id
        self.superbills.repeat(encounter_id)
        self._schedule()
        return {"encounter_id": encounter_id, "superbill": f"SB-{encounter_id}"}

    def _practice(self, body: dict[str, Any]) -> dict[str, Any]:
        self.granted = bool(body["granted"])
        return {"granted": self.granted}

    def _superbill(self, encounter_id: str, *status: str) -> dict[str, Any]:
        """Staff make the encounter's superbill; it is exported later."""
        self.superbills.make(encounter_id, *status)
        self._schedule()
        return {"encounter_id": encounter_id, "superbill": f"SB-{encounter_id}"}

    def _schedule(self) -> None:
        lag = self.knobs["superbill_seconds"]
        if lag and (self._timer is None or self._timer.cancelled() or self._timer.when() <= _now()):
            self._timer = asyncio.get_running_loop().call_later(float(lag), self.superbills.export)

    def _export(self) -> dict[str, Any]:
        name = self.superbills.export()
        return {"file": name, "content": self.superbills.files.get(name or "", "")}

    def state(self) -> dict[str, Any]:
        """Encounters, signings, and the superbill files so far."""
        return {
            "encounters": {"total": len(self.store.of_type("Encounter")), "unsigned": self.signoff.unsigned},
            "signed": [asdict(signing) for signing in self.signoff.signings],
            "superbill_files": list(self.superbills.files),
        }


def _now() -> float:
    return asyncio.get_running_loop().time()
