"""The profiles: examples, one defect at a time, and a FHIRPath engine as the referee of the Python constraints."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import fhirkit
import pytest
from fhirpathpy import compile as compile_fhirpath
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from gateway.canonical import codes, jsonio, profile
from gateway.canonical.codes import concept
from gateway.canonical.crosschecks import RULES
from gateway.canonical.findings import Finding, Severity
from gateway.canonical.invariants import INVARIANTS
from gateway.canonical.models import ClaimBundle
from gateway.canonical.validation import check_claim, check_resource

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "fhir_profiles" / "examples"
DEFINITIONS = ROOT.parent / "shared" / "fixtures" / "fhir" / "definitions" / "r4"
VALID = sorted((EXAMPLES / "valid").glob("*.json"))
INVALID = sorted((EXAMPLES / "invalid").glob("*.json"))
PROFILES = profile.structure_definitions()
REMOVED = object()


def resources_of(example: dict[str, Any]) -> list[dict[str, Any]]:
    if example["resourceType"] != "Bundle":
        return [example]
    return [entry["resource"] for entry in example["entry"]]


def claim_bundle(example: dict[str, Any]) -> ClaimBundle:
    claim, *others = resources_of(example)
    return ClaimBundle.of(claim, others)


def findings_of(example: dict[str, Any]) -> tuple[Finding, ...]:
    return check_claim(claim_bundle(example)) if example["resourceType"] == "Bundle" else check_resource(example)


def load(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = jsonio.loads(path.read_bytes())
    return result


def coded(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} for system, code in pairs]}


def ref(reference: str) -> dict[str, Any]:
    return {"reference": reference}


A_RENDERING = {
    "sequence": 3,
    "provider": ref("Practitioner/derm-referring"),
    "role": concept(codes.CARE_TEAM_ROLE, "rendering"),
}
PRIOR = {"relationship": concept(codes.RELATED_CLAIM, "prior"), "claim": ref("Claim/derm-claim-0")}

# (example, resource changed) to rows of edit, expression of the finding, element changed, its new value
DEFECTS: dict[tuple[str, str], list[tuple[str, str, str, Any]]] = {
    ("dermatology", "Claim"): [
        ("profile-fixed", "Claim.status", "status", "draft"),
        ("profile-fixed", "Claim.use", "use", "preauthorization"),
        ("profile-fixed", "Claim.type", "type", concept(codes.CLAIM_TYPE, "institutional")),
        ("profile-fixed", "Claim.priority", "priority", concept(codes.PROCESS_PRIORITY, "stat")),
        ("profile-fixed", "Claim.total.currency", "total.currency", "EUR"),
        ("profile-fixed", "Claim.item[0].net.currency", "item.0.net.currency", "CAD"),
        ("profile-min", "Claim.meta.source", "meta.source", REMOVED),
        ("profile-min", "Claim.created", "created", REMOVED),
        ("profile-min", "Claim.careTeam", "careTeam", REMOVED),
        ("profile-min", "Claim.diagnosis", "diagnosis", REMOVED),
        ("profile-min", "Claim.insurance", "insurance", REMOVED),
        ("profile-min", "Claim.item", "item", []),
        ("profile-min", "Claim.item[1].serviced", "item.1.servicedDate", REMOVED),
        ("profile-min", "Claim.item[2].location", "item.2.locationCodeableConcept", REMOVED),
        ("profile-min", "Claim.item[0].quantity.value", "item.0.quantity", {"unit": "UN"}),
        ("profile-min", "Claim.item[0].unitPrice", "item.0.unitPrice", REMOVED),
        ("profile-min", "Claim.item[0].net", "item.0.net", REMOVED),
        ("profile-min", "Claim.item[0].encounter", "item.0.encounter", REMOVED),
        ("profile-min", "Claim.item[0].diagnosisSequence", "item.0.diagnosisSequence", REMOVED),
        ("profile-min", "Claim.total", "total", REMOVED),
        ("profile-min", "Claim.patient.reference", "patient", {"display": "somebody"}),
        ("profile-min", "Claim.diagnosis[0].diagnosis", "diagnosis.0.diagnosisCodeableConcept", {}),
        ("profile-max", "Claim.item[0].modifier", "item.0.modifier", [coded((codes.CPT, "25"))] * 5),
        ("profile-max", "Claim.item", "item", [{"sequence": n} for n in range(1, 52)]),
        ("profile-max", "Claim.contained", "contained", [{"resourceType": "Patient", "id": "p"}]),
        ("profile-binding", "Claim.careTeam[0].role", "careTeam.0.role", coded(("urn:x", "boss"))),
        ("r4-schema", "Claim.created", "created", "yesterdayTnoonZ"),
        ("gw-10", "Claim.patient", "patient", ref("https://ehr.example/fhir/Patient/1")),
        ("gw-10", "Claim.insurance[0].coverage", "insurance.0.coverage", ref("#coverage")),
        ("gwc-1", "Claim.created", "created", "2025-03-04"),
        ("gwc-2a", "Claim.identifier", "identifier.0.system", "urn:example:other"),
        ("gwc-2b", "Claim.identifier", "identifier.1", REMOVED),
        ("gwc-2c", "Claim.identifier[1].type", "identifier.1.type", REMOVED),
        ("gwc-2d", "Claim.identifier[1].value", "identifier.1.value", "G0000000000000000000X"),
        ("gwc-2d", "Claim.identifier[1].value", "identifier.1.value", "G_1"),
        ("gwc-3", "Claim.item[1].sequence", "item.1.sequence", 4),
        ("gwc-3", "Claim.diagnosis[2].sequence", "diagnosis.2.sequence", 2),
        (
            "gwc-4a",
            "Claim.diagnosis[1].diagnosis",
            "diagnosis.1.diagnosisCodeableConcept",
            concept(codes.ICD10CM, "L309"),
        ),
        ("gwc-4a", "Claim.diagnosis[1].diagnosis", "diagnosis.1.diagnosisCodeableConcept", concept(codes.SNOMED, "1")),
        (
            "gwc-4b",
            "Claim.diagnosis[1].diagnosis",
            "diagnosis.1.diagnosisCodeableConcept",
            concept(codes.ICD10CM, "L57.0"),
        ),
        ("gwc-4c", "Claim.diagnosis[0].type", "diagnosis.0.type", REMOVED),
        ("gwc-4c", "Claim.diagnosis[1].type", "diagnosis.1.type", [concept(codes.DIAGNOSIS_TYPE, "principal")]),
        ("gwc-6a", "Claim.item[1].productOrService", "item.1.productOrService", concept(codes.CPT, "G0127")),
        ("gwc-6b", "Claim.item[1].location", "item.1.locationCodeableConcept", concept(codes.POS, "AMB")),
        ("gwc-6c", "Claim.item[1].quantity.value", "item.1.quantity.value", 0),
        ("gwc-6d", "Claim.item[0].net.value", "item.0.net.value", Decimal("105.005")),
        ("gwc-6d", "Claim.item[0].net.value", "item.0.net.value", Decimal("-105.00")),
        ("gwc-6d", "Claim.item[0].net.value", "item.0.net.value", 10**40),
        ("gwc-6e", "Claim.item[0].net.value", "item.0.net.value", Decimal("105.01")),
        ("gwc-6f", "Claim.item[0].diagnosisSequence[1]", "item.0.diagnosisSequence", [1, 1]),
        ("gwc-6g", "Claim.item[2].diagnosisSequence[1]", "item.2.diagnosisSequence", [1, 9]),
        ("gwc-6h", "Claim.item[0].modifier[0]", "item.0.modifier.0", concept(codes.CPT, "2")),
        ("gwc-6i", "Claim.item[0].serviced", "item.0.servicedDate", "2025-03"),
        ("gwc-9a", "Claim.careTeam", "careTeam.0.role.coding.0.code", "ordering"),
        ("gwc-9b", "Claim.careTeam[2]", "careTeam.+", A_RENDERING),
        ("gwc-9c", "Claim.item[0].careTeamSequence[0]", "item.0.careTeamSequence", [3]),
        ("gwc-11", "Claim.item[1].encounter[0]", "item.1.encounter.0", ref("Encounter/derm-2")),
        ("gwc-12", "Claim.related[0].relationship", "related", [{"claim": ref("Claim/derm-claim-0")}]),
        ("gwc-12", "Claim.related[0].claim", "related", [{"relationship": PRIOR["relationship"]}]),
        ("claim-reference", "Claim.patient", "patient", ref("Patient/nobody")),
        ("claim-reference", "Claim.patient", "patient", ref("Encounter/derm-1")),
        (
            "claim-reference",
            "Claim.supportingInfo[0].value",
            "supportingInfo",
            [
                {
                    "sequence": 1,
                    "category": concept(codes.SUPPORTING_INFO, "info"),
                    "valueReference": ref("Condition/none"),
                }
            ],
        ),
    ],
    ("dermatology", "Coverage"): [
        ("profile-fixed", "Coverage.status", "status", "cancelled"),
        ("profile-min", "Coverage.subscriberId", "subscriberId", "  "),
        ("profile-min", "Coverage.order", "order", REMOVED),
        ("profile-min", "Coverage.payor[0].reference", "payor", [{"display": "a payer"}]),
        ("profile-max", "Coverage.payor", "payor.+", ref("Organization/billing-provider")),
        ("profile-binding", "Coverage.relationship", "relationship", coded(("urn:x", "self"))),
        ("claim-reference", "Coverage.payor[0]", "payor.0", ref("Organization/nobody")),
        ("claim-coverage-patient", "Coverage.beneficiary", "beneficiary", ref("Patient/other")),
    ],
    ("dermatology", "Patient"): [
        ("profile-min", "Patient.birthDate", "birthDate", REMOVED),
        ("profile-min", "Patient.gender", "gender", REMOVED),
        ("r4-binding", "Patient.gender", "gender", "F"),
        ("gwp-1", "Patient.name", "name.0.given", REMOVED),
        ("gwp-2", "Patient.birthDate", "birthDate", "1971"),
        ("claim-patient-address", "Patient.address", "address.0.line", REMOVED),
    ],
    ("dermatology", "Organization"): [
        ("profile-min", "Claim.insurer.name", "name", REMOVED),
    ],
    ("twelve-diagnoses", "Claim"): [
        ("profile-max", "Claim.item[0].diagnosisSequence", "item.0.diagnosisSequence.+", 5),
        ("profile-max", "Claim.diagnosis", "diagnosis.+", {"sequence": 13}),
    ],
    ("dermatology", "Location"): [
        ("gw-npi", "Location.identifier[0].value", "identifier.0.value", "188101820"),
    ],
    ("two-coverages", "Claim"): [
        ("gwc-7", "Claim.total.value", "total.value", Decimal("159.57")),
        ("gwc-8a", "Claim.insurance", "insurance.1.focal", True),
        ("gwc-8a", "Claim.insurance", "insurance.0.focal", False),
        ("gwc-8b", "Claim.insurance[1].coverage", "insurance.1.coverage", ref("Coverage/two-first")),
        (
            "claim-focal-first",
            "Claim.insurance[1].focal",
            "insurance",
            [
                {"sequence": 1, "focal": False, "coverage": ref("Coverage/two-first")},
                {"sequence": 2, "focal": True, "coverage": ref("Coverage/two-second")},
            ],
        ),
    ],
    ("condition", "Condition"): [
        ("gwcd-1", "Condition.code", "code", {"text": "a finding"}),
    ],
    ("two-coverages", "Coverage/two-second"): [
        ("gwcv-1", "Claim.insurance[1].coverage.subscriber", "subscriber", REMOVED),
        ("claim-coverage-order", "Claim.insurance[1].sequence", "order", 1),
    ],
    ("dermatology", "Encounter"): [
        ("gwe-1", "Encounter.period.start", "period.start", "2025-03"),
    ],
    ("dermatology", "Organization/billing-provider"): [
        ("gwo-1", "Claim.provider.identifier[1].value", "identifier.1.value", "123"),
        ("claim-billing-npi", "Claim.provider.identifier", "identifier.0", REMOVED),
        ("claim-billing-tax-id", "Claim.provider.identifier", "identifier.1", REMOVED),
        ("claim-billing-address", "Claim.provider.address", "address.0.postalCode", REMOVED),
    ],
    ("procedure", "Procedure"): [
        ("gwpc-1", "Procedure.code", "code", {"text": "something done"}),
    ],
    ("dermatology", "Practitioner/derm-referring"): [
        ("gwpr-1", "Claim.careTeam[1].provider.identifier", "identifier", REMOVED),
    ],
    ("two-coverages", "Practitioner"): [
        ("gwpr-2", "Practitioner.name", "name.0.family", REMOVED),
    ],
    ("minor-child", "RelatedPerson"): [
        ("gwrp-1", "RelatedPerson.name", "name.0.family", REMOVED),
        ("claim-subscriber-birth-date", "RelatedPerson.birthDate", "birthDate", REMOVED),
    ],
    ("two-coverages", "Organization/payer-c"): [
        ("claim-payer-id", "Claim.insurance[1].coverage.payor[0].identifier", "identifier", REMOVED),
    ],
    ("minor-child", "Coverage"): [
        ("claim-subscriber-self", "Coverage.relationship", "subscriber", ref("Patient/child-patient")),
        ("claim-subscriber-self", "Coverage.relationship", "relationship", concept(codes.RELATIONSHIP, "self")),
    ],
}
ROWS = [(example, resource, *row) for (example, resource), rows in DEFECTS.items() for row in rows]


# What the rules must let pass: (example, element of the Claim changed, its new value)
ALLOWED: list[tuple[str, str, Any]] = [
    ("dermatology", "related", [PRIOR]),
    ("dermatology", "related", [{"relationship": PRIOR["relationship"], "reference": {"value": "ICN-1"}}]),
    ("dermatology", "diagnosis.1.diagnosisCodeableConcept", concept(codes.ICD10CM, "U07.1")),
    ("dermatology", "diagnosis.1.diagnosisCodeableConcept", concept(codes.ICD10CM, "S52.521A")),
    ("dermatology", "item.1.productOrService", concept(codes.CPT, "0001U")),
    ("dermatology", "item.1.servicedPeriod", {"start": "2025-03-04", "end": "2025-03-04"}),
    ("dermatology", "item.2.unitPrice.value", Decimal("2.601")),
    ("dermatology", "item.0.net.value", Decimal("105.0")),
    ("dermatology", "created", "2025-03-04T10:05:00.1234567-06:00"),
    ("dermatology", "identifier.1.value", "A-1 b2"),
    ("dermatology", "supportingInfo", [{"sequence": 1, "category": concept(codes.SUPPORTING_INFO, "info")}]),
]


def base_example(name: str) -> dict[str, Any]:
    """A valid bundle, or the first resource of a type from the dermatology one."""
    path = EXAMPLES / "valid" / f"claim-{name}.json"
    if path.exists():
        return load(path)
    resources = resources_of(load(EXAMPLES / "valid" / "claim-dermatology.json"))
    return next(r for r in resources if r["resourceType"].lower() == name)


def change(example: dict[str, Any], resource: str, path: str, value: Any) -> dict[str, Any]:
    """The example with one element changed; `+` appends to a list."""
    changed = copy.deepcopy(example)
    kind, _, identity = resource.partition("/")
    target: Any = next(r for r in resources_of(changed) if r["resourceType"] == kind and identity in ("", r["id"]))
    *above, last = path.split(".")
    for step in above:
        target = target[int(step)] if isinstance(target, list) else target[step]
    if last == "+":
        target.append(value)
    elif value is REMOVED:
        del target[int(last) if isinstance(target, list) else last]
    else:
        target[int(last) if isinstance(target, list) else last] = value
    return changed


def defect_id(row: tuple[str, str, str, str, str, Any]) -> str:
    return f"{row[2]}-{row[4]}"


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_examples_have_no_findings(path: Path) -> None:
    assert findings_of(load(path)) == ()


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_examples_have_the_defect_of_their_name(path: Path) -> None:
    assert {finding.edit for finding in findings_of(load(path))} == {path.stem.partition("--")[2]}


@pytest.mark.parametrize("row", ROWS, ids=defect_id)
def test_one_defect_is_named_with_its_element(row: tuple[str, str, str, str, str, Any]) -> None:
    base, resource, edit, expression, path, value = row
    found = findings_of(change(base_example(base), resource, path, value))
    assert (edit, expression) in {(finding.edit, finding.expression) for finding in found}


@pytest.mark.parametrize("row", ALLOWED, ids=lambda row: row[1])
def test_the_rules_do_not_refuse_what_is_right(row: tuple[str, str, Any]) -> None:
    base, path, value = row
    example = base_example(base)
    if path.endswith("servicedPeriod"):
        example = change(example, "Claim", "item.1.servicedDate", REMOVED)
    assert findings_of(change(example, "Claim", path, value)) == ()


def test_there_are_enough_examples_for_a_reader() -> None:
    assert len(VALID) >= 4
    assert len(INVALID) >= 8
    assert len(ROWS) >= 30


def test_every_rule_has_an_example_that_breaks_it() -> None:
    broken = {row[2] for row in ROWS} | {path.stem.partition("--")[2] for path in INVALID}
    structural = {"profile-min", "profile-max", "profile-fixed", "profile-binding", "r4-binding", "r4-schema"}
    assert broken == {*INVARIANTS, *(rule.edit for rule in RULES), *structural, "claim-reference"}


def test_constraints_and_functions_have_the_same_keys() -> None:
    assert {c["key"] for _, _, c in constraints()} == set(INVARIANTS)


def constraints() -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """(profile, path of the element, constraint) of every profile."""
    for definition in PROFILES:
        for element in definition["differential"]["element"]:
            yield from ((definition, element["path"], c) for c in element.get("constraint", ()))


def focuses(resource: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """The elements of a resource that a constraint at `path` is judged on."""
    found: list[Any] = [resource]
    for step in path.split(".")[1:]:
        members = [element.get(step, []) for element in found]
        found = [entry for member in members for entry in (member if isinstance(member, list) else [member])]
    return found


@cache
def compiled(expression: str) -> Callable[[Any, dict[str, Any]], list[Any]]:
    engine: Callable[[Any, dict[str, Any]], list[Any]] = compile_fhirpath(expression, models["r4"])
    return engine


def referee(resource: dict[str, Any], path: str, focus: dict[str, Any], expression: str) -> bool:
    node: Any = ResourceNode(focus, path) if "." in path else focus  # type: ignore[no-untyped-call]
    verdict = compiled(expression)(node, {"resource": resource})
    assert verdict in ([True], [False]), f"{expression} gives no verdict: {verdict}"
    return bool(verdict[0])


def all_examples() -> Iterator[Any]:
    for path in (*VALID, *INVALID):
        yield pytest.param(load(path), id=path.stem)
    for row in ROWS:
        base, resource, _, _, element, value = row
        yield pytest.param(change(base_example(base), resource, element, value), id=defect_id(row))
    for base, element, value in ALLOWED:
        yield pytest.param(change(base_example(base), "Claim", element, value), id=f"allowed-{element}")


@pytest.mark.parametrize("example", list(all_examples()))
def test_a_fhirpath_engine_gives_the_same_verdict(example: dict[str, Any]) -> None:
    for resource in resources_of(example):
        for definition, path, constraint in constraints():
            if definition["type"] != resource["resourceType"]:
                continue
            for focus in focuses(resource, path):
                violations = list(INVARIANTS[constraint["key"]](focus))
                expected = referee(resource, path, focus, constraint["expression"])
                assert (not violations) == expected, f"{constraint['key']} at {path}"


@pytest.mark.parametrize("definition", [*PROFILES, *profile.value_sets()], ids=lambda d: d["id"])
def test_definitions_are_valid_fhir_themselves(definition: dict[str, Any]) -> None:
    assert [str(issue) for issue in fhirkit.validate(definition)] == []
    assert check_resource(definition) == ()


@pytest.mark.parametrize("definition", PROFILES, ids=lambda d: d["id"])
def test_profiles_name_themselves_by_their_type(definition: dict[str, Any]) -> None:
    kind = definition["type"]
    assert definition["url"] == f"{codes.PROFILE_BASE}/gateway-{kind.lower()}"
    assert (definition["kind"], definition["derivation"]) == ("resource", "constraint")
    assert definition["baseDefinition"] == f"http://hl7.org/fhir/StructureDefinition/{kind}"


def test_constraints_speak_to_a_biller() -> None:
    for _, _, constraint in constraints():
        assert re.fullmatch(r"[A-Z].*\.", constraint["human"]), constraint["key"]
        assert constraint["extension"][0]["valueString"].endswith("."), constraint["key"]
        assert constraint["severity"] in set(Severity)


def test_required_elements_have_a_name_and_a_remedy_for_a_biller() -> None:
    for definition in PROFILES:
        for element in definition["differential"]["element"]:
            if element.get("min") or "max" in element:
                assert element["short"] and element["comment"].endswith("."), element["path"]


def test_examples_hold_no_descriptors_of_licensed_codes() -> None:
    for path in (*VALID, *INVALID):
        assert '"display"' not in path.read_text(), path.name


def base_elements(kind: str) -> dict[str, dict[str, Any]]:
    path = DEFINITIONS / f"StructureDefinition-{kind}.json"
    if not path.exists():
        pytest.skip(f"the R4 definition of {kind} is not beside the checkout")
    return {element["path"]: element for element in json.loads(path.read_bytes())["snapshot"]["element"]}


def upper(maximum: str) -> float:
    return float("inf") if maximum == "*" else int(maximum)


@pytest.mark.shared
@pytest.mark.parametrize("definition", PROFILES, ids=lambda d: d["id"])
def test_profiles_never_loosen_the_base(definition: dict[str, Any]) -> None:
    base = base_elements(definition["type"])
    for element in definition["differential"]["element"]:
        own = base.get(element["path"])
        if own is None:  # inside a data type: its owner must be there and be one
            assert element["path"].rpartition(".")[0] in base or element["path"].count(".") > 1, element["path"]
            continue
        assert element.get("min", own["min"]) >= own["min"], element["path"]
        assert upper(element.get("max", own["max"])) <= upper(own["max"]), element["path"]
        assert {t["code"] for t in element.get("type", ())} <= {t["code"] for t in own.get("type", ())}
