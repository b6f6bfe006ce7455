"""The generic SMART on FHIR adapter: nothing but values, the behaviour is the kit's."""

from __future__ import annotations

from typing import ClassVar

from adapters.ehr.smart_fhir import mapping
from gateway.kit.ehr_base import SmartFhirEhr


class GenericSmartFhir(SmartFhirEhr):
    """Any server that follows SMART Backend Services and US Core."""

    vendor: ClassVar[str] = "smart_fhir"
    resource_maps: ClassVar = mapping.RESOURCE_MAPS
    code_system_aliases: ClassVar = mapping.CODE_SYSTEM_ALIASES
    charge_sources: ClassVar = mapping.CHARGE_SOURCES
