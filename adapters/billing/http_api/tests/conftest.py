"""Settings, claims and a running simulator of Acme Billing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import yaml

from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.simulator import build
from gateway.kit.contract_support import simulator_running
from gateway.kit.samples import directory

CREDENTIALS = {"client_id": "acme client", "client_secret": "s3cret+/= demo"}


@pytest.fixture
def acme_description() -> dict[str, Any]:
    """A fresh description of Acme, to be changed by a test."""
    found: dict[str, Any] = yaml.safe_load(acme())
    return found


@pytest.fixture(scope="session")
def plain_settings() -> Callable[[str], dict[str, Any]]:
    """Plain settings of a connection to a simulator's address."""

    def settings(url: str) -> dict[str, Any]:
        return {"base_url": url, **CREDENTIALS, "description": yaml.safe_load(acme()), "timeout_seconds": 0.4}

    return settings


@pytest.fixture(scope="session")
def simulator_address() -> Iterator[str]:
    """A simulator of the practice of the ten sample claims."""
    with simulator_running(build, credentials=CREDENTIALS, data=directory()) as url:
        yield url


@pytest.fixture
def simulator_url(simulator_address: str) -> str:
    """The simulator, emptied."""
    httpx.post(f"{simulator_address}/_sim/reset").raise_for_status()
    return simulator_address
