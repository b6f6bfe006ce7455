"""The composition root: the only module that imports everything and wires it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway.canonical.errors import ConfigurationError, StoreError
from gateway.connections import OpenConnections, open_connections
from gateway.pipeline.context import Pipeline, RetryPolicy
from gateway.pipeline.receive import poll_job, subscribe_job
from gateway.pipeline.reconcile import reconcile_job
from gateway.pipeline.superbill import superbills_job
from gateway.pipeline.worker import Worker
from gateway.pipeline.write_back import write_back_job
from gateway.ports.billing import BillingCapability
from gateway.ports.ehr import EhrCapability
from gateway.settings import LoadedSettings
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.migrate import migrate
from gateway.store.postgres import CANNOT_START, PostgresStore
from gateway.store.queue import WorkerSession
from gateway.superbill_intake import close_superbills, open_superbills
from gateway.telemetry import Tracer

log = logging.getLogger(__name__)

SCHEDULE_SECONDS = 30.0


@dataclass(slots=True)
class Gateway:
    """An open gateway: its store, its connections and its pipeline."""

    loaded: LoadedSettings
    store: PostgresStore
    session: WorkerSession
    connections: OpenConnections
    pipeline: Pipeline


class Database:
    """Gives connect arguments; with the embedded server it makes sure first that the server runs.

    An embedded server dies with the process that owns it, and the next process that needs it starts it again. Linux
    ties that to the thread which started it, hence a thread that lives as long as the process.
    """

    def __init__(self, loaded: LoadedSettings) -> None:
        self._url = loaded.database_url
        self._embedded = None if self._url else EmbeddedPostgres(loaded.directory, binaries=loaded.postgres_binaries)
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgres-keeper")

    async def connect_arguments(self) -> dict[str, Any]:
        """For `asyncpg.connect`."""
        if self._embedded is None:
            return {"dsn": self._url}
        await asyncio.get_running_loop().run_in_executor(self._keeper, self._embedded.ensure)
        return self._embedded.connect_arguments()

    async def close(self) -> None:
        """Stop the embedded server when this process owns it."""
        if self._embedded is not None:
            await asyncio.get_running_loop().run_in_executor(self._keeper, self._embedded.stop)
        self._keeper.shutdown()


@asynccontextmanager
async def open_gateway(loaded: LoadedSettings) -> AsyncIterator[Gateway]:
    """Open the store (migrated), the connections and the pipeline; close them again."""
    database = Database(loaded)
    store = PostgresStore(database.connect_arguments, max_connections=loaded.gateway.database.max_connections)
    session = WorkerSession(store)
    connections = open_connections(loaded, store, session.lock)  # a mistake in them starts no Postgres
    workers = loaded.gateway.workers
    retry = RetryPolicy(workers.retry_base_seconds, workers.retry_cap_seconds, timedelta(hours=workers.give_up_hours))
    clinics = {clinic_id: clinic.facts(clinic_id) for clinic_id, clinic in loaded.gateway.clinics.items()}
    tracer = Tracer()
    superbills = open_superbills(loaded)
    pipeline = Pipeline(store, clinics, connections, retry, span=tracer.span, superbills=superbills)
    try:
        await migrate_database(store)
        await store.open()
        yield Gateway(loaded, store, session, connections, pipeline)
    finally:
        tracer.close()
        await connections.aclose()
        await close_superbills(superbills)
        await session.close()
        await store.close()
        await database.close()


async def migrate_database(store: PostgresStore) -> list[int]:
    """Apply the migrations that are missing; raises `ConfigurationError` when Postgres cannot be used."""
    try:
        connection = await store.connect()
    except CANNOT_START as problem:
        raise ConfigurationError(
            "GATEWAY_DATABASE_URL",
            f"Postgres cannot be reached with it ({type(problem).__name__}).",
            "Check host, port, database, user and password; leave it empty to use the embedded server.",
        ) from None
    try:
        return await migrate(connection)
    finally:
        await connection.close()


def build_api(gateway: Gateway) -> Any:
    """The ASGI application."""
    from fastapi import FastAPI  # noqa: PLC0415  (a worker alone needs no web framework)

    from gateway.api.health import health_router  # noqa: PLC0415
    from gateway.api.keys import key_router  # noqa: PLC0415
    from gateway.api.superbills import superbill_router  # noqa: PLC0415
    from gateway.api.webhooks import webhook_router  # noqa: PLC0415

    app = FastAPI(title="FHIR billing gateway", docs_url=None, redoc_url=None)
    app.include_router(webhook_router(gateway.pipeline, gateway.loaded.gateway.server.max_body_bytes))
    app.include_router(key_router(gateway.pipeline))
    app.include_router(superbill_router(gateway.pipeline))
    app.include_router(health_router(gateway.store.check))
    return app


def build_worker(gateway: Gateway) -> Worker:
    """The worker of this process."""
    return Worker(gateway.pipeline, gateway.session, concurrency=gateway.loaded.gateway.workers.concurrency)


async def run(loaded: LoadedSettings, *, api: bool, worker: bool) -> None:
    """Run the API, the workers, or both in this process until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = _listen(loaded) if api else None  # before anything else is opened: a taken address ends the start
    async with open_gateway(loaded) as gateway:
        parts = [_keep_schedule(gateway, stop)]
        if listening is not None:
            parts.append(_serve(gateway, listening, stop))
        if worker:
            parts.append(build_worker(gateway).run(stop))
        tasks = [asyncio.create_task(part) for part in parts]
        keep_what_is_loaded()
        log.info("ready", extra={"api": api, "worker": worker})
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


def keep_what_is_loaded() -> None:
    """Take modules and tables out of the garbage collector's sight: walking them stops the loop for 50 ms at times."""
    gc.collect()
    gc.freeze()


def _listen(loaded: LoadedSettings) -> socket.socket:
    from gateway.api.server import listening_socket  # noqa: PLC0415

    return listening_socket(loaded.gateway.server.host, loaded.gateway.server.port)


async def _serve(gateway: Gateway, listening: socket.socket, stop: asyncio.Event) -> None:
    from gateway.api.server import serve  # noqa: PLC0415

    await serve(build_api(gateway), listening, stop)


async def _keep_schedule(gateway: Gateway, stop: asyncio.Event) -> None:
    """Make sure that every feed has its poll job, and ask EHRs for notifications anew at each start."""
    first = True
    while not stop.is_set():
        try:
            await _schedule(gateway, subscribe=first)
            first = False
        except StoreError as problem:
            log.warning("store away", extra={"error": str(problem)})
        try:
            await asyncio.wait_for(stop.wait(), SCHEDULE_SECONDS if not first else 1.0)
        except TimeoutError:
            continue


async def _schedule(gateway: Gateway, *, subscribe: bool) -> None:
    await _schedule_feeds(gateway, subscribe=subscribe)
    for clinic_id, link in gateway.pipeline.superbills.items():
        if link.place is not None:
            await gateway.store.ensure_job(clinic_id, superbills_job(link.connection))
    learning = {BillingCapability.POLL_OUTCOME, BillingCapability.INBOUND_OUTCOME}
    for clinic_id, name in gateway.connections.billing_connections():
        if learning & gateway.connections.billing_info(clinic_id, name).capabilities:
            await gateway.store.ensure_job(clinic_id, reconcile_job(name))


async def _schedule_feeds(gateway: Gateway, *, subscribe: bool) -> None:
    for clinic_id, name in gateway.connections.ehr_connections():
        capabilities = gateway.connections.ehr_info(clinic_id, name).capabilities
        if EhrCapability.POLL in capabilities and gateway.connections.poll_seconds(clinic_id, name) > 0:
            await gateway.store.ensure_job(clinic_id, poll_job(name))
        if gateway.connections.writes_back(clinic_id, name):
            await gateway.store.ensure_job(clinic_id, write_back_job(name))
        if subscribe and EhrCapability.SUBSCRIBE in capabilities and gateway.connections.public_url:
            await gateway.store.subscribe_anew(clinic_id, subscribe_job(name))
