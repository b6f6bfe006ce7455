"""Injected faults, the rate limit and the thinking time."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from adapters.ehr.smart_fhir.simulator import build
from gateway.kit.simulator import SimulatorOptions
from gateway.kit.simulator_http import Message, Receive, Send

SUBSCRIPTION = {
    "resourceType": "Subscription",
    "status": "requested",
    "reason": "signed encounters",
    "criteria": "Encounter?status=finished",
    "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/hook"},
}


@pytest.mark.parametrize(
    ("kind", "status"), [("http_500", 500), ("rate_limit", 429), ("unauthorized", 401), ("garbage", 200)]
)
async def test_faults_with_an_answer(sandbox: Any, kind: str, status: int) -> None:
    async with sandbox() as sim:
        await sim.control("faults", rules=[{"operation": "read:Patient", "kind": kind, "times": 1}])
        assert (await sim.get("Encounter/e1")).status_code == 200
        failed = await sim.get("Patient/p1")
        assert failed.status_code == status
        assert (failed.headers.get("retry-after") == "1") == (kind == "rate_limit")
        assert failed.headers["content-type"].startswith("text/html") == (kind == "garbage")
        assert (await sim.get("Patient/p1")).status_code == 200
        assert (await sim.ledger())["faults"] == {kind: 1}


async def test_faults_without_an_answer(sandbox: Any) -> None:
    async with sandbox() as sim:
        rules = [
            {"operation": "search:Patient", "kind": "reset", "times": 1},
            {"operation": "token", "kind": "timeout"},
        ]
        await sim.control("faults", rules=rules)
        with pytest.raises(httpx.TransportError):
            await sim.get("Patient?_id=p1")
        assert (await sim.get("Patient?_id=p1")).status_code == 200
        sim.http.timeout = httpx.Timeout(0.05)
        with pytest.raises(httpx.ReadTimeout):
            await sim.token_request()


async def test_a_reset_after_save_has_saved(sandbox: Any) -> None:
    async with sandbox() as sim:
        await sim.control("faults", rules=[{"operation": "create:Subscription", "kind": "reset_after_save"}])
        with pytest.raises(httpx.TransportError):
            await sim.post("Subscription", SUBSCRIPTION)
        assert (await sim.get("Subscription")).json()["total"] == 1


async def test_a_reset_reaches_the_client_through_a_wrapping_app(serve: Any) -> None:
    def make(url: str) -> Any:
        inner = build(SimulatorOptions(url))

        async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
            async def forward(message: Message) -> None:
                await send(message)

            await inner(scope, receive, forward)

        return wrapped

    async with serve(make) as url, httpx.AsyncClient(timeout=5) as http:
        await http.post(f"{url}/_sim/faults", json={"rules": [{"operation": "*", "kind": "reset"}]})
        with pytest.raises(httpx.TransportError):
            await http.get(f"{url}/fhir/metadata")


async def test_the_rate_limit_and_the_thinking_time(sandbox: Any) -> None:
    async with sandbox(rate_per_second="3", think_seconds=0.005) as sim:
        started = time.perf_counter()
        statuses = [(await sim.get("Patient/p1")).status_code for _ in range(5)]
        assert time.perf_counter() - started >= 0.025
        assert (statuses[:3], statuses[4]) == ([200, 200, 200], 429)
