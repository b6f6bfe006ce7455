"""The X12 encoder: data that is safe to write, envelopes that count right, and a reader that trusts only the ISA."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kit.encoders import x12

MADE_AT = datetime(2026, 3, 4, 14, 12, tzinfo=UTC)
ENVELOPE = x12.Envelope("GWSUBMIT", "CLRHOUSE", "HC", "005010X222A1", usage="T")
ALLOWED = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"&'()+,-./;?=")


def written(control_number: int = 101, *bodies: str) -> str:
    sets = [x12.transaction_set("837", f"{n:04d}", "005010X222A1", body) for n, body in enumerate(bodies, start=1)]
    return ENVELOPE.interchange(control_number, MADE_AT, sets)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Quillfeather", "QUILLFEATHER"),
        ("  two   blanks\r\nand a line ", "TWO BLANKS AND A LINE"),
        ("Åsa Peñaloza-Müller", "ASA PENALOZA-MULLER"),
        ("Łukasz Straße Ærø", "LUKASZ STRASSE AERO"),
        ("D’Amato “Rosa”", 'D\'AMATO "ROSA"'),
        ("a*b~c:d^e", "A B C D E"),
        ("50% at 10:30 #4", "50 PCT AT 10 30 4"),
        ("a_b [c] {d} e|f\\g", "A-B (C) (D) E/F/G"),
        ("", ""),
    ],
)
def test_text(value: str, expected: str) -> None:
    assert x12.text(value) == expected


@pytest.mark.parametrize("value", ["李", "Анна", "ok 🙂"])
def test_letters_of_other_scripts_are_refused_instead_of_lost(value: str) -> None:
    with pytest.raises(x12.NotInCharacterSet) as refusal:
        x12.text(value)
    assert value not in str(refusal.value)


@given(st.text())
def test_text_never_holds_a_delimiter(value: str) -> None:
    try:
        found = x12.text(value)
    except x12.NotInCharacterSet:
        return
    assert set(found) <= ALLOWED
    assert found == found.strip()
    assert "  " not in found
    assert x12.text(found) == found


def test_identifiers_are_kept_or_refused() -> None:
    assert x12.exact(" ga-2207715 ") == "GA-2207715"
    for changed in ("A*B", "A_B", "A:1", "Ä1", "A~"):
        with pytest.raises(x12.NotInCharacterSet):
            x12.exact(changed)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("265.00", "265"),
        ("72.50", "72.5"),
        ("0.50", ".5"),
        ("0.00", "0"),
        ("-0", "0"),
        ("-0.50", "-.5"),
        ("1E+3", "1000"),
        ("2.105", "2.105"),
    ],
)
def test_amount(value: str, expected: str) -> None:
    assert x12.amount(Decimal(value)) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_an_amount_is_the_same_number(value: Decimal) -> None:
    found = x12.amount(value)
    assert Decimal(found) == value
    assert not found.lstrip("-").startswith("0") or found == "0"
    assert "E" not in found


def test_segments_and_composites_end_with_their_last_value() -> None:
    assert x12.segment(("N3", "1 MAIN ST", "", "")) == "N3*1 MAIN ST~"
    assert x12.composite(("AA", "", "", "FL", "")) == "AA:::FL"
    assert x12.day("2026-03-04T10:00:00-05:00") == "20260304"


def test_the_envelope_counts() -> None:
    content = written(101, "BHT*0019~", "BHT*0019~CLM*1~")
    assert content.index("~") == 105
    segments = content.split("~")
    assert segments[0][90:99] == "000000101"
    assert segments[1] == "GS*HC*GWSUBMIT*CLRHOUSE*20260304*1412*101*X*005010X222A1"
    assert [s for s in segments if s.startswith("SE")] == ["SE*3*0001", "SE*4*0002"]
    assert segments[-3:] == ["GE*2*101", "IEA*1*000000101", ""]


def test_ids_that_would_break_the_fixed_width_are_refused() -> None:
    with pytest.raises(ValueError, match="106"):
        x12.Envelope("A" * 16, "B", "HC", "V").interchange(1, MADE_AT, [])


def other(content: str, element: str, component: str, terminator: str) -> str:
    return content.translate(str.maketrans({"*": element, ":": component, "~": terminator}))


@pytest.mark.parametrize(("element", "component", "terminator"), [("*", ":", "~"), ("|", ">", "\n"), ("+", "<", "'")])
def test_delimiters_are_read_from_the_header(element: str, component: str, terminator: str) -> None:
    content = other(written(7, "STC*A1:19:PR~"), element, component, terminator)
    [found] = x12.interchanges(content.encode())
    assert found.complete
    assert (found.sender, found.control_number) == ("GWSUBMIT", "000000007")
    [(functional_id, segments)] = found.transactions()
    assert functional_id == "HC"
    assert [s[0] for s in segments] == ["ST", "STC"]
    assert found.parts(x12.element(segments[1], 1)) == ["A1", "19", "PR"]
    assert x12.element(segments[1], 9) == ""


def test_several_interchanges_with_line_breaks_and_different_delimiters() -> None:
    first = written(1, "BHT*0019~").replace("~", "~\r\n")
    second = other(written(2, "BHT*0019~"), "|", ">", "!")
    found = x12.interchanges(f"\ufeff\n{first}\n\n{second}\n".encode())
    assert [(f.control_number, f.complete, f.component) for f in found] == [
        ("000000001", True, ":"),
        ("000000002", True, ">"),
    ]


def test_a_cut_off_interchange_hurts_no_other() -> None:
    cut = written(1, "BHT*0019~")[:-20]
    found = x12.interchanges((cut + written(2, "BHT*0019~")).encode())
    assert [(f.control_number, f.complete) for f in found] == [("000000001", False), ("000000002", True)]


def test_a_trailer_of_another_interchange_is_no_end() -> None:
    content = written(1, "BHT*0019~").replace("IEA*1*000000001", "IEA*1*000000009")
    assert not x12.interchanges(content.encode())[0].complete


@given(st.integers(0, 400))
def test_wherever_a_file_ends_it_is_read_or_refused(length: int) -> None:
    content = written(1, "BHT*0019*00*B~CLM*1*265***11:B:1~")
    try:
        found = x12.interchanges(content[:length].encode())
    except x12.NotX12:
        assert length < 106
        return
    assert found[0].complete == (length >= len(content))


@pytest.mark.parametrize("data", [b"", b"ISA*00", b"<html/>", b"\x00\xff garbage", b'{"json": 1}', b"ISA" * 50])
def test_not_x12(data: bytes) -> None:
    with pytest.raises(x12.NotX12):
        x12.interchanges(data)


def test_bytes_that_are_no_utf8_are_read_as_latin_1() -> None:
    content = written(1, "NM1*QC*1*X~").encode().replace(b"*X~", b"*M\xfcller~")
    [(_, segments)] = x12.interchanges(content)[0].transactions()
    assert segments[1][3] == "Müller"
