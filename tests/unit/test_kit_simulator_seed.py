"""A clinic day as neutral visits: nothing that a claim needs is lost on the way."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from gateway.canonical import codes
from gateway.kit.simulator_seed import SeedVisit, visits
from gateway.sandbox.clinic_day import ClinicDay, generate


@pytest.fixture(scope="module")
def day() -> ClinicDay:
    return generate(seed=5, encounters=60, day=date(2026, 3, 3), error_rate=0.2)


@pytest.fixture(scope="module")
def seeded(day: ClinicDay) -> list[SeedVisit]:
    return visits(day.resources)


def test_every_encounter_is_a_visit_with_charges_and_a_price(day: ClinicDay, seeded: list[SeedVisit]) -> None:
    assert {visit.id for visit in seeded} == set(day.encounter_ids)
    charged = [r for r in day.resources if r["resourceType"] == "ChargeItem"]
    items = [item for r in day.resources if r["resourceType"] == "Claim" for item in r["item"]]
    assert sum(len(visit.lines) for visit in seeded) == len(charged) + len(items)
    prices = [r["priceOverride"]["value"] for r in charged] + [item["net"]["value"] for item in items]
    assert sum(line.quantity * line.unit_price for v in seeded for line in v.lines if line.unit_price) == sum(prices)


def test_clean_visits_have_all_that_a_claim_needs(day: ClinicDay, seeded: list[SeedVisit]) -> None:
    clean = [visit for visit in seeded if day.expected[visit.id] == "clean"]
    assert clean
    for visit in clean:
        assert visit.signed and visit.start is not None and visit.start.tzinfo is not None
        assert visit.rendering and codes.identifier(visit.rendering, codes.NPI)
        assert all(diagnosis.icd10 for diagnosis in visit.diagnoses)
        assert all(line.pointers and line.quantity >= Decimal(1) for line in visit.lines)
        assert visit.coverages[0].member_id and visit.coverages[0].payer


def test_what_only_some_visits_have_arrives(seeded: list[SeedVisit]) -> None:
    assert any(visit.authorization for visit in seeded)
    assert any(visit.referring and visit.referral_number for visit in seeded)
    assert any(line.modifiers for visit in seeded for line in visit.lines)
    assert any(c.subscriber and c.subscriber["resourceType"] == "RelatedPerson" for v in seeded for c in v.coverages)
    assert any(c.plan("group") for v in seeded for c in v.coverages)
    assert {visit.place_of_service for visit in seeded} >= {"11", "10"}
