"""What the mapping makes of athenahealth's objects: each rule of the claim, and each way in which data can be wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from gateway.canonical import codes
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.canonical.models import EncounterBundle
from gateway.kit.contract_support import member_paths

CONDITION = {
    "resourceType": "Condition",
    "id": "c1",
    "code": {
        "coding": [{"system": codes.SNOMED, "code": "44054006"}, {"system": codes.ICD10CM, "code": "E11.9"}],
    },
}


@pytest.fixture
def normalized(offline: Any, recorded: Any) -> Callable[[dict[str, Any]], EncounterBundle]:
    """The canonical encounter of a visit."""
    return lambda visit: offline.normalize(recorded(visit))


@pytest.fixture
def refused(offline: Any, recorded: Any) -> Callable[[dict[str, Any]], list[str]]:
    """The element paths of what is wrong with a visit."""

    def paths(visit: dict[str, Any]) -> list[str]:
        with pytest.raises(MappingError) as raised:
            offline.normalize(recorded(visit))
        assert all(finding.message and finding.fix for finding in raised.value.findings)
        return [finding.expression for finding in raised.value.findings]

    return paths


class TestDiagnoses:
    def test_ranking_decides_the_order(self, visit: Any, normalized: Any) -> None:
        assert normalized(visit).diagnosis_codes == ("I10", "E11.9")

    @pytest.mark.parametrize("ranking", [None, 0, "0", ""])
    def test_without_ranking_the_list_does(self, visit: Any, normalized: Any, ranking: Any) -> None:
        for row in visit["diagnoses"]:
            row["ranking"] = ranking
        assert normalized(visit).diagnosis_codes == ("E11.9", "I10")

    def test_one_with_a_ranking_stands_before_those_without(self, visit: Any, normalized: Any) -> None:
        del visit["diagnoses"][0]["ranking"]
        visit["diagnoses"][1]["ranking"] = "7"
        assert normalized(visit).diagnosis_codes == ("I10", "E11.9")

    def test_several_icd10_codes_of_one_diagnosis_keep_their_order(self, visit: Any, normalized: Any) -> None:
        visit["diagnoses"][1]["icdcodes"] = [{"codeset": "ICD10", "code": c} for c in ("I10", "E785", "N183")]
        assert normalized(visit).diagnosis_codes == ("I10", "E78.5", "N18.3", "E11.9")

    def test_the_code_may_stand_on_the_diagnosis_without_its_dot(self, visit: Any, normalized: Any) -> None:
        visit["diagnoses"][0] = {"diagnosisid": 1, "ranking": 2, "snomedcode": 44054006, "diagnosiscode": "E119"}
        assert normalized(visit).diagnosis_codes == ("I10", "E11.9")

    def test_fhir_gives_the_code_beside_the_same_snomed_code(self, visit: Any, normalized: Any) -> None:
        visit["diagnoses"][0]["icdcodes"] = []
        visit["conditions"] = [CONDITION]
        assert normalized(visit).diagnosis_codes == ("I10", "E11.9")

    def test_a_snomed_code_alone_is_never_mapped(self, visit: Any, offline: Any, recorded: Any) -> None:
        visit["diagnoses"][0]["icdcodes"] = []
        visit["conditions"] = [{**CONDITION, "code": {"coding": [{"system": codes.SNOMED, "code": "1"}]}}]
        with pytest.raises(MappingError, match="only a SNOMED code") as raised:
            offline.normalize(recorded(visit))
        assert [f.expression for f in raised.value.findings] == ["diagnosis.icdcodes"]

    def test_an_icd9_code_does_not_count(self, visit: Any, refused: Any) -> None:
        visit["diagnoses"][0]["icdcodes"] = [{"codeset": "ICD9", "code": "25000"}]
        assert refused(visit) == ["diagnosis.icdcodes"]

    def test_both_codings_reach_the_condition(self, visit: Any, normalized: Any) -> None:
        conditions = normalized(visit).of_type("Condition")
        assert [codes.codings(c["code"])[0]["code"] for c in conditions] == ["59621000", "44054006"]


class TestSlip:
    def test_modifiers_stand_behind_commas_and_units_may_be_text(self, visit: Any, normalized: Any) -> None:
        lines = normalized(visit).charges
        assert [(c.code, c.modifiers, c.quantity) for c in lines] == [
            ("99214", ("25", "GT"), Decimal(1)),
            ("83036", ("QW",), Decimal(3)),
        ]

    def test_a_member_of_their_own_is_read_too(self, visit: Any, normalized: Any) -> None:
        visit["services"][0] |= {"procedurecode": "99214", "modifiers": ["25", "GT"]}
        visit["services"][1] |= {"procedurecode": "83036", "modifiers": "QW"}
        assert [c.modifiers for c in normalized(visit).charges] == [("25", "GT"), ("QW",)]

    def test_ordering_decides_the_order_of_lines(self, visit: Any, normalized: Any) -> None:
        visit["services"][0]["ordering"] = "9"
        assert [c.code for c in normalized(visit).charges] == ["83036", "99214"]

    def test_what_is_not_marked_is_not_billed(self, visit: Any, normalized: Any) -> None:
        assert "99211" not in [c.code for c in normalized(visit).charges]

    @pytest.mark.parametrize("mark", [False, "false", "N", 0])
    def test_nothing_marked_is_a_hold(self, visit: Any, refused: Any, mark: Any) -> None:
        for service in visit["services"]:
            service["billforservice"] = mark
        assert refused(visit) == ["services.billforservice"]

    def test_a_mark_that_is_missing_is_a_hold(self, visit: Any, refused: Any) -> None:
        del visit["services"][1]["billforservice"]
        assert refused(visit) == ["services[1].billforservice"]

    def test_an_empty_slip_is_a_hold(self, visit: Any, refused: Any) -> None:
        visit["services"] = []
        assert refused(visit) == ["services"]

    def test_a_code_that_is_no_diagnosis_of_the_encounter_is_a_hold(self, visit: Any, refused: Any) -> None:
        visit["services"][1]["icd10codes"] = ["Z99.89"]
        assert refused(visit) == ["services[1].icd10codes"]

    @pytest.mark.parametrize(
        "held", [["e119", "I10"], [{"icd10code": "E11.9"}, {"icd10code": "I10"}], "E11.9,I10", ["E11.9", "E119", "I10"]]
    )
    def test_pointers_are_read_in_every_form(self, visit: Any, normalized: Any, held: Any) -> None:
        visit["services"][0]["icd10codes"] = held
        assert normalized(visit).charges[0].diagnosis_codes == ("E11.9", "I10")

    def test_the_price_comes_from_the_clinics_fee_schedule(self, visit: Any, normalized: Any, context: Any) -> None:
        visit["services"] = visit["services"][:1]
        claim = build_claim(normalized(visit), context.clinic, created="2026-03-04T00:00:00Z", generation=1).claim
        assert claim["item"][0]["net"]["value"] == Decimal("185.00")


class TestInsurance:
    def test_sequence_numbers_decide_and_pseudo_rows_are_skipped(self, visit: Any, normalized: Any) -> None:
        bundle = normalized(visit)
        assert [c["subscriberId"] for c in bundle.of_type("Coverage")] == ["000123456", "77001"]
        assert [o["name"] for o in bundle.of_type("Organization")] == ["Evergreen Health Plan", "Second Health Plan"]

    def test_the_policy_holder_is_the_subscriber(self, visit: Any, normalized: Any) -> None:
        bundle = normalized(visit)
        holder = bundle.find(bundle.of_type("Coverage")[0]["subscriber"]["reference"])
        assert holder["name"] == [{"family": "TESTERLY", "given": ["CASEY"]}]
        assert holder["birthDate"] == "1970-01-09"
        assert bundle.of_type("Coverage")[1]["subscriber"]["reference"] == "Patient/ehr1.7965"

    def test_a_word_that_is_not_known_is_another_relationship(self, visit: Any, normalized: Any) -> None:
        visit["insurances"][1]["relationshiptoinsured"] = "Mother"
        relationship = normalized(visit).of_type("Coverage")[0]["relationship"]
        assert codes.codings(relationship)[0]["code"] == "other"

    def test_an_expired_or_cancelled_plan_is_left_behind(self, visit: Any, normalized: Any) -> None:
        visit["insurances"][0]["expirationdate"] = "12/31/2025"
        assert [c["subscriberId"] for c in normalized(visit).of_type("Coverage")] == ["000123456"]
        for cancelled in ("true", True, "03/02/2026"):
            visit["insurances"][0] |= {"expirationdate": "12/31/2026", "cancelled": cancelled}
            assert [c["subscriberId"] for c in normalized(visit).of_type("Coverage")] == ["000123456"]
        visit["insurances"][0]["cancelled"] = "03/04/2026"
        assert len(normalized(visit).of_type("Coverage")) == 2

    @pytest.mark.parametrize(
        ("payer_ids", "found"),
        [
            ({"89474": "PKG", "51": "IRC", "Evergreen Health Plan": "NAME"}, "PKG"),
            ({"51": "IRC", "Evergreen Health Plan": "NAME"}, "IRC"),
            ({"Evergreen Health Plan": "NAME"}, "NAME"),
        ],
    )
    def test_payer_ids_are_looked_up_by_package_then_category(
        self, visit: Any, recorded: Any, context: Any, offline: Any, payer_ids: dict[str, str], found: str
    ) -> None:
        clinic = replace(context.clinic, payer_ids=payer_ids)
        adapter = type(offline)(offline.settings, replace(context, clinic=clinic))
        payer = adapter.normalize(recorded(visit)).of_type("Organization")[0]
        assert codes.identifier(payer, codes.PAYER_IDENTIFIER) == found

    def test_self_pay_leaves_no_coverage(self, visit: Any, normalized: Any) -> None:
        visit["insurances"] = [{"insuranceid": "1", "insurancepackageid": "-500"}]
        assert normalized(visit).of_type("Coverage") == ()


class TestAccident:
    @pytest.mark.parametrize(
        ("flag", "code"),
        [("relatedtoemployment", "WPA"), ("relatedtoautoaccident", "MVA"), ("relatedtootheraccident", "OTH")],
    )
    def test_a_case_policy_tells_kind_date_and_state(self, visit: Any, normalized: Any, flag: str, code: str) -> None:
        visit["insurances"][1] |= {flag: "true", "caseinjurydate": "03/01/2026", "autoaccidentstate": "IL"}
        accident = normalized(visit).accident
        assert accident["date"] == "2026-03-01"
        assert accident["locationAddress"] == {"state": "IL"}
        assert [c["code"] for c in codes.codings(accident["type"])] == [code]

    def test_the_visits_own_data_count_first(self, visit: Any, normalized: Any) -> None:
        visit["accidentdata"]["relatedtoautoaccident"] = "true"
        visit["insurances"][1] |= {"relatedtoemployment": True, "caseinjurydate": "03/01/2026"}
        assert codes.codings(normalized(visit).accident["type"])[0]["code"] == "MVA"

    def test_a_case_policy_of_the_patient_counts_only_for_a_visit_of_an_accident(
        self, visit: Any, offline: Any, recorded: Any
    ) -> None:
        """An old work accident must not turn every later visit into one."""
        case = {"casepolicytypename": "Workers Comp", "caseinjurydate": "01/05/2026", "relatedtoemployment": "true"}
        of_patient = [visit["insurances"][0], {**visit["insurances"][1], **case}]
        visit["insurances"] = []
        plain = offline.normalize(recorded({**visit, "patientinsurance": of_patient}))
        assert (plain.accident, [c["subscriberId"] for c in plain.of_type("Coverage")]) == (None, ["77001"])
        visit["accidentdata"]["relatedtoemployment"] = True
        injured = offline.normalize(recorded({**visit, "patientinsurance": of_patient}))
        assert injured.accident["date"] == "2026-01-05"
        assert [c["subscriberId"] for c in injured.of_type("Coverage")] == ["000123456", "77001"]

    def test_an_accident_without_a_date_is_a_hold(self, visit: Any, refused: Any) -> None:
        visit["accidentdata"]["relatedtoemployment"] = "true"
        assert refused(visit) == ["insurance.caseinjurydate"]

    def test_no_flag_is_no_accident(self, visit: Any, normalized: Any) -> None:
        assert normalized(visit).accident is None


class TestAuthorization:
    @pytest.mark.parametrize(
        "change",
        [
            {"expired": "true"},
            {"expirationdate": "03/02/2026"},
            {"startdate": "03/04/2026"},
            {"insuranceidnumber": "another"},
            {"appointmentids": [1]},
            {"procedurecodes": ["77067"]},
        ],
        ids=str,
    )
    def test_one_that_does_not_fit_is_not_used(self, visit: Any, normalized: Any, change: dict[str, Any]) -> None:
        visit["referralauths"][0] |= change
        assert normalized(visit).prior_authorization is None

    @pytest.mark.parametrize(
        "change",
        [{"appointmentids": "1050322"}, {"procedurecodes": [{"procedurecode": "99214"}]}, {"insuranceidnumber": None}],
        ids=str,
    )
    def test_one_that_fits_is_used(self, visit: Any, normalized: Any, change: dict[str, Any]) -> None:
        visit["referralauths"][0] |= change
        assert normalized(visit).prior_authorization == "PA-0042"

    def test_several_that_fit_are_a_hold_unless_one_names_the_visit(
        self, visit: Any, refused: Any, normalized: Any
    ) -> None:
        visit["referralauths"].append({**visit["referralauths"][0], "referralauthnumber": "PA-9"})
        assert refused(visit) == ["referralauths.referralauthnumber"]
        visit["referralauths"][1]["appointmentids"] = [1050322]
        assert normalized(visit).prior_authorization == "PA-9"

    def test_a_referral_is_told_apart(self, visit: Any, normalized: Any) -> None:
        visit["referralauths"].append(
            {**visit["referralauths"][0], "referralauthnumber": "RF-1", "referralauthtype": "REFERRAL"}
        )
        bundle = normalized(visit)
        assert (bundle.prior_authorization, bundle.referral_number) == ("PA-0042", "RF-1")


class TestWhetherToBill:
    @pytest.mark.parametrize("status", ["OPEN", "REVIEW", "PEND", "TEMP", "SCHEDULE", "SOMETHING", None])
    def test_only_closed_is_signed_and_the_others_are_watched(
        self, visit: Any, offline: Any, recorded: Any, status: Any
    ) -> None:
        visit["encounter"]["status"] = status
        with pytest.raises(NotSignedOff) as raised:
            offline.normalize(recorded({"encounter": visit["encounter"]}))
        assert raised.value.look_after == 60
        assert ("supervisor" in str(raised.value)) is (status == "REVIEW")

    @pytest.mark.parametrize("kind", ["FLOWSHEET", "flowsheet", "SOMETHING"])
    def test_other_types_than_visits_are_a_hold(self, visit: Any, refused: Any, kind: str) -> None:
        visit["encounter"]["encountertype"] = kind
        assert refused(visit) == ["encounter.encountertype"]

    @pytest.mark.parametrize("mark", [True, "true"])
    def test_no_charge_entry_is_a_hold(self, visit: Any, refused: Any, mark: Any) -> None:
        visit["appointment"]["chargeentrynotrequired"] = mark
        assert refused(visit) == ["appointment.chargeentrynotrequired"]

    @pytest.mark.parametrize(
        "claim",
        [
            {"claimid": "1", "appointmentid": 1050322},
            {"claimid": "1", "patientid": 7965, "billedservicedate": "03/03/2026"},
        ],
        ids=str,
    )
    def test_a_visit_that_athenahealth_has_billed_is_a_hold(self, visit: Any, refused: Any, claim: Any) -> None:
        visit["claims"] = [claim]
        assert refused(visit) == ["claims.appointmentid"]

    def test_entered_charges_are_a_hold(self, visit: Any, refused: Any) -> None:
        visit["appointment"]["appointmentstatus"] = "4"
        assert refused(visit) == ["appointment.appointmentstatus"]

    def test_a_claim_of_another_visit_that_day_is_none_of_this_one(self, visit: Any, normalized: Any) -> None:
        visit["claims"] = [{"claimid": "1", "patientid": 7965, "appointmentid": 9, "billedservicedate": "03/03/2026"}]
        assert len(normalized(visit).charges) == 2

    def test_own_billing_may_be_ignored(self, visit: Any, recorded: Any, offline: Any, context: Any) -> None:
        visit["appointment"]["appointmentstatus"] = "4"
        ignoring = offline.settings.model_copy(update={"own_billing": "ignore"})
        assert len(type(offline)(ignoring, context).normalize(recorded(visit)).charges) == 2

    def test_all_objections_are_told_at_once(self, visit: Any, refused: Any) -> None:
        visit["appointment"] |= {"appointmentstatus": "4", "chargeentrynotrequired": True}
        visit["services"] = []
        assert len(refused(visit)) == 3


class TestPeopleAndPlaces:
    def test_the_roles_are_those_of_the_appointment(self, visit: Any, normalized: Any) -> None:
        visit["appointment"]["supervisingproviderid"] = "87"
        bundle = normalized(
            {**visit, "second": {}}
            | {"provider": [visit["provider"], {**visit["provider"], "providerid": "87", "npi": "1999900206"}]}
        )
        held = {
            role: codes.identifier(bundle.find(r), codes.NPI) for role, r in bundle.roles.items() if "provider" in role
        }
        assert held == {
            "rendering_provider": "1999999984",
            "referring_provider": "1679576722",
            "supervising_provider": "1999900206",
        }

    def test_ids_of_providers_and_referrers_are_of_different_spaces(self, visit: Any, normalized: Any) -> None:
        visit["appointment"]["referringproviderid"] = visit["referringprovider"]["referringproviderid"] = 86
        bundle = normalized(visit)
        assert bundle.roles["referring_provider"] != bundle.roles["rendering_provider"]

    def test_the_date_is_the_encounters_own_whatever_the_hour(self, visit: Any, normalized: Any) -> None:
        assert normalized(visit).serviced.isoformat() == "2026-03-03"

    def test_the_department_tells_the_place_of_service(self, visit: Any, normalized: Any) -> None:
        visit["department"]["placeofservicetypeid"] = 2
        assert normalized(visit).location_code == "02"

    def test_a_patient_of_neither_sex_is_unknown(self, visit: Any, normalized: Any) -> None:
        del visit["patient"]["sex"]
        assert normalized(visit).of_type("Patient")[0]["gender"] == "unknown"

    def test_no_social_security_number_is_carried(self, visit: Any, normalized: Any) -> None:
        visit["patient"]["ssn"] = visit["insurances"][1]["insurancepolicyholderssn"] = "999-99-9999"
        assert "999-99-9999" not in repr(normalized(visit))


SCALARS = st.none() | st.booleans() | st.integers(-9, 10**9) | st.text(max_size=8) | st.just("13/45/2026")
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


@tries(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_an_element_holds_it_is_mapped_or_refused_by_its_path(
    data: st.DataObject, visit: Any, offline: Any, recorded: Any
) -> None:
    changed = copy.deepcopy(visit)
    path = data.draw(st.sampled_from([p for p in member_paths(changed) if len(p) > 1]))
    value = data.draw(ANYTHING)
    owner = changed
    for key in path[:-1]:
        owner = owner[key]
    if len(path) == 2 and isinstance(path[1], int):
        value = {"value": value}  # rows are objects: the API client sees to that
    owner[path[-1]] = value
    try:
        assert offline.normalize(recorded(changed)).charges
    except MappingError as problem:
        assert all(finding.expression and finding.fix for finding in problem.findings)
