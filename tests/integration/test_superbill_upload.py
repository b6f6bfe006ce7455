"""Uploads over real HTTP: let in by the secret alone, bounded, and refused with problem details that hold no values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.server import listening_socket, serve
from gateway.api.superbills import superbill_router
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.superbill import Keys, Layout
from gateway.pipeline.context import Pipeline
from gateway.ports.superbills import SuperbillLink
from gateway.store.postgres import PostgresStore

CLINIC = "clinic-a"
SECRET = "upload-secret-0123"
GOOD = (
    b"superbill_id,mrn,serviced_date,rendering_npi,product_or_service,charge\r\n"
    b"SB-1,AB123456,2026-03-03,1234567893,99213,120.00\r\n"
)
BAD = GOOD + b"SB-2,ZZ999999,2026-03-03,1234567893,SECRETS,120.00\r\n"


class NoLinks:
    """Uploads need no connection to anything."""


@pytest.fixture
async def url(store: PostgresStore, clinic: ClinicFacts) -> AsyncIterator[str]:
    keys = Keys(b"0123456789abcdef", CLINIC, "ehr")
    links = {
        CLINIC: SuperbillLink("ehr", Layout(), keys, upload_secret=SECRET, max_bytes=2000),
        "closed": SuperbillLink("ehr", Layout(), keys),
    }
    app = FastAPI()
    app.include_router(superbill_router(Pipeline(store, {CLINIC: clinic}, NoLinks(), superbills=links)))  # type: ignore[arg-type]
    listening = listening_socket("127.0.0.1", 0)
    listening.listen()  # clients wait in the queue until the server accepts
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, stop))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/superbills"
    stop.set()
    await serving


async def post(
    url: str, content: bytes = GOOD, *, clinic: str = CLINIC, secret: str = SECRET, kind: str = "text/csv"
) -> httpx.Response:
    headers = {"Content-Type": kind, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    async with httpx.AsyncClient() as client:
        return await client.post(f"{url}/{clinic}", content=content, headers=headers)


async def test_a_good_file_is_taken_once(url: str) -> None:
    first, second = await post(url), await post(url)
    assert (first.status_code, first.json()) == (200, {"rows": 1, "new": 1, "changed": 0, "unchanged": 0})
    assert second.json() == {"rows": 1, "new": 0, "changed": 0, "unchanged": 1}


async def test_a_form_with_one_file_is_taken_byte_for_byte(url: str, store: PostgresStore) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{url}/{CLINIC}",
            files={"file": ("day.csv", b"\xef\xbb\xbf" + GOOD, "text/csv")},
            data={"note": "x"},
            headers={"Authorization": f"Bearer {SECRET}"},
        )
    assert (answer.status_code, answer.json()["new"]) == (200, 1)


async def test_a_form_without_a_file_or_with_two_is_refused(url: str) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {SECRET}"}) as client:
        two = [("file", ("a.csv", GOOD, "text/csv")), ("file", ("b.csv", GOOD, "text/csv"))]
        assert (await client.post(f"{url}/{CLINIC}", files=two)).status_code == 400
    assert (await post(url, b"--x--", kind="multipart/form-data; boundary=x")).status_code == 400
    assert (await post(url, b"nothing", kind="multipart/form-data")).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"--b0\r\nContent-Disposition: form-data; filename=" + b"(" * 1500 + b"\r\n\r\nx\r\n--b0--",
        b"--b0\r\nContent-Disposition: " + b"(" * 1500 + b"; filename=a\r\n\r\nx\r\n--b0--",
        b"--b0\r\nContent-Disposition: form-data; filename=a\r\n\r\nx",
    ],
)
async def test_a_form_that_is_made_to_break_its_reader_is_refused(url: str, body: bytes) -> None:
    answer = await post(url, body, kind="multipart/form-data; boundary=b0")
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize(
    ("clinic", "secret"), [(CLINIC, "wrong"), (CLINIC, ""), ("closed", ""), ("closed", "x"), ("unknown", SECRET)]
)
async def test_without_the_secret_nothing_is_read(url: str, store: PostgresStore, clinic: str, secret: str) -> None:
    answer = await post(url, clinic=clinic, secret=secret)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert await store.report("superbills", CLINIC) == []


async def test_mistakes_are_told_as_problem_details_and_the_good_ones_go_in(url: str) -> None:
    answer = await post(url, BAD)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (problem["status"], problem["new"]) == (422, 1)
    [told] = problem["problems"]
    assert (told["line"], told["column"]) == (3, "product_or_service")
    assert told["fix"]
    assert "SECRETS" not in json.dumps(problem) and "ZZ999999" not in json.dumps(problem)


async def test_a_file_beyond_the_bound_is_refused(url: str) -> None:
    assert (await post(url, GOOD + b"x" * 2000)).status_code == 413
    assert (await post(url, GOOD + b"x" * 200_000)).status_code == 413


async def test_another_type_is_refused(url: str) -> None:
    assert (await post(url, kind="application/pdf")).status_code == 415


async def test_a_database_that_is_away_asks_to_come_back(url: str, store: PostgresStore) -> None:
    await store.close()
    answer = await post(url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
