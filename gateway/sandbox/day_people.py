"""Draws patients: names, households and what insures them. Everything comes from one seeded source."""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

from gateway.sandbox.catalogue import load
from gateway.sandbox.day_plan import Address, Insurance, PatientFile, Payer, Person, Relative
from gateway.sandbox.day_practice import Practice

_MEMBER_LETTERS = "ACDEFGHJKMNPQRTUVWXY"  # Medicare's own ids leave out letters that look like digits
_ADULT_PAYERS = {"blue": 30, "commercial": 30, "hmo": 18, "medicaid": 12, "tricare": 10}
_CHILD_PAYERS = {"blue": 25, "commercial": 25, "hmo": 15, "medicaid": 22, "tricare": 13}
_GENDERS = {"female": 52, "male": 45, "other": 2, "unknown": 1}
_MEMBER_ID_PLACES = {"subscriberId": 6, "both": 3, "identifier": 2}


def pick(random: Random, weights: dict[str, int]) -> str:
    """One key of a table of weights."""
    return random.choices(list(weights), list(weights.values()))[0]


class People:
    """Draws the patients of a day; each gets the next number."""

    def __init__(self, random: Random, practice: Practice, day: date) -> None:
        self._random, self._practice, self._day = random, practice, day
        self._names = load("names")
        self._count = 0

    def patient(self, ages: tuple[int, int]) -> PatientFile:
        """A new patient of an age within `ages`, both included, insured as is usual at that age."""
        age = self._random.randint(*ages)
        person = self._person(age)
        if age < 18:
            return self._child(person)
        if age >= 65 and self._chance(0.92):
            return self._senior(person)
        return self._adult(person)

    def plain_adult(self) -> PatientFile:
        """An adult who is the subscriber of one private coverage and has no other on file."""
        kind = self._random.choice(("blue", "commercial", "hmo"))
        return self._file(self._person(self._random.randint(19, 64)), [self._insurance(kind)])

    def insured_child(self, ages: tuple[int, int]) -> PatientFile:
        """A minor covered through a parent."""
        return self._dependent_child(self._person(self._random.randint(*ages)), "blue")

    def worker(self, ages: tuple[int, int]) -> PatientFile:
        """An adult hurt at work, insured by the employer's workers' compensation carrier."""
        insurance = self._insurance("workers")
        return self._file(self._person(self._random.randint(max(18, ages[0]), min(66, ages[1]))), [insurance])

    def _child(self, person: Person) -> PatientFile:
        kind = pick(self._random, _CHILD_PAYERS)
        if kind != "medicaid":
            return self._dependent_child(person, kind)
        return self._file(person, [self._insurance(kind)], [self._parent(person)])

    def _dependent_child(self, person: Person, kind: str) -> PatientFile:
        parent = self._parent(person)
        insurance = self._insurance(kind, relationship="child", subscriber=parent)
        return self._file(person, [insurance], [parent])

    def _senior(self, person: Person) -> PatientFile:
        insurances = [self._insurance("medicare")]
        if self._chance(0.7):
            insurances.append(self._insurance("supplement", order=2))
        return self._file(person, insurances)

    def _adult(self, person: Person) -> PatientFile:
        kind = pick(self._random, _ADULT_PAYERS)
        if kind != "medicaid" and self._chance(0.25):
            spouse = self._spouse(person)
            return self._file(
                person, [self._insurance(kind, relationship="spouse", subscriber=spouse)], [spouse], lapsed=True
            )
        insurances, relatives = [self._insurance(kind)], []
        if kind in ("commercial", "hmo") and self._chance(0.12):
            relatives = [self._spouse(person)]
            insurances.append(self._insurance("blue", relationship="spouse", subscriber=relatives[0], order=2))
        return self._file(person, insurances, relatives, lapsed=True)

    def _file(
        self,
        person: Person,
        insurances: list[Insurance],
        relatives: Sequence[Relative] = (),
        *,
        lapsed: bool = False,
    ) -> PatientFile:
        self._count += 1
        old = [self._lapsed_insurance()] if lapsed and self._chance(0.08) else []
        return PatientFile(self._count, person, insurances, list(relatives), old)

    def _lapsed_insurance(self) -> Insurance:
        """A former employer's plan that nobody removed from the chart: ended, and cancelled."""
        insurance = self._insurance("hmo")
        insurance.end = insurance.start - timedelta(days=1)
        insurance.start = insurance.start.replace(year=insurance.start.year - 2)
        insurance.status = "cancelled"
        return insurance

    def _insurance(
        self, kind: str, *, relationship: str = "self", subscriber: Relative | None = None, order: int = 1
    ) -> Insurance:
        payer = self._practice.payer(kind)
        start = date(self._day.year - self._random.randint(1, 4), self._random.choice((1, 1, 1, 4, 7, 10)), 1)
        return Insurance(
            payer=payer,
            member_id=self._member_id(payer),
            member_id_as=pick(self._random, _MEMBER_ID_PLACES),
            group="" if kind in ("medicare", "medicaid", "tricare") else f"G{self._random.randint(10000, 99999)}",
            start=start,
            end=date(self._day.year, 12, 31) if self._chance(0.4) else None,
            relationship=relationship,
            subscriber=subscriber,
            order=order,
        )

    def _member_id(self, payer: Payer) -> str:
        alphabets = {"#": string.digits, "@": _MEMBER_LETTERS, "*": string.digits + _MEMBER_LETTERS}
        return "".join(self._random.choice(alphabets.get(mark, mark)) for mark in payer.member_id)

    def _person(self, age: int, *, gender: str = "", like: Person | None = None) -> Person:
        """A new person; `like` gives family name, address and phone of the same household."""
        gender = gender or pick(self._random, _GENDERS)
        birth_date = self._birth_date(age)
        given = self._given(gender)
        if like is not None:
            return Person(like.family, given, gender, birth_date, like.address, like.phone)
        suffix = self._random.choice(self._names["suffixes"]) if gender == "male" and self._chance(0.08) else ""
        family = str(self._random.choice(self._names["family"]))
        return Person(family, given, gender, birth_date, self._address(), self._phone(), suffix)

    def _given(self, gender: str) -> list[str]:
        names: list[str] = self._names["given"].get(gender) or self._names["given"]["female"]
        first, middle = self._random.sample(names, 2)
        return [first, middle if self._chance(0.5) else middle[0]] if self._chance(0.4) else [first]

    def _birth_date(self, age: int) -> date:
        """A day on which somebody who is `age` today can have been born."""
        return self._day - timedelta(days=age * 365 + age // 4 + self._random.randint(5, 355))

    def _address(self) -> Address:
        town: dict[str, Any] = self._random.choice(self._names["towns"])
        street = f"{self._random.randint(11, 4899)} {self._random.choice(self._names['streets'])}"
        unit = f", {self._random.choice(self._names['units'])}" if self._chance(0.2) else ""
        extension = f"-{self._random.randint(1000, 9999)}" if self._chance(0.3) else ""
        return Address(street + unit, town["city"], town["postal_code"] + extension)

    def _phone(self) -> str:
        return f"217-555-{self._random.randint(0, 9999):04d}"

    def _parent(self, child: Person) -> Relative:
        role, gender = self._random.choice((("MTH", "female"), ("FTH", "male")))
        years = (self._day - child.birth_date).days // 365 if child.birth_date else 0
        return Relative(role, self._person(years + self._random.randint(20, 40), gender=gender, like=child))

    def _spouse(self, person: Person) -> Relative:
        years = (self._day - person.birth_date).days // 365 if person.birth_date else 40
        age = max(19, years + self._random.randint(-5, 5))
        return Relative("SPS", self._person(age, like=person))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
