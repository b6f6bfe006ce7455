"""No value of a patient and no secret leaves the places that are made for them, whatever the vendors answer.

Real processes: `gateway run` and the commands an operator uses, between simulators whose clinic day is about one
unmistakable patient, and which garble a part of their answers with that patient's values.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import asyncpg
import httpx
import pytest
import uvicorn
import yaml

from gateway.app import Database
from gateway.sandbox.clinic_day import ClinicDay, generate
from gateway.sandbox.plan import Sandbox, SandboxPlan, make_sandbox
from gateway.settings import load_settings

ENCOUNTERS = 10
FAMILY, GIVEN, STREET, CITY = "Zzcanaryfamily", "Zzcanarygiven", "77 Zzcanarystreet", "Zzcanaryton"
MEMBER, MRN, PHONE, BIRTH = "ZZCANMEMBER", "ZZCANRECORD", "217-555-6789", "1947-11-23"
CANARIES = (FAMILY, GIVEN, "Zzcanarystreet", CITY, MEMBER, MRN, PHONE, BIRTH, "11/23/1947", "19471123")
FOR_PATIENTS = {
    ("resource", "content"),
    ("resource_version", "content"),
    ("submission", "payload"),
    ("submission", "fields"),
    ("submission_record", "payload"),
    ("submission_record", "fields"),
    ("superbill", "content"),
    ("inbound_message", "content"),
    ("batch", "payload"),
}
"""The columns that hold what patients told, in bytes."""


def canary_day() -> ClinicDay:
    """A clinic day whose patients all have the canary's values."""
    day = generate(seed=5, encounters=ENCOUNTERS, day=datetime.now(UTC).date(), error_rate=0.3)
    return replace(day, resources=[_canary(copy.deepcopy(resource)) for resource in day.resources])


def _canary(resource: dict[str, Any]) -> dict[str, Any]:
    if resource["resourceType"] in ("Patient", "RelatedPerson"):
        for name in resource.get("name", ()):
            name.update(family=f"{FAMILY}{resource['id'][-4:]}", given=[GIVEN])  # no two of one name
        for address in resource.get("address", ()):
            address.update(line=[STREET], city=CITY)
        for telecom in resource.get("telecom", ()):
            telecom["value"] = PHONE
        resource.update({"birthDate": BIRTH} if resource.get("birthDate") else {})
        for number, identifier in enumerate(resource.get("identifier", ())):
            identifier["value"] = f"{MRN}{resource['id'][-4:]}{number or ''}"
    if resource["resourceType"] == "Coverage":
        resource.update({"subscriberId": MEMBER} if resource.get("subscriberId") else {})
        for identifier in resource.get("identifier", ()):
            identifier["value"] = MEMBER
    return resource


@dataclass
class Watched:
    """A simulator whose calls are written down.

    `garbling` is the share of its JSON answers that it garbles, `refusals` the share of these that become refusals.
    """

    app: Any
    garbling: float = 0.0
    random: Random = field(default_factory=lambda: Random(3))
    urls: list[str] = field(default_factory=list)
    spoilt: int = 0
    refusals: float = 0.3
    issued: set[str] = field(default_factory=set)  # tokens

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sim/"):
            await self.app(scope, receive, send)
            return
        self.urls.append(unquote_plus(f"{scope['path']}?{scope['query_string'].decode()}"))
        if "token" in scope["path"]:
            await self.app(scope, receive, self._noting(send))
        else:
            await self.app(scope, receive, self._garbled(send) if self.random.random() < self.garbling else send)

    def _noting(self, send: Any) -> Any:
        async def note(message: dict[str, Any]) -> None:
            held = json.loads(message.get("body") or b"{}")
            self.issued |= {held[name] for name in ("access_token", "refresh_token") if name in held}
            await send(message)

        return note

    def _garbled(self, send: Any) -> Any:
        started: dict[str, Any] = {}

        async def garble(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
                return
            body, status = self._spoilt(message.get("body", b""), started["status"])
            headers = [h for h in started["headers"] if h[0] != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await send({**started, "status": status, "headers": headers})
            await send({**message, "body": body})

        return garble

    def _spoilt(self, body: bytes, status: int) -> tuple[bytes, int]:
        """A few values replaced, or a refusal that repeats the patient."""
        try:
            held = json.loads(body)
        except ValueError:
            return body, status
        self.spoilt += 1
        told = f"{GIVEN} {FAMILY} {BIRTH} {MEMBER} {MRN}"
        if self.random.random() < self.refusals:
            issue = {"severity": "error", "code": FAMILY, "diagnostics": told, "details": {"text": told}}
            refusal = {"resourceType": "OperationOutcome", "issue": [issue], "error": told, FAMILY: [told]}
            return json.dumps(refusal).encode(), self.random.choice((400, 404, 409, 422, 500))
        places = [place for place in _leaves(held) if place[1] not in ("id", "reference", "next", "url")]
        for owner, key in self.random.sample(places, min(len(places), 3)):
            owner[key] = self.random.choice((told, [told], {FAMILY: told}, 10**30, "1E+999999999", None, -1))
        return json.dumps(held).encode(), status


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(inner, dict | list):
            yield from _leaves(inner)
        else:
            yield value, key


@contextmanager
def served(app: Any, url: str) -> Iterator[None]:
    """Serve an ASGI application in a thread."""
    config = uvicorn.Config(app, "127.0.0.1", urlsplit(url).port or 0, log_level="critical", lifespan="on")
    config.timeout_graceful_shutdown = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield
    server.should_exit = True
    thread.join(10)


def until(reached: Any, seconds: float = 30.0) -> bool:
    """Whether it happened in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if reached():
            return True
        time.sleep(0.05)
    return False


@dataclass
class Run:
    """One gateway at work between two watched simulators."""

    directory: Path
    sandbox: Sandbox
    ehr: Watched
    billing: Watched

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.sandbox.secrets, "GATEWAY_DATABASE_URL": ""}

    def command(self, *arguments: str) -> str:
        """What a command prints, on both streams."""
        command = [sys.executable, "-m", "gateway", *arguments, "--config", str(self.directory / "gateway.yaml")]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=90, check=False)
        return done.stdout + done.stderr

    def orders(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Tell the simulated EHR to do something."""
        answer = httpx.post(f"{self.sandbox.ehr.base_url}/_sim/{name}", json=body, timeout=30)
        answer.raise_for_status()
        return dict(answer.json())

    def rows(self, query: str) -> list[Any]:
        """Rows of the gateway's database."""
        return list(self._read(lambda connection: connection.fetch(query)))

    def columns(self) -> dict[str, str]:
        """The text of every column that is not made for patients' values."""
        return dict(self._read(_columns))

    def _read(self, read: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            database = Database(load_settings(self.directory / "gateway.yaml", self.environment))
            connection = await asyncpg.connect(**await database.connect_arguments())
            found = await read(connection)
            await connection.close()
            await database.close()
            return found

        return asyncio.run(connected())


async def _columns(connection: asyncpg.Connection) -> dict[str, str]:
    texts = {}
    for table, column, kind in await connection.fetch(_EVERY_COLUMN):
        if (table, column) not in FOR_PATIENTS:
            text = f"encode({column}, 'escape')" if kind == "bytea" else f"{column}::text"
            rows = await connection.fetch(f"select {text} from {table}")
            texts[f"{table}.{column}"] = "\n".join(row[0] or "" for row in rows)
    return texts


_EVERY_COLUMN = (
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
)


@contextmanager
def running(ehr: str, directory: Path) -> Iterator[Run]:
    """Simulators and a gateway for one EHR adapter."""
    plan = SandboxPlan(ehr, "kareo_tebra", ENCOUNTERS, 5, None, 0.0, 0.0)
    sandbox = make_sandbox(plan, directory=directory, day=canary_day())
    configuration = sandbox.configuration
    configuration["clinics"]["demo-clinic"]["go_live"] = "2020-01-01"
    (directory / "gateway.yaml").write_text(yaml.safe_dump(configuration))
    run = Run(
        directory,
        sandbox,
        Watched(sandbox.ehr_simulator.build(sandbox.ehr)),
        Watched(sandbox.billing_simulator.build(sandbox.billing)),
    )
    command = [sys.executable, "-m", "gateway", "run", "--config", str(directory / "gateway.yaml")]
    with ExitStack() as stack:
        stack.enter_context(served(run.ehr, sandbox.ehr.base_url))
        stack.enter_context(served(run.billing, sandbox.billing.base_url))
        log = stack.enter_context((directory / "gateway.log").open("wb"))
        gateway = subprocess.Popen(command, env=run.environment, stdout=log, stderr=log)
        try:
            assert until(lambda: _is_ready(sandbox.gateway_url)), (directory / "gateway.log").read_text()
            yield run
        finally:
            gateway.terminate()
            gateway.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def found_in(texts: dict[str, str], wanted: Any) -> dict[str, list[str]]:
    """Which of the wanted values each text holds, without those that hold none."""
    held = {name: [w for w in wanted if w and w.lower() in text.lower()] for name, text in texts.items()}
    return {name: values for name, values in held.items() if values}


def superbills(ehr: str, directory: Path) -> dict[str, tuple[str, ...]]:
    """Orders for files whose cells, or whose whole header, are in the wrong place; where superbills are taken."""
    if ehr != "practice_fusion":
        return {}
    configuration = yaml.safe_load((directory / "gateway.yaml").read_text())
    columns = configuration["clinics"]["demo-clinic"]["superbills"]["columns"]
    cells = [FAMILY, GIVEN, BIRTH, MEMBER, MRN, STREET]
    row = ",".join(cells * 10)
    (directory / "headless.csv").write_text(f"{row}\n{row}\n")
    header = list(dict.fromkeys(columns.values()))
    (directory / "mixed.csv").write_text(f"{','.join(header)}\n{','.join((cells * 10)[: len(header)])}\n")
    return {
        name: ("import", str(directory / name), "--clinic", "demo-clinic") for name in ("headless.csv", "mixed.csv")
    }


@pytest.mark.slow
@pytest.mark.parametrize("ehr", ["smart_fhir", "practice_fusion", "elation", "athenahealth", "drchrono"])
def test_no_value_of_a_patient_and_no_secret_leaves_its_place(ehr: str, tmp_path: Path) -> None:
    with running(ehr, tmp_path) as run:
        run.orders("sign", {"count": ENCOUNTERS // 2})
        known = "select count(*) from encounter where claim_id is not null"
        assert until(lambda: run.rows(known)[0][0] > 0), (tmp_path / "gateway.log").read_text()[-3000:]
        run.ehr.garbling = 0.4
        run.orders("sign", {"all": True})
        until(lambda: run.rows("select count(*) from encounter")[0][0] >= ENCOUNTERS, 4)
        run.command("recheck", "all")
        until(lambda: run.ehr.spoilt > 40, 12)
        since = str(datetime.now(UTC).date() - timedelta(days=3))
        outputs = {
            "backfill": run.command("backfill", "--clinic", "demo-clinic", "--since", since, "--json"),
            "status": run.command("status", "--encounters", "--json"),
            "holds": run.command("holds", "--json"),
        }
        outputs |= {name: run.command("superbill", *order) for name, order in superbills(ehr, tmp_path).items()}
        run.ehr.refusals = 1.0
        outputs["check"] = run.command("check", "--json")
        texts = {
            **run.columns(),
            **outputs,
            "log": (tmp_path / "gateway.log").read_text(),
            "configuration": (tmp_path / "gateway.yaml").read_text(),
            "urls of the EHR": "\n".join(run.ehr.urls),
            "urls of the billing system": "\n".join(run.billing.urls),
        }
    assert run.ehr.spoilt > 20, "hardly an answer was garbled"
    assert texts["log"] and texts["audit_event.content"]
    leaked = found_in(texts, CANARIES)
    assert leaked == {}, [line for name in leaked for line in texts[name].splitlines() if "anar" in line.lower()][:5]
    assert run.ehr.issued
    secrets = [*run.ehr.issued, *(value for value in run.sandbox.secrets.values() if len(value) >= 8)]
    assert found_in(texts, secrets) == {}
    defects = [line for line in texts["log"].splitlines() if '"defect"' in line]
    assert defects == []
