"""Practice Fusion: a read-only FHIR R4 facade per practice; charges come as superbills beside it."""

from adapters.ehr.practice_fusion import mapping
from adapters.ehr.practice_fusion.adapter import PracticeFusion
from adapters.ehr.practice_fusion.settings import PracticeFusionSettings
from gateway.canonical.clinic import ClinicFact
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability

ADAPTER = EhrAdapterInfo(
    name="practice_fusion",
    title="Practice Fusion",
    docs="adapters/ehr/practice_fusion/README.md",
    settings=PracticeFusionSettings,
    capabilities=frozenset({EhrCapability.POLL, EhrCapability.BACKFILL}),
    open=PracticeFusion,
    simulator="adapters.ehr.practice_fusion.simulator",
    rows=mapping.TABLES,
    lacks=frozenset(
        {
            ClinicFact.PAYER_ID,
            ClinicFact.PLACE_OF_SERVICE,
            ClinicFact.FACILITY_NPI,
            ClinicFact.FACILITY_ADDRESS,
        }
    ),
    may_lack=frozenset({ClinicFact.CHARGES, ClinicFact.PRICES, ClinicFact.PROVIDER_NPI, ClinicFact.PROVIDER_TAXONOMY}),
    lacks_of=mapping.lacks_of,
)
