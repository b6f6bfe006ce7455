"""MedicsPremier (ADS): charges as HL7 v2 messages over MLLP or as files. `ADAPTER` is the fact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.billing.medics_premier import demographics, rows
from adapters.billing.medics_premier.adapter import MedicsPremier
from adapters.billing.medics_premier.layout import arrange
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from gateway.kit.mapping import Row
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

_PLAIN = MedicsPremierSettings.model_validate(
    {
        "transport": {"kind": "mllp", "host": "localhost", "port": 6661},
        "sending_facility": "-",
        "receiving_facility": "-",
    }
)
_TITLES = {
    "MSH": "MSH message header",
    "EVN": "EVN event",
    "PID": "PID patient",
    "PV1": "PV1 visit",
    "FT1": "FT1 charge",
    "NTE": "NTE note of a charge",
    "DG1": "DG1 diagnosis",
    "GT1": "GT1 guarantor",
    "IN1": "IN1 insurance",
    "ACC": "ACC accident",
}
_PAYMENT = {"FT1 payment (only with payment_code)": rows.PAYMENT_ROWS}
_API_V4 = {
    "API v4 patient (only with demographics api_v4)": demographics.PATIENT_ROWS,
    "API v4 guarantor (only with demographics api_v4)": demographics.GUARANTOR_ROWS,
    "API v4 insurance (only with demographics api_v4)": demographics.INSURANCE_ROWS,
}


def mapping_of(settings: MedicsPremierSettings) -> tuple[Mapping[str, str], Mapping[str, Sequence[Row]]]:
    """What a connection carries, and the rows of its own messages: with its overrides and Z segments."""
    layout = arrange(settings)
    tables = {_TITLES.get(name, f"{name} segment of the site"): of for name, of in layout.rows.items()}
    payment = _PAYMENT if settings.payment_code else {}
    return layout.carried, {**tables, **payment, **(_API_V4 if settings.demographics == "api_v4" else {})}


_CARRIED, _ROWS = mapping_of(_PLAIN)

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
    carried=_CARRIED,
    rows={**_ROWS, **_PAYMENT, **_API_V4},
    mapping_of=mapping_of,
)

__all__ = ["ADAPTER", "mapping_of"]
