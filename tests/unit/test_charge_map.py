"""The charge map: what an EHR without charges holds becomes claim lines by the clinic's rules, or is held and told."""

from __future__ import annotations

import copy
import random
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import codes
from gateway.canonical.charge_map import ChargeMap, Item, Kind, MapLine, MapRule, Rounding, UnitsOfTime, Visit
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import BillingProvider, ClinicFacts, KnownLocation, KnownProvider
from gateway.canonical.errors import MappingError
from gateway.canonical.fee_schedule import FeeSchedule, parse_fee_schedule
from gateway.canonical.models import ChargeLine, EncounterBundle, EncounterRecord, EncounterRef, Resource
from gateway.charge_settings import ChargeMapSettings
from gateway.clinic_settings import LocationSettings, ProviderSettings
from gateway.kit.ehr_normalize import normalize
from gateway.kit.ehr_rows import US_CORE
from gateway.kit.ehr_source import Dialect

ROOT = Path(__file__).resolve().parents[2]
BASE = "https://ehr.example.test/fhir"
NOTHING = "No charges: the charge map makes no line of what the EHR holds of this visit."
RULES = """
rules:
  - when: {encounter_type: [ov-est], minutes: "20-29"}
    lines: [{code: "99213"}]
  - when: {encounter_type: [ov-est], minutes: "30+"}
    lines: [{code: "99214", modifiers: ["25"]}]
  - when: {procedure: ["snomed|86273004"]}
    lines: [{code: "11102", diagnoses: [L57.0]}, {code: A4550, diagnoses: first, fee: "12.50"}]
"""


def the_map(text: str) -> ChargeMap:
    return ChargeMapSettings.model_validate(yaml.safe_load(text)).map()


@pytest.fixture
def facts() -> ClinicFacts:
    biller = BillingProvider("Sample Clinic", "1245319599", "12-3456789")
    fees = {code: Decimal("100.00") for code in ("99213", "99214", "11102")}
    return ClinicFacts(
        "demo",
        "Sample Clinic",
        ZoneInfo("America/Chicago"),
        biller,
        fee_schedule=FeeSchedule.flat(fees),
        charge_map=the_map(RULES),
    )


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def to(reference: str) -> Resource:
    return {"reference": reference}


def condition(vendor_id: str, code: str) -> Resource:
    subject = {"subject": to("Patient/p"), "encounter": to("Encounter/e")}
    return {"resourceType": "Condition", "id": vendor_id, "code": coded(codes.ICD10CM, code), **subject}


def procedure(vendor_id: str, system: str, code: str, **more: Any) -> Resource:
    return {
        "resourceType": "Procedure",
        "id": vendor_id,
        "status": "completed",
        "code": coded(system, code),
        "subject": to("Patient/p"),
        "encounter": to("Encounter/e"),
        **more,
    }


def biopsy(vendor_id: str = "b1", **more: Any) -> Resource:
    return procedure(vendor_id, codes.SNOMED, "86273004", **more)


def a_record(*resources: Resource, **encounter: Any) -> EncounterRecord:
    visit: Resource = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"system": codes.ACT_CODE, "code": "AMB"},
        "type": [coded("urn:clinic:types", "ov-est")],
        "subject": to("Patient/p"),
        "participant": [{"individual": to("Practitioner/d")}],
        "period": {"start": "2026-03-03T15:00:00Z", "end": "2026-03-03T15:25:30Z"},
        "diagnosis": [{"condition": to("Condition/c1")}, {"condition": to("Condition/c2")}],
        **encounter,
    }
    people: list[Resource] = [
        {"resourceType": "Patient", "id": "p", "name": [{"family": "Canary"}], "birthDate": "1980-01-01"},
        {
            "resourceType": "Practitioner",
            "id": "d",
            "identifier": [{"system": codes.NPI, "value": "1679576722"}],
            "name": [{"family": "Stone"}],
        },
        condition("c1", "I10"),
        condition("c2", "L57.0"),
    ]
    return EncounterRecord(EncounterRef("e", "Encounter/e@1"), BASE, visit, (*people, *resources))


def normalized(record: EncounterRecord, facts: ClinicFacts) -> EncounterBundle:
    return normalize(record, connection="ehr1", clinic=facts, dialect=Dialect(), maps=US_CORE)


def lines(record: EncounterRecord, facts: ClinicFacts) -> tuple[ChargeLine, ...]:
    return normalized(record, facts).charges


def held(record: EncounterRecord, facts: ClinicFacts) -> list[tuple[str, str]]:
    """Element and sentence of each finding; every one says what to do."""
    with pytest.raises(MappingError) as raised:
        lines(record, facts)
    assert all(finding.fix for finding in raised.value.findings)
    return [(finding.expression, finding.message) for finding in raised.value.findings]


def with_map(facts: ClinicFacts, text: str) -> ClinicFacts:
    return replace(facts, charge_map=the_map(text))


def test_the_examples_of_the_how_to_are_good_configuration() -> None:
    text = (ROOT / "docs/how-to/charge-capture.md").read_text("utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    given = {key: value for block in blocks for key, value in block.items()}
    assert len(ChargeMapSettings.model_validate(given["charge_map"]).map().rules) == 6
    assert all(LocationSettings.model_validate(location) for location in given["locations"].values())
    assert all(ProviderSettings.model_validate(provider) for provider in given["providers"].values())
    (table,) = re.findall(r"```csv\n(.*?)```", text, re.S)
    assert parse_fee_schedule(table, given["fee_schedule"]).price("93000", ("26",), date(2026, 3, 3)) == Decimal(
        "19.25"
    )


# --- an encounter without charges ------------------------------------------------------------------------------------


def test_the_visits_type_and_length_and_a_procedure_make_the_lines_in_the_order_of_the_rules(
    facts: ClinicFacts,
) -> None:
    made = lines(a_record(biopsy()), facts)
    assert [(line.code, line.system, line.modifiers, line.expression) for line in made] == [
        ("99213", codes.CPT, (), "charge_map.rules[0]"),
        ("11102", codes.CPT, (), "charge_map.rules[2]"),
        ("A4550", codes.HCPCS, (), "charge_map.rules[2]"),
    ]


def test_the_lines_point_at_all_diagnoses_or_the_first_or_those_listed(facts: ClinicFacts) -> None:
    made = lines(a_record(biopsy()), facts)
    assert [line.diagnosis_codes for line in made] == [("I10", "L57.0"), ("L57.0",), ("I10",)]


def test_the_claim_is_priced_by_the_line_or_the_fee_schedule(facts: ClinicFacts) -> None:
    claim = build_claim(normalized(a_record(biopsy()), facts), facts, created="2026-03-04T12:00:00Z").claim
    assert [str(item["net"]["value"]) for item in claim["item"]] == ["100.00", "100.00", "12.50"]


def test_a_line_without_any_fee_is_held_and_never_free(facts: ClinicFacts) -> None:
    unpriced = replace(facts, fee_schedule=FeeSchedule())
    bundle = normalized(a_record(), unpriced)
    with pytest.raises(MappingError) as raised:
        build_claim(bundle, unpriced, created="2026-03-04T12:00:00Z")
    (finding,) = raised.value.findings
    assert finding.expression == "charge_map.rules[0].unitPrice"
    assert "fee_schedule" in finding.fix


def test_each_procedure_makes_the_lines_with_its_own_date_performer_and_reasons(facts: ClinicFacts) -> None:
    first = biopsy("b1", performedDateTime="2026-03-03T15:10:00Z", performer=[{"actor": to("Practitioner/x")}])
    second = biopsy("b2", performedDateTime="2026-03-05T03:10:00Z", reasonReference=[to("Condition/c2")])
    other = {"resourceType": "Practitioner", "id": "x", "name": [{"family": "Other"}]}
    text = 'rules: [{when: {procedure: ["86273004"]}, lines: [{code: "11102"}]}]'
    made = lines(a_record(first, second, other), with_map(facts, text))
    assert [(line.serviced, line.diagnosis_codes) for line in made] == [
        (date(2026, 3, 3), ("I10", "L57.0")),
        (date(2026, 3, 4), ("L57.0",)),
    ]
    assert [bool(line.performer) for line in made] == [True, False]


def test_a_longer_visit_takes_the_other_rule(facts: ClinicFacts) -> None:
    period = {"start": "2026-03-03T15:00:00Z", "end": "2026-03-03T15:30:00Z"}
    (line,) = lines(a_record(period=period), facts)
    assert (line.code, line.modifiers) == ("99214", ("25",))


def test_the_told_length_goes_before_the_period(facts: ClinicFacts) -> None:
    (line,) = lines(a_record(length={"value": Decimal("0.5"), "code": "h"}), facts)
    assert line.code == "99214"


def test_the_ehrs_own_charges_go_before_the_map(facts: ClinicFacts) -> None:
    charge = {
        "resourceType": "ChargeItem",
        "id": "ci",
        "status": "billable",
        "code": coded(codes.CPT, "99215"),
        "subject": to("Patient/p"),
        "priceOverride": {"value": Decimal("185.00"), "currency": "USD"},
    }
    assert [line.code for line in lines(a_record(charge, biopsy()), facts)] == ["99215"]


# --- nothing is guessed, nothing is forgotten ------------------------------------------------------------------------


def test_what_is_not_mapped_is_held_with_its_code(facts: ClinicFacts) -> None:
    unknown = procedure("x", codes.SNOMED, "1234567")
    assert held(a_record(unknown, biopsy()), facts) == [
        (
            "Procedure[0].code",
            "What is here (http://snomed.info/sct 1234567) is neither mapped nor ignored by the charge map, so nobody "
            "knows whether to bill it.",
        )
    ]


def test_everything_unmapped_is_told_at_once(facts: ClinicFacts) -> None:
    record = a_record(
        procedure("x", codes.SNOMED, "1"),
        {**procedure("y", "", ""), "code": {"text": "as the clinician wrote it"}},
        procedure("z", "urn:clinic", "as the clinician coded it"),
        type=[coded("urn:clinic:types", "unheard-of")],
    )
    told = held(record, facts)
    assert {element for element, _ in told} == {"Encounter.type[0]", *(f"Procedure[{i}].code" for i in range(3))}
    assert "clinician" not in str(told)


def test_a_visit_of_unknown_length_is_held_with_the_reason(facts: ClinicFacts) -> None:
    with pytest.raises(MappingError) as raised:
        lines(a_record(period={"start": "2026-03-03T15:00:00Z"}), facts)
    assert "how long the visit was" in raised.value.findings[0].fix


def test_an_ignored_code_is_no_charge_even_with_a_code_of_its_own(facts: ClinicFacts) -> None:
    other = with_map(facts, RULES + '\nignore: ["cpt|36415", "1234567"]')
    record = a_record(procedure("x", codes.SNOMED, "1234567"), procedure("y", codes.CPT, "36415"))
    assert [line.code for line in lines(record, other)] == ["99213"]


def test_a_procedure_with_a_code_of_its_own_is_billed_as_that(facts: ClinicFacts) -> None:
    made = lines(a_record(procedure("x", codes.CPT, "93000")), facts)
    assert [(line.code, line.expression) for line in made] == [
        ("99213", "charge_map.rules[0]"),
        ("93000", "Procedure[0]"),
    ]


def test_types_that_no_rule_asks_for_are_no_charges(facts: ClinicFacts) -> None:
    text = 'rules: [{when: {procedure: ["86273004"]}, lines: [{code: "11102"}]}]'
    assert [line.code for line in lines(a_record(biopsy()), with_map(facts, text))] == ["11102"]


def test_two_rules_that_make_the_same_code_are_both_named(facts: ClinicFacts) -> None:
    text = RULES + '  - when: {encounter_class: [AMB]}\n    lines: [{code: "99213"}]\n'
    ((element, message),) = held(a_record(), with_map(facts, text))
    assert element == "charge_map.rules[3]"
    assert "charge_map.rules[0] and by charge_map.rules[3]" in message


def test_a_rule_and_a_procedure_that_make_the_same_code_are_both_named(facts: ClinicFacts) -> None:
    ((_, message),) = held(a_record(procedure("x", codes.CPT, "99213")), facts)
    assert "charge_map.rules[0] and by Procedure[0]" in message


def test_nothing_to_bill_is_told(facts: ClinicFacts) -> None:
    text = "rules: [{when: {encounter_class: [VR]}, lines: [{code: G2012}]}]"
    assert held(a_record(), with_map(facts, text)) == [("Encounter", NOTHING)]


def test_what_is_ignored_is_not_billed_as_a_procedure_instead(facts: ClinicFacts) -> None:
    text = 'rules: [{when: {encounter_class: [VR]}, lines: [{code: G2012}]}]\nignore: ["36415"]'
    assert held(a_record(procedure("x", codes.CPT, "36415")), with_map(facts, text)) == [("Encounter", NOTHING)]


def test_a_record_of_another_patient_is_not_billed(facts: ClinicFacts) -> None:
    stranger = {"resourceType": "Patient", "id": "q", "name": [{"family": "Other"}], "birthDate": "1970-01-01"}
    ((element, _),) = held(a_record(stranger, biopsy(subject=to("Patient/q"))), facts)
    assert element == "Procedure[0].subject"


@pytest.mark.parametrize("change", [{"status": "in-progress"}, {"encounter": to("Encounter/other")}])
def test_a_procedure_that_is_not_done_or_not_of_this_visit_is_not_there(
    facts: ClinicFacts, change: dict[str, Any]
) -> None:
    assert [line.code for line in lines(a_record(biopsy(**change)), facts)] == ["99213"]


# --- conditions and units --------------------------------------------------------------------------------------------


def order(**more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": "o",
        "status": "active",
        "intent": "order",
        "code": coded("http://loinc.org", "11557-6"),
        "subject": to("Patient/p"),
        "encounter": to("Encounter/e"),
        **more,
    }


def document(**more: Any) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": "n",
        "status": "current",
        "type": coded("http://loinc.org", "11557-6"),
        "subject": to("Patient/p"),
        "context": {"encounter": [to("Encounter/e")]},
        **more,
    }


APPOINTMENT = {"resourceType": "Appointment", "id": "a", "appointmentType": coded("urn:clinic", "11557-6")}
CONDITIONS: list[tuple[str, EncounterRecord, EncounterRecord]] = [
    ("service_request: [11557-6]", a_record(order()), a_record(order(status="revoked"))),
    ("service_request: [11557-6]", a_record(order()), a_record(order(intent="plan"))),
    ("service_request: [11557-6]", a_record(order()), a_record(order(doNotPerform=True))),
    ("document_type: [11557-6]", a_record(document()), a_record(document(docStatus="preliminary"))),
    ("document_type: [11557-6]", a_record(document()), a_record(document(context={}))),
    ("appointment_type: [11557-6]", a_record(APPOINTMENT), a_record()),
    ("service_type: [d1]", a_record(serviceType=coded("urn:c", "d1")), a_record()),
    ("encounter_class: [VR]", a_record(**{"class": {"code": "VR"}}), a_record()),
    ('minutes: "25-25"', a_record(), a_record(length={"value": 26, "code": "min"})),
    ('practitioner: ["1679576722"]', a_record(), a_record(participant=[])),
]


@pytest.mark.parametrize(("when", "yes", "no"), CONDITIONS)
def test_a_rule_makes_its_line_only_when_its_condition_holds(
    facts: ClinicFacts, when: str, yes: EncounterRecord, no: EncounterRecord
) -> None:
    told = with_map(facts, f"rules: [{{when: {{{when}}}, lines: [{{code: G0101}}]}}]")
    assert [line.code for line in lines(yes, told)] == ["G0101"]
    assert ("Encounter", NOTHING) in held(no, told)


def test_the_specialty_comes_from_the_ehr_or_from_the_configuration(facts: ClinicFacts) -> None:
    told = with_map(facts, "rules: [{when: {specialty: [207N00000X]}, lines: [{code: G0101}]}]")
    assert held(a_record(), told) == [("Encounter", NOTHING)]
    known = replace(told, providers={"1679576722": KnownProvider(taxonomy="207N00000X")})
    assert [line.code for line in lines(a_record(), known)] == ["G0101"]
    role = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "practitioner": to("Practitioner/d"),
        "specialty": [coded(codes.TAXONOMY, "207N00000X")],
    }
    assert [line.code for line in lines(a_record(role), told)] == ["G0101"]


@pytest.mark.parametrize(("day", "made"), [("2025-12-31", "99213"), ("2026-01-01", "99214")])
def test_a_rule_holds_in_its_time(facts: ClinicFacts, day: str, made: str) -> None:
    text = """
rules:
  - {when: {encounter_type: [ov-est]}, effective_to: 2025-12-31, lines: [{code: "99213"}]}
  - {when: {encounter_type: [ov-est]}, effective_from: 2026-01-01, lines: [{code: "99214"}]}
"""
    assert [line.code for line in lines(a_record(period={"start": day}), with_map(facts, text))] == [made]


def test_the_own_code_is_taken_where_no_other_rule_names_it(facts: ClinicFacts) -> None:
    text = """
rules:
  - {when: {encounter_type: ["cpt|*"]}, lines: [{code: own, modifiers: ["95"]}]}
  - {when: {encounter_type: ["99499"]}, lines: [{code: "99213"}]}
"""
    both = [{"coding": [*coded(codes.CPT, "99215")["coding"], *coded(codes.CPT, "25")["coding"]]}]
    (own,) = lines(a_record(type=both), with_map(facts, text))
    assert (own.code, own.modifiers) == ("99215", ("25", "95"))
    (named,) = lines(a_record(type=[coded(codes.CPT, "99499")]), with_map(facts, text))
    assert named.code == "99213"


def test_charge_items_in_the_ehrs_own_codes_go_through_the_map_with_their_quantity_and_price(
    facts: ClinicFacts,
) -> None:
    charge = {
        "resourceType": "ChargeItem",
        "id": "ci",
        "status": "billable",
        "code": coded("urn:clinic:charges", "INJ"),
        "subject": to("Patient/p"),
        "quantity": {"value": 4},
        "priceOverride": {"value": Decimal("8.40"), "currency": "USD"},
        "reason": [coded(codes.ICD10CM, "L57.0")],
    }
    told = with_map(facts, "rules: [{when: {charge_item: [INJ]}, lines: [{code: J3301, modifiers: [jz]}]}]")
    (line,) = lines(a_record(charge), told)
    assert (line.code, line.modifiers, line.quantity, line.unit_price, line.diagnosis_codes) == (
        "J3301",
        ("JZ",),
        Decimal(4),
        Decimal("2.10"),
        ("L57.0",),
    )


TIMED = "rules: [{when: {encounter_class: [AMB]}, lines: [{code: '97110', units: {per: 15, rule: eight_minute}}]}]"


def test_units_come_from_the_minutes(facts: ClinicFacts) -> None:
    (line,) = lines(a_record(), with_map(facts, TIMED))
    assert line.quantity == 2  # 25 minutes


def test_a_visit_too_short_for_a_unit_is_held(facts: ClinicFacts) -> None:
    short = a_record(length={"value": 7, "code": "min"})
    assert "too short" in held(short, with_map(facts, TIMED))[0][1]


def test_a_timed_line_without_a_length_is_held(facts: ClinicFacts) -> None:
    assert held(a_record(period={"start": "2026-03-03"}), with_map(facts, TIMED))[0][0] == "Encounter.period.end"


@pytest.mark.parametrize(
    ("per", "rule", "units"),
    [
        (15, "eight_minute", {0: 0, 7: 0, 8: 1, 22: 1, 23: 2, 37: 2, 38: 3}),
        (30, "midpoint", {15: 0, 16: 1, 45: 1, 46: 2}),
        (15, "up", {0: 0, 1: 1, 15: 1, 16: 2}),
        (15, "down", {14: 0, 15: 1, 29: 1, 30: 2}),
    ],
)
def test_minutes_are_rounded_as_the_rule_says(per: int, rule: str, units: dict[int, int]) -> None:
    timed = UnitsOfTime(per, Rounding(rule))
    assert {minutes: timed.units(minutes) for minutes in units} == units


def test_listed_diagnoses_that_the_visit_has_not_are_told(facts: ClinicFacts) -> None:
    text = "rules: [{when: {encounter_class: [AMB]}, lines: [{code: G0101, diagnoses: [Z12.4]}]}]"
    assert held(a_record(), with_map(facts, text))[0][0] == "Encounter.diagnosis"


# --- locations and providers of the configuration --------------------------------------------------------------------


def at(location: Resource, **more: Any) -> EncounterRecord:
    return a_record(location, location=[{"location": to("Location/l")}], **more)


OFFICE: Resource = {"resourceType": "Location", "id": "l", "name": "Main office"}


@pytest.mark.parametrize("key", ["l", "Main office"])
def test_the_configuration_completes_a_location(facts: ClinicFacts, key: str) -> None:
    known = KnownLocation("22", "1245319599", address={"line": ["1 Way"], "city": "Austin"})
    bundle = normalized(at(OFFICE), replace(facts, locations={key: known}))
    (place,) = bundle.of_type("Location")
    assert bundle.location_code == "22"
    assert codes.identifier(place, codes.NPI) == "1245319599"
    assert (place["name"], place["address"]) == ("Main office", {"line": ["1 Way"], "city": "Austin"})


def test_what_the_ehr_gives_is_kept(facts: ClinicFacts) -> None:
    own = {**OFFICE, "type": [coded(codes.POS, "19")], "identifier": [{"system": codes.NPI, "value": "1679576722"}]}
    known = KnownLocation("22", "1245319599", "Other name")
    bundle = normalized(at(own), replace(facts, locations={"l": known}))
    (place,) = bundle.of_type("Location")
    assert (bundle.location_code, place["name"]) == ("19", "Main office")
    assert codes.identifier(place, codes.NPI) == "1679576722"


def test_a_virtual_visit_stays_one_at_whatever_office_it_was_booked(facts: ClinicFacts) -> None:
    virtual = at(OFFICE, **{"class": {"code": "VR"}})
    assert normalized(virtual, replace(facts, locations={"l": KnownLocation("11")})).location_code == "10"


def test_a_location_that_has_only_a_name_counts_when_the_configuration_knows_it(facts: ClinicFacts) -> None:
    record = a_record(location=[{"location": {"display": "Main Office"}}])
    assert "service_facility" not in normalized(record, facts).roles
    bundle = normalized(record, replace(facts, locations={"Main Office": KnownLocation("49", "1245319599")}))
    place = bundle.find(bundle.roles["service_facility"])
    assert place is not None
    assert (place["name"], codes.identifier(place, codes.NPI)) == ("Main Office", "1245319599")
    assert bundle.location_code == "49"


def test_the_configuration_completes_a_provider(facts: ClinicFacts) -> None:
    record = a_record(participant=[{"individual": to("Practitioner/x")}])
    doctor = {"resourceType": "Practitioner", "id": "x", "name": [{"family": "Quiet"}]}
    record = replace(record, resources=(*record.resources, doctor))
    bundle = normalized(record, replace(facts, providers={"x": KnownProvider("1245319599", "207N00000X")}))
    found = bundle.find(bundle.roles["rendering_provider"])
    assert found is not None
    assert codes.identifier(found, codes.NPI) == "1245319599"
    assert found["qualification"] == [{"code": codes.concept(codes.TAXONOMY, "207N00000X")}]


# --- properties ------------------------------------------------------------------------------------------------------


SYSTEMS = ("urn:a", "urn:b")
coding = st.tuples(st.sampled_from(SYSTEMS), st.sampled_from("xyz"))
asked = st.one_of(
    coding, st.tuples(st.just(""), st.sampled_from("xyz")), st.tuples(st.sampled_from(SYSTEMS), st.just("*"))
)
rules = st.builds(
    MapRule,
    lines=st.lists(st.builds(MapLine, st.sampled_from(["99213", "G0101"])), min_size=1, max_size=2).map(tuple),
    codes=st.dictionaries(st.sampled_from(Kind), st.frozensets(asked, min_size=1, max_size=2), max_size=2),
    minutes=st.none() | st.tuples(st.integers(0, 30), st.integers(20, 60)),
)
items = st.lists(st.tuples(st.sampled_from(Kind), st.lists(coding, max_size=2)), max_size=6).map(
    lambda drawn: [Item(kind, tuple(codings), (f"{i}",)) for i, (kind, codings) in enumerate(drawn)]
)


@given(
    map_=st.builds(ChargeMap, st.lists(rules, max_size=5), st.lists(asked, max_size=2)),
    things=items,
    minutes=st.none() | st.integers(0, 60),
    seed=st.randoms(use_true_random=False),
)
def test_every_thing_is_taken_or_ignored_or_left_and_the_order_makes_no_difference(
    map_: ChargeMap, things: list[Item], minutes: int | None, seed: random.Random
) -> None:
    matched = map_.match(Visit(date(2026, 3, 3), things, minutes))
    parts = [*matched.taken, *matched.ignored, *matched.left]
    assert sorted(map(id, parts)) == sorted(map(id, things))
    shuffled = seed.sample(things, len(things))
    again = map_.match(Visit(date(2026, 3, 3), shuffled, minutes))
    assert again.fired == matched.fired
    assert {id(item) for item in again.left} == {id(item) for item in matched.left}


@given(map_=st.builds(ChargeMap, st.lists(rules, max_size=5)), things=items, minutes=st.none() | st.integers(0, 60))
def test_the_index_finds_what_trying_every_rule_finds(map_: ChargeMap, things: list[Item], minutes: int | None) -> None:
    visit = Visit(date(2026, 3, 3), things, minutes)
    named = {kind: {c for rule in map_.rules for c in rule.codes.get(kind, ()) if c[1] != "*"} for kind in Kind}

    def takes(rule: MapRule, item: Item) -> bool:
        spelt = {s for system, code in item.codings for s in ((system, code), ("", code))}
        whole = {(system, "*") for system, _ in item.codings}
        wanted = rule.codes.get(item.kind, frozenset())
        return bool(wanted & spelt) or (not spelt & named[item.kind] and bool(wanted & whole))

    expected = [
        number
        for number, rule in enumerate(map_.rules)
        if rule.holds({kind: 1 for kind in Kind if any(i.kind is kind and takes(rule, i) for i in things)}, visit)
    ]
    assert sorted({fired.number for fired in map_.match(visit).fired}) == expected


@given(seed=st.randoms(use_true_random=False))
def test_the_lines_do_not_depend_on_the_order_of_the_resources(seed: random.Random) -> None:
    clinic = ClinicFacts(
        "demo",
        "Sample",
        ZoneInfo("UTC"),
        BillingProvider("S", "1245319599", "1"),
        charge_map=the_map(RULES),
    )
    held_ = a_record(
        biopsy("b1", performedDateTime="2026-03-03"),
        biopsy("b2"),
        biopsy("b3", reasonReference=[to("Condition/c1")]),
        procedure("e1", codes.CPT, "93000"),
        procedure("e2", codes.CPT, "93005", performedDateTime="2026-03-03"),
    )
    mixed = replace(held_, resources=tuple(seed.sample(held_.resources, len(held_.resources))))
    plain = [replace(line, expression="") for line in lines(held_, clinic)]
    assert [replace(line, expression="") for line in lines(copy.deepcopy(mixed), clinic)] == plain
