"""Draws visits: who sees whom for what, with the diagnoses and the charge lines that such a visit has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any

from gateway.canonical import codes
from gateway.sandbox.catalogue import load
from gateway.sandbox.day_errors import EntryError
from gateway.sandbox.day_people import People, pick
from gateway.sandbox.day_plan import Diagnosis, Line, PatientFile, Provider, Visit
from gateway.sandbox.day_practice import Practice

_RETURNING = 0.15
_AGE_OF_ANY = (0, 94)
_GT_PAYERS = ("medicaid", "tricare")  # they still ask for GT where others take 95
_DIAGNOSIS_COUNTS = dict(enumerate((20, 22, 18, 12, 8, 6, 4, 3, 2, 2, 1, 2), start=1))
_OPENING, _WORKDAY_MINUTES = time(8, 0), 540
_EVENING, _EVENING_MINUTES = time(19, 5), 110


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why a patient comes: a visit of the catalogue, in a specialty, in the office or by video."""

    specialty: str
    visit: dict[str, Any]
    telehealth: bool


class Planner:
    """Plans the visits of a day, one after the other."""

    def __init__(self, random: Random, practice: Practice, day: date) -> None:
        self._random, self._practice, self._day = random, practice, day
        self._people = People(random, practice, day)
        self._specialties: dict[str, dict[str, Any]] = load("specialties")
        self._snomed: dict[str, str] = load("snomed")
        self._seen_once: list[tuple[PatientFile, str]] = []

    def visit(self, number: int, error: EntryError | None) -> Visit:
        """The next visit; `error` is the entry error that it is to bear, so that the visit has a place for it."""
        file, reason = self._who_and_why(error)
        provider = self._random.choice([p for p in self._practice.providers if p.specialty == reason.specialty])
        taken = self._take_lines(reason)
        diagnoses, side = self._diagnoses(file, reason, taken)
        lines = [self._line(row, diagnoses, side, reason, file) for row in taken]
        if len(lines) == 1:
            lines[0].modifiers = [m for m in lines[0].modifiers if m != "25"]
        visit = self._visit(number, file=file, provider=provider, reason=reason, diagnoses=diagnoses, lines=lines)
        self._add_referral(visit, reason, wanted=error is not None and error.needs_referral)
        self._add_authorization(visit)
        visit.charged_as = self._charged_as(visit, error)
        return visit

    def schedule(self, visits: list[Visit]) -> None:
        """Give each visit its time: each provider's day in a row, after-hours video visits in the evening."""
        days: dict[str, list[Visit]] = {}
        for visit in visits:
            evening = visit.telehealth and self._chance(0.4)
            days.setdefault("evening" if evening else visit.provider.id, []).append(visit)
        for queue, its_visits in days.items():
            evening = queue == "evening"
            opening, length = (_EVENING, _EVENING_MINUTES) if evening else (_OPENING, _WORKDAY_MINUTES)
            step = min(20.0, length / len(its_visits))
            for i, visit in enumerate(its_visits):
                start = datetime.combine(self._day, opening, self._practice.timezone) + timedelta(minutes=int(i * step))
                visit.start = start
                visit.signed = start + timedelta(minutes=visit.minutes + self._random.randint(1, 90))

    # who comes, and why

    def _who_and_why(self, error: EntryError | None) -> tuple[PatientFile, _Reason]:
        if error is None and self._seen_once and self._chance(_RETURNING):
            file, seen_in = self._seen_once.pop(self._random.randrange(len(self._seen_once)))
            return file, self._reason(file, [s for s in self._specialties if s != seen_in])
        specialty = pick(self._random, {name: s["weight"] for name, s in self._specialties.items()})
        file = self._patient(specialty, error)
        reason = self._reason(file, [specialty])
        if error is None and file.payer_kind != "workers":
            self._seen_once.append((file, specialty))
        return file, reason

    def _patient(self, specialty: str, error: EntryError | None) -> PatientFile:
        if error is not None and error.patient == "plain adult":
            return self._people.plain_adult()
        if error is not None and error.patient == "insured child":
            return self._people.insured_child((1, 17))
        low, _, high = pick(self._random, self._specialties[specialty]["age_weights"]).partition("-")
        if specialty == "orthopaedics" and low == "18" and self._chance(0.15):
            return self._people.worker((18, 64))
        return self._people.patient((int(low), int(high)))

    def _reason(self, file: PatientFile, specialties: list[str]) -> _Reason:
        """A reason that fits the patient's age, gender and payer."""
        age = self._age(file)
        fitting = [
            (name, visit)
            for name in specialties
            for visit in self._specialties[name]["visits"]
            if _fits(visit, age, file.person.gender, file.payer_kind)
        ]
        specialty, visit = self._random.choices(fitting, [visit["weight"] for _, visit in fitting])[0]
        telehealth = "telehealth" in visit.get("modes", ()) and self._chance(0.35)
        return _Reason(specialty, visit, telehealth)

    def _age(self, file: PatientFile) -> int:
        born = file.person.birth_date or self._day
        return self._day.year - born.year - ((self._day.month, self._day.day) < (born.month, born.day))

    # diagnoses and lines

    def _take_lines(self, reason: _Reason) -> list[dict[str, Any]]:
        """The lines of the catalogue's visit that happen this time."""
        taken: list[dict[str, Any]] = []
        previous = False
        for row in reason.visit["lines"]:
            if not row.get("follows"):
                previous = self._chance(row.get("chance", 1.0)) and not (reason.telehealth and row.get("office_only"))
            if previous:
                taken.append(row)
        return taken

    def _diagnoses(
        self, file: PatientFile, reason: _Reason, taken: list[dict[str, Any]]
    ) -> tuple[list[Diagnosis], str]:
        """The visit's diagnoses in rank order, and the side of the body it is about ("" for none)."""
        sides: dict[str, str] = reason.visit.get("sides", {})
        side = self._random.choice(sorted(sides)) if sides else ""
        primary = sides[side] if side else self._random.choice(reason.visit["primary"])
        lined = [row["for"] for row in taken if "for" in row]
        chosen = list(dict.fromkeys([primary, *reason.visit.get("with", ()), *lined]))
        pool = self._specialties[reason.specialty]["also"]["child" if self._age(file) < 18 else "adult"]
        wanted = self._random.choices(list(_DIAGNOSIS_COUNTS), list(_DIAGNOSIS_COUNTS.values()))[0]
        for code in self._random.sample(pool, len(pool)):
            if len(chosen) >= wanted:
                break
            if all(code[:3] != other[:3] for other in chosen):
                chosen.append(code)
        return [Diagnosis(code, self._snomed.get(code, "")) for code in chosen], side

    def _line(
        self, row: dict[str, Any], diagnoses: list[Diagnosis], side: str, reason: _Reason, file: PatientFile
    ) -> Line:
        code = self._random.choice(row["codes"])
        modifiers = [*row.get("modifiers", ()), *([side] if side and row.get("sided") else [])]
        if reason.telehealth:
            modifiers.append("GT" if file.payer_kind in _GT_PAYERS else "95")
        low, high = row.get("units", (1, 1))
        quantity = self._random.choice((low, high)) if high > 15 else self._random.randint(low, high)
        return Line(
            code=code,
            system=codes.procedure_system(code) or "",
            modifiers=modifiers,
            quantity=quantity,
            unit_price=self._practice.fees[code],
            pointers=_pointers(row, [diagnosis.icd10 for diagnosis in diagnoses]),
            authorize=bool(row.get("authorize")),
        )

    # the visit around them

    def _visit(
        self,
        number: int,
        *,
        file: PatientFile,
        provider: Provider,
        reason: _Reason,
        diagnoses: list[Diagnosis],
        lines: list[Line],
    ) -> Visit:
        noon = datetime.combine(self._day, time(12), self._practice.timezone)
        at_home = "10" if self._chance(0.8) else "02"
        return Visit(
            number=number,
            file=file,
            provider=provider,
            telehealth=reason.telehealth,
            injury=bool(reason.visit.get("injury")),
            diagnoses=diagnoses,
            lines=lines,
            start=noon,
            minutes=self._random.choice((10, 15, 20, 25, 40)),
            signed=noon,
            charged_as="Claim",
            written_in_utc=self._chance(0.5),
            place_of_service=at_home if reason.telehealth else "11",
            diagnoses_by_reference=self._chance(0.25),
            listed_out_of_rank=self._chance(0.15),
        )

    def _add_referral(self, visit: Visit, reason: _Reason, *, wanted: bool) -> None:
        if wanted or self._chance(reason.visit.get("referral", 0.0)):
            visit.referrer = self._random.choice(self._practice.referrers)
            visit.referral_number = f"RF{self._random.randint(100000, 999999)}"

    def _add_authorization(self, visit: Visit) -> None:
        """Medicare's Part B authorizes none of these services; all others ask for it beforehand."""
        if visit.file.payer_kind != "medicare" and any(line.authorize for line in visit.lines):
            visit.authorization = f"PA{self._random.randint(1000000, 9999999)}"

    def _charged_as(self, visit: Visit, error: EntryError | None) -> str:
        """Charge items have no place for a prior authorization, a place of service or an accident."""
        needs_claim = visit.authorization or visit.place_of_service == "02" or visit.file.payer_kind == "workers"
        if needs_claim or (error is not None and error.needs_claim):
            return "Claim"
        return "ChargeItem" if self._chance(0.28) else "Claim"

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability


def _fits(visit: dict[str, Any], age: int, gender: str, payer_kind: str) -> bool:
    youngest, oldest = visit.get("ages", _AGE_OF_ANY)
    payers = visit.get("payers")
    paid = payer_kind in payers if payers else payer_kind != "workers" or visit.get("injury", False)
    return bool(youngest <= age <= oldest and visit.get("gender", gender) == gender and paid)


def _pointers(row: dict[str, Any], diagnoses: list[str]) -> list[int]:
    """Positions of the diagnoses that justify a line: one to four (claim_profile C6)."""
    if "for" in row:
        return [diagnoses.index(row["for"]) + 1]
    if row.get("points") == "all":
        return list(range(1, min(4, len(diagnoses)) + 1))
    if row.get("points") == "other" and len(diagnoses) > 1:
        return list(range(2, min(4, len(diagnoses)) + 1))
    return [1]
