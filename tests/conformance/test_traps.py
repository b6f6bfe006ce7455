"""Known traps of the libraries underneath, each beside what the gateway does instead; and the public fixtures.

When a library mends its ways, the test of its trap fails and tells us that our own part can go.
"""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import fhirkit
import pytest

from gateway.canonical import jsonio
from gateway.canonical.errors import ClaimInvalid
from gateway.canonical.findings import Severity
from gateway.canonical.typed import typed
from gateway.canonical.validation import check_resource

ROOT = Path(__file__).parents[2]
CLAIM = ROOT / "fhir_profiles" / "examples" / "valid" / "claim-dermatology.json"
FIXTURES = ROOT.parent / "shared" / "fixtures" / "fhir"
R4_EXAMPLES = sorted((FIXTURES / "r4-examples").glob("*.json"))


def claim() -> dict[str, Any]:
    resource: dict[str, Any] = jsonio.loads(CLAIM.read_bytes())["entry"][0]["resource"]
    return resource


def test_the_models_accept_a_status_that_fhir_does_not_know_and_we_refuse_it() -> None:
    encounter = {"resourceType": "Encounter", "status": "foo", "class": {"code": "AMB"}}
    assert typed(encounter).status == "foo"  # type: ignore[attr-defined]
    assert any(finding.expression == "Encounter.status" for finding in check_resource(encounter))


def test_fhirkit_checks_no_bindings_and_we_do() -> None:
    audit_event = {
        "resourceType": "AuditEvent",
        "type": {"code": "rest"},
        "action": "Z",
        "recorded": "2025-03-04T10:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "gateway"}},
    }
    assert fhirkit.validate(audit_event) == []
    assert [(f.edit, f.expression) for f in check_resource(audit_event)] == [("r4-binding", "AuditEvent.action")]


def test_fhirkit_quotes_the_offending_value_and_we_do_not() -> None:
    patient = {"resourceType": "Patient", "birthDate": "Xyzzy"}
    assert "Xyzzy" in fhirkit.validate(patient)[0].message
    found = check_resource(patient)
    assert "Patient.birthDate" in {finding.expression for finding in found}
    assert "Xyzzy" not in repr(found)


def test_the_models_lose_the_scale_of_money_and_our_json_keeps_it() -> None:
    original = claim()
    assert original["item"][0]["net"]["value"].as_tuple() == Decimal("105.00").as_tuple()
    assert b'"value":105.00' in jsonio.dumps(original)
    assert '"value":105.00' not in typed(original).model_dump_json()


def test_typed_reads_with_names() -> None:
    assert typed(claim()).item[0].net.value == 105  # type: ignore[attr-defined]


def test_typed_names_what_does_not_fit_without_its_value() -> None:
    with pytest.raises(ClaimInvalid) as caught:
        typed({"resourceType": "Patient", "birthDate": "Xyzzy", "name": [{"family": 5}]})
    assert [finding.expression for finding in caught.value.findings] == ["Patient.birthDate", "Patient.name[0].family"]
    assert "Xyzzy" not in repr(caught.value.findings)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Smith"}])
def test_typed_refuses_what_is_no_resource(resource: dict[str, Any]) -> None:
    with pytest.raises(ClaimInvalid) as caught:
        typed(resource)
    assert caught.value.findings[0].expression == "Resource"


def test_the_heavy_models_are_not_imported_before_they_are_used() -> None:
    code = "import sys, gateway.canonical.typed, gateway.canonical.validation; print('fhir.resources' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.shared
@pytest.mark.skipif(not R4_EXAMPLES, reason="the official R4 examples are not beside the checkout")
def test_the_official_examples_break_neither_schema_nor_bindings() -> None:
    assert len(R4_EXAMPLES) > 50
    for path in R4_EXAMPLES:
        found = check_resource(jsonio.loads(path.read_bytes()))
        base = {(f.edit, f.expression) for f in found if f.edit.startswith("r4-")}
        assert base == set(), path.name


@pytest.mark.shared
def test_a_bundle_of_a_draft_of_fhir_is_refused() -> None:
    path = FIXTURES / "negative" / "google-synthea-pre-r4.bundle.json"
    if not path.exists():
        pytest.skip("the negative fixture is not beside the checkout")
    resources = [entry["resource"] for entry in jsonio.loads(path.read_bytes())["entry"]]
    schema = [f for resource in resources for f in check_resource(resource) if f.edit == "r4-schema"]
    assert len(schema) > 50
    assert all(finding.severity is Severity.ERROR for finding in schema)
