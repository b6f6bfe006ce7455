"""DrChrono in one process: OAuth consent, the REST API with its gates and throttles, webhooks with their odd signature.

It serves a clinic day of FHIR resources as DrChrono's own objects, or such objects as they are: {"appointments": [...],
"patients": [...], ...}. Source: the vendor document for DrChrono, section 14 lists what it enforces.

Knobs in `options.credentials`, all strings: client_id, client_secret, refresh_token (a consent given beforehand),
webhook_secret, timezone, replica_lag (seconds), envelope (results or data), largest_page, verbose_single ("false":
single reads ignore `verbose`). `options.pace` scales both throttles. Control routes beside those of every EHR
simulator: unlock, supervise, lines, drop_line, change, put, clock, replica, webhooks, verify_webhook, permissions,
expire_tokens, revoke, envelope.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono.simulator.access import Authorization, Throttle, detail
from adapters.ehr.drchrono.simulator.rest import RestApi
from adapters.ehr.drchrono.simulator.seed import PRACTICE_GROUP, seed
from adapters.ehr.drchrono.simulator.staff import Staff
from adapters.ehr.drchrono.simulator.store import Clock, Object, Store
from adapters.ehr.drchrono.simulator.webhooks import Webhooks
from gateway.kit.fhir_simulator.load import load
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Request, Response, fault_response, plain_json
from gateway.kit.simulator_seed import visits

_DEFAULTS = {
    "client_id": "gateway-demo",
    "client_secret": "not-a-secret",
    "refresh_token": "",
    "webhook_secret": "",
    "timezone": "America/Chicago",
    "replica_lag": "0",
    "envelope": "results",
    "verbose_single": "true",
    "largest_page": "1000",
}
_USER: Object = {
    "id": 7001,
    "username": "gateway-service",
    "doctor": None,
    "practice_group": PRACTICE_GROUP,
    "is_doctor": False,
    "is_staff": True,
}


def new_credentials(seed: int) -> dict[str, str]:
    """A registered app and a consent that was given beforehand; random in every run."""
    return {
        "client_id": f"gateway-demo-{seed}",
        "client_secret": secrets.token_urlsafe(32),
        "refresh_token": f"dc-rt-{secrets.token_hex(16)}",
        "webhook_secret": secrets.token_urlsafe(32),
    }


def build(options: SimulatorOptions) -> DrChronoSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return DrChronoSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic's connection reaches this simulator; the consent is the refresh token of `new_credentials`."""
    settings = {
        "base_url": options.base_url,
        "client_id": options.credentials["client_id"],
        "client_secret": "env:DRCHRONO_CLIENT_SECRET",
        "refresh_token": "env:DRCHRONO_REFRESH_TOKEN",
        "webhook_secret": "env:DRCHRONO_WEBHOOK_SECRET",
        "practice_group_id": str(PRACTICE_GROUP),
        "timezone": options.credentials.get("timezone", _DEFAULTS["timezone"]),
        "settle_seconds": 0,
        "relook_seconds": 1,
        "poll_seconds": 5,
        "overlap_seconds": 5,
        "hourly_calls": 500 if options.pace >= 1 else 0,
        "calls_per_second": int(7 / options.pace) if options.pace else 0,
    }
    names = {"client_secret": "CLIENT_SECRET", "refresh_token": "REFRESH_TOKEN", "webhook_secret": "WEBHOOK_SECRET"}
    return SandboxConnection(settings, {f"DRCHRONO_{v}": options.credentials[k] for k, v in names.items()})


class DrChronoSimulator(SimulatorApp):
    """One practice and the one app that it has authorized."""

    def restart(self, data: Any) -> None:
        """A new practice that holds `data`."""
        knobs = {**_DEFAULTS, **self.options.credentials}
        self.clock = Clock(ZoneInfo(knobs["timezone"]))
        self.store = Store(self.clock)
        self.authorization = Authorization(
            self.clock, knobs["client_id"], knobs["client_secret"], knobs["refresh_token"]
        )
        self.throttle = Throttle(self.clock, self.options.pace)
        for kind, objects in self._objects(data).items():
            for obj in objects:
                self.store.put(kind, obj, seeded=True)
        self.store.lag = float(knobs["replica_lag"])
        self.webhooks = Webhooks(self.clock, self.options.hook_url, knobs["webhook_secret"], PRACTICE_GROUP)
        self.staff = Staff(self.store, self.webhooks)
        self.api = RestApi(
            self.options.base_url,
            self.store,
            self.authorization,
            self.throttle,
            self._written,
            _USER,
            knobs["envelope"],
            knobs["verbose_single"] == "true",
            int(knobs["largest_page"]),
        )

    def names(self, request: Request) -> tuple[str, str]:
        """The operation is the kind of object ("appointments", "token"); the ledger counts it with its method."""
        parts = request.path.strip("/").split("/")
        kind = parts[1] if len(parts) > 1 else parts[0]
        return kind, f"{request.method} {kind}"

    def answer(self, request: Request) -> Response:
        """OAuth below /o/, the API below /api/."""
        if request.path.startswith("/o/"):
            return self.authorization.handle(request)
        if request.path.startswith("/api/"):
            return self.api.handle(request)
        raise detail(404, "Not found.")

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """DrChrono's own words: a 429 has neither body nor headers."""
        own = {
            FaultKind.RATE_LIMIT: Response(429, b"", "text/html"),
            FaultKind.UNAUTHORIZED: plain_json(
                {"detail": "Invalid authentication credentials were not accepted."}, 401
            ),
        }
        return own.get(kind) or fault_response(kind)

    def state(self) -> dict[str, Any]:
        """Appointments, sign-offs, and what was written back."""
        held = list(self.store.all("appointments"))
        told = [
            {"encounter_id": a["id"], "billing_status": a["billing_status"], "notes": a["billing_notes"]} for a in held
        ]
        return {
            "encounters": {"total": sum(a["patient"] is not None for a in held), "unsigned": self.staff.unsigned},
            "signed": [asdict(signing) for signing in self.staff.signings],
            "written": [row for row in told if row["billing_status"] or row["notes"]],
            "tokens_granted": self.authorization.granted,
            "webhooks": {
                "verified": self.webhooks.verified,
                "sent": len(self.webhooks.sent),
                "open": sum(not delivery.done for delivery in self.webhooks.sent),
            },
        }

    def commands(self) -> Mapping[str, Command]:
        """What people, time and the network may do to this practice."""
        staff = self.staff
        return {
            "sign": staff.sign,
            "amend": staff.amend,
            "withdraw": staff.withdraw,
            "duplicate": staff.duplicate,
            "unlock": staff.unlock,
            "supervise": staff.supervise,
            "lines": staff.post_lines,
            "drop_line": staff.drop_line,
            "change": staff.change,
            "put": staff.put,
            "clock": self._advance,
            "replica": self._set_lag,
            "webhooks": self._set_webhooks,
            "verify_webhook": self._verify,
            "permissions": self._set_permissions,
            "expire_tokens": lambda _: {"expired": self.authorization.expire_all()},
            "revoke": self._revoke,
            "envelope": self._set_envelope,
        }

    async def aclose(self) -> None:
        """Stop the deliveries."""
        await self.webhooks.aclose()

    def _objects(self, data: Any) -> Mapping[str, list[Object]]:
        if isinstance(data, dict):
            return data
        return seed(visits(_resources(data)), self.clock.zone, self.clock.local()).objects

    def _written(self, event: str, obj: Object) -> None:
        self.webhooks.tell(event, {name: value for name, value in obj.items() if name != "clinical_note"})
        self.webhooks.flush()

    async def _advance(self, body: dict[str, Any]) -> dict[str, Any]:
        if "stop" in body:
            self.clock.stopped_at = time.time() if body["stop"] else None
        self.clock.ahead += float(body.get("seconds", 0))
        return {"now": self.clock.now(), "ahead": self.clock.ahead, "retried": await self.webhooks.pump()}

    def _set_lag(self, body: dict[str, Any]) -> dict[str, Any]:
        self.store.lag = float(body["lag"])
        return {"lag": self.store.lag}

    def _set_webhooks(self, body: dict[str, Any]) -> dict[str, Any]:
        self.webhooks.duplicates = bool(body.get("duplicates"))
        self.webhooks.out_of_order = bool(body.get("out_of_order"))
        self.webhooks.url = body.get("url", self.webhooks.url)
        return {"url": self.webhooks.url}

    async def _verify(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"verified": await self.webhooks.verify()}

    def _set_permissions(self, body: dict[str, Any]) -> dict[str, Any]:
        self.authorization.permissions -= set(body.get("remove", ()))
        self.authorization.permissions |= set(body.get("add", ()))
        return {"permissions": sorted(self.authorization.permissions)}

    def _revoke(self, _: dict[str, Any]) -> dict[str, Any]:
        self.authorization.revoke()
        return {}

    def _set_envelope(self, body: dict[str, Any]) -> dict[str, Any]:
        self.api.envelope = str(body["name"])
        return {"envelope": self.api.envelope}


def _resources(data: Any) -> list[Any]:
    """FHIR resources, given as such or as a folder of them."""
    if isinstance(data, str | Path):
        return list(load(data).resources.values())
    return list(data or ())
