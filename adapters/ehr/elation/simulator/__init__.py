"""Elation's REST API in one process, for the sandbox and the tests: bills, what they name, and event subscriptions.

It enforces what Elation enforces: a token for every call, lists of at most 100, what a PATCH that marks a bill must
hold, one subscription per resource and target, bills of unsigned notes that nobody sees. Events are signed with an
Ed25519 key per subscription. Sources: the vendor document generic_smart_fhir (Elation in sections 2, 4, 6, 7 and 8).

Knobs in `options.credentials`, all strings: client_id, client_secret, expires_in, largest_page, requests_per_minute (0
is no throttle; scaled by `pace`), signing_seed (base64 of 32 bytes, from which the keys of the subscriptions are made).
"""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from adapters.ehr.elation.simulator.bills import Bills
from adapters.ehr.elation.simulator.events import Events
from adapters.ehr.elation.simulator.replies import detail
from adapters.ehr.elation.simulator.seed import Chart, seeded
from adapters.ehr.elation.simulator.tokens import TokenEndpoint
from gateway.kit.fhir_simulator.load import load
from gateway.kit.simulator import FaultKind, SandboxConnection, SimulatorOptions
from gateway.kit.simulator_app import Command, SimulatorApp
from gateway.kit.simulator_http import Refused, Request, Response, fault_response, plain_json
from gateway.kit.simulator_seed import visits

ROOT = "/api/2.0"
MINUTE = 60.0
_DEFAULTS = {
    "client_id": "elation-demo",
    "client_secret": "elation-demo-secret",
    "expires_in": "3600",
    "requests_per_minute": "0",
    "largest_page": "100",
    "signing_seed": b64encode(bytes(32)).decode(),
}
_RECORDS = {
    "patients": "Patient",
    "physicians": "Physician",
    "service_locations": "ServiceLocation",
    "insurance_companies": "InsuranceCompany",
}


def new_credentials(seed: int) -> dict[str, str]:
    """Fresh credentials: client_id, client_secret, and the seed of the signing keys; random in every run."""
    return {
        "client_id": f"elation-demo-{seed}",
        "client_secret": secrets.token_urlsafe(32),
        "signing_seed": b64encode(secrets.token_bytes(32)).decode(),
    }


def build(options: SimulatorOptions) -> ElationSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return ElationSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic's connection reaches this simulator."""
    knobs = {**_DEFAULTS, **options.credentials}
    settings = {
        "base_url": f"{options.base_url}{ROOT}",
        "client_id": knobs["client_id"],
        "client_secret": "env:ELATION_CLIENT_SECRET",
        "poll_seconds": 5,
        "settle_seconds": 0,
    }
    return SandboxConnection(settings, {"ELATION_CLIENT_SECRET": knobs["client_secret"]})


class ElationSimulator(SimulatorApp):
    """One practice at Elation, with one app registered."""

    def restart(self, data: Any) -> None:
        """A practice that holds the visits of `data`: FHIR resources, or a folder of them."""
        knobs = {**_DEFAULTS, **self.options.credentials}
        base = f"{self.options.base_url}{ROOT}"
        loaded = load(data)
        self.chart: Chart = seeded(visits(loaded.resources.values()))
        self.events = Events(base, knobs["client_id"], knobs["signing_seed"])
        self.bills = Bills(base, self.chart, self.events, int(knobs["largest_page"]))
        self.tokens = TokenEndpoint(knobs["client_id"], knobs["client_secret"], int(knobs["expires_in"]))
        self._per_minute = float(knobs["requests_per_minute"])
        self._recent: deque[float] = deque()

    def names(self, request: Request) -> tuple[str, str]:
        """ "read:bills", "list:bills", "update:bills", "token"; the ledger counts "GET bills"."""
        parts = request.path.removeprefix(ROOT).strip("/").split("/")
        if parts[0] == "oauth2":
            return "token", "token"
        many = len(parts) == 1
        verbs = {"GET": "list" if many else "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}
        return f"{verbs.get(request.method, 'other')}:{parts[0]}", f"{request.method} {parts[0]}"

    def answer(self, request: Request) -> Response:
        """Elation's answer; every call but that for a token needs one, even that for the FHIR metadata."""
        if request.path == f"{ROOT}/oauth2/token/":
            return self.tokens.handle(request)
        self.tokens.authorize(request)
        self._throttle()
        if not request.path.startswith(f"{ROOT}/"):
            raise Refused(detail(404, "Not found."))
        parts = request.path.removeprefix(ROOT).strip("/").split("/")
        if parts[0] == "bills":
            return self.bills.handle(request, parts[1:])
        if parts[0] == "subscriptions":
            return self.events.handle(request, parts[1:])
        return self._record(request, parts)

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """Faults in Elation's words: no `Retry-After`, a `detail`."""
        return {
            FaultKind.HTTP_500: detail(500, "A server error occurred."),
            FaultKind.HTTP_500_AFTER_SAVE: detail(500, "A server error occurred."),
            FaultKind.RATE_LIMIT: detail(429, "Request was throttled."),
            FaultKind.UNAUTHORIZED: detail(401, "Invalid token."),
        }.get(kind) or fault_response(kind)

    def commands(self) -> Mapping[str, Command]:
        """What clinicians and billers do; `remove` deletes a bill, `bill` marks it as billed elsewhere."""
        return {
            "sign": lambda body: {"signed": self.bills.sign(body)},
            "amend": lambda body: self.bills.amend(body["encounter_id"]),
            "withdraw": lambda body: self.bills.withdraw(body["encounter_id"]),
            "remove": lambda body: self.bills.remove(body["encounter_id"]),
            "bill": lambda body: self.bills.billed_elsewhere(body["encounter_id"]),
            "early": lambda body: self.bills.show_early(body["encounter_id"]),
            "duplicate": lambda body: self.events.repeat(body["encounter_id"]),
            "expire_tokens": lambda _: {"expired": self.tokens.expire_all()},
        }

    def state(self) -> dict[str, Any]:
        """Encounters are bills; `written` is what the app has marked."""
        return {
            "encounters": {"total": len(self.chart.bills), "unsigned": self.bills.unsigned},
            "signed": [asdict(signing) for signing in self.bills.signings],
            "written": self.bills.written,
            "subscriptions": self.events.listed(),
        }

    async def aclose(self) -> None:
        """Stop the deliveries."""
        await self.events.aclose()

    def _record(self, request: Request, parts: list[str]) -> Response:
        kind = _RECORDS.get(parts[0])
        if request.method != "GET":
            raise Refused(detail(405, f'Method "{request.method}" not allowed.'))
        held = self.chart.records.get((kind, parts[1])) if kind and len(parts) == 2 else None
        if held is None:
            raise Refused(detail(404, "Not found."))
        return plain_json(held)

    def _throttle(self) -> None:
        """A sliding minute; the vendor publishes no number and sends no headers."""
        if not self._per_minute or not self.options.pace:
            return
        window, now = MINUTE * self.options.pace, time.monotonic()
        while self._recent and self._recent[0] < now - window:
            self._recent.popleft()
        if len(self._recent) >= self._per_minute:
            raise Refused(detail(429, "Request was throttled."))
        self._recent.append(now)
