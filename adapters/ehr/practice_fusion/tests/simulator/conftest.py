"""A running practice and a client that knows its keys, for the tests beside this file."""

from __future__ import annotations

import csv
import io
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from adapters.ehr.practice_fusion.simulator import build, new_credentials
from gateway.canonical import jsonio
from gateway.kit.contract_support import simulator_running
from gateway.sandbox.clinic_day import generate

PRACTICE = "3f0c0de0-0000-4000-8000-000000000001"
ROOT = f"/fhir/r4/v1/{PRACTICE}"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS = new_credentials(7)
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS384", "use": "sig"}, private=True)


@dataclass
class Practice:
    """HTTP to the simulator, and what a registered app can do there."""

    client: httpx.Client
    base: str

    def sign_assertion(self, key: Any = None, in_seconds: int = 300, **changes: Any) -> str:
        ends = int(time.time()) + in_seconds
        claims = {"iss": "pf-gateway-demo", "sub": "pf-gateway-demo", "aud": f"{self.base}/token", "exp": ends}
        header = changes.pop("header", {})
        claims |= {"jti": secrets.token_hex(16), **changes}
        signer = key or ECKey.import_key(jsonio.loads(KEYS["private_jwk"]))
        algorithm = "RS384" if signer is RSA else "ES384"
        header = {"alg": algorithm, "typ": "JWT", "kid": signer.kid, **header}
        return str(jwt.encode(header, claims, signer, algorithms=[algorithm]))

    def ask(self, scope: str = "system/Encounter.rs", assertion: str = "") -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.sign_assertion(),
        }
        return self.client.post(f"{ROOT}/token", data=form)

    def get(self, path: str, scope: str = "system/Encounter.rs system/Patient.rs", **headers: str) -> httpx.Response:
        token = self.ask(scope).json()["access_token"]
        return self.client.get(f"{ROOT}/{path}", headers={"Authorization": f"Bearer {token}", **headers})

    def order(self, command: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/_sim/{command}", json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def export(self) -> list[dict[str, str]]:
        """The rows of the next superbill file."""
        return list(csv.DictReader(io.StringIO(self.order("export")["content"])))


@pytest.fixture
def rsa() -> RSAKey:
    """The app's second key, registered like the first."""
    return RSA


@pytest.fixture
def knobs() -> dict[str, str]:
    return {}


@pytest.fixture
def pace() -> float:
    return 0.0


@pytest.fixture
def practice(knobs: dict[str, str], pace: float, day: list[dict[str, Any]]) -> Iterator[Practice]:
    jwks = jsonio.loads(KEYS["jwks"])
    jwks["keys"].append(RSA.as_dict(private=False))
    credentials = {**KEYS, "jwks": jsonio.dumps(jwks).decode(), "superbill_seconds": "", **knobs}
    with (
        simulator_running(build, credentials=credentials, data=day, pace=pace) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield Practice(client, f"{url}{ROOT}")


@pytest.fixture(scope="session")
def day() -> list[dict[str, Any]]:
    """A generated clinic day."""
    return generate(seed=3, encounters=6, day=date(2026, 3, 3), error_rate=0.0).resources
