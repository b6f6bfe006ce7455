"""Reading a clinic day as a gateway does: by reference, and by what belongs to each encounter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.canonical import codes
from gateway.canonical.models import Resource, reference_of
from gateway.sandbox.clinic_day import ClinicDay, generate
from gateway.sandbox.day_errors import ENTRY_ERRORS

DAY = date(2026, 3, 3)
CHICAGO = ZoneInfo("America/Chicago")


class View:
    """A clinic day by reference, and what belongs to each encounter."""

    def __init__(self, day: ClinicDay) -> None:
        self.day = day
        self.by_reference = {reference_of(resource): resource for resource in day.resources}
        self.owned: dict[str, list[Resource]] = {}
        for resource in day.resources:
            for encounter in encounters_of(resource):
                self.owned.setdefault(encounter, []).append(resource)

    def of_type(self, name: str) -> list[Resource]:
        return [r for r in self.day.resources if r["resourceType"] == name]

    def encounters(self, kind: str) -> list[Resource]:
        return [self.by_reference[f"Encounter/{e}"] for e, what in self.day.expected.items() if what == kind]

    def at(self, reference: dict[str, Any]) -> Resource:
        return self.by_reference[reference["reference"]]

    def own(self, encounter: Resource, name: str) -> list[Resource]:
        return [r for r in self.owned.get(reference_of(encounter), []) if r["resourceType"] == name]

    def patient(self, encounter: Resource) -> Resource:
        return self.at(encounter["subject"])

    def coverages(self, encounter: Resource) -> list[Resource]:
        """Those on file that nobody has replaced, in order."""
        mine = [c for c in self.of_type("Coverage") if c["beneficiary"] == encounter["subject"]]
        return sorted((c for c in mine if not c["id"].endswith("-old")), key=lambda c: c["order"])

    def is_valid_npi(self, practitioner: Resource | None) -> bool:
        return codes.npi_is_valid(npi_of(practitioner))

    def local_date(self, encounter: Resource) -> date:
        return datetime.fromisoformat(encounter["period"]["start"]).astimezone(CHICAGO).date()

    def participant(self, encounter: Resource, *kinds: str) -> Resource | None:
        found = [p for p in encounter["participant"] if p["type"][0]["coding"][0]["code"] in kinds]
        return self.at(found[0]["individual"]) if found else None

    def lines(self, encounter: Resource) -> list[dict[str, Any]]:
        """The charge lines, from either form, in one shape."""
        claims, charges = self.own(encounter, "Claim"), self.own(encounter, "ChargeItem")
        assert bool(claims) != bool(charges), "each encounter has its charges in one of the two forms"
        return [claim_line(i) for c in claims for i in c["item"]] + [charge_line(c) for c in charges]

    def diagnoses(self, encounter: Resource) -> list[list[dict[str, str]]]:
        """The codings of the diagnoses by rank."""
        ranked = sorted(encounter["diagnosis"], key=lambda entry: entry["rank"])
        return [self.at(entry["condition"])["code"]["coding"] for entry in ranked]


def encounters_of(resource: Resource) -> set[str]:
    named = [resource.get("encounter"), resource.get("context")]
    named += [e for item in resource.get("item", []) for e in item["encounter"]]
    return {reference["reference"] for reference in named if reference}


def claim_line(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "system": item["productOrService"]["coding"][0]["system"],
        "code": item["productOrService"]["coding"][0]["code"],
        "modifiers": [m["coding"][0]["code"] for m in item.get("modifier", [])],
        "quantity": item["quantity"]["value"],
        "net": item["net"]["value"],
        "pointers": len(item.get("diagnosisSequence", [])),
    }


def charge_line(charge: Resource) -> dict[str, Any]:
    first, *modifiers = charge["code"]["coding"]
    return {
        "system": first["system"],
        "code": first["code"],
        "modifiers": [m["code"] for m in modifiers],
        "quantity": charge["quantity"]["value"],
        "net": charge["priceOverride"]["value"],
        "pointers": len(charge["reason"]),
    }


def npi_of(practitioner: Resource | None) -> str:
    return codes.identifier(practitioner or {}, codes.NPI) or ""


@pytest.fixture(scope="session")
def view_of() -> Callable[[ClinicDay], View]:
    """How a day of one's own is read."""
    return View


@pytest.fixture(scope="session")
def usual() -> View:
    return View(generate(seed=7, encounters=200, day=DAY))


@pytest.fixture(scope="session")
def clean() -> View:
    return View(generate(seed=11, encounters=300, day=DAY, error_rate=0.0))


@pytest.fixture(scope="session")
def wrong() -> View:
    return View(generate(seed=5, encounters=4 * len(ENTRY_ERRORS), day=DAY, error_rate=1.0))
