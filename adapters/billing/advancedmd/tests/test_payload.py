"""The built document: what AdvancedMD gets, what is refused, and what is named as missing."""

from __future__ import annotations

import string
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.advancedmd import notes, rows
from adapters.billing.advancedmd.limits import NOTE_LENGTH
from adapters.billing.advancedmd.payload import build
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import sample, void_of

SUBMISSION_ID = "GW7F3A91"
NOT_CARRIED = {
    "Claim.accident",
    "Claim.careTeam.ordering",
    "Claim.item.detail",
    "Claim.supportingInfo.hospitalized",
    "Claim.supportingInfo.onset",
}


@pytest.fixture
def document(settings: AdvancedMdSettings) -> Callable[..., dict[str, Any]]:
    """The document of a claim, by the name of a sample or as a bundle."""

    def of(claim: str | ClaimBundle, **changes: Any) -> dict[str, Any]:
        bundle = sample(claim) if isinstance(claim, str) else claim
        built = build(bundle, SUBMISSION_ID, settings.model_copy(update=changes))
        found: dict[str, Any] = jsonio.loads(built.body)
        return found

    return of


def changed(name: str, path: str, value: Any) -> ClaimBundle:
    """A sample whose claim has another value at a dotted path."""
    bundle = sample(name)
    *outer, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = bundle.claim
    for step in outer:
        target = target[step]
    target[last] = deepcopy(value)
    return bundle


def test_every_canonical_element_is_carried_or_known_not_to_be() -> None:
    assert set(CLAIM_ELEMENTS) - set(rows.CARRIED) == NOT_CARRIED


def test_prices_keep_their_cents_and_units_lose_their_zeros(document: Callable[..., dict[str, Any]]) -> None:
    bundle = changed("office_visit", "item.1.quantity.value", Decimal("1.0"))
    first, second = document(bundle)["charges"]
    assert (first["fee"], first["totalfee"], second["units"]) == ("120.00", "120.00", "1")


def test_street_and_suite_lie_the_other_way_round(document: Callable[..., dict[str, Any]]) -> None:
    patient = document("office_visit")["patient"]
    assert (patient["address2"], patient["address1"]) == ("1 Main St", "Apt 2")


def test_a_period_keeps_both_days(document: Callable[..., dict[str, Any]]) -> None:
    told = document("period_with_line_note")
    assert told["visit"]["date"] == "03/01/2026"
    assert (told["charges"][0]["begindate"], told["charges"][0]["enddate"]) == ("03/01/2026", "03/03/2026")


def test_the_subscriber_travels_only_when_it_is_somebody_else(document: Callable[..., dict[str, Any]]) -> None:
    (child,) = document("child_of_subscriber")["coverages"]
    assert (child["hipaarelationship"], child["subscriber"]["name"]) == ("19", "TANNENBAUM,GRETA")
    assert [c.get("subscriber") for c in document("two_payers")["coverages"]] == [None, None]


def test_what_a_biller_must_enter_is_on_the_note(document: Callable[..., dict[str, Any]]) -> None:
    note = document("referred_and_authorized")["visit"]["note"]
    assert note == (
        "Gateway GW7F3A91; Referral number: REF-90210; Prior authorization: PA-55120; "
        "Referring provider NPI: 1245319599; Supervising provider NPI: 1679576722"
    )
    assert "Patient paid: 20.00; Line 1: " in document("period_with_line_note")["visit"]["note"]


def test_diagnoses_are_noted_only_when_the_charges_lose_one_or_the_order(
    document: Callable[..., dict[str, Any]],
) -> None:
    assert document("office_visit")["visit"]["note"] == "Gateway GW7F3A91"
    assert "Diagnoses in order: L57.0 L40.0 " in document("twelve_diagnoses")["visit"]["note"]
    reordered = document(changed("office_visit", "item.0.diagnosisSequence", [2, 1]))["visit"]["note"]
    assert reordered.endswith("Diagnoses in order: L57.0 D48.5")


def test_without_a_biller_there_is_no_note_to_rely_on(document: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UnsupportedElement) as refusal:
        document("referred_and_authorized", approval="0")
    assert refusal.value.findings[0].expression == "Claim.referral"
    with pytest.raises(UnsupportedElement) as refusal:
        document("twelve_diagnoses", approval="0")
    assert refusal.value.findings[0].expression == "Claim.diagnosis"
    assert document("office_visit", approval="0")["visit"]["approval"] == "0"


def test_financial_class_by_payer(document: Callable[..., dict[str, Any]]) -> None:
    classes = {"financial_class": "SELF", "financial_classes": {"60054": "COMM"}}
    assert document("office_visit", **classes)["charges"][0]["finclasscode"] == "COMM"
    assert document("child_of_subscriber", **classes)["charges"][0]["finclasscode"] == "SELF"
    assert "finclasscode" not in document("office_visit")["charges"][0]


@pytest.mark.parametrize(
    ("path", "value", "expression"),
    [
        ("accident", {"date": "2026-03-01"}, "Claim.accident"),
        ("item.0.detail", [{"sequence": 1}], "Claim.item[0].detail"),
        ("careTeam.0.role.coding.0.code", "ordering", "Claim.careTeam[0]"),
        ("insurance.0.focal", False, "Claim.insurance[0]"),
        ("insurance.0.preAuthRef", ["A", "B"], "Claim.insurance[0].preAuthRef"),
        ("insurance.1.preAuthRef", ["A"], "Claim.insurance[1].preAuthRef"),
        ("insurance", [{"focal": n == 0, "coverage": {}} for n in range(4)], "Claim.insurance[3]"),
        ("item.1.diagnosisSequence", [1, 2, 3, 1, 2], "Claim.item[1].diagnosisSequence"),
        ("item.0.modifier", [{}] * 5, "Claim.item[0].modifier"),
        ("item.0.net.value", Decimal("16.06"), "Claim.item[0].net"),
        ("item.0.unitPrice.value", Decimal("16.055"), "Claim.item[0].unitPrice"),
        ("item.0.unitPrice.currency", "EUR", "Claim.item[0].unitPrice"),
        ("item.0.quantity.unit", "MJ", "Claim.item[0].quantity"),
        ("item.0.informationSequence", [1], "Claim.item[0].informationSequence"),
        ("diagnosis", [{"sequence": n} for n in range(1, 14)], "Claim.diagnosis[12]"),
        ("supportingInfo", [{"category": {"coding": [{"code": "info"}]}}], "Claim.supportingInfo[0]"),
        ("total.value", Decimal("351.06"), "Claim.total"),
    ],
)
def test_what_advancedmd_cannot_carry_is_refused(
    path: str, value: Any, expression: str, document: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(UnsupportedElement) as refusal:
        document(changed("two_payers", path, value))
    assert refusal.value.findings[0].expression == expression
    assert refusal.value.findings[0].fix


def test_a_second_rendering_provider_is_refused(document: Callable[..., dict[str, Any]]) -> None:
    bundle = sample("inpatient_two_renderers")
    del bundle.claim["supportingInfo"]
    with pytest.raises(UnsupportedElement) as refusal:
        document(bundle)
    assert refusal.value.findings[0].expression == "Claim.careTeam[1]"


def test_a_note_is_never_cut(document: Callable[..., dict[str, Any]]) -> None:
    info = {"sequence": 1, "category": {"coding": [{"code": "info"}]}, "valueString": "x" * NOTE_LENGTH}
    with pytest.raises(UnsupportedElement) as refusal:
        document(changed("two_payers", "supportingInfo", [info]))
    assert refusal.value.findings[0].expression == "Claim.supportingInfo"


def test_a_replacement_needs_the_receipt_of_the_claim_on_file(document: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UnsupportedElement) as refusal:
        document("replacement")
    assert refusal.value.findings[0].expression == "Claim.related"
    with pytest.raises(UnsupportedElement):
        document(void_of(sample("replacement")))


@pytest.mark.parametrize(
    ("path", "value", "expression"),
    [
        ("patient.reference", "Patient/nobody", "Claim.patient"),
        ("insurance", [], "Claim.insurance"),
        ("insurance.1.coverage.reference", "Coverage/none", "Claim.insurance[1].coverage"),
        ("item", [], "Claim.item"),
        ("item.1.diagnosisSequence", [9], "Claim.item[1].diagnosisSequence"),
        ("item.1.diagnosisSequence", [], "Claim.item[1].diagnosisSequence"),
        ("item.1.unitPrice", {}, "Claim.item[1].unitPrice.value"),
        ("item.1.locationCodeableConcept", {}, "Claim.item[1].locationCodeableConcept.coding.code"),
        ("careTeam", [], "Claim.careTeam"),
    ],
)
def test_what_advancedmd_needs_is_named(
    path: str, value: Any, expression: str, document: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(MappingError) as missing:
        document(changed("two_payers", path, value))
    assert missing.value.findings[0].expression == expression


@pytest.mark.parametrize(
    ("reference", "change", "expression"),
    [
        ("Patient/ehr.p-milo", {"birthDate": ""}, "Patient.birthDate"),
        ("Patient/ehr.p-milo", {"name": [{"family": "Tannenbaum"}]}, "Patient.name"),
        ("Patient/ehr.p-milo", {"name": [{"family": "Tannen,baum", "given": ["M"]}]}, "Patient.name.family"),
        ("RelatedPerson/ehr.rp-greta", {"birthDate": ""}, "Claim.insurance[0].coverage.subscriber.birthDate"),
        ("Coverage/ehr.cov-milo", {"subscriberId": ""}, "Claim.insurance[0].coverage.subscriberId"),
        ("Coverage/ehr.cov-milo", {"subscriber": {}}, "Claim.insurance[0].coverage.subscriber"),
        ("Practitioner/ehr.dr-stone", {"identifier": []}, "Claim.careTeam[0].provider"),
    ],
)
def test_what_a_resource_lacks_is_named(
    reference: str, change: dict[str, Any], expression: str, document: Callable[..., dict[str, Any]]
) -> None:
    bundle = sample("child_of_subscriber")
    resource = bundle.find(reference)
    assert resource is not None
    resource.update(change)
    with pytest.raises(MappingError) as missing:
        document(bundle)
    assert missing.value.findings[0].expression == expression


def test_a_referring_provider_without_npi_is_not_dropped(document: Callable[..., dict[str, Any]]) -> None:
    bundle = sample("referred_and_authorized")
    provider = bundle.find("Practitioner/ehr.dr-reed")
    assert provider is not None
    provider["identifier"] = []
    with pytest.raises(MappingError) as missing:
        document(bundle)
    assert missing.value.findings[0].expression == "Claim.careTeam[1].provider"


@pytest.mark.parametrize("submission_id", ["", "x" * 51])
def test_submission_ids_that_do_not_fit_the_note(submission_id: str, settings: AdvancedMdSettings) -> None:
    with pytest.raises(ValueError, match="submission id"):
        build(sample("office_visit"), submission_id, settings)


@given(st.decimals(min_value="0.01", max_value="99999.99", places=2), st.integers(1, 99))
def test_any_price_and_quantity_arrive_exactly(price: Decimal, quantity: int) -> None:
    bundle = sample("child_of_subscriber")
    item = bundle.claim["item"][0]
    item["unitPrice"]["value"], item["quantity"]["value"] = price, quantity
    item["net"]["value"] = bundle.claim["total"]["value"] = price * quantity
    settings = AdvancedMdSettings(username="u", password="p", office_key="9", app_name="a")  # type: ignore[arg-type]
    (charge,) = jsonio.loads(build(bundle, SUBMISSION_ID, settings).body)["charges"]
    assert Decimal(charge["fee"]) * Decimal(charge["units"]) == Decimal(charge["totalfee"])
    assert (Decimal(charge["fee"]), Decimal(charge["units"])) == (price, quantity)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_numbers_are_never_in_exponent_notation(value: Decimal) -> None:
    told = rows.number(value)
    assert set(told) <= set(string.digits + ".-")
    assert Decimal(told) == value.normalize()


@given(st.dates())
def test_dates(day: Any) -> None:
    month, number, year = rows.us_date(day.isoformat()).split("/")
    assert (int(year), int(month), int(number)) == (day.year, day.month, day.day)


@pytest.mark.parametrize(
    ("given_", "told"),
    [("813-555-0100", "(813) 555-0100"), ("+1 813 555 0100", "(813) 555-0100"), ("555-0100", "555-0100")],
)
def test_telephone(given_: str, told: str) -> None:
    assert rows.telephone(given_) == told


@pytest.mark.parametrize(("word", "code", "own"), [("self", "18", "1"), ("spouse", "01", "2"), ("injured", "G8", "4")])
def test_relationships(word: str, code: str, own: str) -> None:
    assert (rows.hipaa_relationship(word), rows.relationship(code)) == (code, own)


def test_the_note_s_rows_are_documented() -> None:
    assert {row.target for row in notes.NOTE_ROWS} >= {"Referral number", "Prior authorization"}
