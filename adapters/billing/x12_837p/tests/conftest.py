"""Settings of every delivery, a running simulator, and the referees of the syntax."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from adapters.billing.x12_837p.interchange import Writer
from adapters.billing.x12_837p.settings import X12Settings
from adapters.billing.x12_837p.simulator import build, connection_over
from gateway.kit.contract_support import contract_context, simulator_running
from gateway.kit.samples import directory
from gateway.kit.simulator import SimulatorOptions, free_ports

OWN = {"submitter_id": "GWSUBMIT", "receiver_id": "CLRHOUSE", "contact_phone": "8135550100", "usage": "T"}
ON_FILE = ["PCN88001"]


@pytest.fixture(scope="session")
def settings() -> X12Settings:
    """Settings for the pure parts."""
    folders = {"outgoing": "out", "incoming": "in"}
    return X12Settings.model_validate({"delivery": "folder", "folder": folders, **OWN})


@pytest.fixture(scope="session")
def writer(settings: X12Settings) -> Writer:
    """The writer of a made-up clinic."""
    context = contract_context()
    return Writer(settings, context.clinic, context.connection)


@dataclass(frozen=True)
class Sandbox:
    """A running simulator: its control address, and its plain settings by delivery."""

    url: str
    options: SimulatorOptions

    def settings(self, delivery: str) -> dict[str, Any]:
        """Plain settings of a connection, secrets filled in, with a short timeout."""
        made = connection_over(delivery, self.options)
        secrets = {f"env:{name}": value for name, value in made.secrets.items()}
        channel = {k: secrets.get(v, v) if isinstance(v, str) else v for k, v in made.settings[delivery].items()}
        return {**OWN, **made.settings, delivery: channel, "timeout_seconds": 0.5}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A simulator of the practice that the ten sample claims belong to, serving as long as the tests run."""
    data = {**directory(), "claims_on_file": ON_FILE}
    ports, folder = free_ports(1), tmp_path_factory.mktemp("clearinghouse")
    with simulator_running(build, credentials={}, data=data, ports=ports, directory=folder) as url:
        yield Sandbox(url, SimulatorOptions(base_url=url, pace=0.0, data=data, ports=ports, directory=folder))


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """The simulator, emptied."""
    httpx.post(f"{running.url}/_sim/reset").raise_for_status()
    return running


@pytest.fixture(scope="session")
def golden() -> Callable[[str], pathlib.Path]:
    """Where a delivery's golden files lie."""
    return lambda name: pathlib.Path(__file__).parent / name
