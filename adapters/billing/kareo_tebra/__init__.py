"""Kareo/Tebra: encounters over the SOAP 2.1 API. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from adapters.billing.kareo_tebra import rows
from adapters.billing.kareo_tebra.adapter import KareoTebra
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

ADAPTER = BillingAdapterInfo(
    name="kareo_tebra",
    title="Kareo / Tebra (SOAP 2.1)",
    docs="https://helpme.tebra.com/Tebra_PM/12_API_and_Integration",
    settings=KareoTebraSettings,
    capabilities=frozenset(
        {
            BillingCapability.FIND_SUBMISSION,
            BillingCapability.POLL_OUTCOME,
            BillingCapability.SECONDARY_PAYER,
            BillingCapability.VOID,
        }
    ),
    open=KareoTebra,
    simulator="adapters.billing.kareo_tebra.simulator",
    settle_seconds=120.0,
    carried={**rows.CARRIED, "Claim.related": "EncounterUpdateStatus of the claim on file (a void; no replacement)"},
    rows={
        "Encounter": (*rows.START_ROWS, *rows.NOTE_ROWS.values(), *rows.ENCOUNTER_ROWS),
        "Service line": rows.LINE_ROWS,
        "Patient": rows.PATIENT_ROWS,
        "Case": (*rows.NAME_ROWS, *rows.CASE_ROWS, *rows.SCENARIO_ROWS),
        "Case of an auto accident": rows.AUTO_ACCIDENT_ROWS,
        "Insurance policy": (*rows.POLICY_ROWS, *rows.PLAN_ROWS),
        "Insured (when it is not the patient)": rows.SUBSCRIBER_ROWS,
        "Provider (looked up when the claim is sent)": tuple(rows.PROVIDER_ROWS.values()),
        "Location (looked up when the claim is sent)": rows.LOCATION_ROWS,
        "Ids of the encounter (added when the claim is sent)": rows.FOUND_ROWS,
        "New patient (added when it is created)": rows.NEW_PATIENT_ROWS,
        "New case and new policy (added when they are created)": rows.NEW_ROWS,
        "Void": rows.VOID_ROWS,
    },
)

__all__ = ["ADAPTER"]
