"""Settings and running simulators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from adapters.billing.fhir_claim.settings import FhirClaimSettings
from adapters.billing.fhir_claim.simulator import build
from gateway.canonical import jsonio
from gateway.kit.contract_support import simulator_running
from gateway.kit.samples import directory

TOKEN = 'static-"token"-5512'
_KEY = ECKey.generate_key("P-384", {"kid": "billing-1", "alg": "ES384", "use": "sig"}, private=True)
PRIVATE_KEY = jsonio.dumps(_KEY.as_dict(private=True)).decode()
CREDENTIALS = {
    "token": TOKEN,
    "user": "clinic-7",
    "password": "pw-demo-<&>-9",
    "client_id": "gateway-7",
    "jwks": jsonio.dumps({"keys": [_KEY.as_dict(private=False)]}).decode(),
}
BEARER = {"auth": "bearer", "token": TOKEN}
BASIC = {"auth": "basic", "user": "clinic-7", "password": CREDENTIALS["password"]}
SMART = {"auth": "smart", "client_id": "gateway-7", "private_key": PRIVATE_KEY, "algorithm": "ES384"}

Plain = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def plain_settings() -> Plain:
    """Plain settings of a connection to a simulator's address, with a way to sign in: bearer, basic or smart."""
    ways = {"bearer": BEARER, "basic": BASIC, "smart": SMART}

    def settings(url: str, auth: str = "bearer", **further: Any) -> dict[str, Any]:
        return {"base_url": f"{url}/fhir", **ways[auth], "timeout_seconds": 0.4, **further}

    return settings


@pytest.fixture(scope="session")
def settings(plain_settings: Plain) -> FhirClaimSettings:
    """Settings for the pure parts."""
    return FhirClaimSettings.model_validate(plain_settings("http://127.0.0.1:9"))


@pytest.fixture(scope="session")
def transaction_settings(plain_settings: Plain) -> FhirClaimSettings:
    """Settings for the pure parts, of a server that stores claims by transaction."""
    return FhirClaimSettings.model_validate(plain_settings("http://127.0.0.1:9", mode="transaction"))


@pytest.fixture(scope="session")
def simulator_address() -> Iterator[str]:
    """A server that knows the payers of the ten samples, serving as long as the tests run."""
    with simulator_running(build, credentials=CREDENTIALS, data=directory()) as url:
        yield url


@pytest.fixture
def simulator_url(simulator_address: str) -> str:
    """The server, emptied."""
    httpx.post(f"{simulator_address}/_sim/reset").raise_for_status()
    return simulator_address
