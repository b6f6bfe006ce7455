"""athenahealth's values, in each type in which they come."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ehr.athenahealth import values

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.dates(date(1000, 1, 1), date(9999, 12, 31)))
def test_a_date_survives_the_way_there_and_back(day: date) -> None:
    assert values.day(values.mdy(day)) == day
    assert values.iso_day(values.mdy(day)) == day.isoformat()


@given(ANY)
def test_any_value_is_read_without_an_exception(value: Any) -> None:
    assert isinstance(values.text(value), str)
    assert isinstance(values.flag(value), bool)
    assert isinstance(values.rank(value), int)
    assert values.day(value) is None or isinstance(values.day(value), date)
    assert values.moment(value) is None or isinstance(values.moment(value), datetime)


@pytest.mark.parametrize(
    ("value", "read"), [(162, "162"), (" 162 ", "162"), (Decimal("1.5"), "1.5"), (True, ""), (None, ""), ([1], "")]
)
def test_ids_are_text_or_numbers(value: Any, read: str) -> None:
    assert values.text(value) == read


@pytest.mark.parametrize("value", [True, "true", "TRUE", " True ", "1", 1, "Y"])
def test_true_in_all_its_spellings(value: Any) -> None:
    assert values.flag(value)


@pytest.mark.parametrize("value", [False, "false", "", None, 0, "0", "N", [], "maybe"])
def test_anything_else_is_not_true(value: Any) -> None:
    assert not values.flag(value)


@pytest.mark.parametrize(
    ("value", "rank"),
    [
        (1, 1),
        ("2", 2),
        (0, values.LAST),
        ("0", values.LAST),
        (None, values.LAST),
        (-1, values.LAST),
        (True, values.LAST),
    ],
)
def test_a_place_that_is_missing_or_zero_is_the_last(value: Any, rank: int) -> None:
    assert values.rank(value) == rank


def test_a_moment_is_in_eastern_time() -> None:
    assert values.moment("03/03/2026 10:12:44") == datetime(2026, 3, 3, 15, 12, 44, tzinfo=UTC)
    assert values.moment("07/03/2026 10:12:44") == datetime(2026, 7, 3, 14, 12, 44, tzinfo=UTC)


def test_a_date_may_have_a_time_behind_it() -> None:
    assert values.day("03/03/2026 10:12:44") == date(2026, 3, 3)
