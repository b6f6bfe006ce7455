"""MedicsPremier (ADS): charges as HL7 v2 messages over MLLP or as files. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from adapters.billing.medics_premier import demographics, rows
from adapters.billing.medics_premier.adapter import MedicsPremier
from adapters.billing.medics_premier.layout import arrange
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

_PLAIN = MedicsPremierSettings.model_validate(
    {
        "transport": {"kind": "mllp", "host": "localhost", "port": 6661},
        "sending_facility": "-",
        "receiving_facility": "-",
    }
)

ADAPTER = BillingAdapterInfo(
    name="medics_premier",
    title="MedicsPremier (HL7 v2, ADS API v4)",
    docs="https://www.adsc.com/",
    settings=MedicsPremierSettings,
    capabilities=frozenset(
        {BillingCapability.REPEAT, BillingCapability.INBOUND_OUTCOME, BillingCapability.SECONDARY_PAYER}
    ),
    open=MedicsPremier,
    simulator="adapters.billing.medics_premier.simulator",
    settle_seconds=60.0,
    carried=arrange(_PLAIN).carried,
    rows={
        "MSH message header": rows.MSH_ROWS,
        "EVN event": rows.EVN_ROWS,
        "PID patient": rows.PID_ROWS,
        "PV1 visit": rows.PV1_ROWS,
        "FT1 charge": rows.FT1_ROWS,
        "NTE note of a charge": rows.NTE_ROWS,
        "FT1 payment": rows.PAYMENT_ROWS,
        "DG1 diagnosis": rows.DG1_ROWS,
        "GT1 guarantor": rows.GT1_ROWS,
        "IN1 insurance": rows.IN1_ROWS,
        "ACC accident": rows.ACC_ROWS,
        "API v4 patient": demographics.PATIENT_ROWS,
        "API v4 guarantor": demographics.GUARANTOR_ROWS,
        "API v4 insurance": demographics.INSURANCE_ROWS,
    },
)

__all__ = ["ADAPTER"]
