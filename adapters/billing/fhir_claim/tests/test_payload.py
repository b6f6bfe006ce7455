"""The pure build: a canonical claim as the Bundle that travels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.fhir_claim import payload
from adapters.billing.fhir_claim.rows import CARRIED, RESOURCE_IDENTIFIER, SUBMISSION_IDENTIFIER
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from gateway.canonical import jsonio, schema
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, Evidence, SubmissionReceipt, SubmissionState
from gateway.kit.contract_frame import MADE_AT
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES, sample, void_of

ID = "GW7F3A91"
ON_FILE = SubmissionReceipt(
    "GW1B22C0",
    Evidence(SubmissionState.RECEIVED, "Claim/41", MADE_AT),
    {"Claim": "41", "PayerClaimControlNumber": "P9"},
)


def built(claim: ClaimBundle, settings: FhirClaimSettings, prior: SubmissionReceipt | None = None) -> dict[str, Any]:
    """The body as the server reads it."""
    body: dict[str, Any] = jsonio.loads(payload.build(claim, ID, settings, "clinic", prior).body)
    return body


def claim_in(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["entry"][0]["resource"]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["reference"] for _ in (1,) if isinstance(value.get("reference"), str))
        yield from (found for member in value.values() for found in references(member))
    elif isinstance(value, list):
        yield from (found for element in value for found in references(element))


def without(value: Any) -> Any:
    """The value without its literal references, so that two spellings of them compare equal."""
    if isinstance(value, dict):
        return {name: without(member) for name, member in value.items() if name != "reference"}
    return [without(element) for element in value] if isinstance(value, list) else value


def test_every_canonical_element_is_carried() -> None:
    assert set(CARRIED) == set(CLAIM_ELEMENTS)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_claim_travels_as_it_is(name: str, settings: FhirClaimSettings) -> None:
    """But for the submission's identifier and the spelling of references, member for member, digit for digit."""
    claim = sample(name)
    body = built(claim, settings)
    sent = claim_in(body)
    assert sent["identifier"].pop() == {"system": SUBMISSION_IDENTIFIER, "value": ID}
    assert jsonio.canonical_bytes(without({**sent, "related": 0})) == jsonio.canonical_bytes(
        without({**claim.claim, "related": 0})
    )
    rest = [entry["resource"] for entry in body["entry"][1:]]
    assert jsonio.canonical_bytes(without(rest)) == jsonio.canonical_bytes(without(list(claim.resources.values())))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("mode", ["submit", "transaction"])
def test_references_resolve_and_the_bundle_is_r4(
    name: str, mode: str, settings: FhirClaimSettings, transaction_settings: FhirClaimSettings
) -> None:
    body = built(sample(name), settings if mode == "submit" else transaction_settings, ON_FILE)
    urls = [entry["fullUrl"] for entry in body["entry"]]
    assert len(set(urls)) == len(urls)
    assert set(references(body)) - {"Claim/41"} <= set(urls)
    assert schema.check(body) == []
    assert [finding for entry in body["entry"] for finding in schema.check(entry["resource"])] == []


@given(price=st.decimals("0.001", "99999", places=3), quantity=st.decimals("0.01", "999", places=2))
def test_amounts_keep_their_digits(price: Decimal, quantity: Decimal, settings: FhirClaimSettings) -> None:
    claim = sample("office_visit")
    claim.claim["item"][0] |= {"unitPrice": {"value": price, "currency": "USD"}, "quantity": {"value": quantity}}
    sent = claim_in(built(claim, settings))["item"][0]
    assert (str(sent["unitPrice"]["value"]), str(sent["quantity"]["value"])) == (str(price), str(quantity))


@given(submission_id=st.from_regex(r"[A-Za-z0-9.\-]{1,64}", fullmatch=True))
def test_any_submission_id_is_on_the_bundle_and_on_the_claim(submission_id: str, settings: FhirClaimSettings) -> None:
    made = payload.build(sample("office_visit"), submission_id, settings, "clinic")
    body = jsonio.loads(made.body)
    assert body["identifier"] == claim_in(body)["identifier"][-1]
    assert body["identifier"]["value"] == submission_id == made.submission_id


@pytest.mark.parametrize("submission_id", ["", "a b", "a|b", "x" * 65, "a&b"])
def test_a_submission_id_that_would_break_a_search_is_refused(submission_id: str, settings: FhirClaimSettings) -> None:
    with pytest.raises(ValueError, match="submission id"):
        payload.build(sample("office_visit"), submission_id, settings, "clinic")


def test_a_resource_has_the_same_name_in_every_claim_of_a_clinic_and_another_elsewhere(
    settings: FhirClaimSettings,
) -> None:
    def urls(submission_id: str, clinic: str) -> list[str]:
        body = jsonio.loads(payload.build(sample("office_visit"), submission_id, settings, clinic).body)
        return [entry["fullUrl"] for entry in body["entry"]]

    first, second, elsewhere = urls("A", "north"), urls("B", "north"), urls("A", "south")
    assert first[1:] == second[1:]
    assert first[0] != second[0]
    assert not set(first) & set(elsewhere)


def test_parameters_hold_the_same_bundle(settings: FhirClaimSettings) -> None:
    wrapped = built(sample("office_visit"), settings.model_copy(update={"submit_body": "parameters"}))
    assert wrapped["resourceType"] == "Parameters"
    assert wrapped["parameter"] == [{"name": "resource", "resource": built(sample("office_visit"), settings)}]


def test_the_bundle_has_no_time_when_the_claim_has_only_a_date(settings: FhirClaimSettings) -> None:
    claim = sample("office_visit")
    claim.claim["created"] = "2026-03-04"
    assert "timestamp" not in built(claim, settings)


def test_a_reference_of_the_claim_that_does_not_resolve_is_named(settings: FhirClaimSettings) -> None:
    claim = sample("office_visit")
    claim.claim["careTeam"][0]["provider"] = {"reference": "Practitioner/gone"}
    with pytest.raises(MappingError) as refusal:
        built(claim, settings)
    assert refusal.value.findings[0].expression == "Claim.careTeam[0].provider"


def test_a_supporting_resource_names_what_does_not_travel_by_identifier(settings: FhirClaimSettings) -> None:
    claim = sample("office_visit")
    patient = next(r for r in claim.resources.values() if r["resourceType"] == "Patient")
    patient["managingOrganization"] = {"reference": "Organization/elsewhere", "display": "Elsewhere"}
    patient["link"] = [{"other": {"reference": "https://other.example.test/Patient/1"}, "type": "seealso"}]
    sent = next(e["resource"] for e in built(claim, settings)["entry"] if e["resource"]["resourceType"] == "Patient")
    assert sent["managingOrganization"]["identifier"]["system"] == RESOURCE_IDENTIFIER
    assert sent["managingOrganization"]["display"] == "Elsewhere"
    assert sent["link"] == patient["link"]


# --- corrections ------------------------------------------------------------------------------------------------


def test_a_replacement_names_the_claim_on_file(settings: FhirClaimSettings) -> None:
    related = claim_in(built(sample("replacement"), settings, ON_FILE))["related"][0]
    assert related["claim"]["reference"] == "Claim/41"
    assert related["claim"]["identifier"]["value"] == "sample-replaced-1"
    assert related["reference"] == {"value": "PCN88001"}, "the claim's own word comes first"


def test_the_payers_number_comes_from_the_receipt_when_the_claim_has_none(settings: FhirClaimSettings) -> None:
    claim = sample("replacement")
    del claim.claim["related"][0]["reference"]
    assert claim_in(built(claim, settings, ON_FILE))["related"][0]["reference"] == {"value": "P9"}


@pytest.mark.parametrize("prior", [None, replace(ON_FILE, vendor_ids={})])
def test_without_the_servers_id_the_claim_on_file_is_named_by_its_number(
    prior: SubmissionReceipt | None, settings: FhirClaimSettings
) -> None:
    named = claim_in(built(sample("replacement"), settings, prior))["related"][0]["claim"]
    assert named == {"identifier": {"system": "urn:fhir-billing-gateway:claim", "value": "sample-replaced-1"}}


def test_a_void_travels_as_a_cancelled_claim(settings: FhirClaimSettings) -> None:
    sent = claim_in(built(void_of(sample("replacement")), settings, ON_FILE))
    assert sent["status"] == "cancelled"
    assert sent["related"][0]["claim"]["reference"] == "Claim/41"


# --- transactions -----------------------------------------------------------------------------------------------


def test_a_transaction_leaves_ids_to_the_server_and_asks_before_it_creates(
    transaction_settings: FhirClaimSettings,
) -> None:
    entries = built(sample("two_payers"), transaction_settings)["entry"]
    assert not [entry for entry in entries if "id" in entry["resource"]]
    assert entries[0]["request"] == {
        "method": "POST",
        "url": "Claim",
        "ifNoneExist": f"identifier={SUBMISSION_IDENTIFIER}|{ID}",
    }
    for entry in entries[1:]:
        value = entry["resource"]["identifier"][-1]["value"]
        kind = entry["resource"]["resourceType"]
        assert entry["fullUrl"] == f"urn:uuid:{value}"
        assert entry["request"] == {"method": "PUT", "url": f"{kind}?identifier={RESOURCE_IDENTIFIER}|{value}"}


def test_what_the_server_has_can_be_left_as_it_is(transaction_settings: FhirClaimSettings) -> None:
    settings = transaction_settings.model_copy(update={"supporting": "create", "conditional_create": False})
    entries = built(sample("office_visit"), settings)["entry"]
    assert "ifNoneExist" not in entries[0]["request"]
    assert all(entry["request"]["method"] == "POST" and entry["request"]["ifNoneExist"] for entry in entries[1:])


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"prescription": {"reference": "MedicationRequest/1"}}, "Claim.prescription"),
        (
            {"supportingInfo": [{"sequence": 1, "category": {"coding": [{"code": "exception"}]}}]},
            "Claim.supportingInfo[0]",
        ),
        ({"procedure": [{"sequence": 1}]}, "Claim.procedure"),
    ],
)
def test_what_the_canonical_claim_does_not_define_is_refused(
    change: dict[str, Any], expression: str, settings: FhirClaimSettings
) -> None:
    claim = sample("office_visit")
    claim.claim.update(change)
    with pytest.raises(UnsupportedElement) as refusal:
        built(claim, settings)
    assert refusal.value.findings[0].expression == expression
