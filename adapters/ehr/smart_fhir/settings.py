"""The settings of a generic SMART on FHIR connection: those of every SMART Backend Services connection."""

from __future__ import annotations

from gateway.kit.ehr_settings import SmartSettings


class SmartFhirSettings(SmartSettings):
    """One clinic's connection to a conformant FHIR R4 server; the README's table lists the fields."""
