"""What the simulated office holds: patients, responsible parties, plans, visits and charges."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from adapters.billing.advancedmd.simulator.directory import Directory

_SUBMISSION = re.compile(r"Gateway ([^;\s]+)")


def day_of(text: str) -> date | None:
    """A date M/D/YYYY, or None."""
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text.strip())
    try:
        return date(int(found[3]), int(found[1]), int(found[2])) if found else None
    except ValueError:
        return None


def written(day: date | None) -> str:
    """MM/DD/YYYY."""
    return day.strftime("%m/%d/%Y") if day else ""


@dataclass(slots=True, eq=False)
class Party:
    """A responsible party."""

    party_id: str
    name: str
    born: date | None


@dataclass(slots=True, eq=False)
class Plan:
    """An insurance plan of a patient; `coverage` is 1 for the first to pay."""

    plan_id: str
    carrier: str
    subscriber: str
    number: str
    relationship: str
    coverage: str
    starts: date | None
    ends: date | None


@dataclass(slots=True, eq=False)
class Patient:
    """A patient with the plans."""

    patient_id: str
    name: str
    born: date | None
    sex: str
    chart: str
    party: Party
    relationship: str
    plans: list[Plan] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Charge:
    """A charge; `batch` is empty until a biller has approved it."""

    charge_id: str
    procedure: str
    modifiers: list[str]
    diagnoses: list[str]
    units: Decimal
    fee: Decimal
    begins: date
    ends: date
    place: str
    batch: str = ""
    billed: bool = False
    void: bool = False
    paid: Decimal = Decimal("0.00")


@dataclass(slots=True, eq=False)
class Visit:
    """A visit: one patient, one profile, one day; `posts` are the notes of what was posted on it."""

    visit_id: str
    patient: Patient
    profile: str
    day: date
    facility: str = ""
    posts: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)

    @property
    def submissions(self) -> list[str]:
        """The submission ids that the notes of its posts begin with, one for each post."""
        return [found[1] for note, _ in self.posts if (found := _SUBMISSION.match(note))]


class Office:
    """The state of one office."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.patients: dict[str, Patient] = {}
        self.parties: dict[str, Party] = {}
        self.visits: dict[str, Visit] = {}
        self.charges: dict[str, tuple[Visit, Charge]] = {}
        self._numbers = {
            "patient": itertools.count(45),
            "party": itertools.count(45),
            "plan": itertools.count(7001),
            "visit": itertools.count(800001),
            "charge": itertools.count(5100001),
            "chart": itertools.count(10001),
            "batch": itertools.count(301),
        }

    def next_number(self, kind: str) -> str:
        """The next number of a kind of record."""
        return str(next(self._numbers[kind]))

    def add_party(self, name: str, born: date | None) -> Party:
        """A new responsible party."""
        party = Party(f"resp{self.next_number('party')}", name, born)
        self.parties[party.party_id] = party
        return party

    def patient(self, patient_id: str) -> Patient | None:
        """A patient by id, with or without prefix."""
        return self.patients.get("".join(filter(str.isdigit, patient_id)))

    def visit(self, visit_id: str) -> Visit | None:
        """A visit by id, with or without prefix."""
        return self.visits.get("".join(filter(str.isdigit, visit_id)))
