"""A simulator of a MedicsPremier interface: `build(options)` makes the ASGI app.

Its lifespan opens a real MLLP listener on the first of `options.ports` and watches `options.directory`; over HTTP it
serves the ADS API v4 and the control routes. Written from the vendor document only. Control routes, in JSON:
GET /_sim/ledger, POST /_sim/faults, POST /_sim/advance, POST /_sim/reset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from adapters.billing.medics_premier.simulator import folder
from adapters.billing.medics_premier.simulator.api import PATH, Api
from adapters.billing.medics_premier.simulator.directory import (
    DEFAULT_CREDENTIALS,
    DEFAULT_DIRECTORY,
    PAYMENT_CODE,
    Directory,
    company_codes,
    location_codes,
)
from adapters.billing.medics_premier.simulator.mllp import Listener, Manner
from adapters.billing.medics_premier.simulator.receiver import Receiver
from gateway.canonical import jsonio
from gateway.kit.simulator import Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "DFT^P03"
HOST = "127.0.0.1"
SITE_FIELDS = {
    "ZCL-1": "Claim.referral.identifier.value",
    "ZCL-2": "onset.timingDate",
    "ZCL-3": "supervisor.key",
    "ZCL-4": "notes",
    "ZFT-1": "drug.quantity",
    "ZFT-2": "drug.unit",
}
"""The Z segments that this practice agreed with ADS."""


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app."""
    simulator = Simulator(options)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await simulator.open()
        try:
            yield
        finally:
            await simulator.close()

    return Starlette(
        routes=[
            Route(PATH, simulator.api_v4, methods=["POST"]),
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


def connection(options: SimulatorOptions) -> SandboxConnection:
    """The settings of a clinic's connection to this simulator: MLLP where it has a port, else its folders."""
    credentials = DEFAULT_CREDENTIALS | options.credentials
    data = options.data or DEFAULT_DIRECTORY
    names = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
    return SandboxConnection(
        settings={
            "transport": _transport(options),
            **{name: credentials[name] for name in names},
            "locations": location_codes(data),
            "payers": {payer_id: {"company": code} for payer_id, code in company_codes(data).items()},
            "payment_code": PAYMENT_CODE,
            "field_overrides": SITE_FIELDS,
            "receiver_drops_duplicates": True,
            "settle_seconds": 0.5,
            "timeout_seconds": 5,
        }
    )


def _transport(options: SimulatorOptions) -> dict[str, Any]:
    if options.ports or options.directory is None:
        return {"kind": "mllp", "host": HOST, "port": next(iter(options.ports), 6661), "tls": False}
    return {
        "kind": "folder",
        "outgoing": str(folder.incoming(options.directory)),
        "incoming": str(folder.outgoing(options.directory)),
    }


class Simulator:
    """The receiver with its ways in, and the control routes over them."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.credentials = DEFAULT_CREDENTIALS | options.credentials
        receiver = self._receiver()
        self.listener = Listener(receiver, Faults(seed=options.seed), options.think_seconds)
        self.api = Api(receiver, self.credentials)
        self.watcher = folder.Watcher(self.listener, options.directory) if options.directory else None

    def _receiver(self) -> Receiver:
        return Receiver(Directory.of(self.options.data or DEFAULT_DIRECTORY), self.credentials)

    async def open(self) -> None:
        """Open the MLLP port and the folder watcher, where the options name them."""
        if self.options.ports:
            await self.listener.open(HOST, self.options.ports[0])
        if self.watcher:
            self.watcher.open()

    async def close(self) -> None:
        """Close both."""
        await self.listener.close()
        if self.watcher:
            await self.watcher.close()

    async def api_v4(self, request: Request) -> Response:
        """POST /api/v4/edi."""
        status, text = self.api.post(request.headers, await request.body())
        return Response(text, status_code=status, media_type="application/json")

    async def show_ledger(self, request: Request) -> Response:
        """GET /_sim/ledger: claims, patients, the queue, and counts of calls and faults."""
        receiver = self.listener.receiver
        claims = [
            {
                "submission_id": claim.submission_id,
                "vendor_id": claim.vendor_id,
                "state": claim.state,
                "mrn": claim.mrn,
                "lines": claim.lines,
                "segments": claim.segments,
            }
            for claim in receiver.claims
        ]
        return _json(
            {
                "claims": claims,
                "patients": receiver.patients,
                "queue": receiver.queue,
                "ignored_duplicates": receiver.ignored_duplicates,
                "calls": {**self.listener.calls, **({"api_v4": self.api.calls} if self.api.calls else {})},
                "connections": self.listener.connections,
                "faults": self.listener.faults.injected,
            }
        )

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: {"rules"?, "seed"?, "duplicates"?: ignore|refuse, "manner"?, "late_save_seconds"?}."""
        body = jsonio.loads(await request.body())
        self.listener.faults.configure(body)
        self.listener.receiver.refuse_duplicates = body.get("duplicates", "ignore") == "refuse"
        manner = body.get("manner", {})
        self.listener.manner = Manner(**{**manner, "delay_seconds": float(manner.get("delay_seconds", 0))})
        self.listener.late_save_seconds = float(body.get("late_save_seconds", self.listener.late_save_seconds))
        return _json({"rules": len(self.listener.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance: release the queues: patients come on file, pending charges are posted."""
        receiver = self.listener.receiver
        for entry in receiver.queue:
            entry["state"] = "released"
            receiver.register(entry["patient"]["patient_number"], {"family": entry["patient"]["last_name"]})
        moved = [claim for claim in receiver.claims if claim.state == "pending"]
        for claim in moved:
            claim.state = "posted"
        return _json({"moved": [claim.vendor_id for claim in moved]})

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything; open connections stay."""
        receiver = self._receiver()
        self.listener.receiver = self.api.receiver = receiver
        self.listener.faults = Faults(seed=self.options.seed)
        self.listener.manner, self.listener.connections = Manner(), 0
        self.listener.calls.clear()
        self.api.calls = 0
        return _json({})


def _json(value: object) -> Response:
    return Response(jsonio.dumps(value), media_type="application/json")
