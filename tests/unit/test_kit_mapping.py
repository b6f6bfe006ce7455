"""The mapping path evaluator: its meaning by example, and that no data makes it fail."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical.errors import MappingError
from gateway.kit.mapping import Row, apply, first

PATIENT = {
    "name": [{"use": "usual", "family": "B"}, {"use": "official", "family": "A", "given": ["X", "Y"]}],
    "identifier": [
        {"system": "urn:a", "type": {"coding": [{"code": "MR"}]}, "value": "007"},
        {"system": "urn:b", "value": "0"},
    ],
    "active": False,
    "multiple": 0,
    "empty": {"text": "", "list": []},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Patient.name.family", "B"),
        ("Patient.name[1].family", "A"),
        ("Patient.name[1].given[1]", "Y"),
        ("Patient.name[7].family", None),
        ("Patient.name.given", "X"),  # the first name that has one
        ("Patient.name.where(use='official').family", "A"),
        ("Patient.name.where(use='none').family | Patient.name.family", "B"),
        ("Patient.identifier.where(type.coding.code='MR').value", "007"),
        ("Patient.identifier.where(system='urn:b').value", "0"),
        ("Patient.empty.text | Patient.empty.list | Patient.active", False),
        ("Patient.multiple", 0),
        ("Patient.active.deeper", None),
        ("Nobody.name", None),
    ],
)
def test_a_path_means_what_it_says(path: str, value: Any) -> None:
    assert first(path, {"Patient": PATIENT}) == value


def test_a_path_that_is_not_one_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="not a mapping path"):
        first("Patient.name.first()!", {"Patient": PATIENT})


def test_an_absent_value_is_left_out_and_a_required_one_is_named() -> None:
    rows = [Row("a", "Patient.name.family"), Row("b", "Patient.nothing")]
    assert apply(rows, {"Patient": PATIENT}) == {"a": "B"}
    needed = Row("c", "Patient.birthDate | Patient.born", required=True, note="has no birth date", fix="Enter it.")
    with pytest.raises(MappingError) as raised:
        apply([*rows, needed], {"Patient": PATIENT})
    finding = raised.value.findings[0]
    assert (finding.expression, finding.message, finding.fix) == (
        "Patient.birthDate",
        "Has no birth date.",
        "Enter it.",
    )


def test_a_transform_that_gives_nothing_counts_as_absent() -> None:
    nothing = Row("a", "Patient.name.family", via=lambda _: None, required=True)
    with pytest.raises(MappingError):
        apply([nothing], {"Patient": PATIENT})


names = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(Decimal("105.00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=20,
)
steps = st.builds(
    lambda name, suffix: name + suffix, names, st.sampled_from(["", "[0]", "[1]", ".where(a='x')", "[1].where(a.b='')"])
)
paths = st.lists(st.lists(steps, min_size=1, max_size=4).map(".".join), min_size=1, max_size=3).map(" | ".join)


@given(path=paths, value=values)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_data_makes_a_path_fail(path: str, value: Any) -> None:
    found = first(path, {"a": value, "b": value})
    assert found not in ("", [], {}) or found is None


@given(value=values)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_member_access_is_the_json_member(value: Any) -> None:
    root = {"a": value}
    found = first("r.a", {"r": root})
    if not isinstance(value, list):
        assert found == (value if value not in (None, "", {}, []) else None)
