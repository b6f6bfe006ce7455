"""What the map makes of a claim, and which claims are held."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.billing.http_api.description import Description
from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.payload import build
from gateway.canonical import jsonio
from gateway.canonical.errors import GatewayError, MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, SubmissionReceipt
from gateway.kit.contract_frame import PRIOR
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES, sample, void_of

ZONE = ZoneInfo("America/New_York")
ON_FILE = replace(PRIOR, vendor_ids={"claim_id": "ACM-000007"})
EVERYTHING = {element: "not for this test" for element in CLAIM_ELEMENTS if element != "Claim.related"}


def small(map_: dict[str, Any], **more: Any) -> Description:
    """A description with a map of its own; what the map leaves out is waived."""
    raw: dict[str, Any] = {
        "vendor": "Small",
        "auth": {"kind": "none"},
        "submit": {"request": "POST /claims", "map": map_, **more.pop("submit", {})},
        "reply": {"ids": {"id": "$.id"}},
        "waived": dict(EVERYTHING),
        **more,
    }
    for _ in range(2):  # take back the waivers of what the map carries
        try:
            return Description.model_validate(raw)
        except ValueError as problem:
            for error in problem.errors():  # type: ignore[attr-defined]
                if error["loc"][0] == "waived":
                    raw["waived"].pop(error["loc"][1])
                else:
                    raise
    return Description.model_validate(raw)


def document(description: Description, claim: ClaimBundle, prior: SubmissionReceipt | None = None) -> Any:
    return jsonio.loads(build(claim, "GW1", prior, description, ZONE).body)


def refusal(description: Description, claim: ClaimBundle, prior: SubmissionReceipt | None = None) -> GatewayError:
    with pytest.raises((UnsupportedElement, MappingError)) as refused:
        build(claim, "GW1", prior, description, ZONE)
    return refused.value


def where(error: GatewayError) -> str:
    return error.findings[0].expression


@pytest.fixture(scope="module")
def example() -> Description:
    return Description.model_validate(yaml.safe_load(acme()))


# --- leaves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("patient.family", "Quillfeather"),
        ("patient.address_line", ["1 Main St", "Apt 2"]),
        ("patient.suffix", None),
        ('="USD"', "USD"),
        (7, 7),
        (True, True),
        ("claim.total", "265.00"),
        ({"$from": "claim.total", "$as": "number"}, Decimal("265.00")),
        ({"$from": "claim.total", "$as": "cents"}, 26500),
        ({"$from": "patient.birth_date", "$as": "date:%m/%d/%Y"}, "06/15/1985"),
        ({"$from": "patient.phone", "$as": "digits"}, "8135550111"),
        ({"$from": "patient.family", "$as": "upper"}, "QUILLFEATHER"),
        ({"$from": "patient.gender", "$words": {"female": 2, "male": 1}}, 2),
        ({"$from": "patient.gender", "$words": {"male": 1}, "$otherwise": 9}, 9),
        ("= patient.family + ', ' + patient.given", "Quillfeather, Jane"),
        ('= patient.address_line.join("; ")', "1 Main St; Apt 2"),
        ("= at(patient.address_line, 0) + at(patient.address_line, 1)", "1 Main StApt 2"),
        ('= at(patient.address_line, 1) + at(patient.address_line, 5) + "!"', "Apt 2!"),
        ('= date(patient.birth_date, "%d.%m.%Y")', "15.06.1985"),
        ("= add(claim.total, '0.10')", "265.10"),
        ("= times(claim.total, '2')", "530.00"),
        ("= less(claim.total, '300')", True),
        ("= size(patient.address_line)", 2),
        ("= patient.address_line.map(l, l.upperAscii())", ["1 MAIN ST", "APT 2"]),
        ("= digits(patient.phone).substring(0, 3)", "813"),
        ('= patient.gender == "female" ? "F" : "M"', "F"),
    ],
)
def test_a_leaf(leaf: Any, value: Any) -> None:
    found = document(small({"x": leaf, "id": "claim.submission_id"}), sample("office_visit"))
    assert found.get("x") == value


def test_what_the_claim_lacks_is_left_out_or_sent_empty() -> None:
    tree = {"id": "claim.submission_id", "note": "claim.note", "who": {"kind": '="x"', "npi": "referring_provider.npi"}}
    claim = sample("office_visit")
    assert document(small(tree), claim) == {"id": "GW1"}
    sent = document(small(tree, submit={"omit_empty": False}), claim)
    assert sent == {"id": "GW1", "note": [], "who": {"kind": "x", "npi": ""}}


def test_a_condition_leaves_an_object_out() -> None:
    tree = {"id": "claim.submission_id", "who": {"$if": "referring_provider.npi", "npi": "referring_provider.npi!"}}
    assert document(small(tree), sample("office_visit")) == {"id": "GW1"}
    assert document(small(tree), sample("referred_and_authorized"))["who"] == {"npi": "1245319599"}


def test_lists_of_values_and_names_with_a_dollar() -> None:
    tree = {
        "$$ref": "claim.submission_id",
        "dx": {"$each": "claim.diagnosis_code", "$map": {"code": {"$from": "$value", "$as": "undotted"}}},
        "lines": {"$each": "item", "$map": {"m": {"$each": "item.modifier", "$map": "$value"}, "fixed": [1, '="two"']}},
    }
    found = document(small(tree), sample("office_visit"))
    assert found["$ref"] == "GW1"
    assert found["dx"] == [{"code": "L570"}, {"code": "D485"}]
    assert found["lines"] == [{"m": ["25"], "fixed": [1, "two"]}, {"fixed": [1, "two"]}]


def test_an_expression_of_a_prior_claim_has_a_value_for_a_first_claim(acme_description: dict[str, Any]) -> None:
    acme_description["submit"]["map"]["replaces"] = '= prior.claim_id == "" ? "none" : prior.claim_id'
    description = Description.model_validate(acme_description)
    assert document(description, sample("office_visit"))["replaces"] == "none"
    assert document(description, sample("replacement"), ON_FILE)["replaces"] == "ACM-000007"


# --- what is held -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "expression"),
    [
        ({"$from": "patient.suffix", "$required": True}, "Patient.name"),
        ("patient.suffix!", "Patient.name"),
        ({"$from": "patient.gender", "$words": {"male": "M"}}, "Patient.gender"),
        ({"$from": "patient.family", "$max": 5}, "Patient.name"),
        ({"$from": "patient.address_line", "$most": 1}, "Patient.address[0].line"),
        ('= {"male": "M"}[patient.gender]', "Patient.gender"),
        ("= date(patient.family, '%d')", "Patient.name"),
        ("= patient.address_line[1] + patient.address_line[2]", "Patient.address[0].line"),
    ],
)
def test_a_leaf_that_cannot_be_written_holds_the_claim(leaf: Any, expression: str) -> None:
    error = refusal(small({"x": leaf, "id": "claim.submission_id"}), sample("office_visit"))
    assert where(error) == expression
    assert "Quillfeather" not in str(error)
    assert "female" not in str(error)


def test_fractions_of_a_cent_are_not_rounded() -> None:
    lines = {"$each": "item", "$map": {"p": {"$from": "item.unit_price", "$as": "cents"}}}
    error = refusal(small({"id": "claim.submission_id", "lines": lines}), sample("injected_drug"))
    assert where(error) == "Claim.item[1].unitPrice.value"


def test_a_list_longer_than_the_map_takes_is_never_cut() -> None:
    dx = {f"dx{n + 1}": f"claim.diagnosis_code[{n}]" for n in range(4)}
    description = small({"id": "claim.submission_id", **dx})
    assert document(description, sample("office_visit")) == {"id": "GW1", "dx1": "L57.0", "dx2": "D48.5"}
    assert where(refusal(description, sample("twelve_diagnoses"))) == "Claim.diagnosis[4]"
    whole = small({"id": "claim.submission_id", **dx, "all": '= claim.diagnosis_code.join(" ")'})
    assert document(whole, sample("twelve_diagnoses"))["all"].endswith("Z85.828")
    counted = small(
        {"id": "claim.submission_id", "n": "= size(claim.diagnosis_code)", "a": "= at(claim.diagnosis_code, 0)"}
    )
    assert where(refusal(counted, sample("office_visit"))) == "Claim.diagnosis[1]"


def test_a_list_with_most_is_held_beyond_it() -> None:
    lines = {"$each": "item", "$most": 1, "$map": {"code": "item.product_or_service"}}
    error = refusal(small({"id": "claim.submission_id", "lines": lines}), sample("office_visit"))
    assert where(error) == "Claim.item[1]"


@pytest.mark.parametrize(
    ("map_", "name", "expression"),
    [
        ({"who": "rendering_provider.npi"}, "inpatient_two_renderers", "Claim.careTeam[1]"),
        ({"auth": "insurance.pre_auth_ref"}, "referred_and_authorized", ""),
    ],
)
def test_one_of_several(map_: dict[str, Any], name: str, expression: str) -> None:
    description = small({"id": "claim.submission_id", **map_})
    if expression:
        assert where(refusal(description, sample(name))) == expression
    else:
        assert set(document(description, sample(name))) == {"id", *map_}


def test_two_renderers_are_carried_by_the_lines() -> None:
    lines = {"$each": "item", "$map": {"npi": "item.rendering_npi"}}
    description = small({"id": "claim.submission_id", "who": "rendering_provider.npi", "lines": lines})
    found = document(description, sample("inpatient_two_renderers"))
    assert [line["npi"] for line in found["lines"]] == ["1679576722", "1245319599"]


def _changed(name: str, change: Callable[[dict[str, Any]], Any]) -> ClaimBundle:
    bundle = sample(name)
    claim = deepcopy(bundle.claim)
    change(claim)
    return replace(bundle, claim=claim)


@pytest.mark.parametrize(
    ("map_", "claim", "expression"),
    [
        (
            {"where": "claim.location"},
            _changed("office_visit", lambda c: c["item"][1]["locationCodeableConcept"]["coding"][0].update(code="22")),
            "Claim.item.locationCodeableConcept",
        ),
        (
            {"drugs": {"$each": "item", "$map": {"n": "item.ndc", "q": "item.ndc_quantity", "u": "item.ndc_unit"}}},
            _changed("injected_drug", lambda c: c["item"][1]["detail"].append(c["item"][1]["detail"][0])),
            "Claim.item[1].detail[1]",
        ),
        (
            {"onset": "claim.onset"},
            _changed("auto_accident", lambda c: c["supportingInfo"].append({**c["supportingInfo"][0], "sequence": 2})),
            "Claim.supportingInfo[1]",
        ),
        (
            {"member": "insurance.subscriber_id", "rel": "insurance.relationship", "auth": "insurance.pre_auth_ref"},
            _changed("two_payers", lambda c: c["insurance"][1].update(preAuthRef=["PA-1"])),
            "Claim.insurance[1].preAuthRef",
        ),
        (
            {"member": "insurance.subscriber_id", "rel": "insurance.relationship"},
            _changed(
                "two_payers", lambda c: (c["insurance"][0].update(focal=False), c["insurance"][1].update(focal=True))
            ),
            "Claim.insurance[1]",
        ),
    ],
)
def test_what_the_map_takes_once_and_the_claim_has_twice(
    map_: dict[str, Any], claim: ClaimBundle, expression: str
) -> None:
    assert where(refusal(small({"id": "claim.submission_id", **map_}), claim)) == expression


def test_a_refused_fact_holds_only_what_is_unusual() -> None:
    lines = {"$each": "item", "$map": {"day": "item.serviced_start", "units": "item.quantity"}}
    refused = {"item.serviced_end": "one day a line", "item.unit": "units only"}
    description = small({"id": "claim.submission_id", "lines": lines}, refused=refused)
    assert len(document(description, sample("office_visit"))["lines"]) == 2
    assert where(refusal(description, sample("period_with_line_note"))) == "Claim.item[0].servicedPeriod.end"
    minutes = _changed("office_visit", lambda c: c["item"][1]["quantity"].update(unit="MJ"))
    assert where(refusal(description, minutes)) == "Claim.item[1].quantity.unit"


def test_a_refused_element_holds_the_claim(acme_description: dict[str, Any]) -> None:
    del acme_description["submit"]["map"]["accident"]
    acme_description["refused"] = {"Claim.accident": "Acme takes no accidents"}
    description = Description.model_validate(acme_description)
    assert where(refusal(description, sample("auto_accident"))) == "Claim.accident"
    assert document(description, sample("office_visit"))["reference"] == "GW1"


# --- corrections --------------------------------------------------------------------------------------------------


def test_corrections_name_the_claim_on_file(example: Description) -> None:
    replacement = sample("replacement")
    assert document(example, replacement, ON_FILE)["replaces"] == "ACM-000007"
    assert document(example, void_of(replacement), ON_FILE)["kind"] == "void"
    for prior in (None, replace(PRIOR, vendor_ids={})):
        assert where(refusal(example, replacement, prior)) == "Claim.related"


def test_corrections_may_have_requests_of_their_own(acme_description: dict[str, Any]) -> None:
    acme_description["corrections"] = {
        "replace": {"request": "PUT /v1/claims/{prior.claim_id}"},
        "void": {"request": "DELETE /v1/claims/{prior.claim_id}?reference={submission_id}"},
    }
    description = Description.model_validate(acme_description)
    replacement = sample("replacement")
    odd = replace(PRIOR, vendor_ids={"claim_id": "A/7?"})
    fields = build(replacement, "GW1", odd, description, ZONE).fields
    assert (fields["method"], fields["path"]) == ("PUT", "/v1/claims/A%2F7%3F")
    fields = build(void_of(replacement), "GW1", odd, description, ZONE).fields
    assert (fields["method"], fields["path"]) == ("DELETE", "/v1/claims/A%2F7%3F?reference=GW1")
    assert build(sample("office_visit"), "GW1", None, description, ZONE).fields["path"] == "/v1/claims"


def test_corrections_that_the_description_lacks_are_refused(acme_description: dict[str, Any]) -> None:
    acme_description["corrections"] = {"replace": {}}
    description = Description.model_validate(acme_description)
    assert where(refusal(description, void_of(sample("replacement")), ON_FILE)) == "Claim.related"
    assert document(description, sample("replacement"), ON_FILE)["kind"] == "replacement"


# --- properties ---------------------------------------------------------------------------------------------------

_money = st.decimals(min_value=Decimal("0.001"), max_value=Decimal("99999.999"), allow_nan=False, places=3)
_texts = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(_money, min_size=2, max_size=2), family=_texts, name=st.sampled_from(["office_visit", "two_payers"])
)
def test_money_and_names_arrive_as_they_are(prices: list[Decimal], family: str, name: str) -> None:
    claim = _changed(name, lambda c: [i["unitPrice"].update(value=p) for i, p in zip(c["item"], prices, strict=True)])
    patient = deepcopy(claim.resources[claim.claim["patient"]["reference"]])
    patient["name"] = [{"use": "official", "family": family, "given": ["A"]}]
    claim = replace(claim, resources={**claim.resources, claim.claim["patient"]["reference"]: patient})
    found = document(Description.model_validate(_EXAMPLE), claim)
    assert [line["price"] for line in found["lines"]] == prices
    assert [str(line["price"]) for line in found["lines"]] == [str(price) for price in prices]
    assert found["patient"]["name"]["last"] == family


_EXAMPLE = yaml.safe_load(acme())
_KEYS = st.text(max_size=6) | st.sampled_from(
    ["$from", "$each", "$map", "$if", "$as", "$words", "$otherwise", "$max", "$most", "$required", "$note", "$x", "$$x"]
)
_TEXTS = [
    "claim.total",
    "item.net",
    "= 1",
    "= claim.note",
    "claim.note",
    "item",
    "coverage",
    "number",
    "date:%d",
    "$value",
]
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(_TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None)
@given(tree=st.dictionaries(st.text(min_size=1, max_size=8), _ANY, min_size=1, max_size=3))
def test_whatever_stands_in_a_map_is_either_refused_or_used(tree: dict[str, Any]) -> None:
    raw = deepcopy(_EXAMPLE)
    raw["submit"]["map"] |= {f"x{key}": value for key, value in tree.items()}
    try:
        description = Description.model_validate(raw)
    except ValueError:
        return
    with suppress(UnsupportedElement, MappingError):
        build(sample("office_visit"), "GW1", None, description, ZONE)


def test_a_map_that_makes_nothing_of_a_claim_holds_it() -> None:
    assert where(refusal(small({"x": "referring_provider.npi"}), sample("office_visit"))) == "Claim"


@pytest.mark.parametrize("name", SAMPLES)
def test_building_is_repeatable(name: str, example: Description) -> None:
    assert build(sample(name), "GW1", ON_FILE, example, ZONE) == build(sample(name), "GW1", ON_FILE, example, ZONE)
