"""Acme PM, a made-up billing system: an example of an adapter that lives outside the gateway, in a package of its own.

Its entry point, in its own pyproject.toml:

    [project.entry-points."gateway.billing_adapters"]
    acme_pm = "acme_pm:ADAPTER"
"""

from acme_pm.adapter import AcmePm, AcmeSettings
from acme_pm.payload import CARRIED, CLAIM_ROWS, LINE_ROWS
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

ADAPTER = BillingAdapterInfo(
    name="acme_pm",
    title="Acme PM (JSON over HTTP)",
    docs="https://acme.example/api",
    settings=AcmeSettings,
    capabilities=frozenset({BillingCapability.FIND_SUBMISSION}),
    open=AcmePm,
    simulator="acme_pm.simulator",
    settle_seconds=30.0,
    carried=CARRIED,
    rows={"Claim": CLAIM_ROWS, "Service line": LINE_ROWS},
)
