"""Rows whose function is told what to read: the members that the source lists, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.models import EncounterRecord, EncounterRef
from gateway.kit.ehr_charge_rows import CHARGE_TABLES, Charge
from gateway.kit.ehr_element import Element
from gateway.kit.ehr_reading import Reading, read
from gateway.kit.ehr_rows import US_CORE
from gateway.kit.ehr_source import Dialect, Source
from gateway.kit.ehr_tables import encounter_tables, resource_tables


def given(place: dict[str, Any], *names: str) -> list[Any]:
    """What is there."""
    return [place.get(name) for name in names]


def both(place: dict[str, Any], name: str) -> tuple[str, str]:
    """The two halves."""
    left, right = place[name].split("|")
    return left, right


def test_the_function_is_given_the_members_that_the_source_lists() -> None:
    place = {"servicedDate": "2026-03-03", "price": 5, "quantity": 2}
    rows = (
        Reading("day", "Claim.item.servicedDate | Claim.item.servicedPeriod", given),
        Reading("price", "Claim.item.price, Claim.item.quantity", given),
    )
    assert read(rows, place) == {"day": ["2026-03-03", None], "price": [5, 2]}


def test_a_row_of_several_targets_gives_one_value_each() -> None:
    assert read((Reading("system, code", "Charge.code", both),), {"code": "cpt|99213"}) == {
        "system": "cpt",
        "code": "99213",
    }
    with pytest.raises(ValueError, match="zip"):
        read((Reading("a, b, c", "Charge.code", both),), {"code": "cpt|99213"})


def test_the_first_rows_mistake_is_told_first() -> None:
    def refuse(_: Any, name: str) -> None:
        raise MappingError(name, "is wrong")

    with pytest.raises(MappingError, match="first"):
        read((Reading("a", "X.first", refuse), Reading("b", "X.second", refuse)), {})


def test_the_tables_follow_the_adapters_choice_of_charges() -> None:
    tables = encounter_tables(US_CORE, ("procedure", "claim"))
    charges = [title for title in tables if title.startswith("charge")]
    assert charges == ["charge (first choice: Procedure)", "charge (second choice: Claim.item)"]
    assert tables[charges[0]] is CHARGE_TABLES["procedure"][1]


def test_every_element_of_a_resource_map_is_in_its_table_and_links_say_where_they_lead() -> None:
    for name, table in US_CORE.items():
        rows = {row.target.removesuffix("[]"): row for row in resource_tables({name: table})[name]}
        assert {row.target.removesuffix("[]") for row in table.rows} <= set(rows)
        assert {repeated.name for repeated in table.lists} <= set(rows)
        for link in table.links:
            assert all(kind in rows[link.path].note for kind in link.types)
            assert rows[link.path].required >= link.required


class Spy(dict[str, Any]):
    """A JSON object that remembers which of its members were asked for."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)


CODE = {"coding": [{"system": codes.CPT, "code": "99213"}, {"system": codes.CPT, "code": "25"}]}
REASON = {"coding": [{"system": codes.ICD10CM, "code": "E11.9"}]}
FULL: dict[str, dict[str, Any]] = {
    "claim": {
        "sequence": 1,
        "productOrService": CODE,
        "quantity": {"value": 2},
        "servicedDate": "2026-03-03",
        "unitPrice": {"value": 5},
        "modifier": [{"coding": [{"code": "25"}]}],
        "diagnosisSequence": [1],
        "careTeamSequence": [1],
    },
    "charge_item": {
        "code": CODE,
        "quantity": {"value": 2},
        "occurrenceDateTime": "2026-03-03",
        "priceOverride": {"value": 10},
        "reason": [REASON],
        "performer": [{"actor": {"reference": "Practitioner/p"}}],
    },
    "procedure": {
        "code": CODE,
        "performedDateTime": "2026-03-03",
        "reasonCode": [REASON],
        "performer": [{"actor": {"reference": "Practitioner/p"}}],
    },
}
FULL["superbill"] = FULL["claim"]


@pytest.mark.parametrize("name", CHARGE_TABLES)
def test_a_charges_row_reads_what_its_source_says_and_nothing_else(name: str, clinic: ClinicFacts) -> None:
    """The mapping document prints the source, so no function may look elsewhere in the charge."""
    encounter = {"resourceType": "Encounter", "id": "e", "status": "finished"}
    practitioner = {"resourceType": "Practitioner", "id": "p"}
    record = EncounterRecord(EncounterRef("e", "k"), "https://ehr.example/fhir", encounter, (practitioner,))
    source = Source(record, "ehr", clinic, Dialect(modifier_extensions=frozenset({"urn:modifier"})))
    entry = Element({"sequence": 1, "diagnosisCodeableConcept": REASON}, "Claim.diagnosis[0]")
    for row in CHARGE_TABLES[name][1]:
        spy = Spy(FULL[name])
        element = Element(spy, "Charge")
        owner = source.encounter if name in ("claim", "superbill") else replace(source.encounter, element=element)
        charge = Charge(owner, element, source, {1: entry})
        row.via(charge, *row.names)
        assert spy.seen <= set(row.names), row.target
