"""FHIR Claim: the canonical claim itself, to any FHIR R4 server. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from adapters.billing.fhir_claim import rows
from adapters.billing.fhir_claim.adapter import FhirClaim
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

ADAPTER = BillingAdapterInfo(
    name="fhir_claim",
    title="FHIR R4 Claim/$submit",
    docs="https://hl7.org/fhir/R4/claim-operation-submit.html",
    settings=FhirClaimSettings,
    capabilities=frozenset(
        {
            BillingCapability.FIND_SUBMISSION,
            BillingCapability.POLL_OUTCOME,
            BillingCapability.CORRECT,
            BillingCapability.VOID,
            BillingCapability.SECONDARY_PAYER,
        }
    ),
    open=FhirClaim,
    simulator="adapters.billing.fhir_claim.simulator",
    settle_seconds=120.0,
    carried=rows.CARRIED,
    rows={
        "Bundle": rows.BUNDLE_ROWS,
        "Parameters (only with submit_body parameters)": rows.PARAMETERS_ROWS,
        "Bundle.entry": rows.ENTRY_ROWS,
        "References (in every resource)": rows.REFERENCE_ROWS,
        "Claim (changed or added)": rows.CLAIM_ROWS,
        "Claim.related (the claim on file)": rows.RELATED_ROWS,
        "Bundle.entry of the Claim (transaction only)": rows.CLAIM_REQUEST_ROWS,
        "Bundle.entry of another resource (transaction only, supporting update)": rows.UPDATE_REQUEST_ROWS,
        "Bundle.entry of another resource (transaction only, supporting create)": rows.CREATE_REQUEST_ROWS,
        "Another resource (transaction only, added)": rows.SHARED_ROWS,
    },
)

__all__ = ["ADAPTER"]
