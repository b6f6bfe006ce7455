"""An EHR adapter over a vendor's own API: its objects become FHIR R4 by the vendor's rows, then canonical by the kit's.

The adapter's `mapping.py` gives `fhir_record(record)`: pure, from the vendor's objects to US Core resources, with the
charges as one Claim (use `claim`, an item per charge). What follows is what every FHIR server's data goes through.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from gateway.canonical.models import EncounterBundle, EncounterRecord
from gateway.kit.ehr_adapter import EhrBase
from gateway.kit.ehr_normalize import normalize
from gateway.kit.ehr_rows import US_CORE, ResourceMap
from gateway.kit.ehr_source import Dialect
from gateway.ports.context import AdapterContext


class VendorEhr(EhrBase):
    """Inherit, and add what the vendor's API needs; `dialect` says what signed means and where charges are."""

    resource_maps: ClassVar[Mapping[str, ResourceMap]] = US_CORE
    dialect: Dialect = Dialect(charge_sources=("claim",), watch_unsigned=True)
    context: AdapterContext

    @abstractmethod
    def fhir_record(self, record: EncounterRecord) -> EncounterRecord:
        """The record as FHIR R4; raises `MappingError` with the path of the vendor's field."""

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter; raises `MappingError` with the path of what is missing."""
        return normalize(
            self.fhir_record(record),
            connection=self.context.connection,
            clinic=self.context.clinic,
            dialect=self.dialect,
            maps=self.resource_maps,
        )
