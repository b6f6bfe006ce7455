"""Webhooks over real HTTP: what is answered with 2xx is kept, all else is refused with an OperationOutcome."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.health import health_router
from gateway.api.server import listening_socket, serve
from gateway.api.webhooks import webhook_router
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import NotificationMalformed, NotificationRejected, UnknownConnection
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest
from gateway.kit.ehr_adapter import EhrBase
from gateway.pipeline.context import Pipeline
from gateway.store.postgres import PostgresStore

CLINIC = "clinic-a"


class Ehr(EhrBase):
    """Tells one encounter per notification; the body says how it behaves."""

    def verify_notification(self, request: NotificationRequest) -> None:
        if request.headers.get("authorization") != "Bearer right":
            raise NotificationRejected("the webhook secret is wrong or missing")

    def parse_notification(self, request: NotificationRequest) -> Notification:
        if request.body == b"{":
            raise NotificationMalformed("the body is not JSON (byte 1)")
        if request.body == b"unknown":
            return Notification()
        return Notification(
            (EncounterRef(request.path or "e1", f"{request.path}{request.body.decode()}"),), poll=not request.body
        )


class Links:
    """One EHR connection named `ehr`."""

    def ehr(self, clinic_id: str, connection: str) -> Ehr:
        if (clinic_id, connection) != (CLINIC, "ehr"):
            raise UnknownConnection("there is no such connection")
        return Ehr()


@pytest.fixture
async def url(store: PostgresStore, clinic: ClinicFacts) -> AsyncIterator[str]:
    pipeline = Pipeline(store, {CLINIC: clinic}, Links())  # type: ignore[arg-type]
    app = FastAPI()
    app.include_router(webhook_router(pipeline, max_body_bytes=1000))
    app.include_router(health_router(store.check))
    listening = listening_socket("127.0.0.1", 0)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, stop))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.ConnectError):
                await client.get(f"{address}/health/live")
                break
            await asyncio.sleep(0.005)
    yield address
    stop.set()
    await serving


async def send(
    url: str, body: bytes = b"1", path: str = "", token: str = "right", method: str = "POST"
) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(
            method, f"{url}/hooks/{CLINIC}/ehr{path}", content=body, headers={"Authorization": f"Bearer {token}"}
        )


async def count(store: PostgresStore, table: str) -> int:
    async with store.acquire() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


async def test_an_accepted_notification_is_in_postgres_when_it_is_answered(url: str, store: PostgresStore) -> None:
    answer = await send(url)
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/fhir+json")
    assert (await count(store, "inbox"), await count(store, "job"), await count(store, "audit_event")) == (1, 1, 1)


async def test_a_resource_put_below_the_hook_is_a_notification_too(url: str, store: PostgresStore) -> None:
    assert (await send(url, path="/Encounter/e7", method="PUT")).status_code == 202
    assert await count(store, "inbox") == 1


async def test_a_wrong_secret_is_401_and_leaves_only_an_audit_event(url: str, store: PostgresStore) -> None:
    answer = await send(url, token="wrong")
    assert answer.status_code == 401
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await count(store, "inbox"), await count(store, "job"), await count(store, "audit_event")) == (0, 0, 1)


async def test_a_malformed_notification_is_400(url: str, store: PostgresStore) -> None:
    answer = await send(url, body=b"{")
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["issue"][0]["diagnostics"]
    assert await count(store, "inbox") == 0


async def test_an_unknown_event_is_acknowledged_and_ignored(url: str, store: PostgresStore) -> None:
    assert (await send(url, body=b"unknown")).status_code == 202
    assert (await count(store, "inbox"), await count(store, "job")) == (0, 0)


async def test_the_same_event_twice_is_one_job(url: str, store: PostgresStore) -> None:
    answers = await asyncio.gather(*(send(url) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert (await count(store, "inbox"), await count(store, "job")) == (1, 1)


async def test_an_unknown_connection_is_404(url: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{url}/hooks/{CLINIC}/other", content=b"1")).status_code == 404


async def test_a_body_over_the_bound_is_413_and_nothing_is_kept(url: str, store: PostgresStore) -> None:
    assert (await send(url, body=b"x" * 1001)).status_code == 413
    assert await count(store, "audit_event") == 0


async def test_a_store_that_is_away_is_503_with_retry_after(url: str, store: PostgresStore) -> None:
    await store.close()
    answer = await send(url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/health/ready")).status_code == 503
        assert (await client.get(f"{url}/health/live")).status_code == 200


async def test_an_event_with_an_endless_key_is_kept_once_like_any_other(url: str, store: PostgresStore) -> None:
    path = "/" + secrets.token_hex(6000)  # nothing that an index could compress
    answers = [await send(url, path=path, body=end, method="PUT") for end in (b"a", b"a", b"b")]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert await count(store, "inbox") == 2


async def test_the_inbox_holds_nothing_of_what_an_ehr_puts_into_a_version(url: str, store: PostgresStore) -> None:
    """Versions and dates in a dedupe key are the EHR's texts."""
    async with httpx.AsyncClient() as http:
        sent = {"headers": {"authorization": "Bearer right"}, "content": b"Zzname 1947-11-23"}
        for _ in range(2):
            assert (await http.post(f"{url}/hooks/{CLINIC}/ehr", **sent)).status_code == 202
    async with store.acquire() as connection:
        [row] = await connection.fetch("select dedupe_key from inbox")
    assert "Zzname" not in row["dedupe_key"]
    assert len(row["dedupe_key"]) == 64
