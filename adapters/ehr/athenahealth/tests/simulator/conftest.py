"""A logged-in client of the simulator, which holds the visit of the adapter's tests and two of a clinic day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest

from adapters.ehr.athenahealth.simulator import AthenaSimulator
from adapters.ehr.athenahealth.simulator.access import SCOPES
from adapters.ehr.athenahealth.simulator.seed import fill
from gateway.sandbox.clinic_day import generate


@dataclass
class Client:
    """One client of the practice's API."""

    http: httpx.Client
    app: AthenaSimulator
    credentials: dict[str, str]
    token: str = ""

    def login(self, **form: str) -> httpx.Response:
        """Ask for a token by HTTP Basic, and keep it."""
        pair = (self.credentials["client_id"], self.credentials["client_secret"])
        asked = {"grant_type": "client_credentials", "scope": " ".join(SCOPES), **form}
        answer = self.http.post("/oauth2/v1/token", data=asked, auth=pair)
        self.token = answer.json().get("access_token", "") if answer.status_code == 200 else self.token
        return answer

    def get(self, path: str, **params: Any) -> httpx.Response:
        """A v1 read."""
        return self.call("GET", f"/v1/195900/{path}", params=params)

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A call with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **more)

    def act(self, name: str, **body: Any) -> Any:
        """A control route."""
        answer = self.http.post(f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def client(running: tuple[str, AthenaSimulator], credentials: dict[str, str], put: Any, visit: Any) -> Iterator[Client]:
    url, app = running
    day = generate(seed=3, encounters=2, day=date(2026, 3, 3), error_rate=0)
    fill(app.practice, day.resources)
    app.clinicians.unsigned = dict.fromkeys(app.practice.encounters, True)
    put(app, visit)
    with httpx.Client(base_url=url, trust_env=False) as http:
        found = Client(http, app, credentials)
        assert found.login().status_code == 200
        yield found
