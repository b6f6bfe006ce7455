"""Optum's API (section 7): the same JSON behind an OAuth 2 token, without any idempotency."""

from __future__ import annotations

import asyncio
import base64
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.billing.x12_837p.simulator import professional, reports
from adapters.billing.x12_837p.simulator.endpoint import Endpoint, Handler, Manners, answer

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

VENDOR = "optum"
TOKEN_PATH = "/apip/auth/v2/token"
_CLAIMS = "/medicalnetwork/professionalclaims/v3"
_REPORTS = "/medicalnetwork/reports/v2"
_TOKEN_SECONDS = 3600


def _error(status: int, code: str, description: str) -> Response:
    errors = [{"field": "", "value": "", "code": code, "description": description, "followupAction": ""}]
    return answer({"status": "ERROR", "errors": errors}, status)


MANNERS = Manners(
    throttled=lambda: _error(429, "TOO_MANY_REQUESTS", "Rate limit quota violation"),
    unauthorized=lambda: _error(401, "UNAUTHORIZED", "Invalid access token"),
    broken=lambda: _error(500, "INTERNAL_ERROR", "Internal error"),
    most=100,
    window=1.0,
)


class Optum:
    """The routes over one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[Route]:
        """All paths."""
        paths = {
            (f"{_CLAIMS}/submission", "POST"): ("optum-submission", self.submission),
            (f"{_CLAIMS}/validation", "POST"): ("optum-validation", self.validation),
            (f"{_CLAIMS}/raw-x12-submission", "POST"): ("optum-raw-x12-submission", self.raw_submission),
            (f"{_CLAIMS}/healthcheck", "GET"): ("optum-healthcheck", self.healthcheck),
            (_REPORTS, "GET"): ("optum-reports", self.reports),
            (f"{_REPORTS}/{{name}}/277", "GET"): ("optum-report", self.report),
        }
        token = Endpoint(self._simulator, VENDOR, "token", self.token, MANNERS)
        return [
            Route(TOKEN_PATH, token, methods=["POST"]),
            *(
                Route(path, Endpoint(self._simulator, VENDOR, name, self._authorized(handler), MANNERS), methods=[verb])
                for (path, verb), (name, handler) in paths.items()
            ),
        ]

    async def token(self, request: Request) -> Response:
        """POST /apip/auth/v2/token: client_credentials, in the form or as basic authorization."""
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("latin-1")).items()}
        credentials = self._simulator.credentials
        wanted = (credentials["optum_client_id"], credentials["optum_client_secret"])
        sent = (form.get("client_id", ""), form.get("client_secret", ""))
        basic = base64.b64encode(":".join(wanted).encode()).decode()
        if sent != wanted and request.headers.get("authorization", "") != f"Basic {basic}":
            return answer({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("grant_type") != "client_credentials":
            return answer({"error": "unsupported_grant_type"}, 400)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self._simulator.now() + timedelta(seconds=_TOKEN_SECONDS)
        return answer({"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_SECONDS})

    def _authorized(self, handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            ends = self._tokens.get(token)
            if scheme != "Bearer" or ends is None or ends <= self._simulator.now():
                return MANNERS.unauthorized()
            await asyncio.sleep(self._simulator.options.think_seconds)
            return await handler(request)

        return checked

    async def submission(self, request: Request) -> Response:
        """POST .../submission: each request is a claim."""
        body = professional.parsed(await request.body())
        status, content = professional.submit_json(self._simulator, VENDOR, body, "")
        return answer(content, status)

    async def validation(self, request: Request) -> Response:
        """POST .../validation: the same body, and nothing is sent."""
        status, content = professional.validate_json(self._simulator, professional.parsed(await request.body()))
        return answer(content, status)

    async def raw_submission(self, request: Request) -> Response:
        """POST .../raw-x12-submission: an interchange inside JSON."""
        body = professional.parsed(await request.body())
        status, content = professional.submit_x12(self._simulator, VENDOR, body)
        return answer(content, status)

    async def healthcheck(self, request: Request) -> Response:
        """GET .../healthcheck."""
        return answer({"status": "ok"})

    async def reports(self, request: Request) -> Response:
        """GET /medicalnetwork/reports/v2: the names of the reports."""
        told = reports.events_of(self._simulator.account, VENDOR)
        return answer({"reports": [reports.transaction_id(event) for event in told]})

    async def report(self, request: Request) -> Response:
        """GET /medicalnetwork/reports/v2/{name}/277."""
        event = reports.find(reports.events_of(self._simulator.account, VENDOR), request.path_params["name"])
        if event is None:
            return _error(404, "NOT_FOUND", "The report was not found")
        return answer(reports.report(event, f"{self._simulator.now():%Y%m%d}"))
