"""One synthetic visit as DrChrono would hold it, and a running simulator that serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from adapters.ehr.drchrono import ADAPTER
from adapters.ehr.drchrono.simulator import build, connection, new_credentials
from adapters.ehr.drchrono.tests.practice_data import KEY, ZONE, clinic_context, command, objects, record_of, webhook
from gateway.canonical.models import EncounterRecord, NotificationRequest
from gateway.kit.contract_ehr import PagedEhr
from gateway.kit.contract_support import Simulator, simulator_running
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.context import AdapterContext


@pytest.fixture
def data() -> dict[str, list[dict[str, Any]]]:
    """The practice's objects; tests override it."""
    return objects()


@pytest.fixture
def record(data: dict[str, list[dict[str, Any]]]) -> EncounterRecord:
    return record_of(data)


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    return {**new_credentials(0), "timezone": ZONE}


@pytest.fixture
def pace() -> float:
    """No throttles."""
    return 0.0


@pytest.fixture
def knobs() -> dict[str, str]:
    """Further knobs of the simulator."""
    return {}


@contextmanager
def playing(credentials: dict[str, str], data: dict[str, list[dict[str, Any]]], pace: float) -> Iterator[Simulator]:
    """A practice that holds `data`, in which nothing is signed."""
    with (
        simulator_running(build, credentials=credentials, data=data, pace=pace) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield Simulator(client)


@pytest.fixture
def simulator(
    data: dict[str, list[dict[str, Any]]], credentials: dict[str, str], pace: float, knobs: dict[str, str]
) -> Iterator[Simulator]:
    with playing({**credentials, **knobs}, data, pace) as running:
        yield running


@pytest.fixture
async def paged(
    data: dict[str, list[dict[str, Any]]], credentials: dict[str, str], context: AdapterContext
) -> AsyncIterator[PagedEhr]:
    """Three visits, one row a page."""
    keys = [KEY, "301245679", "301245680"]
    visits = [{**data["appointments"][0], "id": key} for key in keys]
    notes = [{**data["clinical_notes"][0], "id": key, "appointment": key} for key in keys]
    several = {**data, "appointments": visits, "clinical_notes": notes}
    with playing({**credentials, "largest_page": "1"}, several, 0.0) as running:
        command(running, "sign", all=True)
        adapter = ADAPTER.open(ADAPTER.settings.model_validate(settings_for(running, credentials)), context)
        yield PagedEhr(adapter, running, frozenset(keys))
        await adapter.aclose()


@pytest.fixture
def signed(simulator: Simulator) -> Simulator:
    """The simulator with its one note locked."""
    command(simulator, "sign", encounter_ids=[KEY])
    return simulator


@pytest.fixture
def settings(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    return settings_for(simulator, credentials)


def settings_for(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    """The simulator's own connection settings, with the secrets filled in."""
    options = SimulatorOptions(str(simulator.client.base_url).rstrip("/"), pace=0, credentials=credentials, data=[])
    offered = connection(options)
    filled = {
        name: offered.secrets[value.removeprefix("env:")] if str(value).startswith("env:") else value
        for name, value in offered.settings.items()
    }
    return {**filled, "list_seconds": 0, "relook_seconds": 300, "max_connections": 8}


@pytest.fixture
def context() -> AdapterContext:
    return clinic_context()


@pytest.fixture
async def opened(settings: dict[str, Any]) -> AsyncIterator[Callable[..., Any]]:
    """Open adapters with changed settings over a context; they are closed after the test."""
    async with AsyncExitStack() as stack:

        def open_(context: AdapterContext, **more: Any) -> Any:
            adapter = ADAPTER.open(ADAPTER.settings.model_validate({**settings, **more}), context)
            stack.push_async_callback(adapter.aclose)
            return adapter

        yield open_


@pytest.fixture
async def ehr(opened: Callable[..., Any], context: AdapterContext) -> Any:
    return opened(context)


@pytest.fixture
def present(context: AdapterContext) -> AdapterContext:
    """A context at the simulator's own time."""
    return replace(context, now=lambda: datetime.now(UTC))


@pytest.fixture
def offline(context: AdapterContext) -> Any:
    """An adapter whose pure methods are used only."""
    settings = ADAPTER.settings(
        client_id="c", client_secret="s", webhook_secret="hook-secret-of-tests", practice_group_id="4455", timezone=ZONE
    )
    return ADAPTER.open(settings, context)


@pytest.fixture
def event(data: dict[str, list[dict[str, Any]]], settings: dict[str, Any]) -> NotificationRequest:
    """The lock of the note."""
    return webhook("CLINICAL_NOTE_LOCK", data["clinical_notes"][0], settings["webhook_secret"])
