"""How the generic SMART on FHIR server maps: US Core as it stands, with the spellings seen in the field.

A vendor that differs copies this file's form: it takes `US_CORE` and replaces single resource maps.
Source: vendors generic_smart_fhir sections 7 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFact
from gateway.kit.ehr_rows import US_CORE, ResourceMap
from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.ehr_tables import encounter_tables
from gateway.kit.mapping import Row

RESOURCE_MAPS: Mapping[str, ResourceMap] = US_CORE

CODE_SYSTEM_ALIASES: Mapping[str, str] = {
    "https://www.ama-assn.org/go/cpt": codes.CPT,
    "http://www.ama-assn.org/go/cpt-modifier": codes.CPT,
    "http://terminology.hl7.org/CodeSystem/icd10CM": codes.ICD10CM,
    "https://hl7.org/fhir/sid/icd-10-cm": codes.ICD10CM,
    "https://hl7.org/fhir/sid/us-npi": codes.NPI,
    "http://terminology.hl7.org/CodeSystem/nucc-provider-taxonomy": codes.TAXONOMY,
}
"""Spellings of code systems beyond those that `gateway.kit.ehr_source.STANDARD_ALIASES` knows."""

CHARGE_SOURCES = ("claim", "charge_item", "charge_map", "procedure")
"""Where charges are looked for: the first one that the EHR fills is the whole truth."""


def lacks_of(settings: SmartSettings) -> frozenset[ClinicFact]:
    """Prices, on a connection that takes no charges from the EHR: what else it holds has none."""
    priced = {"claim", "charge_item"} & set(settings.charge_sources or CHARGE_SOURCES)
    return frozenset() if priced else frozenset({ClinicFact.PRICES})


TABLES: Mapping[str, Sequence[Row]] = encounter_tables(RESOURCE_MAPS, CHARGE_SOURCES)
"""What the mapping document prints of this adapter."""
