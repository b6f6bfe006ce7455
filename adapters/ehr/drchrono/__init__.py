"""DrChrono (EverHealth): its REST API, webhooks and consent."""

from adapters.ehr.drchrono.adapter import DrChrono
from adapters.ehr.drchrono.insurance import REFERENCES
from adapters.ehr.drchrono.rows import TABLES
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.canonical.clinic import ClinicFact
from gateway.kit.ehr_tables import vendor_tables
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability

ADAPTER = EhrAdapterInfo(
    name="drchrono",
    title="DrChrono",
    docs="adapters/ehr/drchrono/README.md",
    settings=DrChronoSettings,
    capabilities=frozenset(
        {
            EhrCapability.NOTIFY,
            EhrCapability.CHALLENGE,
            EhrCapability.POLL,
            EhrCapability.BACKFILL,
            EhrCapability.WRITE_BACK,
            EhrCapability.CONSENT,
        }
    ),
    open=DrChrono,
    simulator="adapters.ehr.drchrono.simulator",
    rows=vendor_tables({**TABLES, "Coverage (who pays, and who is insured)": REFERENCES}),
    bills_itself=True,
    lacks=frozenset({ClinicFact.PLACE_OF_SERVICE, ClinicFact.FACILITY_NPI, ClinicFact.PROVIDER_TAXONOMY}),
    may_lack=frozenset({ClinicFact.PAYER_ID, ClinicFact.PROVIDER_NPI, ClinicFact.PRICES}),
)
