"""Validation at the border: everything at once, each finding in its place, no value in any text, never an exception."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical import bindings, jsonio, profile, schema
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.codes import HCPCS, SNOMED, concept
from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import Finding, Severity, holds
from gateway.canonical.models import ChargeLine, ClaimBundle, EncounterBundle
from gateway.canonical.tolerant import as_number
from gateway.canonical.validation import check_claim, check_encounter, check_resource

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "fhir_profiles" / "examples" / "valid"
DEFINITIONS = ROOT.parent / "shared" / "fixtures" / "fhir" / "definitions" / "r4"
NAMES = ("dermatology", "two-coverages", "twelve-diagnoses", "minor-child")


def resources(name: str = "dermatology") -> list[dict[str, Any]]:
    example = jsonio.loads((EXAMPLES / f"claim-{name}.json").read_bytes())
    return [entry["resource"] for entry in example["entry"]]


def claim_bundle(name: str = "dermatology") -> ClaimBundle:
    claim, *others = resources(name)
    return ClaimBundle.of(claim, others)


def encounter_bundle(name: str = "dermatology", **roles: str) -> EncounterBundle:
    _, encounter, *others = resources(name)
    return EncounterBundle(
        encounter=encounter,
        resources=tuple(others),
        charges=(),
        diagnosis_codes=(),
        roles=roles,
        serviced=date(2025, 3, 4),
        location_code="11",
    )


def only(kind: str, among: list[dict[str, Any]] | tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return next(resource for resource in among if resource["resourceType"] == kind)


def places(found: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(finding.edit, finding.expression) for finding in found}


class TestEverythingAtOnce:
    def test_an_empty_claim_names_every_element_that_it_lacks(self) -> None:
        missing = {f.expression for f in check_resource({"resourceType": "Claim"}) if f.edit == "profile-min"}
        assert missing == {
            "Claim.careTeam", "Claim.created", "Claim.diagnosis", "Claim.insurance", "Claim.item", "Claim.meta",
            "Claim.patient", "Claim.priority", "Claim.provider", "Claim.status", "Claim.total", "Claim.type",
            "Claim.use",
        }  # fmt: skip

    def test_defects_of_several_resources_come_together(self) -> None:
        bundle = claim_bundle()
        bundle.claim["total"]["value"] = Decimal("1.00")
        only("Patient", [*bundle.resources.values()])["gender"] = "F"
        only("Coverage", [*bundle.resources.values()])["beneficiary"] = {"reference": "Patient/nobody"}
        assert places(check_claim(bundle)) == {
            ("gwc-7", "Claim.total.value"),
            ("r4-binding", "Patient.gender"),
            ("claim-reference", "Coverage.beneficiary"),
            ("claim-coverage-patient", "Coverage.beneficiary"),
        }

    def test_the_profile_speaks_instead_of_schema_and_binding(self) -> None:
        found = check_resource({"resourceType": "Encounter", "status": "nonsense"})
        assert [f.edit for f in found if f.expression == "Encounter.status"] == ["profile-fixed"]
        assert [f.edit for f in found if f.expression == "Encounter.class"] == ["profile-min"]

    def test_a_warning_does_not_hide_an_error_on_the_same_element(self) -> None:
        condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": "text"}
        assert places(check_resource(condition)) == {("gwcd-1", "Condition.code"), ("r4-schema", "Condition.code")}

    def test_a_warning_does_not_hold(self) -> None:
        condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": concept(SNOMED, "1")}
        found = check_resource(condition)
        assert [f.severity for f in found] == [Severity.WARNING]
        assert not holds(found)

    def test_messages_are_sentences_with_a_remedy(self) -> None:
        found = check_resource({"resourceType": "Claim", "status": 5, "item": [{}], "nothing": 1})
        assert len(found) > 15
        assert all(f.message.endswith(".") and f.fix.endswith(".") for f in found)


class TestPlaces:
    def test_a_resource_alone_of_its_type_is_named_by_its_type(self) -> None:
        bundle = claim_bundle("two-coverages")
        del only("Patient", [*bundle.resources.values()])["birthDate"]
        assert places(check_claim(bundle)) == {("profile-min", "Patient.birthDate")}

    def test_one_of_several_is_named_by_the_path_that_reaches_it(self) -> None:
        bundle = claim_bundle("two-coverages")
        del bundle.resources["Coverage/two-second"]["subscriberId"]
        assert places(check_claim(bundle)) == {("profile-min", "Claim.insurance[1].coverage.subscriberId")}

    def test_resources_that_the_claim_does_not_reach_are_not_its_business(self) -> None:
        bundle = claim_bundle()
        stray = {"resourceType": "Practitioner", "id": "stray"}
        assert check_claim(ClaimBundle.of(bundle.claim, [*bundle.resources.values(), stray])) == ()

    def test_an_encounter_numbers_what_it_does_not_reach(self) -> None:
        bundle = encounter_bundle()
        conditions = bundle.of_type("Condition")
        conditions[1]["clinicalStatus"] = concept("urn:other", "active")
        assert places(check_encounter(bundle)) == {("r4-binding", "Condition[1].clinicalStatus")}

    @pytest.mark.parametrize(
        ("path", "expression"),
        [
            ("Claim.item[0].servicedDate", "Claim.item[0].serviced"),
            ("Claim.item[0].locationCodeableConcept.coding[0]", "Claim.item[0].location.coding[0]"),
            ("Claim.item[0].diagnosisSequence[1]", "Claim.item[0].diagnosisSequence[1]"),
            ("Claim.diagnosis[0].diagnosis[x]", "Claim.diagnosis[0].diagnosis"),
            ("Patient._birthDate.id", "Patient.birthDate.id"),
            ("Patient.extension[0].valueString", "Patient.extension[0].value"),
            ("Patient.John Smith.use", "Patient"),
            ("Patient.name[0].Smith", "Patient.name[0]"),
            ("Patient.", "Patient"),
            ("Smith", "Resource"),
            ("Patient/1", "Resource"),
            ("", "Resource"),
        ],
    )
    def test_paths_become_fhirpath_of_element_names_only(self, path: str, expression: str) -> None:
        assert expression_of(path) == expression

    def test_no_place_repeats_what_a_broken_resource_holds(self) -> None:
        bundle = encounter_bundle()
        only("Patient", bundle.resources)["resourceType"] = "Qzx7Marker"
        bundle.encounter["Qzx7 Marker"] = {"reference": "Location/derm-office"}
        del bundle.encounter["location"]
        found = check_encounter(bundle)
        assert ("r4-schema", "Resource") in places(found)
        assert "Qzx7" not in repr(found)


class TestEncounter:
    @pytest.mark.parametrize("name", NAMES)
    def test_the_examples_are_good_encounters(self, name: str) -> None:
        practitioner = only("Practitioner", encounter_bundle(name).resources)
        reference = f"Practitioner/{practitioner['id']}"
        assert check_encounter(encounter_bundle(name, rendering_provider=reference)) == ()

    def test_an_unfinished_encounter_is_held(self) -> None:
        bundle = encounter_bundle()
        bundle.encounter["status"] = "in-progress"
        assert places(check_encounter(bundle)) == {("profile-fixed", "Encounter.status")}

    def test_a_role_must_resolve(self) -> None:
        found = check_encounter(encounter_bundle(supervising_provider="Practitioner/nobody"))
        assert places(found) == {("encounter-role", "Encounter")}
        assert "supervising provider" in found[0].message

    def test_a_subject_must_resolve_to_a_patient(self) -> None:
        bundle = encounter_bundle()
        bundle.encounter["subject"] = {"reference": "Location/derm-office"}
        assert ("claim-reference", "Encounter.subject") in places(check_encounter(bundle))

    def test_only_providers_with_a_role_need_an_npi(self) -> None:
        bundle = encounter_bundle()
        del only("Practitioner", bundle.resources)["identifier"]
        assert check_encounter(bundle) == ()
        held = replace(bundle, roles={"rendering_provider": "Practitioner/derm-rendering"})
        assert places(check_encounter(held)) == {("gwpr-1", "Encounter.participant[0].individual.identifier")}


def test_the_claim_builder_meets_the_profile() -> None:
    lines = [
        ChargeLine("ChargeItem[0]", "G0127", HCPCS, ("59",), Decimal(2), Decimal("31.25"), ("L57.0",)),
        ChargeLine("ChargeItem[1]", "J3301", HCPCS, (), Decimal(4), Decimal("2.605"), ("L57.0", "L30.9")),
    ]
    bundle = replace(
        encounter_bundle(rendering_provider="Practitioner/derm-rendering", service_facility="Location/derm-office"),
        charges=tuple(lines),
        diagnosis_codes=("L57.0", "L30.9"),
        source="https://ehr.example/fhir/Encounter/derm-1",
    )
    provider = only("Organization", [r for r in bundle.resources if r["id"] == "billing-provider"])
    clinic = ClinicFacts(
        clinic_id="example",
        name="Example Clinic",
        timezone=ZoneInfo("America/Chicago"),
        billing_provider=BillingProvider("Example Clinic", "1234567893", "12-3456789", address=provider["address"][0]),
    )
    assert check_encounter(bundle) == ()
    assert check_claim(build_claim(bundle, clinic, created="2025-03-04T16:00:00Z")) == ()


class TestSchema:
    @pytest.mark.parametrize(
        ("resource", "expression", "word"),
        [
            ({"resourceType": "Patient", "zzz": 1}, "Patient.zzz", "no such element"),
            ({"resourceType": "Patient", "birthDate": "Xyzzy"}, "Patient.birthDate", "date"),
            ({"resourceType": "Patient", "active": "true"}, "Patient.active", "true or false"),
            ({"resourceType": "Patient", "name": {}}, "Patient.name", "an array"),
            ({"resourceType": "Patient", "name": [None]}, "Patient.name[0]", "null"),
            ({"resourceType": "Patient", "photo": []}, "Patient.photo", "empty"),
            ({"resourceType": "Patient", "link": [{}]}, "Patient.link[0].other", "missing"),
            (
                {"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2020"},
                "Patient.deceased",
                "only one",
            ),
            ({"resourceType": "Patient", "multipleBirthInteger": 3.5}, "Patient.multipleBirth", "integer"),
            ({"resourceType": "Patient", "multipleBirthInteger": 2**40}, "Patient.multipleBirth", "too large"),
            ({"resourceType": "Patient", "photo": [{"size": -1}]}, "Patient.photo[0].size", "0 or more"),
            ({"resourceType": "Coverage", "order": 0}, "Coverage.order", "1 or more"),
            (
                {"resourceType": "Patient", "contained": [{"resourceType": "Smith"}]},
                "Patient.contained[0]",
                "resource type",
            ),
            (
                {"resourceType": "Patient", "name": [{"given": ["a"], "_given": [{"id": "1"}, None]}]},
                "Patient.name[0].given",
                "line up",
            ),
            ({"resourceType": "Smith"}, "Resource", "resource type"),
            ({}, "Resource", "no resource type"),
            ([], "Resource", "no resource type"),
            ({"resourceType": "Patient", "name": {1}}, "Resource", "cannot be read"),
            ({"resourceType": "Patient", "photo": [{"size": float("nan")}]}, "Resource", "cannot be read"),
            ("not json", "Resource", "cannot be read"),
        ],
    )
    def test_each_kind_of_issue_has_its_sentence(self, resource: Any, expression: str, word: str) -> None:
        assert any(f.expression == expression and word in f.message for f in schema.check(resource))

    def test_deep_nesting_is_a_finding(self) -> None:
        deep: dict[str, Any] = {"url": "urn:x"}
        for _ in range(5000):
            deep = {"url": "urn:x", "extension": [deep]}
        assert places(check_resource({"resourceType": "Patient", "extension": [deep]})) == {("r4-schema", "Resource")}
        bundle = claim_bundle()
        only("Coverage", [*bundle.resources.values()])["extension"] = [deep]
        assert places(check_claim(bundle)) == {("r4-schema", "Coverage")}
        bundle.claim["extension"] = [deep]
        assert places(check_claim(bundle)) == {("r4-schema", "Resource"), ("r4-schema", "Coverage")}

    @pytest.mark.parametrize("root", [{}, [], None, {"resourceType": "Basic", "code": {"text": "x"}}])
    def test_a_bundle_needs_its_root(self, root: Any) -> None:
        assert places(check_claim(ClaimBundle(root, {}))) == {("r4-schema", "Claim")}
        encounter = replace(encounter_bundle(), encounter=root)
        assert places(check_encounter(encounter)) == {("r4-schema", "Encounter")}


class TestBindings:
    @pytest.mark.parametrize(
        ("resource", "expression"),
        [
            ({"resourceType": "Patient", "telecom": [{"system": "telegraph"}]}, "Patient.telecom[0].system"),
            ({"resourceType": "Patient", "contact": [{"name": {"use": "legal"}}]}, "Patient.contact[0].name.use"),
            ({"resourceType": "Patient", "address": [{"use": "castle"}]}, "Patient.address[0].use"),
            (
                {"resourceType": "Claim", "item": [{"quantity": {"comparator": "="}}]},
                "Claim.item[0].quantity.comparator",
            ),
            (
                {"resourceType": "Location", "hoursOfOperation": [{"daysOfWeek": ["mon", "someday"]}]},
                "Location.hoursOfOperation[0].daysOfWeek[1]",
            ),
            (
                {"resourceType": "Claim", "contained": [{"resourceType": "Patient", "gender": "M"}]},
                "Claim.contained[0].gender",
            ),
            (
                {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Claim", "use": "x"}}]},
                "Bundle.entry[0].resource.use",
            ),
            ({"resourceType": "Condition", "clinicalStatus": concept("urn:x", "active")}, "Condition.clinicalStatus"),
        ],
    )
    def test_codes_are_judged_wherever_they_stand(self, resource: dict[str, Any], expression: str) -> None:
        assert [f.expression for f in bindings.check(resource)] == [expression]

    @pytest.mark.shared
    def test_the_table_holds_every_required_binding_of_the_definitions(self) -> None:
        definitions = sorted(DEFINITIONS.glob("StructureDefinition-*.json"))
        if not definitions:
            pytest.skip("the R4 definitions are not beside the checkout")
        not_ours = {"CapabilityStatement", "Group", "Parameters"}
        elements = [
            element["path"]
            for path in definitions
            for element in json.loads(path.read_bytes())["snapshot"]["element"]
            if element.get("binding", {}).get("strength") == "required"
        ]
        bound = {e for e in elements if e.partition(".")[0] not in not_ours and e != "Subscription.channel.payload"}
        assert len(bound) > 25
        assert bound - {*bindings.REQUIRED, *bindings.REQUIRED_CONCEPTS} == set()

    @pytest.mark.shared
    @pytest.mark.parametrize(
        ("element", "code_system"),
        [
            ("AuditEvent.action", "audit-event-action"),
            ("AuditEvent.outcome", "audit-event-outcome"),
            ("Bundle.entry.request.method", "http-verb"),
            ("Bundle.entry.search.mode", "search-entry-mode"),
            ("Bundle.type", "bundle-type"),
            ("Claim.status", "fm-status"),
            ("Claim.use", "claim-use"),
            ("ClaimResponse.outcome", "remittance-outcome"),
            ("Encounter.status", "encounter-status"),
            ("OperationOutcome.issue.code", "issue-type"),
            ("OperationOutcome.issue.severity", "issue-severity"),
            ("Subscription.channel.type", "subscription-channel-type"),
            ("Subscription.status", "subscription-status"),
        ],
    )
    def test_the_codes_are_those_of_the_specification(self, element: str, code_system: str) -> None:
        path = DEFINITIONS / f"CodeSystem-{code_system}.json"
        if not path.exists():
            pytest.skip("the R4 code systems are not beside the checkout")
        assert bindings.REQUIRED[element] == set(codes_of(json.loads(path.read_bytes())["concept"]))


def codes_of(concepts: list[dict[str, Any]]) -> list[str]:
    return [code for c in concepts for code in (c["code"], *codes_of(c.get("concept", [])))]


def test_numbers_are_tamed() -> None:
    assert as_number(True) is None
    assert as_number("5") is None
    assert as_number(float("inf")) is None
    assert as_number(0.1) == Decimal("0.1")
    assert as_number(Decimal("-1E+999999")) == Decimal("-1E+30")


def test_a_profile_is_compiled_once() -> None:
    assert profile._profiles() is profile._profiles()


# Whatever the JSON: no exception, and no value in any text.

SECRET = "Qzx7Marker"
scalars = st.sampled_from(
    [None, True, False, 0, -1, 10**40, 1.5, Decimal("0.005"), Decimal("1E+99999"), "", " ", SECRET, "2025-03-04",
     "Patient/derm-patient", f"Patient/{SECRET}", f'"{SECRET}" is not a valid date', "active", "USD"]
)  # fmt: skip
names = st.sampled_from(
    ["resourceType", "id", "reference", "coding", "system", "code", "value", "sequence", "item", "name", "identifier",
     "extension", "contained", "url", "order", "relationship", f"_{SECRET.lower()[:1]}", f"{SECRET} {SECRET}", ""]
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def positions(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every place in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *positions(value[key]))]


@st.composite
def mutated(draw: st.DrawFn, make: Callable[[], list[dict[str, Any]]]) -> list[Any]:
    """Resources with up to four places replaced, removed or given a further member."""
    changed: list[Any] = copy.deepcopy(make())
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(positions(changed)))
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace" or container is changed:
            container[key] = draw(anything)
        elif how == "remove":
            del container[key]
        elif isinstance(container[key], dict):
            container[key][draw(names)] = draw(anything)
    return changed


def assert_safe(found: tuple[Finding, ...]) -> None:
    for finding in found:
        assert SECRET not in repr(finding)
        assert SECRET.lower() not in repr(finding).lower()
        assert finding.message
        assert finding.expression.split(".")[0].split("[")[0].isalpha()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(anything)
def test_any_json_is_checked_without_an_exception(value: Any) -> None:
    assert_safe(check_resource(value))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(NAMES).flatmap(lambda name: mutated(lambda: resources(name))))
def test_a_mutated_claim_is_checked_without_an_exception(changed: list[Any]) -> None:
    keys = [f"{r['resourceType']}/{r['id']}" for r in resources("dermatology")]
    claim, *others = changed
    keyed = {
        f"{r.get('resourceType')}/{r.get('id')}" if isinstance(r, dict) else keys[i % len(keys)]: r
        for i, r in enumerate(others)
    }
    assert_safe(check_claim(ClaimBundle(claim, keyed)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(mutated(resources))
def test_a_mutated_encounter_is_checked_without_an_exception(changed: list[Any]) -> None:
    _, encounter, *others = changed
    roles = {"rendering_provider": "Practitioner/derm-rendering"}
    bundle = EncounterBundle(encounter, tuple(others), (), (), roles, date(2025, 3, 4), "11")
    assert_safe(check_encounter(bundle))
