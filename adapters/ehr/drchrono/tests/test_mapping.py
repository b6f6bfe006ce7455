"""The rows: each of DrChrono's fields arrives, and what is wrong is told by DrChrono's own path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ehr.drchrono import ADAPTER, words
from adapters.ehr.drchrono.mapping import billing_content
from adapters.ehr.drchrono.tests.practice_data import clinic_context, objects, record_of
from gateway.canonical import codes
from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.canonical.models import EncounterBundle, Resource

Held = dict[str, list[dict[str, Any]]]


@pytest.fixture
def normalized(offline: Any) -> Callable[[Held], EncounterBundle]:
    return lambda held: offline.normalize(record_of(held))


def finding(normalized: Callable[[Held], EncounterBundle], held: Held) -> Any:
    with pytest.raises(MappingError) as raised:
        normalized(held)
    return raised.value.findings[0]


def first(bundle: EncounterBundle, kind: str) -> Resource:
    return bundle.of_type(kind)[0]


class TestVisit:
    def test_the_date_of_service_is_the_local_one(self, normalized: Any) -> None:
        bundle = normalized(objects())
        assert bundle.serviced.isoformat() == "2026-03-03"
        assert bundle.encounter["period"] == {
            "start": "2026-03-03T21:30:00-05:00",
            "end": "2026-03-03T21:50:00-05:00",
        }

    def test_a_time_that_is_none_is_told(self, normalized: Any) -> None:
        held = objects()
        held["appointments"][0]["scheduled_time"] = "soon"
        assert finding(normalized, held).expression == "Appointment.scheduled_time"

    def test_an_open_note_is_watched_and_not_hurried(self, offline: Any) -> None:
        record = record_of(objects())
        record.encounter["clinical_note"]["locked"] = False
        with pytest.raises(NotSignedOff) as raised:
            offline.normalize(record)
        assert raised.value.findings[0].expression == "Appointment.clinical_note.locked"
        assert raised.value.look_after == 300.0

    def test_a_locked_note_without_charges_is_watched(self, normalized: Any) -> None:
        with pytest.raises(NotSignedOff, match="no charges yet"):
            normalized({**objects(), "line_items": []})

    @pytest.mark.parametrize("name", ["first_billed_date", "last_billed_date", "first_edi_date", "last_edi_date"])
    def test_a_visit_that_drchrono_billed_is_held(self, normalized: Any, name: str) -> None:
        held = objects()
        held["appointments"][0][name] = "2026-03-04"
        told = finding(normalized, held)
        assert told.expression == f"Appointment.{name}"
        assert "already billed" in told.message

    def test_a_resubmission_of_drchronos_own_is_held(self, normalized: Any) -> None:
        held = objects()
        held["appointments"][0]["resubmit_claim_original_id"] = 301
        assert finding(normalized, held).expression == "Appointment.resubmit_claim_original_id"

    async def test_its_billing_dates_can_be_ignored(self, opened: Any) -> None:
        held = objects()
        held["appointments"][0]["first_billed_date"] = "2026-03-04"
        assert opened(clinic_context(), own_billing="ignore").normalize(record_of(held)).charges

    async def test_a_supervisor_must_have_locked_where_the_clinic_asks_for_it(self, opened: Any) -> None:
        adapter = opened(clinic_context(), requires_supervisor=True)
        record = record_of(objects())
        with pytest.raises(NotSignedOff, match="supervisor"):
            adapter.normalize(record)
        note = {"resourceType": "ClinicalNote", "signee": {"supervisor_locked_by": "Morgan Chief, MD"}}
        signed = type(record)(record.ref, record.base_url, record.encounter, (*record.resources, note))
        assert adapter.normalize(signed).charges


class TestPeople:
    def test_the_patient_arrives_without_the_social_security_number(self, normalized: Any) -> None:
        patient = first(normalized(objects()), "Patient")
        assert patient["name"] == [{"family": "Testerly", "given": ["Jordan", "Q"]}]
        assert (patient["gender"], patient["birthDate"]) == ("female", "1971-05-14")
        assert patient["telecom"] == [{"system": "phone", "value": "555-010-0199"}]
        assert patient["address"][0]["postalCode"] == "627011234"
        assert "999-99-9999" not in str(patient)

    def test_what_the_clinic_knows_of_office_and_doctor_is_added(self, opened: Any) -> None:
        bundle = opened(clinic_context()).normalize(record_of(objects()))
        doctor = bundle.find(bundle.roles["rendering_provider"])
        assert doctor is not None
        assert doctor["qualification"][0]["code"]["coding"][0]["code"] == "207Q00000X"
        office = bundle.find(bundle.roles["service_facility"])
        assert office is not None
        assert codes.identifier(office, codes.NPI) == "1999900404"
        assert bundle.location_code == "22"

    @pytest.mark.parametrize("where", ["appointment", "options"])
    def test_the_supervisor_is_the_appointments_or_the_doctors_default(self, offline: Any, where: str) -> None:
        held = objects()
        if where == "appointment":
            held["appointments"][0]["supervising_provider"] = "123457"
        record = record_of(held)
        options = {"resourceType": "DoctorOptions", "default_supervising_provider": 123457}
        more = (options,) if where == "options" else ()
        bundle = offline.normalize(type(record)(record.ref, record.base_url, record.encounter, record.resources + more))
        supervisor = bundle.find(bundle.roles["supervising_provider"])
        assert supervisor["name"][0]["family"] == "Chief"

    def test_without_a_referrer_nobody_refers(self, normalized: Any) -> None:
        held = objects()
        held["patients"][0]["referring_doctor"] = {"first_name": "", "last_name": "", "npi": ""}
        assert "referring_provider" not in normalized(held).roles

    def test_a_line_of_another_doctor_names_its_own(self, normalized: Any) -> None:
        held = objects()
        held["line_items"][1]["doctor"] = "123457"
        bundle = normalized(held)
        assert [line.performer is not None for line in bundle.charges] == [False, True]


class TestLines:
    @pytest.mark.parametrize(
        ("pointers", "expected"),
        [
            (["1", "2"], ("E11.9", "I10")),
            (["I10", "e119"], ("I10", "E11.9")),
            (["2", "E11.9", "", "0"], ("I10", "E11.9")),
            (["1", "E11.9"], ("E11.9",)),
            (["", None, " "], ()),
        ],
    )
    def test_pointers_are_numbers_or_codes(self, normalized: Any, pointers: list[Any], expected: Any) -> None:
        held = objects()
        held["line_items"][0]["diagnosis_pointers"] = pointers
        assert normalized(held).charges[0].diagnosis_codes == expected

    @pytest.mark.parametrize("pointer", ["Z00.00", "nonsense", "7", "99999999999999999999"])
    def test_a_pointer_to_no_diagnosis_is_told(self, normalized: Any, pointer: str) -> None:
        held = objects()
        held["line_items"][0]["diagnosis_pointers"] = [pointer]
        assert "points at a diagnosis" in finding(normalized, held).message

    @pytest.mark.parametrize(
        ("price", "billed", "quantity", "expected"),
        [
            ("185.00", "185.00", "1.00", "185.00"),
            ("10.00", "30.00", "3.00", "10.00"),
            ("30.00", "30.00", "3.00", "10.00"),  # the price is the line's
            ("0.13", "12.50", "100.00", "0.125"),  # the price of one unit was rounded
            ("10.00", None, "3.00", "10.00"),
            ("10.00", "0.00", "3.00", "10.00"),
            (None, "30.00", "3.00", "10.00"),
            (None, None, "3.00", None),
        ],
    )
    def test_the_price_is_of_one_unit(
        self, normalized: Any, price: Any, billed: Any, quantity: str, expected: str | None
    ) -> None:
        held = objects()
        held["line_items"][0].update(price=price, billed=billed, quantity=quantity)
        found = normalized(held).charges[0].unit_price
        assert found == (None if expected is None else Decimal(expected))

    @pytest.mark.parametrize(
        ("members", "expression"),
        [
            ({"price": "10.00", "billed": "31.00", "quantity": "3.00"}, "LineItem.price"),
            ({"price": "ten"}, "LineItem.price"),
            ({"billed": True}, "LineItem.billed"),
            ({"quantity": "NaN"}, "LineItem.quantity"),
            ({"quantity": None}, "LineItem.quantity"),
            ({"code": " "}, "LineItem.code"),
        ],
    )
    def test_what_cannot_be_an_amount_is_told(self, normalized: Any, members: dict[str, Any], expression: str) -> None:
        held = objects()
        held["line_items"][0].update(members)
        assert finding(normalized, held).expression == expression

    @pytest.mark.parametrize("kind", ["U", "", None])
    def test_a_code_of_the_practices_own_goes_on_no_claim(self, normalized: Any, kind: Any) -> None:
        held = objects()
        held["line_items"][0].update(procedure_type=kind, code="99070")
        assert "no CPT or HCPCS code" in finding(normalized, held).message

    def test_codes_that_the_patient_pays_are_left_out(self, opened: Any) -> None:
        held = objects()
        held["line_items"][1].update(procedure_type="U", code="noshow")
        adapter = opened(clinic_context(), left_out_codes=["NOSHOW"])
        assert [line.code for line in adapter.normalize(record_of(held)).charges] == ["G0463"]

    def test_the_kind_s_is_read_by_the_codes_form(self, normalized: Any) -> None:
        held = objects()
        held["line_items"][0]["procedure_type"] = "S"
        assert normalized(held).charges[0].system == codes.HCPCS


class TestInsurance:
    def test_the_plans_arrive_in_order_with_their_words(self, normalized: Any) -> None:
        bundle = normalized(objects())
        primary, secondary = bundle.of_type("Coverage")
        assert (primary["order"], secondary["order"]) == (1, 2)
        assert primary["type"]["coding"] == [{"system": words.FILING, "code": "CI"}]
        assert [c["code"] for c in primary["relationship"]["coding"]] == ["spouse", "01"]
        assert [(c["value"], c.get("name")) for c in primary["class"]] == [
            ("GRP-77", "Acme Test Co"),
            ("Evergreen PPO", None),
        ]
        spouse = bundle.find(primary["subscriber"]["reference"])
        assert spouse is not None
        assert (spouse["name"][0]["given"], spouse["birthDate"]) == (["Casey"], "1970-01-09")
        assert secondary["subscriber"] == secondary["beneficiary"]

    def test_the_payers_id_is_the_clearinghouses_unless_the_clinic_has_one(self, opened: Any) -> None:
        context = clinic_context()
        own = replace(context, clinic=replace(context.clinic, payer_ids={"EVG01": "60054"}))
        plain, mapped = (opened(c).normalize(record_of(objects())).of_type("Organization")[0] for c in (context, own))
        assert codes.identifier(plain, codes.PAYER_IDENTIFIER) == "EVG01"
        assert codes.identifier(mapped, codes.PAYER_IDENTIFIER) is None
        assert codes.identifier(mapped, words.PAYER_IDS) == "EVG01"

    def test_who_pays_cash_has_no_coverage(self, normalized: Any) -> None:
        held = objects()
        held["appointments"][0]["payment_profile"] = "Cash"
        assert normalized(held).of_type("Coverage") == ()

    @pytest.mark.parametrize(
        ("members", "plans"),
        [({"payment_profile": "Auto Accident"}, 3), ({"billing_status": "Auto Accident Claim"}, 3)],
    )
    def test_an_auto_accident_pays_before_the_health_plans(
        self, normalized: Any, members: dict[str, str], plans: int
    ) -> None:
        held = objects()
        held["appointments"][0].update(members)
        held["patients"][0]["auto_accident_insurance"] = {
            "auto_accident_company": "Gulf Auto Insurance",
            "auto_accident_payer_id": "GA1",
            "auto_accident_policy_number": "007-221",
            "auto_accident_case_number": "C-9",
            "auto_accident_date_of_accident": "2026-03-01",
            "auto_accident_state_of_occurrence": "FL",
            "auto_accident_is_subscriber_the_patient": True,
        }
        bundle = normalized(held)
        assert bundle.accident == {
            "date": "2026-03-01",
            "type": codes.concept(codes.ACT_CODE, "MVA"),
            "locationAddress": {"state": "FL"},
        }
        coverages = bundle.of_type("Coverage")
        assert len(coverages) == plans
        assert (coverages[0]["subscriberId"], coverages[0]["type"]["coding"][0]["code"]) == ("007-221", "AM")

    def test_a_workers_case_pays_alone(self, normalized: Any) -> None:
        held = objects()
        held["appointments"][0]["payment_profile"] = "Worker's Comp"
        held["patients"][0]["workers_comp_insurance"] = {
            "workers_comp_company": "Granite Casualty",
            "workers_comp_payer_id": "ZWC07",
            "workers_comp_case_number": "000771",
            "workers_comp_date_of_accident": "2026-02-27",
            "workers_comp_state_of_occurrence": "",
        }
        bundle = normalized(held)
        (coverage,) = bundle.of_type("Coverage")
        assert (coverage["subscriberId"], coverage["type"]["coding"][0]["code"]) == ("000771", "WC")
        assert coverage["subscriber"] == coverage["beneficiary"]
        assert bundle.accident == {"date": "2026-02-27", "type": codes.concept(codes.ACT_CODE, "WPA")}

    def test_an_accident_without_a_date_is_told(self, normalized: Any) -> None:
        held = objects()
        held["appointments"][0]["payment_profile"] = "Worker's Comp"
        held["patients"][0]["workers_comp_insurance"] = {"workers_comp_company": "Granite Casualty"}
        assert finding(normalized, held).expression == "Case.date_of_accident"

    def test_an_insurance_without_a_company_is_told(self, normalized: Any) -> None:
        held = objects()
        held["patients"][0]["primary_insurance"]["insurance_company"] = ""
        assert finding(normalized, held).expression == "Insurance.insurance_company"


class TestAuthorizations:
    @pytest.mark.parametrize(
        ("members", "expected"),
        [
            ({}, "PA-0042"),
            ({"status": "Denied"}, None),
            ({"status": "Pending review"}, None),
            ({"end_date": "2026-03-02"}, None),
            ({"start_date": "2026-03-04"}, None),
            ({"end_date": None}, "PA-0042"),
            ({"doctor": "999"}, None),
            ({"procedure_codes": [{"code": "97110"}]}, None),
            ({"procedure_codes": []}, "PA-0042"),
            ({"expired": True}, "PA-0042"),
        ],
    )
    def test_it_is_matched_by_date_code_and_doctor(
        self, normalized: Any, members: dict[str, Any], expected: str | None
    ) -> None:
        held = objects()
        held["patient_authorizations"][0].update(members)
        assert normalized(held).prior_authorization == expected

    def test_one_for_the_code_counts_before_a_general_one(self, normalized: Any) -> None:
        held = objects()
        general = {**held["patient_authorizations"][0], "id": 9002, "auth_number": "PA-1", "procedure_codes": []}
        held["patient_authorizations"].append({**general, "start_date": "2026-02-01"})
        assert normalized(held).prior_authorization == "PA-0042"


class TestWords:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("(555) 010-0199", "555-010-0199"),
            ("1 555 010 0199", "555-010-0199"),
            ("5550100199", "555-010-0199"),
            ("010-0199 x7", "010-0199 x7"),
        ],
    )
    def test_phones_are_written_one_way(self, value: str, expected: str) -> None:
        assert words.phone(value) == {"system": "phone", "value": expected}

    @pytest.mark.parametrize(
        ("code", "expected"), [("19", "child"), ("32", "parent"), ("G8", "other"), ("53", "common")]
    )
    def test_relationships_keep_their_code(self, code: str, expected: str) -> None:
        assert [c["code"] for c in words.relationship(code)["coding"]] == [expected, code]

    @given(
        st.one_of(
            st.none(),
            st.text(),
            st.integers(),
            st.booleans(),
            st.lists(st.text()),
            st.dictionaries(st.text(), st.text()),
        )
    )
    def test_no_value_breaks_a_transform(self, value: Any) -> None:
        for via in (words.text, words.phone, words.postal_code, words.day, words.npi, words.filing, words.gender):
            via(value)

    def test_only_what_the_claim_reads_changes_the_content(self) -> None:
        appointment = record_of(objects()).encounter
        same = {**appointment, "updated_at": "2026-03-09T00:00:00", "billing_status": "Settled", "color": "#fff"}
        assert billing_content(same) == billing_content(appointment)
        for change in ({"icd10_codes": ["I10"]}, {"billing_status": "Auto Accident Claim"}, {"deleted_flag": True}):
            assert billing_content({**appointment, **change}) != billing_content(appointment)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.decimals(allow_nan=False)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=4,
)
PLACES = [
    (kind, name)
    for kind, held in objects().items()
    for name in held[0]
    if kind in ("appointments", "line_items", "patients", "offices", "doctors") and name not in ("id", "clinical_note")
]


@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_stands_in_a_field_gives_a_bundle_or_a_mapping_error(place: tuple[str, str], value: Any) -> None:
    adapter = ADAPTER.open(ADAPTER.settings(client_id="c", client_secret="s"), clinic_context())
    held = objects()
    held[place[0]][0][place[1]] = value
    try:
        bundle = adapter.normalize(record_of(held))
    except MappingError as problem:
        assert problem.findings
    else:
        assert bundle.charges
