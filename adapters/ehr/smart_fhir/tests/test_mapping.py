"""Normalizing: what comes out, what is refused and where, and that nothing but MappingError ever escapes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import fhirkit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical import codes, jsonio
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.models import EncounterBundle, EncounterRecord, EncounterRef, Resource
from gateway.kit.contract_support import member_paths


def changed(record: EncounterRecord, change: Callable[[dict[str, Resource]], None]) -> EncounterRecord:
    """A copy of the record after a change of its resources, given by `Type/id`."""
    everything = copy.deepcopy([record.encounter, *record.resources])
    by_reference = {f"{r['resourceType']}/{r['id']}": r for r in everything}
    change(by_reference)
    encounter = by_reference.pop("Encounter/enc-1")
    return replace(record, encounter=encounter, resources=tuple(by_reference.values()))


def refusal(ehr: Any, record: EncounterRecord) -> tuple[str, str]:
    """Element path and sentence of the MappingError; its fix is never empty."""
    with pytest.raises(MappingError) as raised:
        ehr.normalize(record)
    finding = raised.value.findings[0]
    assert finding.fix
    return finding.expression, finding.message


def without_claim(by: dict[str, Resource]) -> None:
    del by["Claim/claim-1"]


def charge_item(make: Any, vendor_id: str = "ci-1", **more: Any) -> Resource:
    return {
        "resourceType": "ChargeItem",
        "id": vendor_id,
        "status": "billable",
        "code": make.coded(codes.HCPCS, "G0463", "25"),
        "subject": make.reference("Patient/pat-1"),
        "context": make.reference("Encounter/enc-1"),
        "occurrenceDateTime": "2026-03-04T02:30:00Z",
        "quantity": {"value": 2},
        "priceOverride": {"value": Decimal("90.00"), "currency": "USD"},
        "reason": [make.coded(codes.ICD10CM, "I10")],
        **more,
    }


def test_the_date_of_service_is_the_clinics_date(offline: Any, record: EncounterRecord) -> None:
    assert offline.normalize(record).serviced == date(2026, 3, 3)  # 02:30 UTC on the fourth


def test_all_that_cannot_be_mapped_is_told_at_once(offline: Any, record: EncounterRecord) -> None:
    def three_mistakes(by: dict[str, Resource]) -> None:
        without_claim(by)  # no charges, and nobody named on it
        by["Encounter/enc-1"].pop("diagnosis")
        by["Encounter/enc-1"].pop("participant")
        for reference in [r for r in by if r.startswith(("Condition/", "Procedure/"))]:
            del by[reference]

    with pytest.raises(MappingError) as raised:
        offline.normalize(changed(record, three_mistakes))
    told = [finding.expression for finding in raised.value.findings]
    assert told[0] == "Encounter.diagnosis"
    assert "Encounter.participant" in told
    assert len(told) == len(set(told)) == 3


def test_former_plans_stay_behind_but_the_only_plan_is_kept(offline: Any, record: EncounterRecord) -> None:
    def second_ended(by: dict[str, Resource]) -> None:
        by["Claim/claim-1"]["insurance"] = by["Claim/claim-1"]["insurance"][:1]
        by["Coverage/cov-2"]["period"] = {"end": "2020-12-31"}

    kept = offline.normalize(changed(record, second_ended)).of_type("Coverage")
    assert [coverage["subscriberId"] for coverage in kept] == ["000123456"]

    def only_one_and_ended(by: dict[str, Resource]) -> None:
        second_ended(by)
        by["Coverage/cov-1"]["period"] = {"end": "2020-12-31"}
        del by["Coverage/cov-2"]

    kept = offline.normalize(changed(record, only_one_and_ended)).of_type("Coverage")
    assert [coverage["subscriberId"] for coverage in kept] == ["000123456"]


def test_an_accident_arrives_as_it_is(offline: Any, record: EncounterRecord, clinic: Any) -> None:
    accident = {"date": "2026-03-01", "type": {"coding": [{"system": f"{codes.THO}/v3-ActCode", "code": "WPA"}]}}

    def hurt(by: dict[str, Resource]) -> None:
        by["Claim/claim-1"]["accident"] = accident

    bundle = offline.normalize(changed(record, hurt))
    assert bundle.accident == accident
    assert build_claim(bundle, clinic, created="2026-03-04T12:00:00Z").claim["accident"] == accident


def test_a_claim_can_be_built_from_the_bundle(offline: Any, record: EncounterRecord, clinic: Any) -> None:
    claim = build_claim(offline.normalize(record), clinic, created="2026-03-04T12:00:00Z").claim
    assert claim["total"]["value"] == Decimal("285.00")
    assert claim["insurance"][0]["coverage"]["reference"] == "Coverage/ehr1.cov-1"


def test_provenance_and_profiles(offline: Any, record: EncounterRecord) -> None:
    bundle = offline.normalize(record)
    assert bundle.source == "https://ehr.example.test/fhir/Encounter/enc-1/_history/3"
    patient = bundle.of_type("Patient")[0]
    assert patient["meta"]["source"] == "https://ehr.example.test/fhir/Patient/pat-1"
    assert patient["meta"]["profile"] == [f"{codes.PROFILE_BASE}/gateway-patient"]


def test_what_a_claim_does_not_need_is_not_carried(offline: Any, record: EncounterRecord) -> None:
    def add(by: dict[str, Resource]) -> None:
        by["Patient/pat-1"]["text"] = {"status": "generated", "div": "<div/>"}
        by["Patient/pat-1"]["extension"] = [{"url": "https://vendor.example.test/x", "valueString": "y"}]

    patient = offline.normalize(changed(record, add)).of_type("Patient")[0]
    assert {"text", "extension"}.isdisjoint(patient)
    assert [i["system"] for i in patient["identifier"]] == ["urn:oid:1.2.36.146.5"]  # and no social security number


def test_ids_too_long_for_fhir_become_a_hash(offline: Any, record: EncounterRecord) -> None:
    long_id = "p" * 64

    def rename(by: dict[str, Resource]) -> None:
        by["Organization/payer-1"]["id"] = long_id
        by["Coverage/cov-1"]["payor"] = [{"reference": f"https://ehr.example.test/fhir/Organization/{long_id}"}]

    bundle = offline.normalize(changed(record, rename))
    payer = bundle.find(bundle.of_type("Coverage")[0]["payor"][0]["reference"])
    assert payer is not None
    assert payer["name"] == "Sample Health Plan"
    assert len(payer["id"]) == 32


def test_contained_resources_are_lifted_out(offline: Any, record: EncounterRecord) -> None:
    def contain(by: dict[str, Resource]) -> None:
        by["Coverage/cov-1"]["contained"] = [{"resourceType": "Organization", "id": "p", "name": "Inside Plan"}]
        by["Coverage/cov-1"]["payor"] = [{"reference": "#p"}]

    bundle = offline.normalize(changed(record, contain))
    coverage = bundle.of_type("Coverage")[0]
    assert "contained" not in coverage
    assert bundle.find(coverage["payor"][0]["reference"])["name"] == "Inside Plan"


def test_a_payer_known_only_by_name_becomes_an_organization(offline: Any, record: EncounterRecord) -> None:
    def name_only(by: dict[str, Resource]) -> None:
        by["Coverage/cov-1"]["payor"] = [{"display": "Named Plan"}]
        by["Coverage/cov-2"]["payor"] = [{"display": "Named Plan"}]

    bundle = offline.normalize(changed(record, name_only))
    payers = {c["payor"][0]["reference"] for c in bundle.of_type("Coverage")}
    assert len(payers) == 1
    assert bundle.find(payers.pop())["name"] == "Named Plan"


def test_a_referrer_known_only_by_npi_keeps_the_npi(offline: Any, record: EncounterRecord, make: Any) -> None:
    def npi_only(by: dict[str, Resource]) -> None:
        individual = {"identifier": make.npi("1881018208")[0], "display": "Dr Elsewhere"}
        by["Encounter/enc-1"]["participant"][1]["individual"] = individual

    bundle = offline.normalize(changed(record, npi_only))
    referrer = bundle.find(bundle.roles["referring_provider"])
    assert codes.identifier(referrer, codes.NPI) == "1881018208"


def test_a_practitioner_role_leads_to_its_practitioner(offline: Any, record: EncounterRecord, make: Any) -> None:
    def by_role(by: dict[str, Resource]) -> None:
        by["Encounter/enc-1"]["participant"][0]["individual"] = make.reference("PractitionerRole/r")
        by["PractitionerRole/r"] = {
            "resourceType": "PractitionerRole",
            "id": "r",
            "practitioner": make.reference("Practitioner/prac-1"),
            "specialty": [make.coded(codes.TAXONOMY, "208D00000X")],
        }
        del by["Practitioner/prac-1"]["qualification"]

    bundle = offline.normalize(changed(record, by_role))
    rendering = bundle.find(bundle.roles["rendering_provider"])
    assert rendering["qualification"][0]["code"]["coding"][0]["code"] == "208D00000X"
    assert bundle.encounter["participant"][0]["individual"]["reference"] == bundle.roles["rendering_provider"]


def test_no_coverage_is_left_to_the_check_step(offline: Any, record: EncounterRecord) -> None:
    def uninsured(by: dict[str, Resource]) -> None:
        del by["Coverage/cov-1"], by["Coverage/cov-2"]

    assert offline.normalize(changed(record, uninsured)).of_type("Coverage") == ()


def test_coverages_without_order_follow_the_claim(offline: Any, record: EncounterRecord) -> None:
    def unordered(by: dict[str, Resource]) -> None:
        del by["Coverage/cov-1"]["order"], by["Coverage/cov-2"]["order"]

    coverages = offline.normalize(changed(record, unordered)).of_type("Coverage")
    assert [(c["subscriberId"], c["order"]) for c in coverages] == [("000123456", 1), ("77001", 2)]


class TestSignOff:
    @pytest.mark.parametrize("status", ["in-progress", "planned", "cancelled", "entered-in-error"])
    def test_an_unsigned_encounter_is_not_billed(self, offline: Any, record: EncounterRecord, status: str) -> None:
        unsigned = changed(record, lambda by: by["Encounter/enc-1"].update(status=status))
        assert refusal(offline, unsigned) == (
            "Encounter.status",
            "The encounter is not signed off, so it is not billed yet.",
        )


class TestDiagnoses:
    def test_without_ranks_the_claim_gives_the_order(self, offline: Any, record: EncounterRecord) -> None:
        def unranked(by: dict[str, Resource]) -> None:
            for entry in by["Encounter/enc-1"]["diagnosis"]:
                del entry["rank"]

        assert offline.normalize(changed(record, unranked)).diagnosis_codes == ("E11.9", "I10")

    def test_without_ranks_and_claim_the_list_gives_it(self, offline: Any, record: EncounterRecord) -> None:
        def unranked(by: dict[str, Resource]) -> None:
            without_claim(by)
            for entry in by["Encounter/enc-1"]["diagnosis"]:
                del entry["rank"]

        assert offline.normalize(changed(record, unranked)).diagnosis_codes == ("I10", "E11.9")

    def test_otherwise_the_conditions_by_recorded_date(self, offline: Any, record: EncounterRecord) -> None:
        def unlisted(by: dict[str, Resource]) -> None:
            without_claim(by)
            del by["Encounter/enc-1"]["diagnosis"]
            by["Condition/con-2"]["recordedDate"] = "2026-03-04T02:35:00Z"

        bundle = offline.normalize(changed(record, unlisted))
        assert bundle.diagnosis_codes == ("I10", "E11.9")
        assert [d["rank"] for d in bundle.encounter["diagnosis"]] == [1, 2]

    def test_only_billing_diagnoses_where_the_ehr_marks_them(
        self, offline: Any, record: EncounterRecord, make: Any
    ) -> None:
        use = make.coded("http://terminology.hl7.org/CodeSystem/diagnosis-role", "billing")
        marked = changed(record, lambda by: by["Encounter/enc-1"]["diagnosis"][0].update(use=use))
        assert offline.normalize(marked).diagnosis_codes == ("I10",)

    def test_snomed_alone_is_never_mapped(self, offline: Any, record: EncounterRecord) -> None:
        def snomed_only(by: dict[str, Resource]) -> None:
            del by["Condition/con-1"]["code"]["coding"][1]

        path, message = refusal(offline, changed(record, snomed_only))
        assert path == "Condition[0].code"
        assert message == "The diagnosis has only a SNOMED code; it needs an ICD-10-CM code."

    def test_a_refuted_diagnosis_is_left_out(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        status = make.coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted")

        def refuted(by: dict[str, Resource]) -> None:
            without_claim(by)
            by["Condition/con-1"]["verificationStatus"] = status

        assert offline.normalize(changed(record, refuted)).diagnosis_codes == ("I10",)

    def test_a_missing_condition_is_named(self, offline: Any, record: EncounterRecord) -> None:
        gone = changed(record, lambda by: by.pop("Condition/con-2"))
        assert refusal(offline, gone)[0] == "Encounter.diagnosis[0].condition"

    @pytest.mark.parametrize(("written", "canonical"), [("e119", "E11.9"), (" i10 ", "I10")])
    def test_codes_are_made_canonical(
        self, offline: Any, record: EncounterRecord, written: str, canonical: str
    ) -> None:
        def write(by: dict[str, Resource]) -> None:
            by["Condition/con-1"]["code"]["coding"][1]["code"] = written

        assert canonical in offline.normalize(changed(record, write)).diagnosis_codes


class TestCharges:
    def test_charge_items_when_there_is_no_claim(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        def charged(by: dict[str, Resource]) -> None:
            without_claim(by)
            by["ChargeItem/ci-1"] = charge_item(make)

        line = offline.normalize(changed(record, charged)).charges[0]
        assert (line.code, line.modifiers, line.quantity, line.unit_price) == (
            "G0463",
            ("25",),
            Decimal(2),
            Decimal("45.00"),  # priceOverride is the total of the line
        )
        assert (line.diagnosis_codes, line.serviced) == (("I10",), date(2026, 3, 3))

    def test_modifiers_where_the_site_keeps_them(
        self, context: Any, credentials: Any, record: EncounterRecord, make: Any
    ) -> None:
        site = {"modifier_extensions": ["urn:site:modifier"], "code_system_aliases": {"urn:site:codes": codes.CPT}}
        chosen = {"base_url": "https://ehr.example.test/fhir", "client_authentication": "none", **site}
        adapter = ADAPTER.open(ADAPTER.settings(**chosen), context)
        code = make.coded("urn:site:codes", "99213", "25")
        code["extension"] = [{"url": "urn:site:modifier", "valueCode": "GT"}, {"url": "urn:other", "valueCode": "59"}]

        def charged(by: dict[str, Resource]) -> None:
            without_claim(by)
            by["ChargeItem/ci-1"] = charge_item(make, code=code)

        (line,) = adapter.normalize(changed(record, charged)).charges
        assert (line.code, line.modifiers) == ("99213", ("25", "GT"))

    @pytest.mark.parametrize("source", ["ChargeItem", "Procedure"])
    def test_charges_of_another_visit_are_left_out(
        self, offline: Any, record: EncounterRecord, make: Any, source: str
    ) -> None:
        elsewhere = make.reference("Encounter/enc-2")

        def more(by: dict[str, Resource]) -> None:
            without_claim(by)
            if source == "ChargeItem":
                by["ChargeItem/ci-1"] = charge_item(make)
                by["ChargeItem/ci-2"] = charge_item(make, "ci-2", context=elsewhere)
            else:
                by["Procedure/proc-2"] = {
                    **copy.deepcopy(by["Procedure/proc-1"]),
                    "id": "proc-2",
                    "encounter": elsewhere,
                }

        assert len(offline.normalize(changed(record, more)).charges) == 1

    def test_charges_not_billable_are_not_billed_as_procedures(
        self, offline: Any, record: EncounterRecord, make: Any
    ) -> None:
        def charged(by: dict[str, Resource]) -> None:
            without_claim(by)
            by["ChargeItem/ci-1"] = charge_item(make, status="not-billable")

        assert refusal(offline, changed(record, charged))[0] == "ChargeItem[0].status"

    def test_procedures_are_priced_by_the_fee_schedule(
        self, offline: Any, record: EncounterRecord, clinic: ClinicFacts
    ) -> None:
        bundle = offline.normalize(changed(record, without_claim))
        (item,) = build_claim(bundle, clinic, created="2026-03-04T12:00:00Z").claim["item"]
        assert (bundle.charges[0].code, bundle.charges[0].expression) == ("G0108", "Procedure[0]")
        assert item["unitPrice"]["value"] == Decimal("61.25")

    def test_nothing_to_bill(self, offline: Any, record: EncounterRecord) -> None:
        def nothing(by: dict[str, Resource]) -> None:
            without_claim(by)
            del by["Procedure/proc-1"]

        assert refusal(offline, changed(record, nothing))[0] == "ChargeItem"

    @pytest.mark.parametrize("kind", ["institutional", "pharmacy"])
    def test_a_claim_of_another_kind_is_named(
        self, offline: Any, record: EncounterRecord, make: Any, kind: str
    ) -> None:
        def other_kind(by: dict[str, Resource]) -> None:
            by["Claim/claim-1"]["type"] = make.coded(codes.CLAIM_TYPE, kind)
            del by["Procedure/proc-1"]

        path, message = refusal(offline, changed(record, other_kind))
        assert path == "Claim[0].type"
        assert "professional" in message

    def test_two_claims_for_one_encounter_are_not_added_up(self, offline: Any, record: EncounterRecord) -> None:
        def doubled(by: dict[str, Resource]) -> None:
            by["Claim/claim-2"] = {**copy.deepcopy(by["Claim/claim-1"]), "id": "claim-2"}

        assert refusal(offline, changed(record, doubled))[0] == "Claim[1]"

    def test_an_active_claim_beats_a_draft(self, offline: Any, record: EncounterRecord) -> None:
        def drafted(by: dict[str, Resource]) -> None:
            draft = {**copy.deepcopy(by["Claim/claim-1"]), "id": "claim-0", "status": "draft"}
            by["Claim/claim-0"] = draft

        assert offline.normalize(changed(record, drafted)).charges[0].expression == "Claim[0].item[0]"

    def test_items_of_another_encounter_are_left_out(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        def elsewhere(by: dict[str, Resource]) -> None:
            by["Claim/claim-1"]["item"][0]["encounter"] = [make.reference("Encounter/other")]

        assert [c.code for c in offline.normalize(changed(record, elsewhere)).charges] == ["J1885"]

    @pytest.mark.parametrize(
        ("element", "value", "path"),
        [
            ("productOrService", {"coding": [{"system": codes.SNOMED, "code": "123"}]}, "productOrService"),
            ("productOrService", {"coding": [{"system": codes.CPT, "code": "ABCDE"}]}, "productOrService"),
            ("modifier", [{"coding": [{"system": codes.CPT, "code": "LONG"}]}], "modifier[0].coding[0].code"),
            ("modifier", [{"text": "left"}], "modifier[0]"),
            ("quantity", {"value": 0}, "quantity.value"),
            ("quantity", {"value": "2"}, "quantity.value"),
            ("diagnosisSequence", [9], "diagnosisSequence[0]"),
            ("net", {"value": Decimal("1.00"), "currency": "USD"}, "net"),
            ("unitPrice", {"value": Decimal("1.00"), "currency": "EUR"}, "unitPrice.currency"),
            ("servicedDate", "2026-03", "servicedDate"),
        ],
    )
    def test_a_bad_line_is_named(
        self, offline: Any, record: EncounterRecord, element: str, value: Any, path: str
    ) -> None:
        bad = changed(record, lambda by: by["Claim/claim-1"]["item"][0].update({element: value}))
        assert refusal(offline, bad)[0] == f"Claim[0].item[0].{path}"

    def test_minutes_of_anaesthesia_keep_their_unit(self, offline: Any, record: EncounterRecord) -> None:
        def minutes(by: dict[str, Resource]) -> None:
            by["Claim/claim-1"]["item"][1]["quantity"] = {"value": 50, "code": "min"}

        line = offline.normalize(changed(record, minutes)).charges[1]
        assert (line.unit, line.quantity, line.unit_price) == ("MJ", Decimal(50), Decimal("2.00"))

    def test_a_lines_own_provider_is_kept(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        def team(by: dict[str, Resource]) -> None:
            role = make.coded(codes.CARE_TEAM_ROLE, "rendering")
            by["Claim/claim-1"]["careTeam"] = [
                {"sequence": 1, "provider": make.reference("Practitioner/prac-1"), "role": role},
                {"sequence": 2, "provider": make.reference("Practitioner/prac-2"), "role": role},
            ]
            by["Claim/claim-1"]["item"][0]["careTeamSequence"] = [1]
            by["Claim/claim-1"]["item"][1]["careTeamSequence"] = [2]

        bundle = offline.normalize(changed(record, team))
        assert bundle.roles["rendering_provider"] == "Practitioner/ehr1.prac-1"
        assert [line.performer for line in bundle.charges] == [None, "Practitioner/ehr1.prac-2"]


class TestPlaceOfService:
    @pytest.mark.parametrize(
        ("code", "place"), [("AMB", "11"), ("VR", "10"), ("HH", "12"), ("EMER", "23"), ("IMP", "21")]
    )
    def test_by_class_when_nothing_else_says_it(
        self, offline: Any, record: EncounterRecord, code: str, place: str
    ) -> None:
        def classed(by: dict[str, Resource]) -> None:
            del by["Claim/claim-1"]["item"][0]["locationCodeableConcept"]
            by["Encounter/enc-1"]["class"]["code"] = code

        assert offline.normalize(changed(record, classed)).location_code == place

    def test_the_facility_goes_before_the_class(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        def placed(by: dict[str, Resource]) -> None:
            without_claim(by)
            by["Location/loc-1"]["type"] = [make.coded(codes.POS, "19")]

        assert offline.normalize(changed(record, placed)).location_code == "19"


class TestReferral:
    def test_number_and_requester_of_the_request(self, offline: Any, record: EncounterRecord, make: Any) -> None:
        def referred(by: dict[str, Resource]) -> None:
            by["Encounter/enc-1"]["basedOn"] = [make.reference("ServiceRequest/sr-1")]
            del by["Encounter/enc-1"]["participant"][1]
            by["ServiceRequest/sr-1"] = {
                "resourceType": "ServiceRequest",
                "id": "sr-1",
                "identifier": [{"system": "urn:oid:1.2.36.146.9", "value": "REF-77"}],
                "requester": make.reference("Practitioner/prac-2"),
            }

        bundle = offline.normalize(changed(record, referred))
        assert bundle.referral_number == "REF-77"
        assert bundle.roles["referring_provider"] == "Practitioner/ehr1.prac-2"


class TestOtherPatient:
    @pytest.mark.parametrize(
        ("resource", "element"),
        [("Coverage/cov-1", "beneficiary"), ("Claim/claim-1", "patient")],
    )
    def test_a_record_of_somebody_else_stops_the_claim(
        self, offline: Any, record: EncounterRecord, make: Any, resource: str, element: str
    ) -> None:
        def mixed(by: dict[str, Resource]) -> None:
            by["Patient/pat-2"] = {**copy.deepcopy(by["Patient/pat-1"]), "id": "pat-2"}
            by[resource][element] = make.reference("Patient/pat-2")

        path, message = refusal(offline, changed(record, mixed))
        assert path.endswith(f".{element}")
        assert "another patient" in message


JUNK = st.sampled_from(
    [
        *(None, "", " ", "x", 0, -1, 10**400, True, Decimal("1E+900"), Decimal("0.001"), [], {}, [None], [[]], [{}]),
        *({"reference": "#"}, {"reference": "Patient/pat-1"}, {"coding": "x"}),
        *("2026-13-40", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ]
)


def _mutated(resources: list[Resource], path: tuple[Any, ...], junk: Any, remove: bool) -> list[Resource]:
    mutated = copy.deepcopy(resources)
    holder: Any = mutated
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = junk
    return mutated


@given(data=st.data(), sources=st.sampled_from(["claim", "charge_item", "procedure"]))
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_normalize_gives_a_closed_valid_bundle_or_a_mapping_error(
    offline: Any, resources: list[Resource], make: Any, data: st.DataObject, sources: str
) -> None:
    everything = [r for r in resources if sources == "claim" or r["resourceType"] != "Claim"]
    everything += [charge_item(make)] if sources == "charge_item" else []
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in member_paths(everything) if len(p) > 1]))
        everything = _mutated(everything, path, data.draw(JUNK), data.draw(st.booleans()))
    first = next((r for r in everything if r.get("id") == "enc-1"), everything[0])
    ref_record = EncounterRecord(
        ref=_ref(), base_url="https://ehr.example.test/fhir", encounter=first, resources=tuple(everything[1:])
    )
    try:
        bundle = offline.normalize(ref_record)
    except MappingError as problem:
        assert problem.findings[0].expression
        assert "Testperson" not in str(problem)
        assert "1984" not in str(problem)
    else:
        _assert_closed(bundle)


def _ref() -> EncounterRef:
    return EncounterRef("enc-1", "Encounter/enc-1@3")


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for member in value.values() for r in _references(member)]
    return [r for member in value for r in _references(member)] if isinstance(value, list) else []


def _assert_closed(bundle: EncounterBundle) -> None:
    everything = [bundle.encounter, *bundle.resources]
    for resource in everything:
        assert [i.path for i in fhirkit.validate(jsonio.dumps(resource)) if i.severity == "error"] == []
    named = [*_references(everything), *bundle.roles.values(), *(c.performer for c in bundle.charges if c.performer)]
    assert [r for r in named if bundle.find(r) is None] == []
    assert bundle.charges
    assert bundle.diagnosis_codes
