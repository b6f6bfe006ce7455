"""Any billing system with an API, described in YAML. `ADAPTER` is the fact sheet, with the tables of the example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.billing.http_api.adapter import HttpApi
from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.rows import carried_of, mapping_of, rows_of
from adapters.billing.http_api.settings import HttpApiSettings, described
from gateway.kit.mapping import Row
from gateway.ports.billing import BillingAdapterInfo, BillingCapability

_EXAMPLE = described(acme())
_ROWS: Mapping[str, Sequence[Row]] = rows_of(_EXAMPLE)

ADAPTER = BillingAdapterInfo(
    name="http_api",
    title="Any system with an API, described in YAML",
    docs="adapters/billing/http_api/README.md",
    settings=HttpApiSettings,
    capabilities=frozenset(
        {
            BillingCapability.FIND_SUBMISSION,
            BillingCapability.REPEAT,
            BillingCapability.POLL_OUTCOME,
            BillingCapability.CORRECT,
            BillingCapability.VOID,
            BillingCapability.SECONDARY_PAYER,
        }
    ),
    open=HttpApi,
    simulator="adapters.billing.http_api.simulator",
    settle_seconds=120.0,
    carried=carried_of(_EXAMPLE),
    rows=_ROWS,
    mapping_of=mapping_of,
)

__all__ = ["ADAPTER", "carried_of", "mapping_of", "rows_of"]
