"""A seeded day of an invented clinic, as its EHR's FHIR R4 server would hold it: raw EHR data, no canonical claims."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from gateway.canonical.models import Resource
from gateway.sandbox import day_practice
from gateway.sandbox.day_charges import charge_records
from gateway.sandbox.day_errors import spread
from gateway.sandbox.day_plan import Visit
from gateway.sandbox.day_records import patient_records, visit_records
from gateway.sandbox.day_visits import Planner


@dataclass(frozen=True, slots=True)
class ClinicDay:
    """What the EHR serves, and what a gateway should find in it.

    `encounter_ids` are in the order of signing. `expected` gives "clean" or the name of the entry error per encounter
    id. `directory` is what the billing system has on file, in no vendor's words; `clinic` is the `clinic` part of
    gateway.yaml. Fees are text in USD.
    """

    resources: list[Resource]
    encounter_ids: list[str]
    expected: dict[str, str]
    directory: dict[str, Any]
    clinic: dict[str, Any]


def generate(*, seed: int, encounters: int, day: date, error_rate: float = 0.08) -> ClinicDay:
    """A day of `encounters` signed visits, `round(encounters * error_rate)` of them with one entry error each.

    The same arguments give the same day. `day` should be today or lately past: the future dates among the errors lie
    a year after it. Raises `ValueError` for a number of encounters below 1 or a rate outside 0 to 1.
    """
    if encounters < 1 or not 0 <= error_rate <= 1:
        raise ValueError("encounters must be at least 1 and error_rate between 0 and 1")
    practice = day_practice.practice()
    visits = _visits(Random(seed), practice, encounters, day, error_rate)
    return ClinicDay(
        resources=_resources(visits, practice),
        encounter_ids=[v.encounter_id for v in sorted(visits, key=lambda v: (v.signed, v.number))],
        expected={v.encounter_id: v.entry_error for v in visits},
        directory=day_practice.directory(practice),
        clinic=day_practice.clinic(practice),
    )


def _visits(
    random: Random, practice: day_practice.Practice, encounters: int, day: date, error_rate: float
) -> list[Visit]:
    errors = spread(random, encounters, error_rate)
    planner = Planner(random, practice, day)
    visits = [planner.visit(number, errors.get(number)) for number in range(1, encounters + 1)]
    planner.schedule(visits)
    for visit in visits:
        error = errors.get(visit.number)
        if error is not None:
            error.put(visit)
            visit.entry_error = error.name
    return visits


def _resources(visits: list[Visit], practice: day_practice.Practice) -> list[Resource]:
    """All resources, each once: those of the clinic, then each patient at the first visit, each visit, its charges."""
    resources = day_practice.resources(practice)
    patients: set[int] = set()
    for visit in visits:
        if visit.file.number not in patients:
            patients.add(visit.file.number)
            resources += patient_records(visit.file)
        resources += visit_records(visit, practice)
        resources += charge_records(visit, practice)
    return resources
