"""What comes back: acknowledgments and reports read as outcomes, and nothing of a patient passed on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.x12_837p.findings import place_of, status_finding
from adapters.billing.x12_837p.json_replies import edit_findings
from adapters.billing.x12_837p.replies import is_complete, parse
from adapters.billing.x12_837p.scrubbing import scrubbed
from adapters.billing.x12_837p.statuses import CLEARINGHOUSE_CLAIM_NUMBER, line_of
from gateway.canonical import jsonio
from gateway.canonical.errors import UnexpectedResponse
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimOutcome, SubmissionState
from gateway.kit.encoders import x12

SEEN = datetime(2026, 3, 5, 12, tzinfo=UTC)
SYNTAX_ERROR = "IK3*NM1*16*2010BA*8~CTX*CLM01:GW7F3A91~IK4*9*67*7*XYZ123456789~"


def enclosed(body: str, functional_id: str = "FA", version: str = "005010X231A1", number: int = 900) -> bytes:
    envelope = x12.Envelope("CLRHOUSE", "GWSUBMIT", functional_id, version)
    return envelope.interchange(number, SEEN, [body] if body else []).encode()


def syntax(inside: str, *, answer: str = "R", group: str = "R", control: str = "101") -> bytes:
    body = f"AK1*HC*{control}*005010X222A1~AK2*837*0001*005010X222A1~{inside}IK5*{answer}~AK9*{group}*1*1*0~"
    return enclosed(x12.transaction_set("999", "0001", "005010X231A1", body))


def status(claims: str, *, source: str = "AY", batch: str = "A1:19", trace: str = "GW000000101") -> bytes:
    body = (
        "BHT*0085*08*277X0001*20260305*0801*TH~"
        f"HL*1**20*1~NM1*{source}*2*SAMPLE*****46*CLRHOUSE~TRN*1*CH20260304001~DTP*050*D8*20260304~"
        f"HL*2*1*21*1~NM1*41*2*LAKESIDE DERMATOLOGY*****46*GWSUBMIT~TRN*2*{trace}~STC*{batch}*20260305*WQ*265~"
        "HL*3*2*19*1~NM1*85*2*LAKESIDE DERMATOLOGY*****XX*1234567893~TRN*1*0~STC*A1:19**WQ*265~"
        f"{claims}"
    )
    return enclosed(x12.transaction_set("277", "0001", "005010X214", body), "HN", "005010X214")


def claim(*statuses: str, account: str = "GW7F3A91", level: str = "HL*4*3*PT", more: str = "") -> str:
    told = "".join(f"STC*{s}~" for s in statuses)
    return f"{level}~NM1*QC*1*DOE*JANE****MI*XYZ123456789~TRN*2*{account}~{told}{more}DTP*472*D8*20260303~"


def states(outcomes: list[ClaimOutcome]) -> list[tuple[str, str, SubmissionState]]:
    return [(o.account_number, o.control_number, o.evidence.state) for o in outcomes]


# --- TA1 and 999 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "state"), [("A", SubmissionState.SENT), ("E", SubmissionState.SENT)])
def test_an_accepted_envelope_proves_only_the_sending(answer: str, state: SubmissionState) -> None:
    content = enclosed("").replace(b"~GS", f"~TA1*000000101*260305*0801*{answer}*000~GS".encode())
    assert states(parse(content, SEEN)) == [("", "000000101", state)]


def test_a_refused_envelope_rejects_the_batch_but_a_repeated_one_says_nothing() -> None:
    refused = enclosed("").replace(b"~GS", b"~TA1*000000101*260305*0801*R*006~GS")
    [outcome] = parse(refused, SEEN)
    assert states([outcome]) == [("", "000000101", SubmissionState.REJECTED)]
    assert outcome.findings[0].edit == "ta1-006"
    assert parse(refused.replace(b"*006~", b"*025~"), SEEN) == []


@pytest.mark.parametrize(("answer", "group"), [("A", "A"), ("E", "E"), ("A", "P")])
def test_an_accepted_form_is_received(answer: str, group: str) -> None:
    assert states(parse(syntax("", answer=answer, group=group), SEEN)) == [("", "000000101", SubmissionState.RECEIVED)]


def test_a_refused_claim_takes_the_others_only_back_to_the_queue() -> None:
    one, rest = parse(syntax(SYNTAX_ERROR), SEEN)
    assert states([one, rest]) == [
        ("GW7F3A91", "", SubmissionState.REJECTED),
        ("", "000000101", SubmissionState.QUEUED),
    ]
    [finding] = one.findings
    assert (finding.edit, finding.expression) == ("999-7", "Claim.insurance.coverage.subscriberId")
    assert "XYZ123456789" not in str(one)


def test_each_claim_gets_its_own_findings() -> None:
    other = "IK3*DTP*40*2400*8~CTX*CLM01:GW2~IK4*3*1251*8*20261303~IK4*2*1250*7*D9~IK3*HI*41*2300*3~CTX*CLM01:GW2~"
    first, second, _ = parse(syntax(SYNTAX_ERROR + other), SEEN)
    assert (first.account_number, second.account_number) == ("GW7F3A91", "GW2")
    assert [f.edit for f in second.findings] == ["999-8", "999-7", "999-3"]
    assert [f.expression for f in second.findings] == [
        "Claim.item.serviced",
        "Claim.item.serviced",
        "Claim.diagnosis.diagnosisCodeableConcept.coding.code",
    ]


def test_a_refusal_that_names_no_claim_rejects_the_batch() -> None:
    [outcome] = parse(syntax("IK3*HL*3**8~IK4*2*734*7~"), SEEN)
    assert states([outcome]) == [("", "000000101", SubmissionState.REJECTED)]
    [outcome] = parse(syntax(""), SEEN)
    assert outcome.findings[0].edit == "999-R"


@pytest.mark.parametrize(
    ("segment", "loop", "target", "place"),
    [
        ("NM1", "2010BA", "NM109", "Claim.insurance.coverage.subscriberId"),
        ("SV1", "2400", "SV101-2", "Claim.item.productOrService.coding.code"),
        ("SV1", "", "SV102", "Claim.item.net.value"),
        ("N3", "2010AA", "N301", "Claim.provider.address.line[0]"),
        ("NM1", "2010AA", "NM109", "Claim.provider.identifier"),
        ("NM1", "2310B", "", "Claim.careTeam.provider"),
        ("REF", "2300", "REF02", "Claim"),
        ("XYZ", "9999", "XYZ01", "Claim"),
    ],
)
def test_a_place_in_the_file_leads_back_to_its_element(segment: str, loop: str, target: str, place: str) -> None:
    assert place_of(segment, loop, target) == place


# --- 277CA --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "source", "state"),
    [
        (("A1:19*20260305*WQ*265",), "AY", SubmissionState.RECEIVED),
        (("A1:20*20260305*WQ*265",), "AY", SubmissionState.RECEIVED),
        (("A2:20*20260305*WQ*265",), "AY", SubmissionState.RECEIVED),
        (("A2:20*20260305*WQ*265",), "PR", SubmissionState.ACCEPTED),
        (("A1:19*20260305*WQ*265",), "PR", SubmissionState.RECEIVED),
        (("A0:16*20260305*WQ*265",), "AY", SubmissionState.RECEIVED),
        (("A5:19*20260305*WQ*265",), "PR", SubmissionState.RECEIVED),
        (("A4:35*20260305*U*265",), "PR", SubmissionState.REJECTED),
        (("A9:19*20260305*WQ*265",), "PR", SubmissionState.SENT),
        (("Z9:19*20260305*U*265",), "PR", SubmissionState.REJECTED),
        (("A2:20*20260305*WQ*265", "A7:164:IL*20260305*U*265"), "PR", SubmissionState.REJECTED),
    ],
)
@pytest.mark.parametrize("level", ["HL*4*3*PT", "HL*4*3*PT*0"])
def test_what_each_status_proves(statuses: tuple[str, ...], source: str, state: SubmissionState, level: str) -> None:
    [outcome] = parse(status(claim(*statuses, level=level), source=source), SEEN)
    assert states([outcome]) == [("GW7F3A91", "", state)]
    assert bool(outcome.findings) == (state in (SubmissionState.REJECTED, SubmissionState.SENT) or "A5" in statuses[0])


def test_a_rejection_tells_every_reason_and_its_element() -> None:
    told = "A7:164:IL*20260305*U*265******A6:500:85*A8:9999"
    [outcome] = parse(status(claim(told)), SEEN)
    assert [(f.edit, f.expression) for f in outcome.findings] == [
        ("277-A7-164", "Claim.insurance.coverage.subscriberId"),
        ("277-A6-500", "Claim.provider"),
        ("277-A8-9999", "Claim"),
    ]
    assert "DOE" not in str(outcome)
    assert "XYZ123456789" not in str(outcome)


def test_a_line_s_refusal_names_the_line() -> None:
    line = "SVC*HC:17000*145*****1~STC*A7:454*20260305*U*145~REF*FJ*GW7F3A91L2~"
    [outcome] = parse(status(claim("A1:19*20260305*WQ*265", more=line)), SEEN)
    assert [f.expression for f in outcome.findings] == ["Claim.item[1].productOrService"]
    unnamed = parse(status(claim("A1:19*20260305*WQ*265", more=line.split("REF")[0])), SEEN)
    assert [f.expression for f in unnamed[0].findings] == ["Claim.item.productOrService"]
    assert status_finding("A7", "21", "", 4).expression == "Claim.item[4]"
    assert [line_of("GW7F3A91L12"), line_of("SOMETHING")] == [11, -1]


def test_the_payer_s_number_is_kept() -> None:
    told = claim("A2:20*20260305*WQ*265", more="REF*1K*PCN88001~REF*D9*CH0001~")
    [outcome] = parse(status(told, source="PR"), SEEN)
    assert outcome.vendor_ids == {PAYER_CLAIM_CONTROL_NUMBER: "PCN88001", CLEARINGHOUSE_CLAIM_NUMBER: "CH0001"}
    assert outcome.evidence.reference == "277CA 277X0001 payer A2:20"


def test_a_batch_that_was_refused_before_its_claims() -> None:
    refused = status("", batch="A3:21")
    assert states(parse(refused, SEEN)) == [("", "000000101", SubmissionState.REJECTED)]
    assert parse(status("", batch="A3:21", trace="SOMEBODY ELSE'S"), SEEN) == []
    with_claim = parse(status(claim("A7:33*20260305*U*265"), batch="A3:21"), SEEN)
    assert states(with_claim) == [("GW7F3A91", "", SubmissionState.REJECTED)]


def test_many_claims_many_interchanges_and_other_delimiters() -> None:
    first = status(claim("A1:19*20260305*WQ*265") + claim("A7:33*20260305*U*9", account="GW2").replace("HL*4", "HL*5"))
    second = syntax("", answer="A", group="A").translate(bytes.maketrans(b"*:~", b"|>\n"))
    assert states(parse(first + b"\r\n" + second, SEEN)) == [
        ("GW7F3A91", "", SubmissionState.RECEIVED),
        ("GW2", "", SubmissionState.REJECTED),
        ("", "000000101", SubmissionState.RECEIVED),
    ]


def test_an_835_is_known_and_says_nothing_yet() -> None:
    body = "BPR*I*172.5*C*ACH~TRN*1*EFT0000991*1512345678~CLP*GW7F3A91*1*265*172.5*25*12*PCN88001*11*1~"
    remittance = enclosed(x12.transaction_set("835", "0001", "005010X221A1", body), "HP", "005010X221A1")
    assert parse(remittance, SEEN) == []
    assert is_complete(remittance)


# --- what is not read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"ISA*00",
        b"<html/>",
        b"{",
        b"[]",
        b'{"other": 1}',
        status("")[:-30],
        enclosed(x12.transaction_set("271", "0001", "005010X279A1", "BHT*0022~")),
    ],
)
def test_unreadable_messages_are_refused(message: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        parse(message, SEEN)


def test_a_file_is_complete_when_every_interchange_is() -> None:
    whole = status("")
    assert is_complete(whole + b"\n" + whole)
    assert not is_complete(whole + whole[:-9])
    assert not is_complete(b"")
    assert len(parse(syntax("", answer="A", group="A") + whole[:-9], SEEN)) == 1


@given(st.text(alphabet="*:~^>|AR123\n", max_size=60), st.integers(0, 10**9))
def test_no_content_makes_the_reader_fail_in_another_way(inside: str, number: int) -> None:
    for content in (status(f"HL*4*3*PT~TRN*2*X~STC*{inside}~"), syntax(f"IK3*{inside}~IK4*{inside}~CTX*{inside}~")):
        try:
            outcomes = parse(content, SEEN)
        except UnexpectedResponse:
            continue
        assert all(outcome.evidence.reference for outcome in outcomes)


# --- JSON ---------------------------------------------------------------------------------------------------------


def report(payer: dict[str, Any], statuses: list[dict[str, str]], **more: str) -> bytes:
    told = {"patientAccountNumber": "GW7F3A91", "informationClaimStatuses": [{"informationStatuses": statuses}], **more}
    patient = {"claims": [{"claimStatus": told}], "subscriber": {"lastName": "DOE"}}
    details = {"claimStatusDetails": [{"patientClaimStatusDetails": [patient]}]}
    return jsonio.dumps({"transactions": [{"payers": [{**payer, "claimStatusTransactions": [details]}]}]})


@pytest.mark.parametrize(
    ("payer", "category", "state"),
    [
        ({"entityIdentifierCode": "PR"}, "A2", SubmissionState.ACCEPTED),
        ({"payerIdentification": "60054"}, "A2", SubmissionState.ACCEPTED),
        ({"organizationName": "Clearinghouse"}, "A2", SubmissionState.RECEIVED),
        ({"entityIdentifierCode": "PR"}, "A7", SubmissionState.REJECTED),
    ],
)
def test_a_277_as_json(payer: dict[str, str], category: str, state: SubmissionState) -> None:
    statuses = [{"healthCareClaimStatusCategoryCode": category, "statusCode": "164", "statusCodeValue": "DOE"}]
    [outcome] = parse(report(payer, statuses, tradingPartnerClaimNumber="PCN1"), SEEN)
    assert states([outcome]) == [("GW7F3A91", "", state)]
    assert outcome.vendor_ids == {PAYER_CLAIM_CONTROL_NUMBER: "PCN1"}
    assert "DOE" not in str(outcome)


def test_reports_without_claims_say_nothing() -> None:
    assert parse(report({}, []), SEEN) == []
    assert parse(b'{"transactions": [{"detailInfo": []}]}', SEEN) == []


def test_claim_md_responses() -> None:
    rows = [
        {"claimid": "1", "pcn": "GW1", "remote_claimid": "S1", "status": "A"},
        {
            "claimid": "2",
            "pcn": "GW2",
            "status": "R",
            "messages": [
                {"status": "R", "fields": "ins_number", "mesgid": "77", "message": "DOE"},
                {"status": "R", "fields": "", "mesgid": "A7:33:IL"},
                {"status": "A", "fields": "", "mesgid": "1"},
                {"status": "R", "fields": "diag_2,diag_3", "mesgid": "a text about DOE"},
            ],
        },
        {"claimid": "3", "pcn": "GW3", "status": "D"},
        {"claimid": "4", "pcn": "GW4", "status": "Q", "sender_icn": "PCN4"},
        {"claimid": "5", "pcn": "GW5", "status": "R"},
    ]
    outcomes = parse(jsonio.dumps({"result": {"last_responseid": "9", "claim": rows}}), SEEN)
    assert [(o.submission_id, o.account_number, o.evidence.state) for o in outcomes] == [
        ("S1", "GW1", SubmissionState.RECEIVED),
        ("", "GW2", SubmissionState.REJECTED),
        ("", "GW3", SubmissionState.ACCEPTED),
        ("", "GW4", SubmissionState.SENT),
        ("", "GW5", SubmissionState.REJECTED),
    ]
    assert [(f.edit, f.expression) for f in outcomes[1].findings] == [
        ("claimmd-77", "Claim.insurance.coverage.subscriberId"),
        ("277-A7-33", "Claim.insurance.coverage.subscriberId"),
        ("claimmd-R", "Claim.diagnosis"),
    ]
    assert outcomes[3].vendor_ids[PAYER_CLAIM_CONTROL_NUMBER] == "PCN4"
    assert outcomes[4].findings
    assert "DOE" not in str(outcomes)


def test_one_claim_of_xml_turned_json_is_still_a_claim() -> None:
    [outcome] = parse(b'{"claim": {"claimid": "1", "pcn": "GW1", "status": "F"}, "last_responseid": "3"}', SEEN)
    assert outcome.evidence.state is SubmissionState.RECEIVED


def test_edits_are_told_by_code_and_place_only() -> None:
    document = {
        "errors": [
            {"code": "33", "field": "subscriber.memberId", "value": "XYZ123456789", "description": "DOE"},
            {"code": "164", "location": "A7:164:IL"},
            {
                "code": "long text about DOE",
                "field": "claimInformation.serviceLines[0].professionalService.procedureCode",
            },
        ],
        "editResponses": [{"segment": "NM1", "element": "09"}],
    }
    found = edit_findings(document)
    assert [(f.edit, f.expression) for f in found] == [
        ("edit-33", "Claim.insurance.coverage.subscriberId"),
        ("277-A7-164", "Claim.insurance.coverage.subscriberId"),
        ("edit-other", "Claim.item.productOrService"),
        ("edit-NM1", "Claim"),
    ]
    assert "DOE" not in str(found)


# --- scrubbing ----------------------------------------------------------------------------------------------------


def test_scrubbing_keeps_what_helps_and_nothing_else() -> None:
    text = (
        'failed with secret-1: ISA*00*X~NM1*QC*1*DOE*JANE~HL*1**20*1~{"memberId": "XYZ1", "list": ["DOE", "JANE"]} '
        "born 1985-06-15, 19850615, jane@example.test, 813-555-0100"
    )
    clean = scrubbed(text, ["secret-1", ""])
    for value in ("secret-1", "DOE", "JANE", "XYZ1", "1985", "jane@", "813-"):
        assert value not in clean
    for kept in ("failed with", "NM1*", "HL*1**20*1", '"memberId"'):
        assert kept in clean
