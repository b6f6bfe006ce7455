"""The envelope: delimiters from the ISA, counts and control numbers, and the TA1 that answers."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.billing.x12_837p.simulator.envelope import read_interchanges


def test_a_good_interchange_is_read_by_its_own_delimiters(x12: Any) -> None:
    other = x12.OFFICE.replace("*", "|").replace(":", "<").replace("^", "!").replace("~", "'\r\n")
    for text in (x12.OFFICE, other, x12.OFFICE.replace("~", "~\n")):
        (read,) = read_interchanges(text)
        assert (read.problem, read.control_number, read.parties) == ("000", "000000101", ("GWSUBMIT", "CLRHOUSE"))
        (group,) = read.groups
        (transaction,) = group.transactions
        assert group.problems == transaction.problems == []
        assert (transaction.kind, transaction.number) == ("837", "0001")
        assert transaction.segments[1].elements[2] == "BATCH101"


def test_several_interchanges_in_one_file_even_when_one_is_cut_off(x12: Any) -> None:
    second = x12.edited(x12.OFFICE, number="102")
    cut = x12.edited(x12.OFFICE, number="103")[:-30]
    read = read_interchanges(f"{x12.OFFICE}\r\n{second}{cut}")
    assert [(each.control_number[-3:], each.problem) for each in read] == [
        ("101", "000"),
        ("102", "000"),
        ("103", "023"),
    ]


def test_text_that_is_no_x12_is_not_answered(desk: Any) -> None:
    for text in ("", "hello", '{"claim": []}'):
        assert desk.take(text) == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("GWSUBMIT       *ZZ", "GWSUBMIT*ZZ"), "022"),  # the header is not 106 characters wide
        (("*^*00501*", "*:*00501*"), "026"),
        (("*ZZ*GWSUBMIT ", "*XX*GWSUBMIT "), "005"),
        (("*ZZ*CLRHOUSE ", "*99*CLRHOUSE "), "007"),
        (("*ZZ*GWSUBMIT ", "*ZZ*STRANGER "), "006"),
        (("*ZZ*CLRHOUSE ", "*ZZ*ELSEWHER "), "009"),
        (("ISA*00*", "ISA*99*"), "010"),
        (("*260304*1412*^", "*261304*1412*^"), "014"),
        (("*260304*1412*^", "*260304*2561*^"), "015"),
        (("*00501*", "*00401*"), "017"),
        (("*000000101*0*T", "*00000A101*0*T"), "018"),
        (("*0*T*:", "*2*T*:"), "019"),
        (("*0*T*:", "*0*Q*:"), "020"),
        (("IEA*1*", "IEA*2*"), "021"),
        (("GE*1*101~", ""), "022"),
        (("GS*HC", "XX*1~GS*HC"), "022"),
        (("IEA*1*000000101~", ""), "023"),
        (("IEA*1*000000101", "IEA*1*000000999"), "001"),
    ],
)
def test_a_broken_envelope_is_refused_whole(x12: Any, desk: Any, change: tuple[str, str], code: str) -> None:
    answers = desk.take(x12.edited(x12.OFFICE, change, count=False))
    assert list(answers) == ["ta1"]
    (line,) = x12.only(answers["ta1"], "TA1")
    assert line.split("*")[4:] == ["R", code]
    assert desk.account.entries == []


def test_a_ta1_is_given_when_it_is_wanted(x12: Any, desk: Any) -> None:
    assert "ta1" not in desk.take(x12.OFFICE)
    answers = desk.take(x12.edited(x12.OFFICE, ("*0*T*:", "*1*T*:"), number="102"))
    assert x12.only(answers["ta1"], "TA1") == ["TA1*000000102*260304*1412*A*000"]
    assert answers["ta1"][:106].split("*")[6].strip() == "CLRHOUSE"
    assert sorted(answers) == ["277ca", "999", "ta1"]


def test_a_control_number_is_taken_once(x12: Any, desk: Any) -> None:
    assert sorted(desk.take(x12.OFFICE)) == ["277ca", "999"]
    answers = desk.take(x12.OFFICE)
    assert x12.only(answers.pop("ta1"), "TA1") == ["TA1*000000101*260304*1412*R*025"]
    assert answers == {}
    assert len(desk.account.entries) == 1


def test_a_refused_interchange_may_use_its_number_again(x12: Any, desk: Any) -> None:
    desk.take(x12.edited(x12.OFFICE, ("IEA*1", "IEA*2")))
    assert sorted(desk.take(x12.OFFICE)) == ["277ca", "999"]
