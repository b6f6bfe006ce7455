"""The 999: what the guide asks of loops, segments and elements."""

from __future__ import annotations

from typing import Any

import pytest

DTP_439 = "DTP*439*D8*20260301~"


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (
            ("REF*D9", "DTP*431*D8*20260201~DTP*435*D8*20260301~AMT*F5*20~REF*G1*A1~REF*EA*7~REF*D9"),
            ("HI*", "NTE*ADD*A~HI*"),
        ),
        (("REF*D9*SUB-1", "REF*G1*A1~REF*D9*SUB-1~REF*9F*R1"),),  # the order of REFs is free
        (("*11:B:1*Y*A*Y*Y", "*11:B:1*Y*A*Y*Y**AA:::FL"), ("REF*D9", f"{DTP_439}REF*D9")),
        (("*11:B:1*", "*21:B:1*"), ("REF*D9", "DTP*435*D8*20260301~DTP*096*D8*20260305~REF*D9")),
        (("DTP*472*D8*20260303", "DTP*472*RD8*20260303-20260304"),),
        (("NM1*82*1*SMITH", "NM1*DN*1*REED*BETH****XX*1245319599~NM1*82*1*SMITH"),),
        (("NM1*82*1*SMITH", "NM1*77*2*BAYSIDE*****XX*1447331103~N3*5 BAY~N4*TAMPA*FL*336060005~NM1*82*1*SMITH"),),
        (("LX*1", "SBR*S*18*******MB~OI***Y***Y~NM1*IL*1*DOE*JANE****MI*1EG4~NM1*PR*2*MEDICARE*****PI*00621~LX*1"),),
        (("REF*6R*GW7F3A91L1", "REF*6R*GW7F3A91L1~NTE*ADD*X~LIN**N4*00003029305~CTP****1.5*ML"),),
        (("LX*2", "NM1*82*1*HALE*NORA****XX*1881018208~PRV*PE*PXC*363A00000X~LX*2"),),
        (("LX*2", "NM1*DK*1*HALE*NORA****XX*1881018208~SVD*00621*20*HC:99213**1~CAS*PR*2*5~DTP*573*D8*20260304~LX*2"),),
        (("*145*UN*1*", "*145*MJ*30*"),),
    ],
)
def test_what_is_right_is_accepted(x12: Any, desk: Any, changes: tuple[tuple[str, str], ...]) -> None:
    text = x12.edited(x12.OFFICE, *changes)
    answers = desk.take(text)
    assert x12.only(answers["999"], "IK3", "IK4", "IK5", "AK9") == ["IK5*A", "AK9*A*1*1*1"]
    assert len(desk.account.entries) == 1
    assert x12.referee(text) == ""


def test_two_subscribers_of_whom_one_has_a_child(x12: Any, desk: Any) -> None:
    answers = desk.take(x12.TWO)
    assert x12.only(answers["999"], "IK3", "IK5") == ["IK5*A"]
    assert [entry.claim.account for entry in desk.account.entries] == ["GW7F3A91", "GW7F3A92"]
    child = desk.account.entries[1].claim
    assert (child.patient.given, child.member_id, child.payer_id) == ("TESS", "XYZ555", "87726")
    assert x12.referee(x12.TWO) == ""


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        # segments
        (("REF*EI*123456789~", ""), ["IK3*REF*11*2010*3"]),
        (("NM1*PR*2*SAMPLE HEALTH PLAN*****PI*60054~", ""), ["IK3*NM1*18*2010*3"]),
        (("HI*ABK", "FOO*1~HI*ABK"), ["IK3*FOO*21*2300*1", "CTX*CLM01:GW7F3A91"]),
        (("HI*ABK", "PAT*01~HI*ABK"), ["IK3*PAT*21*2300*2", "CTX*CLM01:GW7F3A91"]),
        (("LX*1", "REF*G1*A1~LX*1"), ["IK3*REF*24*2310*8", "CTX*CLM01:GW7F3A91", "IK4*1*128*7*G1"]),
        (("HI*ABK:L570*ABF:D485~", "HI*ABK:L570*ABF:D485~AMT*F5*20~"), ["IK3*AMT*22*2300*7", "CTX*CLM01:GW7F3A91"]),
        (("REF*D9*SUB-1", "REF*D9*SUB-1~REF*D9*SUB-2"), ["IK3*REF*21*2300*5", "CTX*CLM01:GW7F3A91"]),
        (("DTP*472*D8*20260303~", ""), ["IK3*DTP*26*2400*3", "CTX*CLM01:GW7F3A91"]),
        (("NM1*82*1*SMITH", "NM1*82*1*HALE~NM1*82*1*SMITH"), ["IK3*NM1*23*2300*4", "CTX*CLM01:GW7F3A91"]),
        (("REF*D9", "REF*ZZ*1~REF*D9"), ["IK3*REF*20*2300*8", "CTX*CLM01:GW7F3A91", "IK4*1*128*7*ZZ"]),
        # elements
        (("N3*100 CLINIC WAY", "N3**100 CLINIC WAY"), ["IK3*N3*9*2010*8", "IK4*1*166*1"]),
        (("*XX*1234567893", "*24*1234567893"), ["IK3*NM1*8*2010*8", "IK4*8*66*7*24"]),
        (("*XX*1234567893", "*XX"), ["IK3*NM1*8*2010*8", "IK4*9*67*2"]),
        (("19850615", "19850635"), ["IK3*DMG*17*2010*8", "IK4*2*1251*8*19850635"]),
        (("*BATCH101*20260304*1412", "*BATCH101*20260304*2512"), ["IK3*BHT*2**8", "IK4*5*337*9*2512"]),
        (("*FL*33601~", "*FL*33~"), ["IK3*N4*16*2010*8", "IK4*3*116*4"]),
        (("DOE*JANE", f"{'D' * 61}*JANE"), ["IK3*NM1*14*2010*8", f"IK4*3*1035*5*{'D' * 61}"]),
        (("DOE*JANE", "DÖE*JANE"), ["IK3*NM1*14*2010*8", "IK4*3*1035*6*DÖE"]),
        (("DOE*JANE", " DOE*JANE"), ["IK3*NM1*14*2010*8", "IK4*3*1035*6* DOE"]),
        (("*265***", "*265.50***"), ["IK3*CLM*19*2300*8", "CTX*CLM01:GW7F3A91", "IK4*2*782*6*265.50"]),
        (("*265***", "*0265***"), ["IK3*CLM*19*2300*8", "CTX*CLM01:GW7F3A91", "IK4*2*782*6*0265"]),
        (("11:B:1*", "11:A:1*"), ["IK3*CLM*19*2300*8", "CTX*CLM01:GW7F3A91", "IK4*5:2**7*A"]),
        (("11:B:1*", "11:B:5*"), ["IK3*CLM*19*2300*8", "CTX*CLM01:GW7F3A91", "IK4*5:3**7*5"]),
        (("DMG*D8*19850615*F", "DMG*D8*19850615*F*M"), ["IK3*DMG*17*2010*8", "IK4*4**3"]),
        (("HL*1**20*1", "HL*1*7*20*1"), ["IK3*HL*6*2000*8", "IK4*2*734*I10"]),
        (("N4*TAMPA*FL*33601~", "N4*TAMPA*FL*33601*~"), ["IK3*N4*16*2010*8", "IK4*4*26*3"]),
        (("99213:25", "99213:25:::::::1"), ["IK3*SV1*25*2400*8", "CTX*CLM01:GW7F3A91", "IK4*1:8**3"]),
        (("***1:2~", "~"), ["IK3*SV1*25*2400*8", "CTX*CLM01:GW7F3A91", "IK4*7**1"]),
        (("*UN*1*", "*XX*1*"), ["IK3*SV1*25*2400*8", "CTX*CLM01:GW7F3A91", "IK4*3*355*7*XX"]),
        (
            ("D8*20260303", "RD8*20260303-20260301"),
            ["IK3*DTP*26*2400*8", "CTX*CLM01:GW7F3A91", "IK4*3*1251*8*20260303-20260301"],
        ),
        # what another value asks for
        (("DMG*D8*19850615*F~", ""), ["IK3*DMG*14*2010*I6", "CTX*CLM01:GW7F3A91"]),
        (("SBR*P*18*", "SBR*P**"), ["IK3*SBR*13*2000*8", "IK4*2*1069*I9"]),
        (("HL*2*1*22*0", "HL*3*1*22*0"), ["IK3*HL*12*2000*8", "IK4*1*628*7*3"]),
        (("HL*2*1*22*0", "HL*2*2*22*0"), ["IK3*HL*12*2000*8", "IK4*2*734*7*2"]),
        (("HL*2*1*22*0", "HL*2*1*22*1"), ["IK3*HL*12*2000*8", "IK4*4*736*7*1"]),
        (("LX*2", "LX*3"), ["IK3*LX*28*2400*8", "CTX*CLM01:GW7F3A91", "IK4*1*554*7*3"]),
        (("*Y*Y~REF", "*Y*Y**OA~REF"), ["IK3*DTP*19*2300*I6", "CTX*CLM01:GW7F3A91"]),
        (("*Y*Y~REF", f"*Y*Y**AA~{DTP_439}REF"), ["IK3*CLM*19*2300*8", "CTX*CLM01:GW7F3A91", "IK4*11:4**I9"]),
        (("*11:B:1*", "*21:B:1*"), ["IK3*DTP*19*2300*I6", "CTX*CLM01:GW7F3A91"]),
    ],
)
def test_what_is_wrong_is_refused_and_named(x12: Any, desk: Any, change: tuple[str, str], lines: list[str]) -> None:
    answers = desk.take(x12.edited(x12.OFFICE, change))
    assert x12.only(answers["999"], "IK3", "CTX", "IK4") == lines
    assert x12.only(answers["999"], "IK5", "AK9") == ["IK5*R*5", "AK9*R*1*1*0"]
    assert list(answers) == ["999"]
    assert desk.account.entries == []


def test_no_more_than_fifty_lines(x12: Any, desk: Any) -> None:
    more = "".join(f"LX*{n}~SV1*HC:17000*1*UN*1***1~DTP*472*D8*20260303~" for n in range(3, 52))
    text = x12.edited(x12.OFFICE, ("REF*6R*GW7F3A91L2~", f"REF*6R*GW7F3A91L2~{more}"), ("*265*", "*314*"))
    assert x12.only(desk.take(text)["999"], "IK3")[0].split("*")[1:5:3] == ["LX", "4"]


def test_no_more_than_twelve_diagnoses_in_one_segment(x12: Any, desk: Any) -> None:
    more = "".join(f"*ABF:L57{n}" for n in range(12))
    answers = desk.take(x12.edited(x12.OFFICE, ("*ABF:D485", more)))
    assert "IK4*13**3" in x12.only(answers["999"], "IK4")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (("SE*32", "SE*33"), ["IK5*R*4", "AK9*R*1*1*0"]),
        (("ST*837*0001", "ST*837*0002"), ["IK5*R*3", "AK9*R*1*1*0"]),
        (("GE*1*", "GE*2*"), ["IK5*A", "AK9*R*2*1*0*5"]),
        (("GE*1*101", "GE*1*102"), ["IK5*A", "AK9*R*1*1*0*4"]),
        (("X*005010X222A1~ST", "X*005010X222~ST"), ["IK5*A", "AK9*R*1*1*0*2"]),
        (("GS*HC", "GS*HP"), ["IK5*A", "AK9*R*1*1*0*1"]),
    ],
)
def test_counts_and_numbers_of_groups_and_transactions(
    x12: Any, desk: Any, change: tuple[str, str], lines: list[str]
) -> None:
    answers = desk.take(x12.edited(x12.OFFICE, change, count=False))
    assert x12.only(answers["999"], "IK5", "AK9") == lines
    assert list(answers) == ["999"]
    assert desk.account.entries == []


def test_one_bad_transaction_leaves_the_other_alone(x12: Any, desk: Any) -> None:
    whole = x12.OFFICE
    first = whole[whole.index("ST*837") : whole.index("GE*1")]
    second = first.replace("*0001", "*0002").replace("DMG*D8*19850615*F", "DMG*D8*1985*F").replace("91", "95")
    answers = desk.take(whole.replace(first, first + second).replace("GE*1*", "GE*2*"))
    assert x12.only(answers["999"], "AK2", "IK5", "AK9") == [
        "AK2*837*0001*005010X222A1", "IK5*A", "AK2*837*0002*005010X222A1", "IK5*R*5", "AK9*P*2*2*1",
    ]  # fmt: skip
    assert [entry.claim.account for entry in desk.account.entries] == ["GW7F3A91"]
    assert x12.referee(answers["999"]) == ""


def test_two_transactions_may_not_have_one_number(x12: Any, desk: Any) -> None:
    whole = x12.OFFICE
    first = whole[whole.index("ST*837") : whole.index("GE*1")]
    answers = desk.take(whole.replace(first, first + first).replace("GE*1*", "GE*2*"))
    assert x12.only(answers["999"], "IK5") == ["IK5*R*23", "IK5*R*23"]
