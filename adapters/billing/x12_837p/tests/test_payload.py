"""The pure parts: what a claim becomes, what is refused with which path, and how claims are enclosed."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.billing.x12_837p import codes, interchange, json_payload, rows
from adapters.billing.x12_837p.interchange import Writer, control_number_of
from adapters.billing.x12_837p.payload import build
from adapters.billing.x12_837p.places import CARRIED, PLACES
from adapters.billing.x12_837p.segments import Unfit, expression
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical import jsonio
from gateway.canonical.errors import ConfigurationError, MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, VendorPayload
from gateway.kit.contract_frame import MADE_AT, PRIOR
from gateway.kit.contract_support import contract_context
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES, sample, void_of

Segments = Callable[..., list[str]]
Edit = Callable[[ClaimBundle], None]


@pytest.fixture
def segments(settings: X12Settings) -> Segments:
    """The segments of a claim."""

    def of(claim: ClaimBundle, **changes: Any) -> list[str]:
        body = build(claim, "GW1", settings.model_copy(update=changes), PRIOR).body
        return body.decode().split("~")

    return of


def changed(path: str, value: Any, name: str = "office_visit") -> ClaimBundle:
    """A sample with one member of its claim, or of a resource ("Type/id.member"), set to another value."""
    claim = sample(name)
    whose, _, rest = path.partition(".") if "/" in path.split(".")[0] else ("", "", path)
    if whose:
        whose, rest = next((k, path[len(k) + 1 :]) for k in claim.resources if path.startswith(f"{k}."))
    *outer, last = [int(step) if step.isdigit() else step for step in rest.split("/" if whose else ".")]
    target: Any = claim.resources[whose] if whose else claim.claim
    for step in outer:
        target = target[step]
    target[last] = deepcopy(value)
    return claim


def info(category: str, **content: Any) -> dict[str, Any]:
    return {"sequence": 1, "category": {"coding": [{"code": category}]}, **content}


MEMBER = {"provider": {"reference": "Practitioner/ehr.dr-stone"}}


def member(sequence: int, role: str) -> dict[str, Any]:
    return {**MEMBER, "sequence": sequence, "role": {"coding": [{"code": role}]}}


def test_every_canonical_element_is_carried() -> None:
    assert set(CARRIED) == set(CLAIM_ELEMENTS)


def test_every_row_has_a_place_in_the_claim_and_a_target_of_its_own() -> None:
    roots = {row.source.split(".")[0].split("[")[0] for row in rows.ALL} - {"Claim"}
    assert roots <= set(PLACES)
    assert all(expression(row.source).startswith("Claim") for row in rows.ALL)
    for title, mapped in rows.TITLED.items():
        targets = [row.target for row in mapped if "DTP03 (472)" not in row.target and "DMG" not in row.target]
        assert len(targets) == len(set(targets)), title


UNSUPPORTED = [
    ("related", [{"relationship": {"coding": [{"code": "associated"}]}}], "Claim.related"),
    ("diagnosis", [{"sequence": n} for n in range(1, 14)], "Claim.diagnosis"),
    ("item", [{"sequence": n} for n in range(1, 52)], "Claim.item"),
    ("insurance.0.focal", False, "Claim.insurance[0]"),
    ("insurance.0.preAuthRef", ["A", "B"], "Claim.insurance[0].preAuthRef"),
    ("insurance.0.preAuthRef", ["A_B"], "Claim.insurance.preAuthRef"),
    ("item.0.diagnosisSequence", [1, 2, 1, 2, 1], "Claim.item[0].diagnosisSequence"),
    ("item.0.modifier", [{}] * 5, "Claim.item[0].modifier"),
    ("item.1.detail", [{}, {}], "Claim.item[1].detail"),
    ("item.0.careTeamSequence", [1, 2], "Claim.item[0].careTeamSequence"),
    ("careTeam", [member(1, "rendering"), member(2, "supervisor"), member(3, "supervisor")], "Claim.careTeam[2]"),
    ("supportingInfo", [info("onset"), info("onset")], "Claim.supportingInfo[1]"),
    ("supportingInfo", [info("info", code={})], "Claim.supportingInfo[0]"),
    ("supportingInfo", [info("info", valueString="x" * 81)], "Claim.supportingInfo.valueString"),
    ("supportingInfo", [info("info", valueString="李")], "Claim.supportingInfo.valueString"),
    ("referral", {"identifier": {"value": "R" * 51}}, "Claim.referral.identifier.value"),
    ("Patient/ehr.p-jane.name/0/family", "X" * 61, "Claim.insurance[0].coverage.subscriber.name.family"),
    ("Coverage/ehr.cov-jane.subscriberId", "A*1", "Claim.insurance[0].coverage.subscriberId"),
]


@pytest.mark.parametrize(("path", "value", "where"), UNSUPPORTED)
def test_what_does_not_fit_is_held_with_its_path(path: str, value: Any, where: str, settings: X12Settings) -> None:
    claim = changed(path, value)
    if path == "item.0.careTeamSequence":
        claim.claim["careTeam"] = [member(1, "rendering"), member(2, "rendering")]
    with pytest.raises(UnsupportedElement) as refusal:
        build(claim, "GW1", settings)
    [finding] = refusal.value.findings
    assert finding.expression == where
    assert finding.fix
    assert str(value) not in finding.message


MISSING = [
    ("insurance", [], "Claim.insurance"),
    ("diagnosis", [], "Claim.diagnosis"),
    ("item", [], "Claim.item"),
    ("careTeam", [], "Claim.careTeam"),
    ("patient.reference", "Patient/nobody", "Claim.insurance[0].coverage.subscriber"),
    ("insurance.0.coverage.reference", "Coverage/none", "Claim.insurance[0].coverage"),
    ("diagnosis.1.sequence", 3, "Claim.diagnosis"),
    ("item.0.diagnosisSequence", [9], "Claim.item[0].diagnosisSequence"),
    ("item.0.careTeamSequence", [9], "Claim.item[0].careTeamSequence"),
    ("item.0.informationSequence", [9], "Claim.item[0].informationSequence"),
    ("item.0.diagnosisSequence", [], "Claim.item[0].diagnosisSequence[0]"),
    ("item.0.servicedDate", "2026", "Claim.item[0].serviced"),
    ("item.0.net.value", Decimal("119.99"), "Claim.item[0].net"),
    ("item.0.net.currency", "EUR", "Claim.item[0].net"),
    ("item.0.quantity.unit", "HR", "Claim.item[0].quantity.unit"),
    ("total.value", Decimal(1), "Claim.total"),
    ("identifier", [], "Claim.identifier"),
    ("accident", {"date": "2026-03-01", "type": {"coding": [{"code": "MVA"}]}},
     "Claim.accident.locationAddress.state"),
    ("item.0.locationCodeableConcept.coding.0.code", "21", "Claim.supportingInfo"),
    ("Organization/billing-provider.address/0/postalCode", "33601", "Claim.provider.address.postalCode"),
    ("Organization/billing-provider.address/0/line", ["P.O. Box 7"], "Claim.provider.address.line[0]"),
    ("Organization/billing-provider.identifier", [], "Claim.provider.identifier"),
    ("Organization/ehr.payer-pine.identifier", [], "Claim.insurance[0].coverage.payor.identifier"),
    ("Patient/ehr.p-jane.address", [], "Claim.insurance[0].coverage.subscriber.address.line[0]"),
    ("Patient/ehr.p-jane.birthDate", None, "Claim.insurance[0].coverage.subscriber.birthDate"),
    ("Patient/ehr.p-jane.birthDate", "1985", "Claim.insurance[0].coverage.subscriber.birthDate"),
    ("accident", {"date": "2026-03"}, "Claim.accident.date"),
    ("Coverage/ehr.cov-jane.subscriberId", None, "Claim.insurance[0].coverage.subscriberId"),
    ("Practitioner/ehr.dr-stone.identifier/0/value", "1679576721", "Claim.careTeam[0].provider.identifier"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "where"), MISSING)
def test_what_is_missing_or_wrong_is_named(path: str, value: Any, where: str, settings: X12Settings) -> None:
    with pytest.raises(MappingError) as refusal:
        build(changed(path, value), "GW1", settings)
    assert refusal.value.findings[0].expression.startswith(where)
    assert refusal.value.findings[0].expression.partition(".where")[0] == where


def test_a_line_of_another_place_or_provider_says_so(segments: Segments) -> None:
    claim = changed("item.1.locationCodeableConcept.coding.0.code", "12")
    assert "SV1*HC:17000*145*UN*1*12**1" in segments(claim)
    two = segments(sample("inpatient_two_renderers"))
    assert [s for s in two if s.startswith("NM1*82")] == [
        "NM1*82*1*STONE*ALAN****XX*1679576722",
        "NM1*82*1*REED*BETH****XX*1245319599",
    ]
    assert two.index("NM1*82*1*REED*BETH****XX*1245319599") > two.index("LX*2")


def test_minutes_of_anaesthesia(segments: Segments) -> None:
    claim = changed("item.0.quantity", {"value": 1, "unit": "MJ"})
    assert "SV1*HC:99213:25*120*MJ*1***1:2" in segments(claim)


def test_an_ordering_provider_is_on_the_lines_that_were_ordered(segments: Segments) -> None:
    claim = sample("office_visit")
    claim.claim["careTeam"].append(member(2, "ordering"))
    assert sum(s.startswith("NM1*DK") for s in segments(claim)) == 2
    claim.claim["item"][0]["careTeamSequence"] = [1, 2]
    assert sum(s.startswith("NM1*DK") for s in segments(claim)) == 1


@pytest.mark.parametrize(
    ("coding", "filing"),
    [
        ({"system": codes.SOPT, "code": "311"}, "CH"),
        ({"system": codes.SOPT, "code": "3119"}, "CH"),
        ({"system": codes.SOPT, "code": "349"}, "OF"),
        ({"system": codes.SOPT, "code": "81"}, "CI"),
        ({"system": codes.ACT_CODE, "code": "WCBPOL"}, "WC"),
        ({"system": "urn:own", "code": "BL"}, "BL"),
        ({"system": "urn:own", "code": "unknown"}, "CI"),
    ],
)
def test_the_kind_of_insurance(coding: dict[str, str], filing: str, segments: Segments) -> None:
    claim = changed("Coverage/ehr.cov-jane.type", {"coding": [coding]})
    assert f"SBR*P*18*GRP100******{filing}" in segments(claim)
    assert "SBR*P*18*GRP100******MC" in segments(claim, claim_filing_codes={"60054": "MC"})


def test_sopt_counts_more_than_act_codes() -> None:
    both = [{"system": codes.ACT_CODE, "code": "PUBLICPOL"}, {"system": codes.SOPT, "code": "311"}]
    assert codes.filing_code({"type": {"coding": both}}, "CI") == "CH"


def test_medicare_that_pays_second_needs_the_reason(segments: Segments, settings: X12Settings) -> None:
    claim = sample("two_payers")
    claim.claim["insurance"].reverse()
    for entry, focal in zip(claim.claim["insurance"], (True, False), strict=True):
        entry["focal"] = focal
    with pytest.raises(MappingError) as refusal:
        build(claim, "GW1", settings)
    assert refusal.value.findings[0].expression == "Claim.insurance[1].coverage.type"
    assert "SBR*S*18***12****MB" in segments(claim, medicare_secondary_type="12")


def test_the_plan_s_name_stands_in_for_a_missing_group(segments: Segments) -> None:
    claim = sample("office_visit")
    del claim.resources["Coverage/ehr.cov-jane"]["class"][0]
    assert "SBR*P*18**PINE CHOICE PPO*****12" in segments(claim)


def test_a_replacement_and_a_void_name_the_payer_s_number(segments: Segments) -> None:
    claim = sample("replacement")
    assert {"CLM*GSAMPLE001001*217***11:B:7*Y*A*Y*Y", "REF*F8*PCN88001"} <= set(segments(claim))
    assert "CLM*GSAMPLE001001*217***11:B:8*Y*A*Y*Y" in segments(void_of(claim))


def test_the_number_may_come_from_what_the_payer_told_since(segments: Segments, settings: X12Settings) -> None:
    claim = sample("replacement")
    del claim.claim["related"][0]["reference"]
    assert "REF*F8*PCN88001" in segments(claim)
    with pytest.raises(MappingError) as refusal:
        build(claim, "GW1", settings, None)
    assert refusal.value.findings[0].expression == "Claim.related.reference.value"


def test_original_medicare_takes_no_replacement(segments: Segments) -> None:
    with pytest.raises(UnsupportedElement) as refusal:
        segments(sample("replacement"), claim_filing_codes={"60054": "MB"})
    assert refusal.value.findings[0].expression == "Claim.related"


def test_a_degree_is_no_part_of_a_name_and_a_generation_is(segments: Segments) -> None:
    claim = changed("Patient/ehr.p-jane.name/0/suffix", ["Jr."])
    assert "NM1*IL*1*QUILLFEATHER*JANE*ADA**JR*MI*XYZ123456789" in segments(claim)
    assert "NM1*82*1*STONE*ALAN****XX*1679576722" in segments(claim)


def test_the_facility_is_named_only_where_it_is_elsewhere(segments: Segments) -> None:
    assert not [s for s in segments(sample("office_visit")) if s.startswith("NM1*77")]
    moved = changed("Location/ehr.main.address/line", ["5 Other Way"])
    assert "NM1*77*2*LAKESIDE MAIN*****XX*1999999984" in segments(moved)


def test_a_part_of_what_nobody_needs_is_left_out(segments: Segments) -> None:
    claim = sample("child_of_subscriber")
    mother = claim.resources["RelatedPerson/ehr.rp-greta"]
    mother["address"], mother["birthDate"] = [{"city": "Tampa"}], "1988"
    claim.resources["Organization/ehr.payer-harbor"]["address"] = [{"line": ["PO Box 77"]}]
    written = segments(claim)
    start, end = written.index("NM1*IL*1*TANNENBAUM*GRETA****MI*HM0055021"), written.index("HL*3*2*23*0")
    assert written[start + 1 : end] == ["NM1*PR*2*HARBOR MUTUAL*****PI*87726"]


def test_a_canadian_address(segments: Segments) -> None:
    address = {"line": ["9 Rue Verte"], "city": "Québec", "state": "QC", "postalCode": "G1A 0A2", "country": "CA"}
    assert "N4*QUEBEC*QC*G1A0A2*CA" in segments(changed("Patient/ehr.p-jane.address", [address]))
    assert codes.country("usa") is None


@pytest.mark.parametrize("value", ["00003-0293-05", "0003-0293-05", "00003029305"])
def test_drug_codes_have_eleven_digits(value: str) -> None:
    assert codes.ndc(value) == "00003029305"
    with pytest.raises(Unfit):
        codes.ndc("123")


# --- the interchange ----------------------------------------------------------------------------------------------


def levels(content: str) -> list[tuple[str, ...]]:
    return [tuple(s.split("*")[1:]) for s in content.split("~") if s.startswith("HL*")]


def test_levels_are_numbered_through_and_each_biller_comes_once(writer: Writer, settings: X12Settings) -> None:
    other = sample("office_visit")
    other.resources["Organization/billing-provider"]["name"] = "Second Practice"
    claims = [sample("office_visit"), other, sample("child_of_subscriber"), sample("two_payers")]
    payloads = [build(claim, f"GW{n}", settings) for n, claim in enumerate(claims)]
    made = writer.enclose(payloads, 7, MADE_AT)
    assert levels(made.body.decode()) == [
        ("1", "", "20", "1"),
        ("2", "1", "22", "0"),
        ("3", "1", "22", "1"),
        ("4", "3", "23", "0"),
        ("5", "1", "22", "0"),
        ("6", "", "20", "1"),
        ("7", "6", "22", "0"),
    ]
    assert made.submission_id == "000000007"
    assert made.fields == {"file": "837P-contract-contract-000000007.837", "claims": 4}
    assert [made.body.count(f"REF*D9*GW{n}~".encode()) for n in range(4)] == [1, 1, 1, 1]


@given(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=12), st.integers(1, 10**9 - 1))
def test_any_batch_counts_right(names: list[str], number: int) -> None:
    context = contract_context()
    folders = {"outgoing": "o", "incoming": "i"}
    plain = {"delivery": "folder", "folder": folders, "submitter_id": "A", "receiver_id": "B"}
    settings = X12Settings.model_validate({**plain, "contact_phone": "8135550100"})
    payloads = [build(sample(name), f"GW{n}", settings, PRIOR) for n, name in enumerate(names)]
    content = Writer(settings, context.clinic, "x").enclose(payloads, number, MADE_AT).body.decode()
    segments = content.split("~")[:-1]
    assert content.index("~") == 105
    inside = segments[2:-2]
    assert inside[-1] == f"SE*{len(inside)}*0001"
    assert segments[-1] == f"IEA*1*{number:09d}"
    assert sum(s.startswith("CLM*") for s in segments) == len(names)
    found = levels(content)
    assert [level[0] for level in found] == [str(n) for n in range(1, len(found) + 1)]
    assert not [s for s in segments if not re.fullmatch(r"[A-Z0-9 !\"&'()+,\-./;?=*:^]+", s)]


def test_a_transaction_set_holds_no_more_than_the_guide_allows(
    writer: Writer, settings: X12Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interchange, "MOST_CLAIMS", 2)
    payloads = [build(sample("office_visit"), f"GW{n}", settings) for n in range(5)]
    content = writer.enclose(payloads, 9, MADE_AT).body.decode()
    assert re.findall(r"~ST\*837\*(\d+)", content) == ["0001", "0002", "0003"]
    assert re.findall(r"BHT\*0019\*00\*([^*]+)", content) == ["GW000000009", "GW000000009-2", "GW000000009-3"]
    assert "~GE*3*9~" in content
    assert {control_number_of(b) for b in ("GW000000009", "GW000000009-3")} == {"000000009"}
    assert {control_number_of(b) for b in ("", "GW12", "OTHER0000009")} == {""}


def test_the_date_is_the_clinic_s(writer: Writer, settings: X12Settings) -> None:
    late = datetime(2026, 3, 5, 2, 30, tzinfo=UTC)  # still the fourth in New York
    content = writer.enclose([build(sample("office_visit"), "GW1", settings)], 1, late).body
    assert b"*260304*2130*" in content
    assert b"*20260304*2130*1*X*" in content


def test_equal_claims_give_equal_bytes(writer: Writer, settings: X12Settings) -> None:
    payload = build(sample("office_visit"), "GW1", settings)
    assert writer.enclose([payload], 5, MADE_AT) == writer.enclose([payload], 5, MADE_AT)


@pytest.mark.parametrize(("payloads", "number"), [(0, 1), (1, 0), (1, 10**9)])
def test_an_interchange_needs_claims_and_a_number(
    payloads: int, number: int, writer: Writer, settings: X12Settings
) -> None:
    with pytest.raises(ValueError, match="interchange"):
        writer.enclose([build(sample("office_visit"), "GW1", settings)] * payloads, number, MADE_AT)


@pytest.mark.parametrize(
    ("changes", "word"), [({"contact_phone": ""}, "telephone"), ({"submitter_name": "ẞ" * 40}, "long")]
)
def test_the_submitter_is_complete_before_anything_starts(
    changes: dict[str, Any], word: str, settings: X12Settings
) -> None:
    context = contract_context()
    with pytest.raises(ConfigurationError, match=word):
        Writer(settings.model_copy(update=changes), context.clinic, "x")


# --- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_the_json_says_what_the_segments_say(name: str, settings: X12Settings) -> None:
    claim = sample(name)
    made = json_payload.build(claim, "GW1", settings, {}, PRIOR)
    said = set(_texts(jsonio.loads(made.body)))
    written = build(claim, "GW1", settings, PRIOR).body.decode()
    elements = {part for s in written.split("~") for e in s.split("*")[1:] for part in re.split("[:]", e)}
    frame = {"GW1", "XX", "MI", "PI", "IL", "PR", "HC", "BI", "PE", "PXC", "82", "85", "77", "D8", "RD8", "72", "LX"}
    names_only = elements - said - frame
    codes_only = {e for e in names_only if len(e) > 3 and not re.fullmatch(r"\d{8}-\d{8}", e)}
    assert codes_only == set()


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    assert isinstance(value, str), "all numbers are strings"
    return [value]


def test_the_json_refuses_what_the_segments_refuse(settings: X12Settings) -> None:
    for path, value, where in (*UNSUPPORTED[:4], *MISSING[:4]):
        with pytest.raises((UnsupportedElement, MappingError)) as refusal:
            json_payload.build(changed(path, value), "GW1", settings, {})
        assert refusal.value.findings[0].expression == where


def test_optum_gets_a_control_number_that_stands_for_the_submission(settings: X12Settings) -> None:
    optum = settings.model_copy(update={"delivery": "optum"})
    made: list[VendorPayload] = [
        json_payload.build(sample("office_visit"), i, optum, {}) for i in ("GW1", "GW1", "GW2")
    ]
    numbers = [jsonio.loads(payload.body)["controlNumber"] for payload in made]
    assert numbers[0] == numbers[1] != numbers[2]
    assert all(re.fullmatch(r"\d{9}", number) for number in numbers)
    assert replace(made[0], body=b"") == replace(made[1], body=b"")


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"delivery": "sftp"}, "delivery sftp needs"),
        ({"default_filing_code": "09"}, "no claim filing code"),
        ({"claim_filing_codes": {"60054": "XX"}}, "no claim filing code"),
        ({"submitter_id": "A" * 16}, "pattern"),
        ({"submitter_id": "A*B"}, "pattern"),
        ({"stedi": {"base_url": "http://healthcare.example", "api_key": "k"}}, "https"),
        ({"sftp": {"host": "h", "user": "u", "host_key": "k"}}, "password or a private_key"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], word: str) -> None:
    plain = {
        "delivery": "folder",
        "folder": {"outgoing": "o", "incoming": "i"},
        "submitter_id": "A",
        "receiver_id": "B",
    }
    with pytest.raises(ValidationError, match=word):
        X12Settings.model_validate({**plain, **changes})
