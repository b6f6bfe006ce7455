"""AdvancedMD: visits with charges over the XMLRPC message API. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from adapters.billing.advancedmd import notes, rows
from adapters.billing.advancedmd.adapter import AdvancedMd
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

ADAPTER = BillingAdapterInfo(
    name="advancedmd",
    title="AdvancedMD (XMLRPC message API)",
    docs="https://www.advancedmd.com",
    settings=AdvancedMdSettings,
    capabilities=frozenset(
        {
            BillingCapability.FIND_SUBMISSION,
            BillingCapability.POLL_OUTCOME,
            BillingCapability.CORRECT,
            BillingCapability.SECONDARY_PAYER,
        }
    ),
    open=AdvancedMd,
    simulator="adapters.billing.advancedmd.simulator",
    settle_seconds=120.0,
    carried=rows.CARRIED,
    rows={
        "Visit": rows.VISIT_ROWS,
        "Visit note": notes.NOTE_ROWS,
        "Charge": rows.CHARGE_ROWS,
        "Charge, from the connection": rows.BILLING_ROWS,
        "Profile": rows.PROFILE_ROWS,
        "Facility": rows.FACILITY_ROWS,
        "Carrier": rows.PAYER_ROWS,
        "Patient and subscriber": rows.PATIENT_ROWS,
        "Insurance plan": rows.COVERAGE_ROWS,
    },
)

__all__ = ["ADAPTER"]
