"""A running simulator with a client, over real HTTP, for the tests beside this file."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey

from adapters.ehr.smart_fhir.simulator import build, new_credentials
from gateway.canonical import jsonio
from gateway.kit.simulator import SimulatorOptions

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CREDENTIALS = {**new_credentials(7), "time_scale": "0.002"}


def make_visit(number: int, **more: Any) -> list[dict[str, Any]]:
    """A finished visit of one patient with a diagnosis and a charge."""
    encounter, patient = f"e{number}", f"p{number % 3}"
    subject = {"reference": f"Patient/{patient}"}
    return [
        {
            "resourceType": "Encounter",
            "id": encounter,
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": subject,
            "participant": [{"individual": {"reference": "Practitioner/dr1"}}],
            "period": {
                "start": f"2025-03-{number % 28 + 1:02d}T09:00:00Z",
                "end": f"2025-03-{number % 28 + 1:02d}T10:00:00Z",
            },
            **more,
        },
        {
            "resourceType": "Condition",
            "id": f"c{number}",
            "subject": subject,
            "encounter": {"reference": f"Encounter/{encounter}"},
            "category": [{"coding": [{"system": "http://example.test/cat", "code": "encounter-diagnosis"}]}],
            "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I10"}]},
        },
        {
            "resourceType": "Claim",
            "id": f"k{number}",
            "status": "active",
            "patient": subject,
            "item": [
                {
                    "sequence": 1,
                    "encounter": [{"reference": f"Encounter/{encounter}"}],
                    "quantity": {"value": 1},
                    "net": {"value": jsonio.loads("105.00"), "currency": "USD"},
                }
            ],
            "total": {"value": jsonio.loads("105.00"), "currency": "USD"},
        },
    ]


def make_practice(visits: int) -> list[dict[str, Any]]:
    """Three patients, their coverages, one practitioner, and a number of visits."""
    people = [{"resourceType": "Patient", "id": f"p{n}", "name": [{"family": f"Sample{n}"}]} for n in range(3)]
    cover = [
        {"resourceType": "Coverage", "id": f"v{n}", "status": "active", "beneficiary": {"reference": f"Patient/p{n}"}}
        for n in range(3)
    ]
    doctor = {
        "resourceType": "Practitioner",
        "id": "dr1",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
    }
    return [*people, *cover, doctor, *(resource for n in range(visits) for resource in make_visit(n))]


@dataclass
class Sandbox:
    """A running simulator and a client of it."""

    url: str
    http: httpx.AsyncClient
    credentials: dict[str, str]
    token: str = ""

    @property
    def base(self) -> str:
        return f"{self.url}/fhir"

    def claims(self, **changes: Any) -> dict[str, Any]:
        client, now = self.credentials["client_id"], int(time.time())
        claims = {"iss": client, "sub": client, "aud": f"{self.url}/auth/token", "exp": now + 300}
        claims = {**claims, "jti": secrets.token_hex(8), **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def key(self) -> ECKey:
        return ECKey.import_key(jsonio.loads(self.credentials["private_jwk"]))

    def assertion(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        kid = jsonio.loads(self.credentials["private_jwk"])["kid"]
        head = {"alg": "ES384", "kid": kid, "typ": "JWT", **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(head, self.claims(**claims), self.key(), algorithms=[head["alg"]])

    async def token_request(self, **changes: str | None) -> httpx.Response:
        base = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION_TYPE}
        form: dict[str, str | None] = {**base, "client_assertion": "", **changes}
        if form["client_assertion"] == "":
            form["client_assertion"] = self.assertion()
        return await self.http.post(f"{self.url}/auth/token", data={n: v for n, v in form.items() if v is not None})

    async def login(self, scope: str = "system/*.rs system/Subscription.cruds") -> None:
        self.token = (await self.token_request(scope=scope)).json()["access_token"]

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        url = path if path.startswith("http") else f"{self.base}/{path}"
        return await self.http.get(url, headers={**self.headers(), **headers})

    @staticmethod
    def ids(bundle: Any, mode: str = "match") -> list[str]:
        """The ids of a search's entries of one mode."""
        return [entry["resource"]["id"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == mode]

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(f"{self.base}/{path}", content=jsonio.dumps(body), headers=self.headers())

    async def control(self, name: str, **body: Any) -> Any:
        answer = await self.http.post(f"{self.url}/_sim/{name}", content=jsonio.dumps(body))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ledger(self) -> Any:
        return (await self.http.get(f"{self.url}/_sim/ledger")).json()


@contextlib.asynccontextmanager
async def run_server(make: Callable[[str], Any]) -> AsyncIterator[str]:
    """Serve the app that `make(base_url)` returns on a free port."""
    # asyncio turns Nagle's delay off only for sockets whose protocol is named
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(make(url), log_level="critical", lifespan="on")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield url
    finally:
        for accepting in server.servers:
            accepting.close()
        for open_connection in list(server.server_state.connections):
            open_connection.shutdown()
        await server.lifespan.shutdown()


@contextlib.asynccontextmanager
async def run_sandbox(
    data: Any = None, think_seconds: float = 0.0, login: bool = True, **knobs: str
) -> AsyncIterator[Sandbox]:
    """A running simulator with a logged-in client."""
    credentials = {**CREDENTIALS, **knobs}
    data = make_practice(5) if data is None else data

    def make(url: str) -> Any:
        return build(SimulatorOptions(url, data=data, credentials=credentials, think_seconds=think_seconds))

    async with run_server(make) as url, httpx.AsyncClient(timeout=5, verify=False) as http:
        client = Sandbox(url, http, credentials)
        if login:
            await client.login()
        yield client


@pytest.fixture
def sandbox() -> Any:
    """Starts a simulator: `async with sandbox(data, **knobs) as sim`."""
    return run_sandbox


@pytest.fixture
def serve() -> Any:
    """Serves any app: `async with serve(lambda url: app) as url`."""
    return run_server


@pytest.fixture
def visit() -> Any:
    """The resources of one visit: `visit(number, **encounter_elements)`."""
    return make_visit


@pytest.fixture
def practice() -> Any:
    """The resources of a practice: `practice(visits)`."""
    return make_practice


@pytest.fixture
def credentials() -> dict[str, str]:
    """What the sandboxes are registered with."""
    return dict(CREDENTIALS)
