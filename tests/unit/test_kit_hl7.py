"""HL7 v2 syntax: what is written can be read again, and what cannot be read says so without its content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kit.encoders import hl7
from gateway.kit.encoders.hl7 import AckError, Address, NotHl7, Repeated

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30)
HEADER = "MSH|^~\\&|PM|0001|GW|CLINIC|20260304||ACK^P03^ACK|A1|P|2.5.1\r"


@given(TEXT)
def test_escaping_keeps_every_text_and_hides_every_delimiter(text: str) -> None:
    written = hl7.escaped(text)
    assert hl7.unescaped(written) == text
    assert not set(written) & set("|^~&\r\n\x0b\x1c")


@given(st.dictionaries(st.integers(1, 30), TEXT.filter(bool), max_size=8), TEXT.map(str.strip).filter(bool))
def test_what_is_written_is_read_again(fields: dict[int, str], last: str) -> None:
    values = {f"PID-{number}.2": text for number, text in fields.items()} | {"PID-31": last}
    (message,) = hl7.messages(HEADER + hl7.segment("PID", values) + "\r")
    assert {number: message[1].text(number, 2) for number in fields} == fields
    assert message[1].text(31) == last


def test_a_segment_has_no_empty_end() -> None:
    assert (
        hl7.segment("PV1", {"PV1-2": "O", "PV1-3.4": "X", "PV1-9": "", "PV1-10": ("a", "", "")})
        == "PV1||O|^^^X|||||||a"
    )
    assert hl7.segment("PV1", {}) == "PV1"


def test_repetitions_and_components() -> None:
    written = hl7.segment("FT1", {"FT1-19": Repeated((("L57.0", "", "I10"), ("D48.5", "", "I10"))), "FT1-20.1": "1"})
    assert written == "FT1|||||||||||||||||||L57.0^^I10~D48.5^^I10|1"
    (message,) = hl7.messages(HEADER + written)
    assert [message[1].text(19, 1, n) for n in range(3)] == ["L57.0", "D48.5", ""]


def test_the_header_counts_its_separator() -> None:
    written = hl7.segment("MSH", {"MSH-3": "GW", "MSH-9.1": "DFT", "MSH-9.2": "P03"})
    assert written == "MSH|^~\\&|GW||||||DFT^P03"
    (message,) = hl7.messages(written)
    assert (message[0].text(1), message[0].text(3), message[0].text(9, 2)) == ("|", "GW", "P03")


@pytest.mark.parametrize("text", ["PID", "PID-0", "pid-3", "PID-3.0", "PID-3.", "PIDX-3", "PID-3.1.2", "", "PID-1000"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        hl7.address(text)


def test_addresses_read_as_they_are_written() -> None:
    assert hl7.address("ZCL-12.3") == Address("ZCL", 12, 3)
    assert [str(hl7.address(text)) for text in ("PID-5", "PID-5.1")] == ["PID-5", "PID-5.1"]


def test_a_field_is_whole_or_in_components() -> None:
    with pytest.raises(ValueError, match="whole or by single components"):
        hl7.segment("PID", {"PID-5": "whole", "PID-5.1": "part"})


def test_batch_envelopes_are_left_out() -> None:
    text = f"FHS|^~\\&|GW\rBHS|^~\\&|GW\r{HEADER}MSA|AA|1\r\n{HEADER}MSA|AE|2\rBTS|2\rFTS|1\r"
    assert [ack.control_id for ack in hl7.acknowledgments(text)] == ["1", "2"]


@pytest.mark.parametrize("text", ["", "garbage", "<html>", "PID|1\r", "MSH", "MSH|^", "\x00\xff"])
def test_what_is_not_hl7_says_so_without_its_content(text: str) -> None:
    with pytest.raises(NotHl7) as caught:
        hl7.messages(text)
    assert "html" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, HEADER + text, f"{HEADER}MSA|{text}\rERR|{text}\rERR||{text}"):
        try:
            hl7.acknowledgments(candidate)
        except NotHl7:
            continue


def test_errors_of_version_2_5() -> None:
    text = (
        HEADER
        + "MSA|AE|GW-D\rERR||FT1^2^20^1^3|204^Unknown key^HL70357|E|X17||diag|DOE, JANE not on file\rERR||PID^1^3|101|W"
    )
    (ack,) = hl7.acknowledgments(text)
    assert (ack.code, ack.control_id, ack.own_id) == ("AE", "GW-D", "A1")
    assert ack.errors == (AckError("FT1", 2, 20, 3, "204", "E", "X17"), AckError("PID", 1, 3, 0, "101", "W"))


def test_errors_of_older_versions() -> None:
    (ack,) = hl7.acknowledgments(HEADER + "MSA|AE|GW-D|JANE DOE unknown\rERR|FT1^2^20^204&Unknown key~PID^1^3^101&x")
    assert ack.errors == (AckError("FT1", 2, 20, code="204"), AckError("PID", 1, 3, code="101"))
    (short,) = hl7.acknowledgments(HEADER + "MSA|AR|GW-D|text|||207^Internal error")
    assert short.errors == (AckError(code="207"),)


def test_other_delimiters_are_those_of_the_header() -> None:
    (message,) = hl7.messages("MSH*:~\\&*PM*0001\rPID*1**MRN:::X~B\r")
    assert (message[1].text(3, 4), message[1].text(3, 1, 1)) == ("X", "B")


def test_a_text_broken_into_lines_costs_nothing_else() -> None:
    (ack,) = hl7.acknowledgments(HEADER + "MSA| AE |GW-D |JANE DOE\nis not on file\rERR||PID^1^3|204|E\r")
    assert (ack.code, ack.control_id, ack.errors[0].code) == ("AE", "GW-D", "204")
