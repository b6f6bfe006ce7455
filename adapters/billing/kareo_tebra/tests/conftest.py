"""Claims, settings, a running simulator and adapters that are connected to it."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from adapters.billing.kareo_tebra.adapter import KareoTebra
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from adapters.billing.kareo_tebra.simulator import build
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.samples import SAMPLES, directory, sample
from gateway.ports.context import AdapterContext

CLAIMS = pathlib.Path(__file__).parent / "claims"
CREDENTIALS = {"customer_key": "ck-demo-5512", "user": "api@example.test", "password": "pw-demo-<&>"}
PATH = "/services/soap/2.1/KareoServices.svc"


@pytest.fixture(scope="session")
def load_claim() -> Callable[[str], ClaimBundle]:
    """A fresh bundle by name: one of the ten samples, or one of the claims of this folder, which hold more traps."""

    def load(name: str) -> ClaimBundle:
        if name in SAMPLES:
            return sample(name)
        found = jsonio.loads((CLAIMS / f"{name}.claim.json").read_bytes())
        return ClaimBundle.of(found["claim"], found["resources"])

    return load


@pytest.fixture(scope="session")
def plain_settings() -> Callable[[str], dict[str, Any]]:
    """Plain settings of a connection to a simulator's address."""

    def settings(url: str) -> dict[str, Any]:
        return {
            "endpoint": f"{url}{PATH}",
            **CREDENTIALS,
            "practice_name": "Lakeside Dermatology",
            "insurance_plans": {
                "60054": {"company_id": 301, "plan_id": 401},
                "87726": {"company_id": 302, "plan_id": 402},
                "09102": {"company_id": 303, "plan_id": 403},
                "25747": {"company_id": 304, "plan_id": 404},
                "BLUE1": {"company_id": 301, "plan_id": 401},
                "PINE1": {"company_id": 302, "plan_id": 402},
            },
            "timeout_seconds": 0.4,
        }

    return settings


@pytest.fixture(scope="session")
def settings(plain_settings: Callable[[str], dict[str, Any]]) -> KareoTebraSettings:
    """Settings for the pure parts."""
    return KareoTebraSettings.model_validate(plain_settings("http://127.0.0.1:9"))


@pytest.fixture(scope="session")
def simulator_address() -> Iterator[str]:
    """A simulator with its own small directory, serving as long as the tests run."""
    with simulator_running(build, credentials=CREDENTIALS) as url:
        yield url


@pytest.fixture
def simulator_url(simulator_address: str) -> str:
    """The simulator, emptied."""
    httpx.post(f"{simulator_address}/_sim/reset").raise_for_status()
    return simulator_address


@pytest.fixture(scope="session")
def samples_address() -> Iterator[str]:
    """A simulator of the practice that the ten sample claims belong to."""
    with simulator_running(build, credentials=CREDENTIALS, data=directory()) as url:
        yield url


@pytest.fixture
def samples_url(samples_address: str) -> str:
    """That simulator, emptied."""
    httpx.post(f"{samples_address}/_sim/reset").raise_for_status()
    return samples_address


@pytest.fixture
def context() -> AdapterContext:
    """What all adapters of a test are opened with: they share locks and values, as workers do."""
    return contract_context()


@pytest.fixture
async def connect_to(
    plain_settings: Callable[[str], dict[str, Any]], context: AdapterContext
) -> AsyncIterator[Callable[..., KareoTebra]]:
    """Open adapters to an address; they are closed after the test."""
    opened = []

    def connected(url: str, **changes: Any) -> KareoTebra:
        settings = KareoTebraSettings.model_validate({**plain_settings(url), **changes})
        opened.append(KareoTebra(settings, context))
        return opened[-1]

    yield connected
    for adapter in opened:
        await adapter.aclose()


@pytest.fixture
def connect(simulator_url: str, connect_to: Callable[..., KareoTebra]) -> Callable[..., KareoTebra]:
    """Open adapters to the simulator of the small directory."""
    return lambda **changes: connect_to(simulator_url, **changes)


@pytest.fixture
def worker(samples_url: str, connect_to: Callable[..., KareoTebra]) -> Callable[..., KareoTebra]:
    """Open adapters to the simulator of the samples' practice."""
    return lambda **changes: connect_to(samples_url, **changes)


@pytest.fixture
def simulator(simulator_url: str) -> Iterator[Simulator]:
    """The control routes of the simulator of the small directory."""
    with httpx.Client(base_url=simulator_url) as client:
        yield Simulator(client)


@pytest.fixture
def tebra(samples_url: str) -> Iterator[Simulator]:
    """The control routes of the simulator of the samples' practice."""
    with httpx.Client(base_url=samples_url) as client:
        yield Simulator(client)
