"""From an encounter record to the canonical encounter: pure, and it either succeeds or raises `MappingError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import TypeVar

from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ChargeLine, EncounterBundle, EncounterRecord, Resource
from gateway.kit.ehr_charges import billing_claim, charge_lines
from gateway.kit.ehr_diagnoses import ADD_DIAGNOSIS, NO_DIAGNOSIS, Diagnosis, diagnoses
from gateway.kit.ehr_element import start_date
from gateway.kit.ehr_gate import require_signed
from gateway.kit.ehr_reading import Rule
from gateway.kit.ehr_resources import canonical_resources, validate
from gateway.kit.ehr_roles import (
    accident,
    coverages,
    place_of_service,
    prior_authorization,
    referral_number,
    roles,
    with_order,
)
from gateway.kit.ehr_rows import ResourceMap
from gateway.kit.ehr_source import Dialect, Known, Source
from gateway.kit.ehr_superbill import await_superbill

Part = TypeVar("Part")
_NO_DATE = "the encounter has no date, and a claim needs the date of service"
_ENTER_DATE = "Enter the date of the visit in the EHR."


def normalize(
    record: EncounterRecord,
    *,
    connection: str,
    clinic: ClinicFacts,
    dialect: Dialect,
    maps: Mapping[str, ResourceMap],
) -> EncounterBundle:
    """The canonical encounter of a record; every reference in it resolves inside it and every resource is valid R4."""
    source = Source(record, connection, clinic, dialect)
    require_signed(source)
    patient = PATIENT.via(source)
    claim = billing_claim(source, patient)
    await_superbill(source, claim)
    problems: list[MappingError] = []
    found = _tried(lambda: DIAGNOSES.via(source, claim), list[Diagnosis](), problems)
    charges = _tried(
        lambda: charge_lines(source, claim, patient, tuple(diagnosis.code for diagnosis in found)),
        tuple[ChargeLine, ...](),
        problems,
    )
    serviced = _tried(lambda: SERVICED.via(source, charges), date.min, problems)
    held = _tried(lambda: COVERAGES.via(source, claim, patient, serviced), list[Known](), problems)
    named = _tried(lambda: roles(source, claim), dict[str, str](), problems)
    if problems:
        raise MappingError.of(problems)
    resources = _resources(source, maps, [patient, *held], found)
    encounter = {**resources.pop(source.encounter.reference), "diagnosis": RANKED.via(found)}
    encounter = {name: value for name, value in encounter.items() if value != []}
    resources = ORDER.via(resources, held)
    for resource in (encounter, *resources.values()):
        validate(resource)
    return EncounterBundle(
        encounter=encounter,
        resources=_in_order(resources, held),
        charges=tuple(_without_own_performer(line, named["rendering_provider"]) for line in charges),
        diagnosis_codes=tuple(diagnosis.code for diagnosis in found),
        roles=named,
        serviced=serviced,
        **{rule.target: rule.via(source, claim) for rule in FURTHER_RULES},
    )


def _tried(part: Callable[[], Part], instead: Part, problems: list[MappingError]) -> Part:
    """A part of the encounter; one that cannot be mapped does not hide what is wrong with the others."""
    try:
        return part()
    except MappingError as problem:
        problems.append(problem)
        return instead


def _patient(source: Source) -> Known:
    """The Patient that it leads to."""
    patient = source.resolve(source.encounter.element.child("subject"), source.encounter)
    if patient is None or patient.resource_type != "Patient":
        raise MappingError(
            "Encounter.subject",
            "the encounter does not lead to a patient that the EHR gives",
            "Check the encounter's patient in the EHR, and that this client may read Patient.",
        )
    return patient


def _resources(
    source: Source, maps: Mapping[str, ResourceMap], wanted: list[Known], found: list[Diagnosis]
) -> dict[str, Resource]:
    """The canonical resources of everything that the encounter needs, the Encounter among them."""
    procedures = [
        k
        for k in source.of_type("Procedure")
        if source.resolve(k.element.child("encounter"), k) is source.encounter
        and k.element.text("status") != "entered-in-error"
    ]
    conditions = [diagnosis.condition for diagnosis in found if diagnosis.condition is not None]
    for known in (source.encounter, *wanted, *conditions, *procedures):
        source.use(known)
    return canonical_resources(source, maps)


def _encounter_diagnoses(found: list[Diagnosis]) -> list[Resource]:
    """Encounter.diagnosis in claim order with ranks 1..n, for the diagnoses that are Conditions."""
    conditions = [diagnosis.condition for diagnosis in found]
    return [
        {"condition": {"reference": condition.reference}, "rank": rank}
        for rank, condition in enumerate(conditions, start=1)
        if condition is not None
    ]


def _in_order(resources: Mapping[str, Resource], held: list[Known]) -> tuple[Resource, ...]:
    """The resources in type order, with the coverages in theirs."""
    ranks = {known.reference: i for i, known in enumerate(held)}
    ordered = sorted((r for r in resources if r in ranks), key=lambda reference: ranks[reference])
    replacement = iter(ordered)
    return tuple(resources[next(replacement) if reference in ranks else reference] for reference in resources)


def _without_own_performer(line: ChargeLine, rendering: str) -> ChargeLine:
    """A line names a performer only when it is another one than the encounter's."""
    return replace(line, performer=None) if line.performer == rendering else line


def _serviced(source: Source, charges: tuple[ChargeLine, ...]) -> date:
    """The date at the clinic on which the encounter began, else the first date of a charge."""
    period = source.encounter.element.child("period")
    started = start_date(period, ("start",), source.clinic) if period else None
    found = started or min((line.serviced for line in charges if line.serviced), default=None)
    if found is None:
        raise MappingError(
            "Encounter.period.start",
            _NO_DATE,
            _ENTER_DATE,
        )
    return found


def _source_url(source: Source, _: Known | None) -> str:
    """The EHR's address of the encounter with its version."""
    meta = source.encounter.element.child("meta")
    version = meta.text("versionId") if meta else None
    url = f"{source.base_url}/{source.encounter.vendor_reference}"
    return f"{url}/_history/{version}" if version else url


PATIENT = Rule("patient", "Encounter.subject", _patient, required=True)
DIAGNOSES = Rule(
    "diagnosis_codes",
    "Encounter.diagnosis.condition | Claim.diagnosis | Condition.code",
    diagnoses,
    required=True,
    note=NO_DIAGNOSIS,
    fix=ADD_DIAGNOSIS,
)
SERVICED = Rule("serviced", "Encounter.period.start", _serviced, required=True, note=_NO_DATE, fix=_ENTER_DATE)
COVERAGES = Rule("coverages", "Coverage, Claim.insurance.coverage", coverages)
FURTHER_RULES = (
    Rule(
        "location_code",
        "Claim.item.locationCodeableConcept | Location.type | Encounter.class"
        " | gateway.yaml: locations.place_of_service | gateway.yaml: place_of_service",
        place_of_service,
    ),
    Rule("prior_authorization", "Claim.insurance.preAuthRef", prior_authorization),
    Rule("referral_number", "Claim.referral.identifier | ServiceRequest.identifier", referral_number),
    Rule("accident", "Claim.accident", accident),
    Rule("source", "Encounter.meta.versionId", _source_url),
)
"""Rules that need nothing of the others; their targets are the names of the bundle's members."""
BUNDLE_RULES = (PATIENT, DIAGNOSES, SERVICED, COVERAGES, *FURTHER_RULES)
"""What makes the encounter as a whole, beside its resources, charges and roles."""

ORDER = Rule("order", "Coverage.order | Claim.insurance.sequence", with_order)
RANKED = Rule("diagnosis", "Encounter.diagnosis.condition | Claim.diagnosis | Condition.code", _encounter_diagnoses)
