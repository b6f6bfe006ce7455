"""How Practice Fusion maps: US Core as it stands; charges by superbill, as its API has none (vendors section 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.canonical.clinic import ClinicFact
from gateway.kit.ehr_rows import US_CORE, ResourceMap
from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.ehr_tables import encounter_tables
from gateway.kit.mapping import Row

RECORD_NUMBERS = "https://practicefusion-prod.medicasoft.us/PF"
"""System of the patient record number: two letters and six digits."""

RESOURCE_MAPS: Mapping[str, ResourceMap] = US_CORE

CHARGE_SOURCES = ("superbill",)
"""Where charges are looked for, unless `charge_sources` says otherwise."""


def lacks_of(settings: SmartSettings) -> frozenset[ClinicFact]:
    """Charges, unless those of the API's own Procedures are billed; a superbill or the clinic's charge map has them."""
    return frozenset() if "procedure" in settings.charge_sources else frozenset({ClinicFact.CHARGES})


TABLES: Mapping[str, Sequence[Row]] = encounter_tables(RESOURCE_MAPS, CHARGE_SOURCES)
"""What the mapping document prints of this adapter."""
