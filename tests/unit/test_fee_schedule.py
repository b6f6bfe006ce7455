"""The fee schedule: the price on the date of service, and every mistake of the file by line and column."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical.errors import ConfigurationError
from gateway.canonical.fee_schedule import Fee, FeeSchedule, parse_fee_schedule

FILE = """\
code,modifiers,fee,effective_from,effective_to
99213,,120.00,2025-01-01,2025-12-31
99213,,125.50,2026-01-01,
93000,,48.00,2026-01-01,
93000,26,19.25,2026-01-01,
93000,TC,28.75,2026-01-01,
J3301,,2.105,2026-01-01,
"""
MARCH = date(2026, 3, 3)


def mistake(text: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        parse_fee_schedule(text, "fees.csv")
    assert raised.value.remedy
    return f"{raised.value.where}: {raised.value.problem}"


@pytest.mark.parametrize(
    ("code", "modifiers", "on", "price"),
    [
        ("99213", (), date(2025, 12, 31), "120.00"),
        ("99213", (), date(2026, 1, 1), "125.50"),
        ("99213", ("25",), MARCH, "125.50"),
        ("93000", (), MARCH, "48.00"),
        ("93000", ("26",), MARCH, "19.25"),
        ("93000", ("59", "26"), MARCH, "19.25"),
        ("93000", ("TC", "26"), MARCH, "28.75"),
        ("J3301", ("JZ",), MARCH, "2.105"),
    ],
)
def test_the_price_is_that_of_the_date_and_the_modifiers(
    code: str, modifiers: tuple[str, ...], on: date, price: str
) -> None:
    assert str(parse_fee_schedule(FILE, "fees.csv").price(code, modifiers, on)) == price


@pytest.mark.parametrize(("code", "on"), [("99214", MARCH), ("99213", date(2024, 12, 31))])
def test_a_code_without_a_fee_on_that_date_has_no_price(code: str, on: date) -> None:
    assert parse_fee_schedule(FILE, "fees.csv").price(code, (), on) is None


def test_a_spreadsheets_file_is_read() -> None:
    text = '\ufeffFee ,Code,effective_from\r\n"7.5", g2211 ,2026-01-01\r\n,,\r\n'
    assert parse_fee_schedule(text, "fees.csv").price("G2211", (), MARCH) == Decimal("7.5")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("modifiers", "modifier", "fees.csv:1 column 2: 'modifier' is not a known column."),
        ("code,modifiers", "code,code", "fees.csv:1 column 2: code is there twice."),
        ("effective_from", "effective_to", "fees.csv:1 column 5: effective_to is there twice."),
        ("120.00", "$120.00", "fees.csv:2 fee: is not an amount in dollars."),
        ("120.00", "-1.00", "fees.csv:2 fee: is not an amount in dollars."),
        ("120.00", '"1,200.00"', "fees.csv:2 fee: is not an amount in dollars."),
        ("120.00", "", "fees.csv:2 fee: is not an amount in dollars."),
        ("120.00", "NaN", "fees.csv:2 fee: is not an amount in dollars."),
        ("J3301", "3301", "fees.csv:7 code: is not a CPT or HCPCS code."),
        ("26,19.25", "2,19.25", "fees.csv:5 modifiers: does not hold procedure modifiers."),
        ("26,19.25", "26 26,19.25", "fees.csv:5 modifiers: does not hold procedure modifiers."),
        ("2025-01-01", "1/1/2025", "fees.csv:2 effective_from: is not a date."),
        ("2025-01-01", "2025-02-30", "fees.csv:2 effective_from: is not a date."),
        ("2025-01-01", "2025-W01-1", "fees.csv:2 effective_from: is not a date."),
        ("2025-01-01", "", "fees.csv:2 effective_from: is empty."),
        ("2025-12-31", "2024-12-31", "fees.csv:2 effective_to: is before effective_from."),
        ("2025-12-31", "2026-01-01", "fees.csv:3 effective_from: its time overlaps that of line 2"),
        ("2025-12-31", "", "fees.csv:3 effective_from: its time overlaps that of line 2"),
        ("99213,,120.00", "99213,120.00", "fees.csv:2: has 4 cells under 5 columns."),
        ("99213,,120.00", '99213,"x"y,120.00', "fees.csv:2: is not CSV here."),
    ],
)
def test_each_mistake_is_told_by_line_and_column(old: str, new: str, told: str) -> None:
    assert mistake(FILE.replace(old, new, 1)).startswith(told)


@pytest.mark.parametrize("text", ["", "code,fee\n99213,1\n"])
def test_a_missing_column_is_told(text: str) -> None:
    assert "is missing" in mistake(text)


def test_fees_of_other_modifiers_do_not_overlap() -> None:
    text = (
        "code,modifiers,fee,effective_from\n93000,26,1,2026-01-01\n93000,26 59,2,2026-01-01\n93000,59 26,3,2026-01-01\n"
    )
    assert mistake(text).startswith("fees.csv:4")
    assert len(parse_fee_schedule(text.rpartition("93000")[0], "fees.csv")) == 2


@given(text=st.text(alphabet='code,fevit_rmn\n"9213.0-|\r\x00', max_size=120))
def test_a_file_is_read_or_refused_with_a_place(text: str) -> None:
    for whole in (text, f"code,fee,effective_from\n{text}"):
        try:
            parse_fee_schedule(whole, "fees.csv")
        except ConfigurationError as problem:
            assert problem.where.startswith("fees.csv:")


days = st.integers(0, 2000).map(lambda n: date(2024, 1, 1) + timedelta(days=n))


@given(first=days, second=days, on=days, modifiers=st.permutations(["26", "59", "TC"]))
def test_the_price_does_not_depend_on_the_order_of_the_fees(
    first: date, second: date, on: date, modifiers: list[str]
) -> None:
    fees = [
        Fee("93000", Decimal(1), frozenset({"26"}), start=first),
        Fee("93000", Decimal(2), frozenset({"59", "TC"}), end=second),
        Fee("93000", Decimal(3)),
        Fee("93000", Decimal(4), frozenset({"59"}), start=first, end=second),
    ]
    found = {FeeSchedule(order).price("93000", modifiers, on) for order in (fees, fees[::-1])}
    assert len(found) == 1
    assert None not in found
