"""Elation: the bill of a signed visit note, read and written over its own API."""

from adapters.ehr.elation import mapping
from adapters.ehr.elation.adapter import ElationEhr
from adapters.ehr.elation.settings import ElationSettings
from gateway.canonical.clinic import ClinicFact
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability

ADAPTER = EhrAdapterInfo(
    name="elation",
    title="Elation (Bill API)",
    docs="adapters/ehr/elation/README.md",
    settings=ElationSettings,
    capabilities=frozenset(
        {
            EhrCapability.NOTIFY,
            EhrCapability.POLL,
            EhrCapability.SUBSCRIBE,
            EhrCapability.BACKFILL,
            EhrCapability.WRITE_BACK,
        }
    ),
    open=ElationEhr,
    simulator="adapters.ehr.elation.simulator",
    rows=mapping.TABLES,
    lacks=frozenset({ClinicFact.FACILITY_NPI, ClinicFact.PROVIDER_TAXONOMY}),
    may_lack=frozenset({ClinicFact.PAYER_ID}),
)
