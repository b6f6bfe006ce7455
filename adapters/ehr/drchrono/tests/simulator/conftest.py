"""A simulated practice with a clinic day, a hook that listens, and a token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pytest
import uvicorn

from adapters.ehr.drchrono.simulator import build, new_credentials
from gateway.kit.simulator import SimulatorOptions, free_ports
from gateway.sandbox.clinic_day import generate


@dataclass
class Hook:
    """A hook that answers the challenge as it is told, and keeps what it is sent."""

    url: str = ""
    secret: str = ""
    status: int = 202
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    challenges: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            status, body = 200, self._answer(scope["query_string"])
        else:
            status, body = self.status, b""
            message = await receive()
            self.headers.append({k.decode().lower(): v.decode() for k, v in scope["headers"]})
            self.bodies.append(message.get("body", b""))
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": body})

    def _answer(self, query: bytes) -> bytes:
        self.challenges += 1
        message = query.decode().removeprefix("msg=")
        return json.dumps(
            {"secret_token": hmac.new(self.secret.encode(), message.encode(), hashlib.sha256).hexdigest()}
        ).encode()


@dataclass
class Practice:
    """The simulator from outside: the client of an app, and the control routes."""

    client: httpx.Client
    credentials: dict[str, str]
    token: str = ""

    def command(self, name: str, /, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/_sim/{name}", json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def ledger(self) -> dict[str, Any]:
        return dict(self.client.get("/_sim/ledger").json())

    def tokens(self, **form: str) -> httpx.Response:
        own = {"client_id": self.credentials["client_id"], "client_secret": self.credentials["client_secret"]}
        return self.client.post("/o/token/", data={**own, **form})

    def sign_in(self) -> dict[str, Any]:
        answer = self.tokens(grant_type="refresh_token", refresh_token=self.credentials["refresh_token"]).json()
        self.token = answer["access_token"]
        return dict(answer)

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, f"/api/{path}", headers={"Authorization": f"Bearer {self.token}"}, **more)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.api("GET", path, params=params)
        answer.raise_for_status()
        return answer.json()

    def first(self) -> str:
        return str(self.get("appointments", since="2000-01-01")["results"][0]["id"])


def _serve(app: Any, port: int) -> tuple[uvicorn.Server, threading.Thread]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return server, thread


@pytest.fixture
def pace() -> float:
    return 0.0


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def practice(pace: float, hook: Hook) -> Iterator[Practice]:
    own, hooked = free_ports(2)
    credentials = new_credentials(0)
    hook.url, hook.secret = f"http://127.0.0.1:{hooked}/hooks/c/ehr", credentials["webhook_secret"]
    day = generate(seed=3, encounters=40, day=date(2026, 3, 3), error_rate=0.0)
    options = SimulatorOptions(
        base_url=f"http://127.0.0.1:{own}", pace=pace, credentials=credentials, data=day.resources, hook_url=hook.url
    )
    running = [_serve(hook, hooked), _serve(build(options), own)]
    with httpx.Client(base_url=options.base_url, trust_env=False) as client:
        found = Practice(client, credentials)
        found.sign_in()
        yield found
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Any]:
    async def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            await asyncio.sleep(0.005)

    return wait
