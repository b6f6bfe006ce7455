"""What the simulated account holds: patients with their cases, encounters with their lines, and the indexes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from adapters.billing.kareo_tebra.simulator.directory import PRACTICE_ID, Company, Directory, Plan

EXTERNAL_ID_LENGTH = 25
"""External ids are cut silently at this length (vendor document, section 8)."""


def cut(external_id: str | None) -> str | None:
    """An external id as the service keeps it."""
    return external_id[:EXTERNAL_ID_LENGTH] if external_id else None


def now() -> datetime:
    """The account's clock: UTC without a zone, as the rows print it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(slots=True, eq=False)
class Policy:
    """One insurance policy of a case; `details` are the members that the request carried."""

    policy_id: str
    company: Company | None
    plan: Plan | None
    details: dict[str, Any]
    authorizations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def precedence(self) -> int:
        """1 is primary, 2 secondary; a policy without one comes last."""
        text = str(self.details.get("Precedence") or "")
        return int(text) if text.isdigit() else 99


@dataclass(slots=True, eq=False)
class Case:
    """A patient's case: it decides which insurance an encounter bills."""

    case_id: str
    patient_id: str
    external_id: str | None
    details: dict[str, Any]
    policies: list[Policy] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Patient:
    """A patient; `details` are the scalar members of PatientCreate and PatientUpdate."""

    patient_id: str
    details: dict[str, Any]
    created: datetime
    modified: datetime
    cases: list[Case] = field(default_factory=list)
    primary_case_id: str | None = None
    external_ids: dict[str, str] = field(default_factory=dict)
    last_encounter: datetime | None = None

    @property
    def full_name(self) -> str:
        """First and last name, as rows print it."""
        return f"{self.details.get('FirstName') or ''} {self.details.get('LastName') or ''}".strip()

    @property
    def birth_date(self) -> date | None:
        """The day of birth."""
        born = self.details.get("DateofBirth")
        return born.date() if born else None

    @property
    def primary_case(self) -> Case | None:
        """The case that is marked primary."""
        return next((case for case in self.cases if case.case_id == self.primary_case_id), None)


@dataclass(slots=True, eq=False)
class Line:
    """One service line; `charge_status` is None until the encounter is approved."""

    line_id: str
    external_id: str | None
    procedure: str
    modifiers: list[str]
    diagnoses: list[str]
    units: Decimal
    unit_charge: Decimal
    start: datetime
    end: datetime
    charge_status: str | None = None
    reason: str | None = None
    billed: datetime | None = None
    adjudicated: datetime | None = None

    @property
    def total(self) -> Decimal:
        """Units times the charge of one unit, to the cent."""
        return (self.units * self.unit_charge).quantize(Decimal("0.01"))


@dataclass(slots=True, eq=False)
class Encounter:
    """One saved encounter; `details` is the request as it was understood after dropping."""

    encounter_id: str
    patient: Patient
    case: Case
    provider_id: str
    provider_name: str
    location_id: str
    place_of_service: str
    status: str
    batch_number: str | None
    external_id: str | None
    start: datetime
    end: datetime
    post_date: datetime
    details: dict[str, Any]
    lines: list[Line]
    saved_at: float
    created: datetime
    modified: datetime


class Account:
    """The state of one simulated customer, with the indexes that the reads need."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.patients: dict[str, Patient] = {}
        self.cases: dict[str, Case] = {}
        self.encounters: dict[str, Encounter] = {}
        self.vendors: dict[str, str] = {}
        self.opened = now()
        self.by_name: dict[str, list[Patient]] = defaultdict(list)
        self.by_external_id: dict[tuple[str, str], Patient] = {}
        self.by_birth_date: dict[date, list[Patient]] = defaultdict(list)
        self.by_batch: dict[str, list[Encounter]] = defaultdict(list)
        self.by_post_date: dict[date, list[Encounter]] = defaultdict(list)
        self.by_patient: dict[str, list[Encounter]] = defaultdict(list)
        self._numbers = {
            "patient": itertools.count(4001),
            "case": itertools.count(9001),
            "policy": itertools.count(7001),
            "company": itertools.count(351),
            "plan": itertools.count(451),
            "vendor": itertools.count(61),
            "encounter": itertools.count(29001),
            "line": itertools.count(88001),
        }

    def next_id(self, kind: str) -> str:
        """The next id of a kind of record, counting up from that kind's first."""
        return str(next(self._numbers[kind]))

    def add_patient(self, patient: Patient) -> None:
        """Keep a new patient."""
        self.patients[patient.patient_id] = patient
        self.index_patient(patient)

    def index_patient(self, patient: Patient) -> None:
        """Make a patient findable by name and birth date."""
        self.by_name[patient.full_name.casefold()].append(patient)
        if patient.birth_date:
            self.by_birth_date[patient.birth_date].append(patient)

    def unindex_patient(self, patient: Patient) -> None:
        """Take a patient out of the indexes, before its name or birth date changes."""
        self.by_name[patient.full_name.casefold()].remove(patient)
        if patient.birth_date:
            self.by_birth_date[patient.birth_date].remove(patient)

    def give_external_id(self, patient: Patient, vendor: str, external_id: str) -> None:
        """Make a patient findable by a vendor's id, in place of the one it had."""
        self.by_external_id.pop((vendor, patient.external_ids.get(vendor, "")), None)
        patient.external_ids[vendor] = external_id
        self.by_external_id[vendor, external_id] = patient

    def add_encounter(self, encounter: Encounter) -> None:
        """Keep a new encounter."""
        self.encounters[encounter.encounter_id] = encounter
        self.by_post_date[encounter.post_date.date()].append(encounter)
        self.by_patient[encounter.patient.patient_id].append(encounter)
        if encounter.batch_number:
            self.by_batch[encounter.batch_number].append(encounter)

    def practice_matches(self, identifier: dict[str, Any] | None) -> bool:
        """Whether an identifier names the account's practice, by id or by name."""
        given = identifier or {}
        if given.get("PracticeID"):
            return bool(given["PracticeID"] == PRACTICE_ID)
        return bool((given.get("PracticeName") or "").casefold() == self.directory.practice_name.casefold())
