"""The pure parts: a canonical claim as Tebra's document, and the document as SOAP."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.kareo_tebra import operations, requests
from adapters.billing.kareo_tebra.payload import build
from adapters.billing.kareo_tebra.rows import CARRIED, LINE_ROWS
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from adapters.billing.kareo_tebra.words import EXTERNAL_ID_LENGTH, external_id
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, VendorPayload
from gateway.kit.encoders import soap
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES

BUILT = [
    "small_visit",
    "reordered_pointers",
    "signed_after_midnight",
    *(name for name in SAMPLES if name not in ("injected_drug", "inpatient_two_renderers", "replacement")),
]
"""The claims of this folder, and the samples that Tebra can carry."""
NEW_YORK = ZoneInfo("America/New_York")
SUBMISSION_ID = "gw-7f3a91"
NOT_CARRIED = {
    "Claim.related",
    "Claim.careTeam.ordering",
    "Claim.item.detail",
}
ENCOUNTER_ORDER = re.findall(  # vendor document section 6, typed from there
    r"\w+",
    "Appointment AuthorizationNumber BatchNumber BusinessOfficeNotes Case EncounterStatus ExternalID Hospitalization "
    "MedicalOfficeNotes Miscellaneous Patient Payment PlaceOfService PostDate Practice ReferringProvider "
    "RenderingProvider SchedulingProvider ServiceEndDate ServiceLines ServiceLocation ServiceStartDate "
    "SupervisingProvider",
)
LINE_ORDER = re.findall(
    r"\w+",
    "DiagnosisCode1 DiagnosisCode2 DiagnosisCode3 DiagnosisCode4 EncounterProcedureExternalID LineNote Minutes "
    "ProcedureCode ProcedureModifier1 ProcedureModifier2 ProcedureModifier3 ProcedureModifier4 RefCode "
    "ServiceEndDate ServiceStartDate TypeofService UnitCharge Units",
)


@pytest.fixture
def built(load_claim: Callable[[str], ClaimBundle], settings: KareoTebraSettings) -> Callable[[str], VendorPayload]:
    def of(name: str) -> VendorPayload:
        return build(load_claim(name), SUBMISSION_ID, settings, NEW_YORK)

    return of


@pytest.fixture
def refusal(load_claim: Callable[[str], ClaimBundle], settings: KareoTebraSettings) -> Callable[..., str]:
    """The element path that a changed sample is refused for."""

    def of(
        change: Callable[[dict[str, Any]], None],
        error: type[Exception] = UnsupportedElement,
        name: str = "reordered_pointers",
    ) -> str:
        bundle = load_claim(name)
        change(bundle.claim)
        with pytest.raises(error) as caught:
            build(bundle, SUBMISSION_ID, settings, NEW_YORK)
        assert isinstance(caught.value, UnsupportedElement | MappingError)
        return caught.value.findings[0].expression

    return of


@pytest.mark.parametrize("name", BUILT)
def test_members_are_in_the_documented_order(name: str, built: Callable[[str], VendorPayload]) -> None:
    document = jsonio.loads(built(name).body)
    ids = requests.ResolvedIds("4", "13", "11", "12", "14")
    sent = soap.parse(operations.request("CreateEncounter", "<k:RequestHeader/>", _encounter(document, ids)))
    request = soap.child(sent, "request")
    assert [soap.local_name(part) for part in request] == ["RequestHeader", "Encounter"]
    encounter = soap.child(request, "Encounter")
    providers = [
        soap.text(encounter, f"{role}Provider", "ProviderID") for role in ("Rendering", "Referring", "Supervising")
    ]
    assert providers == ["11", "12", "14"]
    names = [soap.local_name(part) for part in encounter]
    assert names == [member for member in ENCOUNTER_ORDER if member in names]
    lines = soap.children(soap.child(request, "Encounter", "ServiceLines"), "ServiceLineReq")
    assert len(lines) == len(document["lines"])
    for line in lines:
        members = [soap.local_name(part) for part in line]
        assert members == [member for member in LINE_ORDER if member in members]
    assert not [part for part in request.iter() if not part.tag.startswith("{http://www.kareo.com/api/schemas/}")]


def _encounter(document: dict[str, Any], ids: requests.ResolvedIds) -> requests.Contract:
    return requests.create_encounter(document, ids, "4127", "9001")


def test_every_row_has_a_member_of_the_service_line() -> None:
    assert {row.target for row in LINE_ROWS} <= set(LINE_ORDER)


def test_every_canonical_element_is_carried_or_known_not_to_be() -> None:
    assert set(CLAIM_ELEMENTS) - set(CARRIED) == NOT_CARRIED


def test_a_bare_unit_price_keeps_its_cents(built: Callable[[str], VendorPayload]) -> None:
    body = built("small_visit").body
    assert b'"UnitCharge":145.00' in body
    assert jsonio.loads(body)["lines"][0]["UnitCharge"] == Decimal("145.00")


def test_posting_date_is_the_clinic_s(built: Callable[[str], VendorPayload]) -> None:
    # 02:30 UTC on the fifth is still the fourth in New York
    assert jsonio.loads(built("signed_after_midnight").body)["encounter"]["PostDate"] == "2026-03-04T00:00:00"


def test_diagnoses_that_lines_do_not_tell_are_noted(built: Callable[[str], VendorPayload]) -> None:
    assert "BusinessOfficeNotes" not in jsonio.loads(built("small_visit").body)["encounter"]
    unpointed = jsonio.loads(built("signed_after_midnight").body)["encounter"]["BusinessOfficeNotes"]
    assert unpointed.endswith("J45.909, Z00.121")
    reordered = jsonio.loads(built("reordered_pointers").body)["encounter"]["BusinessOfficeNotes"]
    assert reordered.endswith("L57.0, E11.9, I10")


def test_a_referral_number_is_noted_for_the_biller(
    load_claim: Callable[[str], ClaimBundle], settings: KareoTebraSettings
) -> None:
    claim = load_claim("small_visit")
    claim.claim["referral"] = {"identifier": {"value": "REF-77"}}
    encounter = jsonio.loads(build(claim, "GW1", settings, NEW_YORK).body)["encounter"]
    assert encounter["BusinessOfficeNotes"] == "Referral number: REF-77"


@pytest.mark.parametrize(
    ("name", "element"), [("twelve_diagnoses", "Claim.diagnosis"), ("referred_and_authorized", "Claim.referral")]
)
def test_a_note_for_the_biller_is_no_place_where_no_biller_reviews(
    name: str, element: str, load_claim: Callable[[str], ClaimBundle], settings: KareoTebraSettings
) -> None:
    approved = settings.model_copy(update={"encounter_status": "Approved"})
    with pytest.raises(UnsupportedElement) as caught:
        build(load_claim(name), "GW1", approved, NEW_YORK)
    assert caught.value.findings[0].expression == element
    assert build(load_claim("office_visit"), "GW1", approved, NEW_YORK)


def test_line_note_is_not_repeated_in_box_19(built: Callable[[str], VendorPayload]) -> None:
    document = jsonio.loads(built("period_with_line_note").body)
    assert document["lines"][0]["LineNote"] == "Phototherapy, three sessions in the week"
    assert document["encounter"]["Miscellaneous"] == {"LocalUseBox19": "Records on request"}


def test_long_submission_ids_are_cut_by_us(
    load_claim: Callable[[str], ClaimBundle], settings: KareoTebraSettings
) -> None:
    submission_id = "0198f0c2-6a1e-7d55-9c3a-2f6b8e4d7c10"
    document = jsonio.loads(build(load_claim("reordered_pointers"), submission_id, settings, NEW_YORK).body)
    assert document["encounter"]["BatchNumber"] == submission_id
    line_ids = [line["EncounterProcedureExternalID"] for line in document["lines"]]
    assert [line_id[-2:] for line_id in line_ids] == ["-1", "-2", "-3"]
    assert max(map(len, [*line_ids, document["encounter"]["ExternalID"]])) == EXTERNAL_ID_LENGTH
    with pytest.raises(ValueError, match="submission id"):
        build(load_claim("reordered_pointers"), "x" * 51, settings, NEW_YORK)


@given(st.text(min_size=1, max_size=50), st.integers(1, 50))
def test_external_ids_fit(submission_id: str, sequence: int) -> None:
    suffix = f"-{sequence}"
    made = external_id(submission_id, suffix)
    assert len(made) <= EXTERNAL_ID_LENGTH
    assert made.endswith(suffix)
    assert submission_id.startswith(made.removesuffix(suffix))


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(claim: dict[str, Any]) -> None:
        *outer, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        target: Any = claim
        for step in outer:
            target = target[step]
        target[last] = deepcopy(value)

    return change


def _add_provider(claim: dict[str, Any]) -> None:
    second = deepcopy(claim["careTeam"][0])
    second["provider"]["reference"] = "Practitioner/dr-vale"
    claim["careTeam"].append(second)


@pytest.mark.parametrize(
    ("path", "value", "expression"),
    [
        ("related", [{"relationship": {}}], "Claim.related"),
        ("item.0.detail", [{"sequence": 1}], "Claim.item[0].detail"),
        ("careTeam.1.role.coding.0.code", "ordering", "Claim.careTeam[1]"),
        ("insurance.0.focal", False, "Claim.insurance[0]"),
        ("insurance.0.preAuthRef", ["A", "B"], "Claim.insurance[0].preAuthRef"),
        ("insurance.1.preAuthRef", ["A"], "Claim.insurance[1].preAuthRef"),
        ("item.1.locationCodeableConcept.coding.0.code", "12", "Claim.item[1].locationCodeableConcept"),
        ("item.1.diagnosisSequence", [1, 2, 3, 1, 2], "Claim.item[1].diagnosisSequence"),
        ("item.0.modifier", [{}] * 5, "Claim.item[0].modifier"),
        ("item.0.net.value", Decimal("11.01"), "Claim.item[0].net"),
        ("item.0.unitPrice.currency", "EUR", "Claim.item[0].unitPrice"),
        ("item.0.quantity.unit", "MJ", "Claim.item[0].quantity"),
        ("item.0.informationSequence", [1], "Claim.item[0].informationSequence"),
        ("supportingInfo.2", {"sequence": 3, "category": {"coding": [{"code": "info"}]}}, "Claim.supportingInfo[2]"),
        ("total.value", Decimal("351.06"), "Claim.total"),
    ],
)
def test_what_tebra_cannot_carry_is_refused(
    path: str, value: Any, expression: str, refusal: Callable[..., str]
) -> None:
    assert refusal(_set(path, value)) == expression


def test_second_rendering_provider_is_refused(refusal: Callable[..., str]) -> None:
    assert refusal(_add_provider) == "Claim.careTeam[3]"


@pytest.mark.parametrize(
    ("path", "value", "expression"),
    [
        ("patient.reference", "Patient/nobody", "Claim.patient"),
        ("insurance", [], "Claim.insurance"),
        ("insurance.1.coverage.reference", "Coverage/none", "Claim.insurance[1].coverage"),
        ("item", [], "Claim.item"),
        ("item.1.diagnosisSequence", [9], "Claim.item[1].diagnosisSequence"),
        ("item.1.diagnosisSequence", [], "Claim.item[1].diagnosisSequence"),
        ("item.2.unitPrice", {}, "Claim.item[2].unitPrice.value"),
        ("careTeam", [], "Claim.careTeam"),
        ("created", None, "Claim.created"),
    ],
)
def test_what_tebra_needs_is_named(path: str, value: Any, expression: str, refusal: Callable[..., str]) -> None:
    assert refusal(_set(path, value), MappingError) == expression


@given(st.text())
def test_any_text_survives_xml(text: str) -> None:
    sent = soap.envelope(f"<k:a>{soap.members({'Note': text}, 'k')}</k:a>", {"k": "urn:k"})
    note = soap.child(soap.parse(sent), "Note").text or ""
    assert len(note) == len(text)
    assert all(got in (wanted, "\ufffd") for got, wanted in zip(note, text, strict=True))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_are_never_in_exponent_notation(number: Decimal) -> None:
    text = soap.scalar(number)
    assert "E" not in text
    assert Decimal(text) == number


@pytest.mark.parametrize("data", [b"", b"<html/>", b"<a", b"\xff\xfe", b'{"json": 1}'])
def test_not_soap(data: bytes) -> None:
    with pytest.raises(soap.NotSoap):
        soap.parse(data)


def test_entities_are_not_expanded() -> None:
    body = f'<s:Envelope xmlns:s="{soap.ENVELOPE}"><s:Body><r>&a;</r></s:Body></s:Envelope>'
    bomb = f'<!DOCTYPE x [<!ENTITY a "boom">]>{body}'
    assert "boom" not in soap.text(soap.parse(bomb.encode()))


def test_null_members_are_left_out_and_namespaces_follow_the_operation() -> None:
    sent = operations.request("GetServiceLocations", "", requests.list_request(PracticeName="A & B", ID=None))
    assert b"<n:Fields></n:Fields><n:Filter><n:PracticeName>A &amp; B</n:PracticeName></n:Filter>" in sent
    assert b"<k:Fields>" in operations.request("GetProviders", "", requests.list_request())
