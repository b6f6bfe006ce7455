"""The sandbox's clinic day: valid FHIR, and true to life in its numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import fhirkit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical import bindings, codes, jsonio, profile
from gateway.canonical.models import Resource, reference_of
from gateway.sandbox.clinic_day import generate
from gateway.sandbox.day_errors import ENTRY_ERRORS

View = Any  # the reader of conftest.py, which no test module can import
DAY = date(2026, 3, 3)
KINDS = {error.name for error in ENTRY_ERRORS}


def npi_of(resource: Resource | None) -> str:
    return codes.identifier(resource or {}, codes.NPI) or ""


def parts(value: Any) -> Iterator[Any]:
    """Every object and list inside a JSON value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from parts(member)


# the promise of the generator


def test_the_same_seed_gives_the_same_day_and_another_seed_another_one() -> None:
    first, second = (generate(seed=3, encounters=40, day=DAY) for _ in range(2))
    other = generate(seed=4, encounters=40, day=DAY)
    assert first == second
    assert first.resources != other.resources


@given(seed=st.integers(0, 2**32), encounters=st.integers(1, 60), rate=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_any_day_has_the_asked_number_of_encounters_and_errors(seed: int, encounters: int, rate: float) -> None:
    day = generate(seed=seed, encounters=encounters, day=DAY, error_rate=rate)
    wrong = [what for what in day.expected.values() if what != "clean"]
    assert len(day.encounter_ids) == len(set(day.encounter_ids)) == encounters
    assert set(day.encounter_ids) == set(day.expected)
    assert len(wrong) == round(encounters * rate)
    assert set(wrong) <= KINDS


@pytest.mark.parametrize(("encounters", "rate"), [(0, 0.1), (5, -0.1), (5, 1.1)])
def test_impossible_days_are_refused(encounters: int, rate: float) -> None:
    with pytest.raises(ValueError, match="encounters"):
        generate(seed=1, encounters=encounters, day=DAY, error_rate=rate)


@pytest.mark.parametrize("day", [date(2024, 2, 29), date(2026, 1, 1), date(2026, 12, 31), date(2026, 11, 1)])
def test_a_day_at_the_edges_of_the_calendar_is_valid_too(day: date, view_of: Any) -> None:
    view = view_of(generate(seed=9, encounters=60, day=day, error_rate=0.0))
    assert {view.local_date(encounter) for encounter in view.of_type("Encounter")} == {day}
    assert not [issue for resource in view.day.resources for issue in fhirkit.validate(resource)]


def test_errors_are_spread_over_the_day() -> None:
    day = generate(seed=7, encounters=160, day=DAY, error_rate=0.1)
    numbers = [int(e.removeprefix("enc-")) for e, what in day.expected.items() if what != "clean"]
    assert [(number - 1) // 10 for number in numbers] == list(range(16))


def test_encounters_are_in_the_order_of_signing(usual: View) -> None:
    signed = [usual.by_reference[f"Encounter/{e}"]["meta"]["lastUpdated"] for e in usual.day.encounter_ids]
    assert signed == sorted(signed)
    assert usual.day.encounter_ids != sorted(usual.day.encounter_ids)


# the FHIR of it


def test_clean_encounters_are_valid_fhir(clean: View) -> None:
    issues = [(r["id"], str(i)) for r in clean.day.resources for i in fhirkit.validate(jsonio.dumps(r))]
    findings = [(r["id"], f.edit) for r in clean.day.resources for f in bindings.check(r)]
    assert issues == []
    assert findings == []


@pytest.mark.parametrize("name", ["Patient", "RelatedPerson", "Practitioner", "Organization", "Location", "Condition"])
def test_clean_resources_already_have_what_a_claim_needs(clean: View, name: str) -> None:
    resources = clean.of_type(name)
    assert resources
    assert [finding for resource in resources for finding in profile.check(resource)] == []


@pytest.mark.parametrize("view", ["usual", "wrong"])
def test_every_reference_resolves_and_every_id_is_used_once(view: str, request: pytest.FixtureRequest) -> None:
    day: View = request.getfixturevalue(view)
    named = {p["reference"] for r in day.day.resources for p in parts(r) if isinstance(p, dict) and "reference" in p}
    assert {reference for reference in named if isinstance(reference, str)} <= set(day.by_reference)
    assert len(day.by_reference) == len(day.day.resources)
    assert all(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", resource["id"]) for resource in day.day.resources)


def test_no_two_resources_share_a_value_that_could_be_changed(wrong: View) -> None:
    everything = [*wrong.day.resources, wrong.day.directory, wrong.day.clinic]
    counts = Counter(id(part) for value in everything for part in parts(value))
    assert max(counts.values()) == 1


def test_changing_one_day_leaves_the_next_one_as_it_was() -> None:
    first = generate(seed=2, encounters=5, day=DAY)
    first.directory["fees"].clear()
    first.clinic["billing_provider"]["address"]["city"] = "elsewhere"
    first.resources[0]["name"] = "changed"
    second = generate(seed=2, encounters=5, day=DAY)
    assert second.directory["fees"]
    assert second.clinic["billing_provider"]["address"]["city"] == "Springfield"
    assert second.resources[0]["name"] == second.clinic["name"]


def test_money_is_decimal_with_cents_and_adds_up(usual: View) -> None:
    money = [p for r in usual.day.resources for p in parts(r) if isinstance(p, dict) and "currency" in p]
    assert all(isinstance(m["value"], Decimal) and m["value"].as_tuple().exponent == -2 for m in money)
    for claim in usual.of_type("Claim"):
        assert claim["total"]["value"] == sum(item["net"]["value"] for item in claim["item"])
        assert all(i["net"]["value"] == i["unitPrice"]["value"] * i["quantity"]["value"] for i in claim["item"])


def test_no_coding_has_a_descriptor(usual: View) -> None:
    codings = [p for r in usual.day.resources for p in parts(r) if isinstance(p, dict) and "system" in p]
    assert not [coding for coding in codings if "display" in coding]
    assert not [
        p for r in usual.day.resources for p in parts(r) if isinstance(p, dict) and "coding" in p and "text" in p
    ]


def test_most_lines_are_hcpcs_level_two(usual: View) -> None:
    systems = Counter(line["system"] for e in usual.encounters("clean") for line in usual.lines(e))
    assert set(systems) == {codes.CPT, codes.HCPCS}
    assert systems[codes.HCPCS] > systems[codes.CPT]


def test_phones_are_fictitious(usual: View) -> None:
    phones = [
        p["value"] for r in usual.day.resources for p in parts(r) if isinstance(p, dict) and p.get("system") == "phone"
    ]
    assert phones
    assert all(re.fullmatch(r"\d{3}-555-\d{4}", phone) for phone in phones)


# what a clinic day is like


def test_a_day_has_all_that_makes_billing_hard(usual: View) -> None:
    day = usual.of_type("Encounter")
    lines = [usual.lines(encounter) for encounter in day]
    diagnoses = [len(encounter["diagnosis"]) for encounter in day]
    modifiers = {modifier for visit in lines for line in visit for modifier in line["modifiers"]}
    assert max(len(visit) for visit in lines) >= 4
    assert sum(len(visit) > 1 for visit in lines) > 100
    assert min(diagnoses) == 1
    assert max(diagnoses) == 12
    assert {"25", "59", "LT", "RT", "95", "GT"} <= modifiers
    assert any(line["quantity"] > 20 for visit in lines for line in visit)
    assert max(line["pointers"] for visit in lines for line in visit) == 4


def test_insurance_is_as_various_as_people_are(clean: View) -> None:
    encounters = clean.of_type("Encounter")
    covered = [clean.coverages(encounter) for encounter in encounters]
    first = [coverages[0] for coverages in covered]
    payers = Counter(clean.at(coverage["payor"][0])["name"] for coverage in first)
    relationships = Counter(coverage["relationship"]["coding"][0]["code"] for coverage in first)
    assert sum(len(coverages) == 2 for coverages in covered) > 30
    assert all([c["order"] for c in coverages] == list(range(1, len(coverages) + 1)) for coverages in covered)
    assert len(payers) == 7  # the eighth only supplements
    assert set(relationships) == {"self", "spouse", "child"}
    assert any(coverage.get("subscriberId", "").startswith("0") for coverage in first)
    assert {frozenset({"identifier", "subscriberId"} & set(coverage)) for coverage in first} == {
        frozenset({"identifier"}),
        frozenset({"subscriberId"}),
        frozenset({"identifier", "subscriberId"}),
    }


def test_coverages_are_in_force_unless_they_are_old(clean: View) -> None:
    old = [c for c in clean.of_type("Coverage") if c["id"].endswith("-old")]
    current = [c for c in clean.of_type("Coverage") if not c["id"].endswith("-old")]
    assert old
    assert all(c["status"] == "cancelled" and c["period"]["end"] < DAY.isoformat() for c in old)
    assert all(c["status"] == "active" for c in current)
    assert all(c["period"]["start"] <= DAY.isoformat() <= c["period"].get("end", "9") for c in current)


def test_a_supplement_stands_behind_the_payer_of_the_elderly(clean: View) -> None:
    for encounter in clean.of_type("Encounter"):
        names = [clean.at(coverage["payor"][0])["id"] for coverage in clean.coverages(encounter)]
        assert "payer-harbor" not in names[:1]
        if "payer-elder" in names:
            assert clean.patient(encounter)["birthDate"] <= "1961-03-03"
            assert names in (["payer-elder"], ["payer-elder", "payer-harbor"])


def test_minors_have_a_parent_on_file_with_name_birth_date_and_address(clean: View) -> None:
    minors = [p for p in clean.of_type("Patient") if p["birthDate"] > "2008-03-03"]
    related = {r["patient"]["reference"]: r for r in clean.of_type("RelatedPerson")}
    children = [c for c in clean.of_type("Coverage") if c["relationship"]["coding"][0]["code"] == "child"]
    assert len(minors) > 15
    for minor in minors:
        parent = related[reference_of(minor)]
        assert parent["birthDate"] < minor["birthDate"]
        assert parent["name"][0]["family"] == minor["name"][0]["family"]
        assert parent["address"] == minor["address"]
    assert children
    assert all(coverage["subscriber"]["reference"].startswith("RelatedPerson/") for coverage in children)


def test_about_every_seventh_encounter_is_a_patients_second_with_another_provider(clean: View) -> None:
    visits: dict[str, list[str]] = {}
    for encounter in clean.of_type("Encounter"):
        provider = clean.participant(encounter, "ATND", "PPRF")
        visits.setdefault(encounter["subject"]["reference"], []).append(npi_of(provider))
    twice = [npis for npis in visits.values() if len(npis) > 1]
    assert 0.08 < len(twice) / 300 < 0.22
    assert all(len(npis) == len(set(npis)) == 2 for npis in twice)


def test_names_have_what_names_have(clean: View) -> None:
    names = [p["name"][0] for p in clean.of_type("Patient")]
    families = "".join(name["family"] for name in names)
    assert re.search(r"[^\x00-\x7f]", families)
    assert "'" in families
    assert "-" in families
    assert any("suffix" in name for name in names)


def test_telehealth_is_told_by_class_place_modifier_and_location(usual: View) -> None:
    remote = [e for e in usual.of_type("Encounter") if e["class"]["code"] == "VR"]
    assert len(remote) >= 10
    for encounter in remote:
        assert encounter["location"][0]["location"]["reference"] == "Location/loc-telehealth"
        for claim in usual.own(encounter, "Claim"):
            places = {item["locationCodeableConcept"]["coding"][0]["code"] for item in claim["item"]}
            assert places <= {"02", "10"}
    clean_lines = [line for e in remote if usual.day.expected[e["id"]] == "clean" for line in usual.lines(e)]
    assert all({"95", "GT"} & set(line["modifiers"]) for line in clean_lines)


def test_some_visits_are_on_the_next_day_in_utc(clean: View) -> None:
    starts = [encounter["period"]["start"] for encounter in clean.of_type("Encounter")]
    assert {start[-1] == "Z" for start in starts} == {True, False}
    assert any(start.startswith("2026-03-04") for start in starts)
    assert {clean.local_date(encounter) for encounter in clean.of_type("Encounter")} == {DAY}
    serviced = {item["servicedDate"] for claim in clean.of_type("Claim") for item in claim["item"]}
    assert serviced == {"2026-03-03"}


def test_referrals_supervisors_and_prior_authorizations_occur(usual: View) -> None:
    day = usual.of_type("Encounter")
    referred = [e for e in day if usual.participant(e, "REF")]
    claims = usual.of_type("Claim")
    assert len(referred) >= 5
    assert all(usual.at(e["basedOn"][0])["identifier"][0]["value"].startswith("RF") for e in referred)
    assert any("referral" in claim for claim in claims)
    assert any("preAuthRef" in claim["insurance"][0] for claim in claims)
    assert any("accident" in claim for claim in claims)
    for encounter in day:
        provider = usual.participant(encounter, "ATND", "PPRF")
        assistant = "PA-C" in (provider or {})["name"][0]["suffix"]
        assert assistant == (usual.participant(encounter, "SPRF") is not None)


def test_charges_come_in_both_forms(usual: View) -> None:
    itemised = [e for e in usual.of_type("Encounter") if usual.own(e, "ChargeItem")]
    assert 0.15 < len(itemised) / 200 < 0.35


def test_claims_name_the_diagnoses_in_the_order_of_their_rank(usual: View) -> None:
    forms = Counter()
    for encounter in usual.of_type("Encounter"):
        forms["ranks in order"] += [d["rank"] for d in encounter["diagnosis"]] == sorted(
            d["rank"] for d in encounter["diagnosis"]
        )
        for claim in usual.own(encounter, "Claim"):
            concepts = [
                d["diagnosisCodeableConcept"]
                if "diagnosisCodeableConcept" in d
                else usual.at(d["diagnosisReference"])["code"]
                for d in claim["diagnosis"]
            ]
            forms["by reference"] += "diagnosisReference" in claim["diagnosis"][0]
            assert [concept["coding"] for concept in concepts] == usual.diagnoses(encounter)
    assert 0 < forms["by reference"] < len(usual.of_type("Claim"))
    assert 0 < forms["ranks in order"] < 200


def test_clean_codes_and_pointers_are_well_formed(clean: View) -> None:
    for encounter in clean.of_type("Encounter"):
        icd10 = [c["code"] for codings in clean.diagnoses(encounter) for c in codings if c["system"] == codes.ICD10CM]
        assert len(icd10) == len(set(icd10)) == len(encounter["diagnosis"])
        assert all(codes.icd10cm(code) == code and ("." in code or len(code) == 3) for code in icd10)
        for line in clean.lines(encounter):
            assert codes.procedure_system(line["code"]) == line["system"]
            assert all(codes.modifier(modifier) == modifier for modifier in line["modifiers"])
            assert len(line["modifiers"]) <= 4
            assert line["quantity"] >= 1
            assert 1 <= line["pointers"] <= 4
    for claim in clean.of_type("Claim"):
        sequences = {diagnosis["sequence"] for diagnosis in claim["diagnosis"]}
        assert all(set(item["diagnosisSequence"]) <= sequences for item in claim["item"])


def test_charges_never_repeat_a_procedure_in_a_visit(clean: View) -> None:
    for encounter in clean.of_type("Encounter"):
        billed = [line["code"] for line in clean.lines(encounter)]
        assert len(billed) == len(set(billed))


# what the billing system and the configuration know


def test_the_directory_knows_all_that_is_billed(usual: View) -> None:
    directory = usual.day.directory
    known = {provider["npi"] for provider in directory["providers"]}
    for encounter in usual.of_type("Encounter"):
        if usual.day.expected[encounter["id"]].endswith("-npi-transposed"):
            continue
        assert {npi_of(usual.at(p["individual"])) for p in encounter["participant"]} <= known
    assert {npi_of(location) for location in usual.of_type("Location")} == {p["npi"] for p in directory["locations"]}
    billed = {line["code"] for e in usual.encounters("clean") for line in usual.lines(e)}
    assert billed <= set(directory["procedures"])
    assert set(directory["fees"]) == set(directory["procedures"])


def test_the_configuration_prices_every_line_and_knows_every_payer(usual: View) -> None:
    clinic = usual.day.clinic
    for encounter in usual.encounters("clean"):
        for coverage in usual.coverages(encounter):
            payer = usual.at(coverage["payor"][0])
            assert clinic["payer_ids"][payer["name"]] == payer["identifier"][0]["value"]
        for line in usual.lines(encounter):
            assert Decimal(clinic["fee_schedule"][line["code"]]) * line["quantity"] == line["net"]
    assert codes.npi_is_valid(clinic["billing_provider"]["npi"])
    assert ZoneInfo(clinic["timezone"]) == ZoneInfo("America/Chicago")
    assert set(clinic["payer_ids"].values()) == {payer["payer_id"] for payer in usual.day.directory["payers"]}


@pytest.mark.slow
def test_twenty_thousand_encounters_are_generated_whole() -> None:
    day = generate(seed=1, encounters=20_000, day=DAY)
    assert len(day.encounter_ids) == len(set(day.encounter_ids)) == 20_000
    assert Counter(what != "clean" for what in day.expected.values()) == {False: 18_400, True: 1_600}
    assert len({reference_of(resource) for resource in day.resources}) == len(day.resources)
