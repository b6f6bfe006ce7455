"""The parser and the writer, which one table drives."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.billing.kareo_tebra.simulator.parser import read
from adapters.billing.kareo_tebra.simulator.replies import stamp, write
from adapters.billing.kareo_tebra.simulator.schema import SLASH
from adapters.billing.kareo_tebra.simulator.types import SCHEMA


def test_every_type_lists_its_own_members_in_ordinal_order_once() -> None:
    for shape in SCHEMA.shapes.values():
        names = [member.name for member in shape.own]
        assert names == sorted(set(names)), shape.name


@given(st.permutations(["CustomerKey", "Password", "User", "Unknown"]))
def test_reading_keeps_exactly_the_members_that_do_not_step_back(names: list[str]) -> None:
    element = etree.fromstring(
        f'<h xmlns="{SLASH}">{"".join(f"<{name}>{name}</{name}>" for name in names)}</h>'.encode()
    )
    kept, position = [], 0
    for name in names:
        place = SCHEMA.shapes["RequestHeader"].columns.index(name) if name != "Unknown" else -1
        if place >= position:
            kept.append(name)
            position = place + 1
    assert read(SCHEMA.shapes["RequestHeader"], element) == {name: name for name in kept}


@given(st.dictionaries(st.sampled_from(SCHEMA.shapes["PatientIdentifierReq"].columns), st.text("ab<&>é ", max_size=5)))
def test_what_is_written_in_any_order_reads_back(values: dict[str, str]) -> None:
    shape = SCHEMA.shapes["PatientIdentifierReq"]
    element = etree.fromstring(f'<p xmlns="{SLASH}">{write(shape, values)}</p>'.encode())
    assert read(shape, element) == values


def test_rows_print_dates_month_first_with_twelve_hours() -> None:
    assert stamp(datetime(2026, 3, 4, tzinfo=UTC)) == "3/4/2026 12:00:00 AM"
    assert stamp(datetime(2026, 12, 14, 13, 5, 9, tzinfo=UTC)) == "12/14/2026 1:05:09 PM"
