"""One running clearinghouse: its account, its desk, its faults, its clock, and the control routes over them."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
from starlette.requests import Request
from starlette.responses import Response

from adapters.billing.x12_837p.simulator.account import DEFAULT_CREDENTIALS, DEFAULT_DIRECTORY, Account
from adapters.billing.x12_837p.simulator.boxes import Boxes
from adapters.billing.x12_837p.simulator.control import ControlRefused, advance, ledger
from adapters.billing.x12_837p.simulator.intake import Intake
from adapters.billing.x12_837p.simulator.sftp import serve_sftp
from gateway.canonical import jsonio
from gateway.kit.simulator import FaultKind, Faults, SimulatorOptions

HOST = "127.0.0.1"
FOLDER = "clearinghouse"
_LOOK_SECONDS = 0.05
_MARKS = ("element", "repetition", "component", "segment")


class Simulator:
    """Everything that the channels share."""

    boxes: Boxes

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.credentials = DEFAULT_CREDENTIALS | options.credentials
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._start()

    def _start(self) -> None:
        self.ahead = timedelta()
        self.account = Account(self.options.data or DEFAULT_DIRECTORY, self.credentials, self.now)
        self.intake = Intake(self.account)
        self.faults = Faults(seed=self.options.seed)
        self.calls: Counter[str] = Counter()
        self.late_save_seconds = 0.5
        self.idempotent: dict[str, Any] = {}
        self.uploads: list[dict[str, Any]] = []
        self.requests: dict[str, deque[float]] = {}

    def now(self) -> datetime:
        """The clearinghouse's clock; `advance` can put it forward."""
        return datetime.now(UTC) + self.ahead

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Open the directories and the SFTP server, and watch /inbound."""
        with tempfile.TemporaryDirectory(prefix="clearinghouse-") as spare:
            folder = self.options.directory / FOLDER if self.options.directory else Path(spare)
            self.boxes = Boxes(folder.resolve())
            listener = await serve_sftp(self, HOST, self.options.ports[0]) if self.options.ports else None
            watching = asyncio.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                if listener:
                    listener.close()
                    self.drop_connections()
                    await listener.wait_closed()

    async def _watch(self) -> None:
        while True:
            self.pick_up()
            await asyncio.sleep(_LOOK_SECONDS)

    def pick_up(self) -> None:
        """Take every file that has arrived, and write the answers."""
        for name, text in self.boxes.arrived():
            self.account.files.append({"name": name, "bytes": str(len(text))})
            self.boxes.deliver(self.intake.take(text)[0])

    def refuses_logins(self) -> bool:
        """Whether a fault rule is about credentials; each refused login counts as one of its times."""
        for rule in self.faults.rules:
            aimed = rule.kind is FaultKind.UNAUTHORIZED and rule.operation in ("login", "put", "*")
            if aimed and rule.times != 0:
                return self.faults.pick(rule.operation) is FaultKind.UNAUTHORIZED
        return False

    def drop_connections(self) -> None:
        """Break off every SFTP connection."""
        for connection in list(self.connections):
            connection.abort()

    async def show_ledger(self, request: Request) -> Response:
        """GET /_sim/ledger: the claims, and counts of calls and faults."""
        if hasattr(self, "boxes"):
            self.pick_up()
        return _json(ledger(self.account) | {"calls": self.calls, "faults": self.faults.injected})

    async def set_faults(self, request: Request) -> Response:
        """POST /_sim/faults: the rules, and how the clearinghouse answers.

        {"rules": [...], "late_save_seconds"?, "swallow_277"?, "together"? (all answers in one file), "line_breaks"?,
        "patient_children"? (HL04 at the patient level), "delimiters"? of the 277CA: {"element"?, "repetition"?,
        "component"?, "segment"?}}
        """
        body = jsonio.loads(await request.body())
        self.faults.configure(body)
        self.late_save_seconds = float(body.get("late_save_seconds", self.late_save_seconds))
        self.account.swallow = bool(body.get("swallow_277", self.account.swallow))
        self.intake.patient_children = bool(body.get("patient_children", self.intake.patient_children))
        if "together" in body:
            self.boxes.together = bool(body["together"])
        marks = {name: body["delimiters"][name] for name in _MARKS if name in body.get("delimiters", {})}
        breaks = bool(body.get("line_breaks", self.intake.form.line_breaks))
        form = self.intake.form
        self.intake.form = replace(form, delimiters=replace(form.delimiters, **marks), line_breaks=breaks)
        return _json({"rules": len(self.faults.rules)})

    async def advance(self, request: Request) -> Response:
        """POST /_sim/advance: let payers speak, or put the clock forward; see `control.advance`."""
        try:
            body = jsonio.loads(await request.body() or b"{}")
            self.ahead += timedelta(hours=float(body.get("hours", 0)))
            events = advance(self.account, body)
        except ControlRefused as problem:
            return _json({"error": str(problem)}, status=400)
        by_file = [event for event in events if event.entry.channel == "sftp"]
        if by_file:
            self.boxes.deliver(self.intake.payer_reports(by_file))
        return _json({"moved": [event.entry.vendor_id for event in events]})

    async def reset(self, request: Request) -> Response:
        """POST /_sim/reset: forget everything."""
        self._start()
        if hasattr(self, "boxes"):
            self.boxes.clear()
            self.boxes.together = False
        return _json({})


def _json(value: object, *, status: int = 200) -> Response:
    return Response(jsonio.dumps(value), status_code=status, media_type="application/json")
