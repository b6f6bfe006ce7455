"""The clearinghouse's edits and the 277CAs that tell them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.billing.x12_837p.simulator.account import ACCEPTED, NOT_FOUND
from adapters.billing.x12_837p.simulator.edits import Status, npi_is_valid
from adapters.billing.x12_837p.simulator.envelope import Delimiters
from adapters.billing.x12_837p.simulator.writing import ReplyForm


def test_a_good_claim_is_received(x12: Any, desk: Any) -> None:
    report = desk.take(x12.OFFICE)["277ca"]
    assert report[:106].endswith("*>~")
    assert x12.segments(report)[9:] == [
        "NM1*41*2*LAKESIDE DERMATOLOGY*****46*GWSUBMIT",
        "TRN*2*BATCH101",
        "STC*A1>19>PR*20260305*WQ*265",
        "QTY*90*1",
        "AMT*YU*265",
        "HL*3*2*19*1",
        "NM1*85*2*LAKESIDE DERMATOLOGY*****XX*1234567893",
        "TRN*1*0",
        "STC*A1>19>PR**WQ*265",
        "QTY*QA*1",
        "AMT*YU*265",
        "HL*4*3*PT",
        "NM1*QC*1*DOE*JANE****MI*XYZ123456789",
        "TRN*2*GW7F3A91",
        "STC*A1>19>PR*20260305*WQ*265",
        "REF*D9*CH0000001",
        "DTP*472*D8*20260303",
        "SE*26*0001",
        "GE*1*500002",
        "IEA*1*000500002",
    ]
    assert x12.referee(report) == ""


@pytest.mark.parametrize(
    ("change", "statuses"),
    [
        (("XX*1234567893", "XX*1234567890"), ["A7:562:85"]),
        (("*****XX*1234567893", ""), ["A6:562:85"]),
        (("XX*1679576722", "XX*1679576721"), ["A7:562:82"]),
        (("PI*60054", "PI*99999"), ["A3:116:PR"]),
        (("****MI*XYZ123456789", ""), ["A6:164:IL"]),
        (("XYZ123456789", "XYZ 12.3"), ["A7:164:IL"]),
        (("336010001", "33601"), ["A7:500:85"]),
        (("FL*33601~", "FL*336010~"), ["A7:500:QC"]),
        (("100 CLINIC WAY", "PO BOX 7"), ["A7:503:85"]),
        (("*265***", "*266***"), ["A8:400"]),
        (("ABK:L570", "ABK:L57000001"), ["A7:254"]),
        (("ABF:D485", "ABF:999"), ["A7:255"]),
        (("ABF:D485", "ABF:L570"), ["A8:255"]),
        (("***1:2", "***1:3"), ["A8:477"]),
        (("***1:2", "***1:1"), ["A8:477"]),
        (("HC:17000", "HC:170"), ["A7:454"]),
    ],
)
def test_what_an_edit_finds_sends_the_claim_back(
    x12: Any, desk: Any, change: tuple[str, str], statuses: list[str]
) -> None:
    assert desk.statuses(x12.edited(x12.OFFICE, change)) == statuses
    (entry,) = desk.account.entries
    assert (entry.saved, entry.state) == (False, "rejected")


def test_a_claim_without_ids_is_sent_back_in_a_valid_277ca(x12: Any, desk: Any) -> None:
    text = x12.edited(x12.OFFICE, ("*****XX*1234567893", ""), ("****MI*XYZ123456789", ""))
    assert x12.referee(desk.take(text)["277ca"]) == ""


def test_up_to_three_statuses_and_the_counts_of_both_kinds(x12: Any, desk: Any) -> None:
    text = x12.edited(x12.TWO, ("PI*60054", "PI*99999"), ("XYZ123456789", "X!"), ("*265***", "*266***"))
    report = desk.take(text)["277ca"]
    assert x12.only(report, "STC")[2] == "STC*A3>116>PR*20260305*U*266******A7>164>IL*A8>400"
    amounts = ["AMT*YU*265.5", "AMT*YY*266"]
    counts = ["QTY*90*1", "QTY*AA*1", *amounts, "QTY*QA*1", "QTY*QC*1", *amounts]
    assert x12.only(report, "QTY", "AMT") == counts
    assert [e.saved for e in desk.account.entries] == [False, True]
    assert x12.referee(report) == ""


def test_claims_of_several_billing_providers(x12: Any, desk: Any) -> None:
    second = x12.HEAD[x12.HEAD.index("HL*1") :].replace("HL*1", "HL*5").replace("1234567893", "1245319599")
    more = second + x12.SUBSCRIBER.replace("HL*2*1", "HL*6*5") + x12.CLAIM.replace("GW7F3A91", "GW7F3A93")
    report = desk.take(x12.edited(x12.ISA + x12.HEAD + x12.SUBSCRIBER + x12.CLAIM + x12.CHILD + more + x12.TAIL))[
        "277ca"
    ]
    assert x12.only(report, "HL") == [
        "HL*1**20*1",
        "HL*2*1*21*1",
        "HL*3*2*19*1",
        "HL*4*3*PT",
        "HL*5*3*PT",
        "HL*6*2*19*1",
        "HL*7*6*PT",
    ]
    assert x12.referee(report) == ""


@pytest.mark.parametrize("frequency", ["7", "8"])
def test_a_correction_takes_the_place_of_the_claim_on_file(x12: Any, desk: Any, frequency: str) -> None:
    desk.take(x12.OFFICE)
    (first,) = desk.account.entries
    desk.account.decide(first, [ACCEPTED])
    assert first.payer_control
    changes = (("11:B:1", f"11:B:{frequency}"), ("REF*D9*SUB-1", f"REF*F8*{first.payer_control}~REF*D9*SUB-2"))
    assert desk.statuses(x12.edited(x12.OFFICE, *changes, number="102")) == ["A1:19:PR", "", ""][:1]
    second = desk.account.entries[1]
    assert (first.replaced_by, second.saved, second.claim.frequency) == (second.vendor_id, True, frequency)


def test_a_correction_of_what_is_not_on_file(x12: Any, desk: Any) -> None:
    def corrected(number: str, control: str, *more: tuple[str, str]) -> list[str]:
        found: list[str] = desk.statuses(
            x12.edited(x12.OFFICE, ("11:B:1", "11:B:7"), ("REF*D9", f"{control}REF*D9"), *more, number=number)
        )
        return found

    assert corrected("101", "") == ["A6:464:PR"]
    assert corrected("102", "REF*F8*PCN99999~") == ["A3:464:PR"]
    assert corrected("103", "REF*F8*PCN70001~", ("******CI", "******MB"), ("PI*60054", "PI*00621")) == ["A7:535"]
    assert corrected("104", "REF*F8*PCN70001~") == ["A1:19:PR"]


def test_what_payers_say(x12: Any, desk: Any) -> None:
    desk.take(x12.TWO)
    first, second = desk.account.entries
    events = [desk.account.decide(first, [ACCEPTED]), desk.account.decide(second, [NOT_FOUND])]
    accepted, refused = (answer.text for answer in desk.intake.payer_reports(events))
    assert x12.only(accepted, "NM1")[0] == "NM1*PR*2*SAMPLE HEALTH PLAN*****PI*60054"
    assert x12.only(accepted, "STC", "REF")[2:] == [
        "STC*A2>20>PR*20260305*WQ*265", f"REF*1K*{first.payer_control}", "REF*D9*CH0000001",
    ]  # fmt: skip
    assert x12.only(refused, "NM1")[0] == "NM1*PR*2*HARBOR MUTUAL*****PI*87726"
    assert x12.only(refused, "STC", "REF")[2:] == ["STC*A7>33>IL*20260305*U*265.5", "REF*D9*CH0000002"]
    assert (first.state, second.state) == ("accepted", "rejected")
    for report in (accepted, refused):
        assert x12.referee(report) == ""


def test_other_delimiters_and_an_hl04_for_patients(x12: Any, desk: Any) -> None:
    desk.intake.form = ReplyForm(Delimiters("|", "!", "<", "'"), line_breaks=True)
    desk.intake.patient_children = True
    report = desk.take(x12.OFFICE)["277ca"]
    assert "HL|4|3|PT|0'\n" in report
    assert "STC|A1<19<PR|20260305|WQ|265'\n" in report


def test_the_syntax_answers_are_valid_themselves(x12: Any, desk: Any) -> None:
    wrong = x12.edited(
        x12.TWO, ("DMG*D8*19850615", "DMG*D8*1985"), ("*UN*1*", "*XX*1*"), ("11:B:1", "11:A:1"), ("*0*T*", "*1*T*")
    )
    answers = desk.take(wrong)
    assert len(x12.only(answers["999"], "IK3")) == 3
    refused = desk.take(x12.edited(x12.OFFICE, ("IEA*1*", "IEA*3*"), number="102"))
    assert [x12.referee(text) for text in (*answers.values(), *refused.values())] == ["", "", ""]


@pytest.mark.parametrize(
    ("npi", "valid"), [("1234567893", True), ("1999999984", True), ("1234567890", False), ("3", False)]
)
def test_check_digits(npi: str, valid: bool) -> None:
    assert npi_is_valid(npi) is valid


def test_what_counts_as_a_rejection() -> None:
    assert [c for c in ("A0", "A1", "A2", "A3", "A4", "A6", "A7", "A8") if Status(c, "1").rejects] == [
        "A3", "A4", "A6", "A7", "A8",
    ]  # fmt: skip
