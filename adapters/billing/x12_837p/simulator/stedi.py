"""Stedi's claims API (section 6): submission with Idempotency-Key, polling, and reports."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.billing.x12_837p.simulator import professional, reports
from adapters.billing.x12_837p.simulator.account import Event
from adapters.billing.x12_837p.simulator.connecting import STEDI_CORE_PATH, STEDI_PATH
from adapters.billing.x12_837p.simulator.endpoint import Endpoint, Handler, Manners, answer

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

VENDOR = "stedi"
_CLAIMS = f"{STEDI_PATH}/change/medicalnetwork/professionalclaims/v3"
_REPORTS = f"{STEDI_PATH}/change/medicalnetwork/reports/v2"
_KEPT = timedelta(hours=24)
_PAGE_MOST = 500


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return answer({"code": code, "message": message}, status, headers)


MANNERS = Manners(
    throttled=lambda: _error(429, "TOO_MANY_REQUESTS", "Rate exceeded"),
    unauthorized=lambda: _error(401, "UNAUTHORIZED", "Unauthorized"),
    broken=lambda: _error(500, "INTERNAL_SERVER_ERROR", "Internal failure"),
    most=100,
    window=1.0,
)


@dataclass(slots=True)
class Remembered:
    """The first request of an Idempotency-Key, and its answer once there is one."""

    digest: bytes
    begun: datetime
    answered: professional.Answered | None = None


class Stedi:
    """The routes over one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """All paths."""
        return [
            self._route(f"{_CLAIMS}/submission", "submission", self.submission, "POST"),
            self._route(f"{_CLAIMS}/raw-x12-submission", "raw-x12-submission", self.raw_submission, "POST"),
            self._route(f"{STEDI_CORE_PATH}/polling/transactions", "polling", self.polling, "GET"),
            self._route(f"{_REPORTS}/{{transaction}}/277", "report", self.report, "GET"),
        ]

    def _route(self, path: str, operation: str, handler: Handler, method: str) -> Route:
        async def authorized(request: Request) -> Response:
            if request.method != method:
                return _error(403, "FORBIDDEN", "Forbidden")
            key = self._simulator.credentials["stedi_api_key"]
            if request.headers.get("authorization", "") not in (key, f"Key {key}"):
                return MANNERS.unauthorized()
            return await handler(request)

        endpoint = Endpoint(self._simulator, VENDOR, operation, authorized, MANNERS)
        return Route(path, endpoint, methods=["GET", "POST"])

    async def submission(self, request: Request) -> Response:
        """POST .../submission: one claim as JSON."""
        key = request.headers.get("idempotency-key", "")
        return await self._once(request, lambda body: professional.submit_json(self._simulator, VENDOR, body, key))

    async def raw_submission(self, request: Request) -> Response:
        """POST .../raw-x12-submission: an interchange inside JSON."""
        return await self._once(request, lambda body: professional.submit_x12(self._simulator, VENDOR, body))

    async def _once(self, request: Request, submit: professional.Submit) -> Response:
        """The answer of the first request with this key within 24 hours; without a key each request counts."""
        simulator, raw = self._simulator, await request.body()
        key = request.headers.get("idempotency-key", "")
        known = simulator.idempotent.get(key) if key else None
        if known is not None and simulator.now() - known.begun < _KEPT:
            return _repeated(known, hashlib.sha256(raw).digest())
        first = Remembered(hashlib.sha256(raw).digest(), simulator.now())
        if key:
            simulator.idempotent[key] = first
        await asyncio.sleep(simulator.options.think_seconds)
        first.answered = submit(professional.parsed(raw))
        return answer(first.answered[1], first.answered[0])

    async def polling(self, request: Request) -> Response:
        """GET .../polling/transactions: what was told since a moment or a page, oldest first."""
        query = request.query_params
        if "startDateTime" not in query and "pageToken" not in query:
            return _error(400, "INVALID_REQUEST", "startDateTime or pageToken is needed")
        try:
            size, after = int(query.get("pageSize", "100")), int(query.get("pageToken", "0"))
            start = datetime.fromisoformat(query.get("startDateTime", "1970-01-01T00:00:00Z"))
        except ValueError:
            return _error(400, "INVALID_REQUEST", "A parameter is malformed")
        if not 1 <= size <= _PAGE_MOST:
            return _error(400, "INVALID_REQUEST", "pageSize is from 1 to 500")
        told = [e for e in reports.events_of(self._simulator.account, VENDOR) if e.number > after and e.told >= start]
        page = told[:size]
        more = {"nextPageToken": str(page[-1].number)} if len(told) > size else {}
        return answer({"items": [_item(event) for event in page], **more})

    async def report(self, request: Request) -> Response:
        """GET .../reports/v2/{transactionId}/277."""
        told = reports.events_of(self._simulator.account, VENDOR)
        event = reports.find(told, request.path_params["transaction"])
        if event is None:
            return _error(404, "NOT_FOUND", "The transaction was not found")
        return answer(reports.report(event, f"{self._simulator.now():%Y%m%d}"))


def _item(event: Event) -> dict[str, object]:
    kind = {"transactionSetIdentifier": "277", "implementationGuideReference": "005010X214"}
    return {
        "transactionId": reports.transaction_id(event),
        "direction": "INBOUND",
        "mode": "production",
        "status": "succeeded",
        "processedAt": f"{event.told:%Y-%m-%dT%H:%M:%S.%f}Z",
        "x12": {"metadata": {"transaction": kind}},
    }


def _repeated(known: Remembered, digest: bytes) -> Response:
    if known.digest != digest:
        return _error(422, "RequestChangedException", "The key was used with another request")
    if known.answered is None:
        return _error(409, "RequestInProgressException", "The first request is still running", {"retry-after": "1"})
    return answer(known.answered[1], known.answered[0])
