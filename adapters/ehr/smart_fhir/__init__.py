"""Any EHR with SMART Backend Services and US Core: Medplum, HAPI, and the vendors that conform."""

from adapters.ehr.smart_fhir import mapping
from adapters.ehr.smart_fhir.adapter import GenericSmartFhir
from adapters.ehr.smart_fhir.settings import SmartFhirSettings
from gateway.canonical.clinic import ClinicFact
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability

ADAPTER = EhrAdapterInfo(
    name="smart_fhir",
    title="SMART on FHIR (generic US Core server)",
    docs="adapters/ehr/smart_fhir/README.md",
    settings=SmartFhirSettings,
    capabilities=frozenset({EhrCapability.NOTIFY, EhrCapability.POLL, EhrCapability.SUBSCRIBE, EhrCapability.BACKFILL}),
    open=GenericSmartFhir,
    simulator="adapters.ehr.smart_fhir.simulator",
    rows=mapping.TABLES,
    may_lack=frozenset(
        {
            ClinicFact.CHARGES,
            ClinicFact.PRICES,
            ClinicFact.PAYER_ID,
            ClinicFact.PLACE_OF_SERVICE,
            ClinicFact.FACILITY_NPI,
            ClinicFact.FACILITY_ADDRESS,
            ClinicFact.PROVIDER_TAXONOMY,
        }
    ),
    lacks_of=mapping.lacks_of,
)
