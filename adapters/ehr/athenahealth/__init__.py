"""athenahealth (athenaOne): its own v1 API, its changed-data feeds, FHIR R4 and event subscriptions."""

from adapters.ehr.athenahealth import mapping
from adapters.ehr.athenahealth.adapter import Athenahealth
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from gateway.canonical.clinic import ClinicFact
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability

ADAPTER = EhrAdapterInfo(
    name="athenahealth",
    title="athenahealth (athenaOne)",
    docs="adapters/ehr/athenahealth/README.md",
    settings=AthenahealthSettings,
    capabilities=frozenset({EhrCapability.NOTIFY, EhrCapability.POLL, EhrCapability.SUBSCRIBE, EhrCapability.BACKFILL}),
    open=Athenahealth,
    simulator="adapters.ehr.athenahealth.simulator",
    rows=mapping.TABLES,
    bills_itself=True,
    lacks=frozenset({ClinicFact.PRICES, ClinicFact.PAYER_ID, ClinicFact.FACILITY_NPI}),
    may_lack=frozenset({ClinicFact.PLACE_OF_SERVICE, ClinicFact.PROVIDER_NPI, ClinicFact.PROVIDER_TAXONOMY}),
)
