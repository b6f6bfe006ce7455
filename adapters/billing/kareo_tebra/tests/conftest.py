"""Sample claims, settings and a running simulator."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from adapters.billing.kareo_tebra.simulator import build
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle
from gateway.kit.contract_support import simulator_running
from gateway.kit.samples import directory

GOLDEN = pathlib.Path(__file__).parent / "claims"
CREDENTIALS = {"customer_key": "ck-demo-5512", "user": "api@example.test", "password": "pw-demo-<&>"}
PATH = "/services/soap/2.1/KareoServices.svc"


@pytest.fixture(scope="session")
def load_claim() -> Callable[[str], ClaimBundle]:
    """A fresh bundle of a sample claim by name."""

    def load(name: str) -> ClaimBundle:
        sample = jsonio.loads((GOLDEN / f"{name}.claim.json").read_bytes())
        return ClaimBundle.of(sample["claim"], sample["resources"])

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
