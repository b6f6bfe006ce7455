"""The real processes that benchmarks measure: `gateway sandbox`, `gateway run` and its embedded Postgres over loopback
HTTP, in a temporary directory of their own, all ended and removed at the end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from gateway.app import Database
from gateway.canonical.errors import ConfigurationError
from gateway.sandbox.directory import DemoDirectory
from gateway.sandbox.plan import CLINIC_ID, SandboxPlan
from gateway.sandbox.processes import Child
from gateway.sandbox.report import settled
from gateway.sandbox.waiting import is_ready, is_subscribed, until
from gateway.settings import load_settings
from gateway.store.postgres import PostgresStore

STALL_SECONDS = 60.0
SETTLE_POLL_SECONDS = 0.25
PREFIX = "gateway-benchmark-"
# Neither another database nor a tracing endpoint of the caller's environment may change what is measured.
ISOLATED = {"GATEWAY_DATABASE_URL": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}


@dataclass(frozen=True, slots=True)
class Rig:
    """A gateway that runs between both simulators. `store` reads what it has recorded."""

    urls: dict[str, str]
    sandbox: Child
    gateway: Child
    store: PostgresStore
    http: httpx.AsyncClient

    async def sign(self, count: int, rate: float) -> None:
        """Sign off `count` encounters at the EHR, evenly spaced at `rate` a second."""
        started = time.monotonic()
        for i in range(count):
            await asyncio.sleep(max(0.0, started + i / rate - time.monotonic()))
            answer = await self.http.post(f"{self.urls['ehr']}/_sim/sign", json={"count": 1})
            answer.raise_for_status()

    async def settled(self, total: int) -> None:
        """Return when the first `total` signed encounters are submitted or held; raises when none comes forward."""
        before, moved_at = -1, time.monotonic()
        while (now := await self._settled_now()) < total:
            if now != before:
                before, moved_at = now, time.monotonic()
            if self.gateway.ended is not None or time.monotonic() - moved_at > STALL_SECONDS:
                raise ConfigurationError("the gateway", f"stopped at {now} of {total}.", self.gateway.last_words())
            await asyncio.sleep(SETTLE_POLL_SECONDS)

    async def _settled_now(self) -> int:
        return settled(await self.store.report("encounters", CLINIC_ID), (await self.ledger("ehr"))["signed"])

    async def ledger(self, side: str) -> dict[str, Any]:
        """What a simulator ("ehr", "billing") holds and counted."""
        answer = await self.http.get(f"{self.urls[side]}/_sim/ledger")
        answer.raise_for_status()
        return dict(answer.json())

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement over the clinic ($1), for what the store's own reports do not show."""
        async with self.store.acquire() as connection:
            return [dict(row) for row in await connection.fetch(statement, CLINIC_ID)]

    async def postgres_version(self) -> str:
        """The server's own."""
        async with self.store.acquire() as connection:
            return str(await connection.fetchval("show server_version"))


@asynccontextmanager
async def open_rig(plan: SandboxPlan) -> AsyncIterator[Rig]:
    """Simulators, gateway and Postgres, ready and subscribed; raises `ConfigurationError` when they do not start."""
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        directory = DemoDirectory(Path(name))
        sandbox = Child(plan.command(directory.path), directory.path / "sandbox.log", ISOLATED)
        try:
            await sandbox.start()
            urls = await until("the simulators", sandbox, directory.urls)
            async with _open_gateway(directory, urls, sandbox) as rig:
                yield rig
        finally:
            await sandbox.stop()


@asynccontextmanager
async def _open_gateway(directory: DemoDirectory, urls: dict[str, str], sandbox: Child) -> AsyncIterator[Rig]:
    environment = {**directory.secrets(), **ISOLATED}
    loaded = load_settings(directory.configuration, {**os.environ, **environment})
    database = Database(loaded)
    store = PostgresStore(database.connect_arguments, max_connections=2)
    gateway = gateway_child(directory.path, environment)
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            await gateway.start()
            await until("the gateway", gateway, lambda: is_ready(http, urls["gateway"]))
            await store.open()
            await until("the subscription at the EHR", gateway, lambda: is_subscribed(store))
            yield Rig(urls, sandbox, gateway, store, http)
        finally:
            await store.close()  # before the gateway, which owns the server
            await gateway.stop()
            await database.close()


def gateway_child(directory: Path, environment: dict[str, str]) -> Child:
    """`gateway run` over the gateway.yaml of a directory, not started yet."""
    arguments = ["run", "--config", str(directory / "gateway.yaml")]
    return Child(arguments, directory / "gateway.log", {**environment, **ISOLATED})
