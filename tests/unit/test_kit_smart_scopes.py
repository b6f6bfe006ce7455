"""SMART scopes in either grammar: a wish keeps its meaning, grows no further than v1 needs, and is never mixed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kit.smart_scopes import V1_LETTERS, ScopeStyle, in_style, is_covered, resource_type

LETTERS = [
    "".join(c for c, kept in zip("cruds", bits, strict=True) if kept)
    for bits in [[(n >> i) & 1 for i in range(5)] for n in range(1, 32)]
]
SCOPES = st.builds(
    "{}/{}.{}".format,
    st.sampled_from(["system", "user", "patient"]),
    st.sampled_from(["Patient", "Encounter", "*"]),
    st.sampled_from([*LETTERS, *V1_LETTERS]),
)


@given(st.lists(SCOPES, max_size=6), st.sampled_from([ScopeStyle.V1, ScopeStyle.V2]))
def test_every_wish_is_covered_by_its_translation(scopes: list[str], style: ScopeStyle) -> None:
    sent = in_style(scopes, style)
    assert all(is_covered(scope, sent) for scope in scopes)
    assert len(set(sent)) == len(sent)


@given(st.lists(SCOPES, max_size=6), st.sampled_from([ScopeStyle.V1, ScopeStyle.V2]))
def test_the_grammars_are_never_mixed_and_a_second_time_changes_nothing(scopes: list[str], style: ScopeStyle) -> None:
    sent = in_style(scopes, style)
    assert {scope.rpartition(".")[2] in V1_LETTERS for scope in sent} <= {style is ScopeStyle.V1}
    assert in_style(sent, style) == sent


@given(st.lists(SCOPES, max_size=6))
def test_v2_asks_for_nothing_more(scopes: list[str]) -> None:
    assert all(is_covered(scope, scopes) for scope in in_style(scopes, ScopeStyle.V2))


@pytest.mark.parametrize(
    ("scope", "v1"),
    [
        ("system/Patient.r", ("system/Patient.read",)),
        ("system/Patient.c", ("system/Patient.write",)),
        ("system/Subscription.crus", ("system/Subscription.read", "system/Subscription.write")),
        ("system/*.rs", ("system/*.read",)),
        ("launch", ("launch",)),
    ],
)
def test_what_v1_has_to_say_for_it(scope: str, v1: tuple[str, ...]) -> None:
    assert in_style([scope], ScopeStyle.V1) == v1


def test_v1_cannot_narrow_by_a_query() -> None:
    with pytest.raises(ValueError, match="scope_style"):
        in_style(["system/Condition.rs?category=x"], ScopeStyle.V1)


def test_nothing_is_asked_for_where_the_registration_decides() -> None:
    assert in_style(["system/Patient.rs"], ScopeStyle.NONE) == ()


@pytest.mark.parametrize(
    ("scope", "named"), [("system/Group.read", "Group"), ("system/*.rs", "*"), ("launch", ""), ("system/Group", "")]
)
def test_the_type_that_a_scope_names(scope: str, named: str) -> None:
    assert resource_type(scope) == named
