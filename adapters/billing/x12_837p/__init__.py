"""X12 837P: claims to any clearinghouse or payer as files or over an API. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from adapters.billing.x12_837p import rows
from adapters.billing.x12_837p.adapter import X12Claims
from adapters.billing.x12_837p.places import CARRIED
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical.clinic import ClinicFact
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

ADAPTER = BillingAdapterInfo(
    name="x12_837p",
    title="X12 837P (005010X222A1)",
    docs="https://x12.org/products/technical-reports",
    settings=X12Settings,
    capabilities=frozenset(
        {
            BillingCapability.FIND_SUBMISSION,
            BillingCapability.INBOUND_OUTCOME,
            BillingCapability.CORRECT,
            BillingCapability.VOID,
            BillingCapability.SECONDARY_PAYER,
            BillingCapability.BATCH,
            BillingCapability.REPEAT,
        }
    ),
    open=X12Claims,
    simulator="adapters.billing.x12_837p.simulator",
    settle_seconds=120.0,
    carried=CARRIED,
    rows=rows.TITLED,
    needs=frozenset({ClinicFact.BILLING_ZIP_PLUS_FOUR, ClinicFact.FACILITY_ADDRESS}),
)

__all__ = ["ADAPTER"]
