"""`gateway demo`: the whole product at work over a simulated clinic day, with real processes, HTTP and Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.app import Database
from gateway.canonical.errors import ConfigurationError, StoreError
from gateway.kit.simulator import FaultKind
from gateway.registry import BILLING_GROUP
from gateway.sandbox.directory import KEPT, DemoDirectory, remove_kept, write_kept
from gateway.sandbox.plan import CLINIC_ID, SandboxPlan, simulator_of
from gateway.sandbox.processes import Child
from gateway.sandbox.report import Ledgers, report, settled
from gateway.sandbox.screen import Screen
from gateway.sandbox.waiting import is_ready, is_subscribed, until
from gateway.settings import load_settings
from gateway.store.postgres import PostgresStore

STALL_SECONDS = 90.0  # no encounter came forward for so long: what is open then counts as lost
REFRESH_SECONDS = 0.2
REFRESH_SECONDS_EACH = 0.0002  # looking at a large day must not slow it down
UNPLANNED_RESTARTS = 3
ISOLATED = {"GATEWAY_DATABASE_URL": ""}  # a demo never touches the database of the real gateway


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `gateway demo` was asked for."""

    plan: SandboxPlan
    rate: float
    json: bool
    kill: int
    directory: Path
    keep: bool
    drop: float = 0.0


@dataclass(slots=True)
class Demo:
    """A running demo."""

    options: DemoOptions
    directory: Path
    urls: dict[str, str]
    secrets: dict[str, str]
    store: PostgresStore
    gateway: Child
    http: httpx.AsyncClient
    signed: int = 0
    kills: list[int] = field(default_factory=list)
    peak_memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that has been played and still runs; `finished` is False after Ctrl-C."""

    demo: Demo
    result: dict[str, Any]
    finished: bool

    @property
    def status(self) -> int:
        """The exit status: 1 when a claim was lost or doubled, 130 after Ctrl-C."""
        if not self.finished:
            return 130
        return 1 if self.result["lost"] or self.result["duplicates"] else 0


async def run_demo(options: DemoOptions) -> int:
    """Run one demo and show what happened; returns its exit status."""
    screen, stop = Screen(to_stderr=options.json), stop_at_signals()
    async with playing(options, screen, stop) as played:
        screen.summary(played.result, as_json=options.json)
        if played.finished and options.keep:
            await _stay(played.demo, screen, stop)
        return played.status


def stop_at_signals() -> asyncio.Event:
    """Set at Ctrl-C and at SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def playing(options: DemoOptions, screen: Screen, stop: asyncio.Event) -> AsyncIterator[Played]:
    """Everything started, all encounters signed and settled; everything stopped and removed at the end."""
    directory = DemoDirectory(options.directory.resolve())
    directory.make()
    sandbox = Child(options.plan.command(directory.path), directory.path / "sandbox.log", {})
    try:
        with screen.step("starting the simulated EHR and billing system"):
            await sandbox.start()
            urls = await until("the simulators", sandbox, directory.urls)
        async with _open_demo(options, directory, urls) as demo:
            yield await _played(demo, screen, stop)
    finally:
        await sandbox.stop()
        remove_kept()
        directory.remove()


@asynccontextmanager
async def _open_demo(options: DemoOptions, directory: DemoDirectory, urls: dict[str, str]) -> AsyncIterator[Demo]:
    secrets = directory.secrets()
    environment = {**secrets, **ISOLATED}
    loaded = load_settings(directory.configuration, {**os.environ, **environment})
    database = Database(loaded)
    store = PostgresStore(database.connect_arguments, max_connections=3)
    gateway = Child(["run", "--config", str(directory.configuration)], directory.path / "gateway.log", environment)
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            yield Demo(options, directory.path, urls, secrets, store, gateway, http)
        finally:
            await store.close()  # before the gateway, which owns the server
            await gateway.stop()
            await database.close()


async def _drop_answers(demo: Demo) -> None:
    """Let the billing simulator break off a share of its answers after it has saved the claim."""
    operation = simulator_of(BILLING_GROUP, demo.options.plan.billing).CREATE_OPERATION
    rule = {"operation": operation, "kind": FaultKind.RESET_AFTER_SAVE, "probability": demo.options.drop}
    body = {"seed": demo.options.plan.seed, "rules": [rule]}
    (await demo.http.post(f"{demo.urls['billing']}/_sim/faults", json=body)).raise_for_status()


async def _played(demo: Demo, screen: Screen, stop: asyncio.Event) -> Played:
    if demo.options.drop:
        await _drop_answers(demo)
    with screen.step("starting Postgres and the gateway"):
        await demo.gateway.start()
        await until("the gateway", demo.gateway, lambda: is_ready(demo.http, demo.urls["gateway"]))
        await demo.store.open()
        await until("the subscription at the EHR", demo.gateway, lambda: is_subscribed(demo.store))
    finished = await _sign_and_watch(demo, screen, stop)
    return Played(demo, await _result(demo), finished)


async def _sign_and_watch(demo: Demo, screen: Screen, stop: asyncio.Event) -> bool:
    """Sign off at the given rate, watch until every encounter has ended; False when interrupted."""
    total = (await _ledger(demo, "ehr"))["encounters"]["total"]
    demo.kills = [round(total * (i + 1) / (demo.options.kill + 1)) for i in range(demo.options.kill)]
    signing = asyncio.create_task(_sign_all(demo, total))
    try:
        with screen.progress(total) as update:
            await _watch(demo, total, update, stop)
    finally:
        signing.cancel()
        with suppress(asyncio.CancelledError):
            await signing
    return not stop.is_set()


async def _sign_all(demo: Demo, total: int) -> None:
    started = time.monotonic()
    while demo.signed < total:
        due = min(total, int((time.monotonic() - started) * demo.options.rate) + 1)
        if due > demo.signed:
            answer = await demo.http.post(f"{demo.urls['ehr']}/_sim/sign", json={"count": due - demo.signed})
            answer.raise_for_status()
            demo.signed = due
        await asyncio.sleep(min(0.5 / demo.options.rate, 0.1))


async def _watch(demo: Demo, total: int, update: Any, stop: asyncio.Event) -> None:
    done, moved_at = 0, time.monotonic()
    while done < total and not stop.is_set() and time.monotonic() - moved_at < STALL_SECONDS:
        await _supervise(demo)
        with suppress(StoreError):
            rows = await demo.store.report("encounters", CLINIC_ID)
            now_done = await _settled(demo, rows) if demo.signed == total else 0
            if now_done != done or demo.signed < total:
                done, moved_at = now_done, time.monotonic()
            update(demo.signed, rows)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), REFRESH_SECONDS + total * REFRESH_SECONDS_EACH)


async def _settled(demo: Demo, rows: list[dict[str, Any]]) -> int:
    return settled(rows, (await _ledger(demo, "ehr"))["signed"])


async def _supervise(demo: Demo) -> None:
    """Kill the gateway as asked; start it again whenever it is gone, as a service manager would."""
    demo.peak_memory_mb = max(demo.peak_memory_mb, demo.gateway.peak_memory_mb() or 0.0)
    if demo.kills and demo.signed >= demo.kills[0]:
        demo.kills.pop(0)
        demo.gateway.kill()
        await demo.gateway.wait()
    if demo.gateway.ended is not None:
        if demo.gateway.starts > demo.options.kill + UNPLANNED_RESTARTS:
            raise ConfigurationError("the gateway", "ended again and again.", demo.gateway.last_words())
        await demo.gateway.start()


async def _result(demo: Demo) -> dict[str, Any]:
    ehr, billing = await _ledger(demo, "ehr"), await _ledger(demo, "billing")
    ledgers = Ledgers(
        signed=ehr["signed"],
        encounters=await demo.store.report("encounters", CLINIC_ID),
        claims=billing["claims"],
        holds=await demo.store.open_holds(CLINIC_ID),
        ehr_calls=sum(ehr["calls"].values()),
        billing_calls=sum(billing["calls"].values()),
        dropped=sum(billing.get("faults", {}).values()),
        audit_events=(await demo.store.report("audit_count", CLINIC_ID))[0]["count"],
    )
    return {
        **report(ledgers),
        "gateway_restarts": demo.gateway.starts - 1,
        "gateway_memory_mb": max(demo.peak_memory_mb, demo.gateway.peak_memory_mb() or 0.0),
    }


async def _ledger(demo: Demo, side: str) -> dict[str, Any]:
    answer = await demo.http.get(f"{demo.urls[side]}/_sim/ledger")
    answer.raise_for_status()
    return dict(answer.json())


async def _stay(demo: Demo, screen: Screen, stop: asyncio.Event) -> None:
    write_kept(
        {
            "urls": {**demo.urls, "health": f"{demo.urls['gateway']}/health/ready"},
            "credentials": demo.secrets,
            "configuration": str(demo.directory / "gateway.yaml"),
            "secrets": str(demo.directory / "sandbox.env"),
            "pids": {"gateway": demo.gateway.pid},
        }
    )
    screen.kept(demo.urls, demo.directory, KEPT)
    while not stop.is_set():
        await _supervise(demo)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
