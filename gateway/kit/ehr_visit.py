"""Whose visit an encounter is, in the terms of a superbill: patient record number, date of service, rendering NPI."""

from __future__ import annotations

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.mapping import Row
from gateway.canonical.models import EncounterRecord
from gateway.canonical.superbill import Visit
from gateway.kit.ehr_clinic import npi_of
from gateway.kit.ehr_gate import require_signed
from gateway.kit.ehr_normalize import PATIENT, SERVICED
from gateway.kit.ehr_roles import roles
from gateway.kit.ehr_source import Dialect, Source

_BY_TYPE = "Patient.identifier.where(type.coding.code='MR').value | Patient.identifier.where(use='usual').value"


def visit_of(record: EncounterRecord, connection: str, clinic: ClinicFacts, dialect: Dialect) -> Visit:
    """The visit; raises `NotSignedOff` like `normalize`, and `MappingError` for what its superbill is found by."""
    source = Source(record, connection, clinic, dialect)
    require_signed(source)
    patient = PATIENT.via(source)
    number = _record_number(dialect.record_number_system).value({"Patient": patient.element.value})
    rendering = source.used[roles(source, None)["rendering_provider"]]
    npi = npi_of(rendering, clinic)
    if not codes.npi_is_valid(npi):
        raise MappingError(
            rendering.element.at("identifier"),
            "the provider has no valid NPI, and the superbill is found by it",
            "Correct the provider's NPI in the EHR; look it up in NPPES.",
        )
    return Visit(str(number), SERVICED.via(source, ()), npi)


def _record_number(system: str) -> Row:
    return Row(
        "record_number",
        f"Patient.identifier.where(system='{system}').value" if system else _BY_TYPE,
        required=True,
        note="the patient has no record number, and the superbill is found by it",
        fix="Give the patient a record number in the EHR.",
    )
