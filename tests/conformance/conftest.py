"""A gateway's receiving side on a real Postgres, with a FHIR server that notifies it over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from adapters.ehr.smart_fhir import ADAPTER
from adapters.ehr.smart_fhir import simulator as smart_fhir
from gateway.api.server import listening_socket, serve
from gateway.api.webhooks import webhook_router
from gateway.canonical.clinic import ClinicFacts
from gateway.kit.contract_support import LocalLock, LocalValues, NoPacer, Simulator, simulator_running
from gateway.kit.ehr_base import SmartFhirEhr
from gateway.kit.simulator import SimulatorOptions
from gateway.pipeline.context import Pipeline, RetryPolicy
from gateway.pipeline.jobs import run_job
from gateway.pipeline.receive import subscribe_job
from gateway.ports.context import AdapterContext
from gateway.ports.records import SubscriptionRow
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

CLINIC = "clinic-a"
TOPIC = "https://ehr.example.test/topics/encounter-signed"
ENCOUNTERS = tuple(f"e{n}" for n in range(6))
CREDENTIALS = {**smart_fhir.new_credentials(7), "time_scale": "0.002", "topics": TOPIC}


def visits() -> list[dict[str, Any]]:
    kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    return [{"resourceType": "Encounter", "id": e, "status": "finished", "class": kind} for e in ENCOUNTERS]


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    """One simulator for a module's tests, at its own address."""
    with (
        simulator_running(smart_fhir.build, credentials=CREDENTIALS, data=visits()) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield Simulator(client)


@dataclass
class EventHouse:
    """The gateway's receiving side: jobs are run and the clock is moved by hand. Is its own `Connections`."""

    store: PostgresStore
    session: WorkerSession
    clinic: ClinicFacts
    adapter: SmartFhirEhr
    simulator: Simulator
    public_url: str = ""
    ahead: timedelta = timedelta()
    pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        retry = RetryPolicy(base_seconds=0.01)
        self.pipeline = Pipeline(self.store, {CLINIC: self.clinic}, self, retry, self.now)  # type: ignore[arg-type]

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def ehr(self, clinic_id: str, connection: str) -> SmartFhirEhr:
        return self.adapter

    def hook_url(self, clinic_id: str, connection: str) -> str:
        return f"{self.public_url}/hooks/{clinic_id}/{connection}"

    def poll_seconds(self, clinic_id: str, connection: str) -> float:
        return 60.0

    def sign(self, *encounter_ids: str) -> None:
        """Have clinicians sign."""
        self._control("sign", encounter_ids=list(encounter_ids))

    def duplicate(self, encounter_id: str) -> None:
        """Have the server repeat its last notification of an encounter."""
        self._control("duplicate", encounter_id=encounter_id)

    def disturb(self, **what: Any) -> dict[str, Any]:
        """Have the server's subscriptions go wrong."""
        return self._control("subscriptions", **what)

    def _control(self, name: str, **body: Any) -> dict[str, Any]:
        answer = self.simulator.client.post(f"/_sim/{name}", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def send(self, body: Any, *, token: str | None = None, method: str = "POST", path: str = "") -> int:
        """Send a notification as the server would; the status of the answer."""
        secret = token or CREDENTIALS["webhook_secret"]
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}) as client:
            url = self.hook_url(CLINIC, "ehr") + path
            return (await client.request(method, url, **content)).status_code

    async def subscribed(self) -> SubscriptionRow:
        """Subscribe, and wait until the server has made its handshake."""
        await self.care()
        await self.until(self._shaken_hands, "the handshake")
        await self.care()
        (row,) = await self.rows()
        return row

    async def _shaken_hands(self) -> bool:
        (row,) = await self.rows()
        told = await self.adapter.subscription_status(row.id)
        return told.status.value == "active" and (row.heard_at is not None or not row.counts)

    async def care(self) -> None:
        """Run the job that looks after subscriptions."""
        await self.store.ensure_job(CLINIC, subscribe_job("ehr"))
        await self.run("subscribe")

    async def run(self, kind: str) -> None:
        """Run the waiting job of a kind now, and no other."""
        due = "case when kind = $1 then clock_timestamp() else clock_timestamp() + interval '1 hour' end"
        async with self.store.acquire() as connection:
            await connection.execute(f"update job set run_at = {due} where owner is null", kind)
        for job in await self.session.claim(10):
            await run_job(self.pipeline, job, None)
            self.session.release(job)

    async def rows(self) -> list[SubscriptionRow]:
        return await self.store.subscriptions(CLINIC, "ehr")

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        async with self.store.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(text)]

    async def inbox(self) -> list[str]:
        """The encounters that were kept, each as often as it has a job that waits."""
        rows = await self.query(
            "select arguments::jsonb ->> 'encounter_id' from job where kind = 'normalize' order by 1"
        )
        return [row[0].removeprefix("ehr.") for row in rows]

    async def poll_due(self) -> bool:
        """Whether a poll is asked for."""
        return bool(await self.query("select 1 from feed_cursor where poll_asked"))

    async def steps(self) -> list[str]:
        """The steps of the audit so far."""
        return [row[0] for row in await self.query("select step from audit_event order by recorded, id")]

    async def until(self, reached: Callable[[], Awaitable[Any]], what: str) -> None:
        """Wait for what happens in the simulator's own time."""
        for _ in range(2000):
            if await reached():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{what} did not happen in time")

    async def number(self, last: int) -> None:
        """Wait until an event number has been heard of."""

        async def reached() -> bool:
            return any(row.last_number is not None and row.last_number >= last for row in await self.rows())

        await self.until(reached, f"event {last}")

    async def received(self, *encounter_ids: str) -> None:
        """Wait until exactly these encounters are kept."""

        async def reached() -> bool:
            return set(await self.inbox()) == set(encounter_ids)

        await self.until(reached, f"the news of {encounter_ids}")


OpenEvents = Callable[..., Any]


@pytest.fixture
def events(
    running: Simulator, store: PostgresStore, session: WorkerSession, clinic: ClinicFacts
) -> Iterator[OpenEvents]:
    """Opens a house: `style` "backport" or "r4", and further settings of the connection."""

    @asynccontextmanager
    async def opened(style: str = "backport", **more: Any) -> AsyncIterator[EventHouse]:
        running.reset()
        link = smart_fhir.connection(
            SimulatorOptions(str(running.client.base_url).rstrip("/"), credentials=CREDENTIALS)
        )
        secrets = {"private_key": CREDENTIALS["private_jwk"], "webhook_secret": CREDENTIALS["webhook_secret"]}
        chosen = {"subscription": style, "subscription_topic": TOPIC, **more}
        settings = ADAPTER.settings(**{**link.settings, **secrets, **chosen})
        context = AdapterContext(clinic, "ehr", NoPacer(), LocalLock(), LocalValues())
        adapter: Any = ADAPTER.open(settings, context)
        house = EventHouse(store, session, clinic, adapter, running)
        async with _hook(house):
            yield house
        await adapter.aclose()

    yield opened
    running.reset()


@asynccontextmanager
async def _hook(house: EventHouse) -> AsyncIterator[None]:
    """The webhook's address, served."""
    app = FastAPI()
    app.include_router(webhook_router(house.pipeline, max_body_bytes=100_000))
    listening = listening_socket("127.0.0.1", 0)
    house.public_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, stop))
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.ConnectError):
                await client.get(house.public_url)
                break
            await asyncio.sleep(0.005)
    try:
        yield
    finally:
        stop.set()
        await serving
