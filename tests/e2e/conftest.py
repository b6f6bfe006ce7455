"""A whole gateway in the test's own process, with the vendors' simulators behind real HTTP and a real Postgres."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import yaml

from adapters.billing.kareo_tebra import simulator as tebra
from adapters.ehr.smart_fhir import simulator as smart_fhir
from gateway.api.server import listening_socket, serve
from gateway.app import Gateway, build_api, build_worker, open_gateway
from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import StoreError
from gateway.kit.contract_support import Simulator, simulator_running
from gateway.kit.simulator import SandboxConnection, SimulatorOptions
from gateway.pipeline.receive import new_trace, poll_job, subscribe_job
from gateway.ports.context import utc_now
from gateway.sandbox.clinic_day import ClinicDay, generate
from gateway.sandbox.report import is_settled
from gateway.settings import LoadedSettings, load_settings

CLINIC = "clinic-a"
ENCOUNTERS = 8
PATIENCE = 25.0
FAST = {"timeout_seconds": 0.3}


@dataclass(frozen=True)
class Vendors:
    """The two simulators at work, and how to connect to them."""

    day: ClinicDay
    ehr: Simulator
    billing: Simulator
    links: Mapping[str, SandboxConnection]

    def fail(self, side: str, rules: list[dict[str, Any]], **more: Any) -> None:
        """Set the fault rules of one side: "ehr" or "billing"."""
        client = (self.ehr if side == "ehr" else self.billing).client
        client.post("/_sim/faults", json={"rules": rules, "seed": 7, **more}).raise_for_status()

    def injected(self, side: str) -> int:
        """How many calls have failed as told."""
        return sum((self.ehr if side == "ehr" else self.billing).ledger()["faults"].values())

    def sign(self, *encounter_ids: str) -> None:
        """Sign these encounters, or all."""
        body = {"encounter_ids": list(encounter_ids)} if encounter_ids else {"all": True}
        self.ehr.client.post("/_sim/sign", json=body).raise_for_status()

    def amend(self, encounter_id: str) -> None:
        """Double the first line of an encounter and sign it again."""
        self.ehr.client.post("/_sim/amend", json={"encounter_id": encounter_id}).raise_for_status()

    def repeat(self, encounter_id: str) -> None:
        """Send the last notification of an encounter again."""
        self.ehr.client.post("/_sim/duplicate", json={"encounter_id": encounter_id}).raise_for_status()


@pytest.fixture(scope="module")
def running_vendors() -> Iterator[Vendors]:
    """Both simulators over one clinic day without entry errors: every encounter can be billed."""
    day = generate(seed=11, encounters=ENCOUNTERS, day=date(2026, 3, 3), error_rate=0.0)
    registration = {**smart_fhir.new_credentials(1), "time_scale": "0.25"}
    with (
        simulator_running(smart_fhir.build, credentials=registration, data=day.resources) as ehr_url,
        simulator_running(tebra.build, credentials={}, data=day.directory) as billing_url,
        httpx.Client(base_url=ehr_url) as ehr,
        httpx.Client(base_url=billing_url) as billing,
    ):
        links = {
            "ehr": smart_fhir.connection(SimulatorOptions(ehr_url, credentials=registration, data=day.resources)),
            "billing": tebra.connection(SimulatorOptions(billing_url, pace=0.0, data=day.directory)),
        }
        yield Vendors(day, Simulator(ehr), Simulator(billing), links)


@pytest.fixture
def vendors(running_vendors: Vendors) -> Vendors:
    """Both simulators as new."""
    running_vendors.ehr.reset()
    running_vendors.billing.reset()
    return running_vendors


@dataclass
class House:
    """One gateway: the store, the API over HTTP and a worker, until it is closed or killed."""

    gateway: Gateway
    vendors: Vendors
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def work(self) -> asyncio.Task[None]:
        """Start a worker."""
        task = asyncio.create_task(build_worker(self.gateway).run(self.stop))
        self.tasks.append(task)
        return task

    async def close(self) -> None:
        """Stop as on SIGTERM; raises what a task raised."""
        self.stop.set()
        await asyncio.gather(*self.tasks)

    async def subscribe(self) -> None:
        """Have the EHR notify this gateway."""
        await self.gateway.store.subscribe_anew(CLINIC, subscribe_job("ehr"))
        await self.until(self._subscribed, "the subscription")

    async def poll(self) -> None:
        """Have the gateway poll the EHR."""
        await self.gateway.store.ensure_job(CLINIC, poll_job("ehr"))

    async def notify(self, notices: list[tuple[str, int]]) -> set[int]:
        """Send notifications of encounters with version numbers, all at once; the HTTP statuses of the answers."""

        async def send(client: httpx.AsyncClient, encounter_id: str, version: int) -> int:
            body = {"resourceType": "Encounter", "id": encounter_id, "meta": {"versionId": str(version)}}
            return (await client.put(f"{self._hook}/Encounter/{encounter_id}", json=body)).status_code

        async with self._as_the_ehr() as client:
            return set(await asyncio.gather(*(send(client, *notice) for notice in notices)))

    async def notify_of_nothing(self) -> int:
        """Send a notification without a body, as an R4 criteria Subscription without a payload does."""
        async with self._as_the_ehr() as client:
            return (await client.post(self._hook)).status_code

    @property
    def _hook(self) -> str:
        return f"{self.gateway.loaded.gateway.server.public_url}/hooks/{CLINIC}/ehr"

    def _as_the_ehr(self) -> httpx.AsyncClient:
        secret = self.vendors.links["ehr"].secrets["SMART_WEBHOOK_SECRET"]
        return httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=20)

    async def until(self, reached: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition, resuming stopped connections as an operator would who has mended the cause."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(StoreError):
                if await reached():
                    return
                await self._resume()
            for task in self.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)
        rows = await self.gateway.store.report("encounters", CLINIC)
        raise AssertionError(f"{what} did not happen in time; {[(r['state'], r['submission_state']) for r in rows]}")

    async def settled(self) -> bool:
        """Whether the gateway is done with every encounter as it was signed last."""
        rows = {row["ehr_encounter_id"]: row for row in await self.gateway.store.report("encounters", CLINIC)}
        signed = self.vendors.ehr.ledger()["signed"]
        return all(is_settled(rows.get(signing["encounter_id"]), signing["signed_at"]) for signing in signed)

    async def all_settled(self) -> None:
        """Wait for `settled`."""
        await self.until(self.settled, "the end of all encounters")

    async def one(self, query: str) -> Any:
        """A value from the database."""
        async with self.gateway.store.acquire() as connection:
            return await connection.fetchval(query)

    async def states(self) -> dict[str, str]:
        """The state of each encounter by its id at the EHR."""
        return {row["ehr_encounter_id"]: row["state"] for row in await self.gateway.store.report("encounters", CLINIC)}

    async def _subscribed(self) -> bool:
        return not await self.gateway.store.report("unsubscribed", CLINIC)

    async def _resume(self) -> None:
        """Resume what waits for it; a job that met the stop just as it was taken away would wait for a minute."""
        if not await self.one("select count(*) from job where last_error like 'connection stopped%' and owner is null"):
            return
        for connection in ("ehr", "billing"):
            async with self.gateway.store.unit_of_work(CLINIC) as unit:
                await unit.resume_connection(connection)
                await unit.commit(AuditEvent(Step.CONNECTION_RESUMED, utc_now(), CLINIC, new_trace()))


@dataclass(frozen=True)
class Outcome:
    """What the three ledgers say together; totals are of the gateway's claims and of the vendor's, by submission."""

    lost: list[str]
    doubled: list[str]
    submitted: list[str]
    held: list[str]
    totals: dict[str, Decimal]
    vendor_totals: dict[str, Decimal]


async def compare(house: House) -> Outcome:
    """Read the EHR's signings, the gateway's submissions and holds, and the vendor's claims."""
    store = house.gateway.store
    rows = {row["ehr_encounter_id"]: row for row in await store.report("encounters", CLINIC)}
    holds = {row["ehr_encounter_id"] for row in await store.open_holds(CLINIC)}
    at_vendor = house.vendors.billing.ledger()["encounters"]
    counts = Counter(row["BatchNumber"] for row in at_vendor)
    signed = {signing["encounter_id"] for signing in house.vendors.ehr.ledger()["signed"]}
    confirmed = {e for e, row in rows.items() if row["confirmed_at"] and row["submission_id"] in counts}
    known = {row["submission_id"] for row in rows.values()}
    return Outcome(
        lost=sorted(signed - confirmed - holds),
        doubled=sorted(s for s, n in counts.items() if n > 1 or s not in known),
        submitted=sorted(signed & confirmed),
        held=sorted(signed & holds),
        totals=await _claim_totals(house),
        vendor_totals={row["BatchNumber"]: Decimal(row["total"]) for row in at_vendor},
    )


async def _claim_totals(house: House) -> dict[str, Decimal]:
    store = house.gateway.store
    async with store.acquire() as connection:
        rows = await connection.fetch("select id, claim_id from submission where confirmed_at is not null")
    totals = {}
    for row in rows:
        bundle = await store.claim_bundle(CLINIC, row["claim_id"])
        assert bundle is not None
        totals[row["id"]] = Decimal(bundle.claim["total"]["value"])
    return totals


Opened = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house(vendors: Vendors, database: dict[str, Any], tmp_path: Path) -> AsyncIterator[Opened]:
    """Opens gateways on one database: each call is a further process' worth of one."""
    async with AsyncExitStack() as stack:

        async def opened(*, settle: float = 0.5, worker: bool = True, **ehr: Any) -> House:
            loaded = _configuration(vendors, database, tmp_path, settle, ehr)
            return await stack.enter_async_context(_running(loaded, vendors, worker))

        yield opened


@asynccontextmanager
async def _running(loaded: LoadedSettings, vendors: Vendors, worker: bool) -> AsyncIterator[House]:
    async with open_gateway(loaded) as gateway:
        house = House(gateway, vendors)
        server = loaded.gateway.server
        listening = listening_socket(server.host, server.port)
        house.tasks.append(asyncio.create_task(serve(build_api(gateway), listening, house.stop)))
        if worker:
            house.work()
        try:
            yield house
        finally:
            await house.close()


def _configuration(
    vendors: Vendors, database: dict[str, Any], directory: Path, settle: float, ehr: dict[str, Any]
) -> LoadedSettings:
    port = _free_port()
    links = vendors.links
    billing = {**links["billing"].settings, **FAST, "settle_seconds": settle, "learn_rate_gaps": False}
    clinic = {
        **_plain(vendors.day.clinic),
        "ehr": {"ehr": {"adapter": "smart_fhir", "settings": {**links["ehr"].settings, **FAST, **ehr}}},
        "billing": {"billing": {"adapter": "kareo_tebra", "settings": billing}},
    }
    host = quote(str(database["host"]), safe="")
    configuration = {
        "clinics": {CLINIC: clinic},
        "server": {"port": port, "public_url": f"http://127.0.0.1:{port}"},
        "workers": {"retry_base_seconds": 0.02, "retry_cap_seconds": 0.2},
        "database": {
            "url": f"postgresql://{database['user']}@/{database['database']}?host={host}&port={database['port']}"
        },
    }
    path = directory / f"gateway-{port}.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return load_settings(path, {**links["ehr"].secrets, **links["billing"].secrets})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Decimal) else value


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def ledgers() -> Callable[[House], Awaitable[Outcome]]:
    """Compares the three ledgers."""
    return compare


@pytest.fixture
async def cut_sessions(
    server: dict[str, Any], database: dict[str, Any]
) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """Ends sessions of the test's database on the server's side, as a restart of Postgres would; tells how many."""
    administrator = await asyncpg.connect(**server)

    async def cut(which: str = "true") -> int:
        ended = await administrator.fetchval(
            f"select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1 and ({which})",
            database["database"],
        )
        return int(ended)

    yield cut
    await administrator.close()
