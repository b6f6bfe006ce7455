"""Settings, sample claims, and a running simulator of the samples' practice."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from adapters.billing.advancedmd.adapter import AdvancedMd
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.simulator import LOGIN_PATH, build
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.samples import directory
from gateway.ports.context import AdapterContext

CREDENTIALS = {"username": "APIUSER", "password": "pw-demo-<&>-7", "office_key": "990001", "app_name": "FHIRGW"}
Connect = Callable[..., AdvancedMd]


@pytest.fixture(scope="session")
def plain_settings() -> Callable[[str], dict[str, Any]]:
    """Plain settings of a connection to a simulator's address."""

    def settings(url: str) -> dict[str, Any]:
        return {
            "login_url": f"{url}{LOGIN_PATH}",
            **CREDENTIALS,
            "allowed_hosts": ["127.0.0.1"],
            "profiles": {"1679576722": "prof3"},
            "carriers": {"60054": "40881"},
            "throttle_scale": 0,
            "settle_seconds": 0,
            "timeout_seconds": 0.4,
        }

    return settings


@pytest.fixture(scope="session")
def settings(plain_settings: Callable[[str], dict[str, Any]]) -> AdvancedMdSettings:
    """Settings for the pure parts."""
    return AdvancedMdSettings.model_validate(plain_settings("http://127.0.0.1:9"))


@pytest.fixture(scope="session")
def simulator_address() -> Iterator[str]:
    """A simulator of the practice that the ten sample claims belong to, serving as long as the tests run."""
    with simulator_running(build, credentials=CREDENTIALS, data=directory()) as url:
        yield url


@pytest.fixture
def simulator_url(simulator_address: str) -> str:
    """The simulator, emptied."""
    httpx.post(f"{simulator_address}/_sim/reset").raise_for_status()
    return simulator_address


@pytest.fixture
def simulator(simulator_url: str) -> Iterator[Simulator]:
    """The simulator's control routes."""
    with httpx.Client(base_url=simulator_url) as client:
        yield Simulator(client)


@pytest.fixture
def context() -> AdapterContext:
    """One gateway's context: adapters that are opened with it share locks and values."""
    return contract_context()


@pytest.fixture
async def connect(
    simulator_url: str, plain_settings: Callable[[str], dict[str, Any]], context: AdapterContext
) -> AsyncIterator[Connect]:
    """Open adapters (workers) that are closed after the test; settings can be changed by name."""
    opened: list[AdvancedMd] = []

    def connected(with_context: AdapterContext = context, **changes: Any) -> AdvancedMd:
        values = AdvancedMdSettings.model_validate({**plain_settings(simulator_url), **changes})
        opened.append(AdvancedMd(values, with_context))
        return opened[-1]

    yield connected
    for adapter in opened:
        await adapter.aclose()


@pytest.fixture
def submission_ids() -> Iterator[str]:
    """Submission ids, each once."""
    return (f"GW{number}" for number in itertools.count(1))
