"""A simulator of Acme PM: what its API would do, and how it fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.canonical import jsonio
from gateway.kit.simulator import FaultKind, Faults, SandboxConnection, SimulatorOptions

CREATE_OPERATION = "POST /claims"
_AFTER = {FaultKind.HTTP_500_AFTER_SAVE, FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE}
_TIMEOUTS = {FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT}
_ANSWERS = {FaultKind.RATE_LIMIT: 429, FaultKind.UNAUTHORIZED: 401}


def build(options: SimulatorOptions) -> Starlette:
    """The ASGI app."""
    acme = Acme(options.credentials.get("key", "demo-key"))
    routes = [
        Route("/claims", acme.claims, methods=["GET", "POST"]),
        Route("/_sim/ledger", acme.ledger),
        Route("/_sim/faults", acme.set_faults, methods=["POST"]),
        Route("/_sim/reset", acme.reset, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic connects to it."""
    key = options.credentials.get("key", "demo-key")
    return SandboxConnection({"url": options.base_url, "key": "env:ACME_KEY", "timeout_seconds": 5}, {"ACME_KEY": key})


class Acme:
    """The claims it holds, and its faults."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._start()

    def _start(self) -> None:
        self._saved: list[dict[str, Any]] = []
        self._faults, self._calls = Faults(), Counter[str]()

    async def claims(self, request: Request) -> Response:
        """POST saves a claim, GET finds them by reference."""
        operation = f"{request.method} /claims"
        self._calls[operation] += 1
        kind = self._faults.pick(operation)
        body = await request.body()
        if kind in _AFTER:
            self._answer(request, body)
        if kind in _TIMEOUTS:
            await asyncio.sleep(1.0)
            if kind is FaultKind.SAVE_AFTER_TIMEOUT:
                self._answer(request, body)
        if kind in (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE):
            return Response(headers={"content-length": "100"})  # promises more than it sends: the connection breaks off
        if kind is FaultKind.GARBAGE:
            return Response("<html>maintenance</html>")
        if kind is not None:
            return Response(status_code=_ANSWERS.get(kind, 500))
        return self._answer(request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        if request.headers.get("x-api-key") != self._key:
            return Response(status_code=401)
        if request.method == "GET":
            wanted = request.query_params["reference"]
            return JSONResponse({"claims": [claim for claim in self._saved if claim["reference"] == wanted]})
        claim = jsonio.loads(body)
        if not claim.get("member_id"):
            return Response(status_code=422)
        self._saved.append({"id": str(len(self._saved) + 1), "reference": claim["reference"]})
        return JSONResponse(self._saved[-1])

    async def ledger(self, request: Request) -> Response:
        """What it holds."""
        claims = [{"submission_id": claim["reference"], "vendor_id": claim["id"]} for claim in self._saved]
        return JSONResponse({"claims": claims, "calls": self._calls, "faults": self._faults.injected})

    async def set_faults(self, request: Request) -> Response:
        """How it shall fail."""
        self._faults.configure(await request.json())
        return JSONResponse({})

    async def reset(self, request: Request) -> Response:
        """Forget everything."""
        self._start()
        return JSONResponse({})
