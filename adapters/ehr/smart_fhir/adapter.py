"""The generic SMART on FHIR adapter: nothing but values, the behaviour is the kit's."""

from __future__ import annotations

from typing import ClassVar

from adapters.ehr.smart_fhir import mapping
from adapters.ehr.smart_fhir.dialects import summary
from adapters.ehr.smart_fhir.settings import SmartFhirSettings
from gateway.kit.ehr_base import SmartFhirEhr
from gateway.ports.context import Probe


class GenericSmartFhir(SmartFhirEhr):
    """Any server that follows SMART Backend Services and US Core, with the differences of its dialect."""

    vendor: ClassVar[str] = "smart_fhir"
    settings: SmartFhirSettings
    resource_maps: ClassVar = mapping.RESOURCE_MAPS
    code_system_aliases: ClassVar = mapping.CODE_SYSTEM_ALIASES
    charge_sources: ClassVar = mapping.CHARGE_SOURCES

    async def probe(self) -> list[Probe]:
        """What the dialect has chosen, then whether it works."""
        chosen = summary(self.settings.dialect, self.settings)
        return [Probe("dialect", ok=True, detail=chosen), *await super().probe()]
