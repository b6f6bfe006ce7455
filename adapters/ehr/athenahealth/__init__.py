"""athenahealth (athenaOne): its own v1 API, its changed-data feeds, FHIR R4 and event subscriptions."""

from adapters.ehr.athenahealth import mapping
from adapters.ehr.athenahealth.adapter import Athenahealth
from adapters.ehr.athenahealth.settings import AthenahealthSettings
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
)
