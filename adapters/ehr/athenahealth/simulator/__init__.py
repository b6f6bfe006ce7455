"""athenahealth in one process, for the sandbox and the tests: the v1 API, its feeds, FHIR R4 and event subscriptions.

Written from the vendor document; the numbers in parentheses are its sections. One practice, seeded from the clinic day.
Encounters are open and their patients checked in until `POST /_sim/sign` checks them out and closes them.

Knobs in `options.credentials`, all strings: client_id, client_secret, jwks (JSON text of public keys; clients may then
sign instead), other_client_id and other_client_secret (a second API key, with its own place in the feeds), practice_id,
scopes, tokens_per_minute (5 in preview, 50 in production; 0: no limit), calls_per_second (0: no limit), calls_per_day,
largest_page, spurious_403 (every so many calls one is refused for nothing; 0: never), push ("true": the sandbox
connects by event subscriptions too). `options.pace` scales calls and tokens per time, the activation delay of feeds,
and retries.
"""

from __future__ import annotations

import secrets
from typing import Any

from joserfc.jwk import ECKey

from adapters.ehr.athenahealth.simulator.app import DEFAULTS, AthenaSimulator
from adapters.ehr.athenahealth.simulator.feeds import ACTIVATION_SECONDS
from gateway.canonical import jsonio
from gateway.kit.simulator import SandboxConnection, SimulatorOptions

__all__ = ["AthenaSimulator", "build", "connection", "new_credentials"]


def new_credentials(seed: int) -> dict[str, str]:
    """A fresh registration: client_id, client_secret, webhook_secret, private_jwk and jwks (JSON texts, P-384)."""
    key = ECKey.generate_key("P-384", {"kid": f"sandbox-{seed}", "alg": "ES384", "use": "sig"}, private=True)
    return {
        "client_id": DEFAULTS["client_id"],
        "client_secret": secrets.token_urlsafe(24),
        "webhook_secret": secrets.token_urlsafe(24),
        "private_jwk": jsonio.dumps(key.as_dict(private=True)).decode(),
        "jwks": jsonio.dumps({"keys": [key.as_dict(private=False)]}).decode(),
    }


def build(options: SimulatorOptions) -> AthenaSimulator:
    """The simulator as an ASGI application that answers under `options.base_url`."""
    return AthenaSimulator(options)


def connection(options: SimulatorOptions) -> SandboxConnection:
    """How a clinic's connection reaches this simulator, as the default of the product does: by the feed."""
    knobs = {**DEFAULTS, **options.credentials}
    settings: dict[str, Any] = {
        "host": options.base_url,
        "practice_id": knobs["practice_id"],
        "client_id": knobs["client_id"],
        "client_secret": "env:ATHENAHEALTH_CLIENT_SECRET",
        "webhook_secret": "env:ATHENAHEALTH_WEBHOOK_SECRET",
        "push": knobs["push"] == "true",
        "poll_seconds": 1,
        "settle_seconds": 0,
        "watch_seconds": 60 * options.pace,
        "activation_seconds": 2 + 2 * ACTIVATION_SECONDS * options.pace,
        "calls_per_second": int(float(knobs["calls_per_second"]) / options.pace) if options.pace else 0,
    }
    kept = {
        "ATHENAHEALTH_CLIENT_SECRET": knobs["client_secret"],
        "ATHENAHEALTH_WEBHOOK_SECRET": knobs["webhook_secret"],
    }
    return SandboxConnection(settings, kept)
