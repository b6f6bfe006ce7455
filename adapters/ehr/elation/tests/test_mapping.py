"""From Elation's objects to the canonical encounter."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ehr.elation import words
from adapters.ehr.elation.adapter import ElationEhr
from gateway.canonical import codes
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.canonical.models import EncounterBundle, EncounterRecord, Resource

ANYTHING = HealthCheck.function_scoped_fixture


def changed(record: EncounterRecord, **bill: Any) -> EncounterRecord:
    return replace(record, encounter={**record.encounter, **bill})


def with_patient(record: EncounterRecord, **patient: Any) -> EncounterRecord:
    held = [{**r, **patient} if r["resourceType"] == "Patient" else r for r in record.resources]
    return replace(record, resources=tuple(held))


def insured(record: EncounterRecord, **insurance: Any) -> EncounterRecord:
    """With one insurance, changed."""
    patient = next(r for r in record.resources if r["resourceType"] == "Patient")
    return with_patient(record, insurances=[{**patient["insurances"][1], **insurance}])


def only(bundle: EncounterBundle, resource_type: str) -> Resource:
    (found,) = bundle.of_type(resource_type)
    return found


# --- roles and places -------------------------------------------------------------------------------------------------


def test_each_role_of_the_bill_arrives(offline: ElationEhr, record: EncounterRecord) -> None:
    second = {"resourceType": "Physician", "id": "87", "first_name": "Sam", "last_name": "Over", "npi": "1245319599"}
    ordering = {"name": "Lee Order", "state": "IL", "npi": "1999900206"}
    bundle = offline.normalize(
        changed(
            replace(record, resources=(*record.resources, second)), supervising_provider=87, ordering_provider=ordering
        )
    )
    npis = {role: codes.identifier(bundle.find(to) or {}, codes.NPI) for role, to in bundle.roles.items()}
    assert npis == {
        "rendering_provider": "1679576722",
        "supervising_provider": "1245319599",
        "referring_provider": "1234567893",
        "ordering_provider": "1999900206",
        "service_facility": None,
    }


def test_the_bills_physician_renders_where_nobody_else_is_named(offline: ElationEhr, record: EncounterRecord) -> None:
    bundle = offline.normalize(changed(record, rendering_provider=None))
    assert codes.identifier(bundle.find(bundle.roles["rendering_provider"]) or {}, codes.NPI) == "1679576722"


def test_nobody_who_saw_the_patient_holds_the_bill(offline: ElationEhr, record: EncounterRecord) -> None:
    with pytest.raises(MappingError) as raised:
        offline.normalize(changed(record, rendering_provider=None, physician=None))
    assert raised.value.findings[0].expression == "Bill.rendering_provider"


@pytest.mark.parametrize(("code", "place", "kind"), [(11, "11", "AMB"), (2, "02", "VR"), ("10", "10", "VR")])
def test_the_place_of_service_has_two_digits(
    offline: ElationEhr, record: EncounterRecord, code: Any, place: str, kind: str
) -> None:
    location = {**record.encounter["service_location"], "place_of_service_code": code}
    bundle = offline.normalize(changed(record, service_location=location))
    assert (bundle.location_code, bundle.encounter["class"]["code"]) == (place, kind)


def test_a_place_that_is_only_named_by_its_id_is_found(offline: ElationEhr, record: EncounterRecord) -> None:
    place = {"resourceType": "ServiceLocation", "id": "6", "name": "Annex", "place_of_service_code": 22}
    bundle = offline.normalize(changed(replace(record, resources=(*record.resources, place)), service_location=6))
    assert bundle.location_code == "22"


@pytest.mark.parametrize(
    ("text", "family", "given"),
    [
        ("Beverly Crusher, MD (555-555-5555)", "Crusher", "Beverly"),
        ("Beverly Crusher", "Crusher", "Beverly"),
        ("Mary Ann Smith-Jones, DO", "Smith-Jones", "Mary Ann"),
        ("Lakeside", "Lakeside", ""),
    ],
)
def test_a_referrer_s_name_is_read_without_title_and_phone(text: str, family: str, given: str) -> None:
    assert (words.family(text), words.given(text)) == (family, given)


# --- dates ------------------------------------------------------------------------------------------------------------


def test_the_date_of_service_is_the_clinic_s(offline: ElationEhr, record: EncounterRecord) -> None:
    assert offline.normalize(record).serviced.isoformat() == "2026-03-03"


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Auckland", "2026-03-04"), ("America/Los_Angeles", "2026-03-03"), ("Nowhere", "2026-03-03")],
)
def test_the_place_s_own_time_zone_decides_where_it_is_named(
    offline: ElationEhr, record: EncounterRecord, zone: str, day: str
) -> None:
    assert offline.normalize(changed(record, service_date_timezone=zone)).serviced.isoformat() == day


def test_a_bill_whose_billing_is_deferred_is_looked_at_again(offline: ElationEhr, record: EncounterRecord) -> None:
    with pytest.raises(NotSignedOff):
        offline.normalize(changed(record, deferred_bill=True, patient=None, cpts=[]))


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dxs", [["I10"], [{"icd10": "I10"}], [{"icd10_code": "i10"}], ["I10", "I10"]])
def test_diagnoses_are_read_in_each_of_their_forms(
    offline: ElationEhr, record: EncounterRecord, dxs: list[Any]
) -> None:
    cpts = [{"cpt": "99213", "modifiers": [], "dxs": dxs, "units": "1.0", "unit_charge": "10.0"}]
    bundle = offline.normalize(changed(record, cpts=cpts))
    assert (bundle.diagnosis_codes, bundle.charges[0].diagnosis_codes) == (("I10",), ("I10",))


def test_a_diagnosis_without_a_code_is_named(offline: ElationEhr, record: EncounterRecord) -> None:
    cpts = [{**record.encounter["cpts"][0], "dxs": ["I10", {}]}]
    with pytest.raises(MappingError) as raised:
        offline.normalize(changed(record, cpts=cpts))
    assert raised.value.findings[0].expression == "Bill.cpts[0].dxs[1]"


def test_all_that_is_wrong_is_told_at_once(offline: ElationEhr, record: EncounterRecord) -> None:
    with pytest.raises(MappingError) as raised:
        offline.normalize(with_patient(changed(record, service_date=None, cpts=[]), dob=None))
    assert [f.expression for f in raised.value.findings] == ["Bill.service_date", "Patient.dob", "Bill.cpts"]


def test_the_drug_of_a_line_reaches_the_claim(offline: ElationEhr, record: EncounterRecord) -> None:
    drug = {"ndc": "60575-4112-01", "ndc_dose": "1.500", "ndc_measure": "ML"}
    first, second = record.encounter["cpts"]
    bundle = offline.normalize(changed(record, cpts=[{**first, **drug}, {**second, "ndc": "", "ndc_measure": "UN"}]))
    claim = build_claim(bundle, offline.context.clinic, created="2026-03-05T12:00:00Z", generation=0).claim
    (detail,) = claim["item"][0]["detail"]
    assert detail["productOrService"] == codes.concept(codes.NDC, "60575411201")
    assert detail["quantity"] == {"value": Decimal("1.500"), "unit": "ML"}
    assert "detail" not in claim["item"][1]


# --- insurance --------------------------------------------------------------------------------------------------------


def test_the_insured_person_is_carried_where_it_is_not_the_patient(
    offline: ElationEhr, record: EncounterRecord
) -> None:
    bundle = offline.normalize(record)
    insured_person = only(bundle, "RelatedPerson")
    assert (insured_person["name"][0]["family"], insured_person["birthDate"]) == ("Testperson", "1982-01-09")
    assert insured_person["gender"] == "male"
    second = bundle.of_type("Coverage")[1]
    assert second["subscriber"]["reference"] == f"RelatedPerson/{insured_person['id']}"
    assert codes.codings(second["relationship"])[0]["code"] == "spouse"


@pytest.mark.parametrize(("word", "code"), [(None, "self"), ("", "self"), ("Child", "child"), ("Cousin", "other")])
def test_no_word_means_the_patient_and_an_unknown_one_does_not(
    offline: ElationEhr, record: EncounterRecord, word: str | None, code: str
) -> None:
    coverage = only(offline.normalize(insured(record, relationship_to_insured=word)), "Coverage")
    assert codes.codings(coverage["relationship"])[0]["code"] == code


def test_the_payer_comes_with_its_payer_id_and_the_group(offline: ElationEhr, record: EncounterRecord) -> None:
    bundle = offline.normalize(insured(record))
    payer = only(bundle, "Organization")
    assert (payer["name"], codes.identifier(payer, codes.PAYER_IDENTIFIER)) == ("Sample Health Plan", "SHP01")
    assert only(bundle, "Coverage")["class"][0]["value"] == "G-100"


def test_a_payer_that_is_only_named_is_a_payer_too(offline: ElationEhr, record: EncounterRecord) -> None:
    payer = only(offline.normalize(insured(record, insurance_company=None)), "Organization")
    assert (payer["name"], payer.get("identifier")) == ("Sample Health Plan", None)


def test_a_deleted_insurance_is_left_out(offline: ElationEhr, record: EncounterRecord) -> None:
    bundle = offline.normalize(insured(record, deleted_date="2026-01-01T00:00:00Z"))
    assert bundle.of_type("Coverage") == ()


def test_an_insurance_without_a_company_is_named(offline: ElationEhr, record: EncounterRecord) -> None:
    with pytest.raises(MappingError) as raised:
        offline.normalize(insured(record, insurance_company=None, carrier=""))
    assert raised.value.findings[0].expression == "Patient.insurances[0].carrier"


# --- whatever Elation sends -------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member and element."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inner:
        if key != "resourceType":
            yield (*path, key)
            yield from places(member, (*path, key))


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=12),
    st.sampled_from(["NaN", "1e999", "0", "-1", "2026-13-45", "{}", "../..", "America"]),
    st.just([]),
    st.just({}),
    st.just([{"a": 1}, "b", None]),
)


@settings(max_examples=300, suppress_health_check=[ANYTHING], deadline=None)
@given(data=st.data())
def test_a_wrong_value_anywhere_is_mapped_or_named_and_never_a_crash(
    offline: ElationEhr, record: EncounterRecord, data: st.DataObject
) -> None:
    everything = copy.deepcopy([record.encounter, *record.resources])
    given_by_elation = [path for path in places(everything) if len(path) > 1 and path[1:] != ("id",)]
    path = data.draw(st.sampled_from(given_by_elation))
    holder: Any = everything
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = data.draw(WRONG)
    try:
        offline.normalize(replace(record, encounter=everything[0], resources=tuple(everything[1:])))
    except MappingError as problem:
        assert all(finding.expression and finding.message for finding in problem.findings)
