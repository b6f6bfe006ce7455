"""What the contract tests of all adapters share: a context without waiting, and simulators that run.

Imported only by tests.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn

from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.models import ClaimBundle
from gateway.kit.contract_wire import CONTROL, Spoil, Wire
from gateway.kit.simulator import FaultKind, SimulatorOptions
from gateway.ports.context import AdapterContext

_START_SECONDS = 10.0
_MOST_ENDING = 8
_ending: list[threading.Thread] = []
"""Servers that were told to stop and need a moment for it: the next test does not wait for them."""


@dataclass
class NoPacer:
    """A pacer that never waits and remembers what it was asked."""

    asked: list[tuple[str, float]] = field(default_factory=list)
    spent: list[tuple[str, int, float]] = field(default_factory=list)

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Return at once."""
        self.asked.append((operation, gap_seconds))

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        """Return at once."""
        self.spent.append((budget, calls, window_seconds))


@dataclass
class LocalValues:
    """Shared values of one process; their lifetimes never end."""

    kept: dict[str, bytes] = field(default_factory=dict)

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        return self.kept.get(key)

    async def put(self, key: str, value: bytes, lifetime: timedelta | None = None) -> None:
        """Keep a value."""
        self.kept[key] = value

    async def drop(self, key: str) -> None:
        """Forget a value."""
        self.kept.pop(key, None)


@dataclass
class LocalLock:
    """A lock for one process, by key."""

    held: dict[str, asyncio.Lock] = field(default_factory=dict)

    @asynccontextmanager
    async def __call__(self, key: str) -> AsyncIterator[None]:
        """Hold the lock named `key`."""
        async with self.held.setdefault(key, asyncio.Lock()):
            yield


def contract_context(connection: str = "contract") -> AdapterContext:
    """A context of a made-up clinic in New York, without pacing."""
    biller = BillingProvider(name="Lakeside Dermatology", npi="1234567893", tax_id="123456789")
    clinic = ClinicFacts("contract", "Lakeside Dermatology", ZoneInfo("America/New_York"), biller)
    return AdapterContext(
        clinic, connection, NoPacer(), LocalLock(), LocalValues(), now=lambda: datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
    )


@contextmanager
def simulator_running(
    build: Callable[[SimulatorOptions], Any],
    *,
    credentials: Mapping[str, str],
    data: Any = None,
    pace: float = 0.0,
    ports: tuple[int, ...] = (),
    directory: Path | None = None,
) -> Iterator[str]:
    """Serve a simulator on a free port of this machine, in its own thread; gives its address.

    `ports` (see `free_ports`) and `directory` are for one that does more than HTTP.
    """
    listener = socket.socket()  # the server closes it
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    options = SimulatorOptions(
        base_url=url, pace=pace, credentials=dict(credentials), data=data, ports=ports, directory=directory
    )
    config = uvicorn.Config(Wire(build(options)), log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the simulator did not start")
        time.sleep(0.002)
    try:
        yield url
    finally:
        server.should_exit = True
        _let_end(thread)


def _let_end(thread: threading.Thread) -> None:
    _ending[:] = [other for other in _ending if other.is_alive()] + [thread]
    if len(_ending) > _MOST_ENDING:
        _ending.pop(0).join(_START_SECONDS)


def refused_url() -> str:
    """An address of this machine where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def patient_values(bundle: ClaimBundle) -> set[str]:
    """Names, birth dates, addresses and member ids that must not leave the payload."""
    values: set[str] = set()
    for resource in bundle.resources.values():
        if resource["resourceType"] in ("Patient", "RelatedPerson"):
            for name in resource.get("name", ()):
                values |= {name.get("family", ""), *name.get("given", ())}
            for address in resource.get("address", ()):
                values |= {*address.get("line", ())}
            values.add(resource.get("birthDate", ""))
        elif resource["resourceType"] == "Coverage":
            values.add(resource.get("subscriberId", ""))
    return values - {""}


def member_paths(value: Any) -> list[tuple[Any, ...]]:
    """The keys and indexes that lead to every member of a JSON value, each before what it holds."""
    if not isinstance(value, dict | list):
        return []
    members = value.items() if isinstance(value, dict) else enumerate(value)
    return [path for key, inner in members for path in ((key,), *((key, *below) for below in member_paths(inner)))]


def leaf_names(value: Any, name: str = "") -> Iterator[str]:
    """The element names of all values that are no object: `item[].net.value`, `notes[]`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaf_names(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaf_names(inner, f"{name}[]")
    else:
        yield name


@dataclass(frozen=True, slots=True)
class Simulator:
    """The control routes that every simulator has."""

    client: httpx.Client

    def ledger(self) -> dict[str, Any]:
        """What the vendor holds."""
        answer = self.client.get("/_sim/ledger")
        answer.raise_for_status()
        ledger: dict[str, Any] = answer.json()
        return ledger

    def fail(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        """Fail the next calls of an operation ("*" for any)."""
        rule = {"operation": operation, "kind": kind.value, "times": times}
        self.client.post("/_sim/faults", json={"rules": [rule]}).raise_for_status()

    def spoil(self, spoil: Spoil, **order: Any) -> None:
        """Spoil the answers on their way: all of them, or the next `times`; see `contract_wire`."""
        self.client.post(CONTROL, json={"spoil": spoil.value, **order}).raise_for_status()

    def unspoil(self) -> None:
        """Let answers through as they are."""
        self.client.post(CONTROL, json={}).raise_for_status()

    def reset(self) -> None:
        """Empty the ledger and forget the faults."""
        self.client.post("/_sim/reset").raise_for_status()
