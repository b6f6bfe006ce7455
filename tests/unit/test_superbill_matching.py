"""Which superbill is an encounter's: never one of several, never one that another encounter could claim as well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical.findings import error
from gateway.pipeline.superbill import own_superbill
from gateway.ports.superbills import KeptSuperbill, VisitView

ME, OTHER = "ehr.e1", "ehr.e2"
REFUSED = (error("superbill-refused", "Claim", "The superbill was refused."),)


def kept(name: str, *, ready: bool = True, owner: str | None = None, refused: bool = False) -> KeptSuperbill:
    claim = None if refused else {"resourceType": "Claim"}
    return KeptSuperbill(name, ready and not refused, owner, claim, REFUSED if refused else ())


def chosen(*superbills: KeptSuperbill, rivals: int = 0) -> str:
    """The id of what is chosen, the edit of the finding, or nothing."""
    found = own_superbill(VisitView(superbills, rivals), ME)
    if isinstance(found, tuple):
        return found[0].edit
    return found.id if found else ""


def test_the_only_ready_one_is_chosen() -> None:
    assert chosen(kept("a")) == "a"
    assert chosen(kept("a"), kept("b", ready=False), kept("c", refused=True)) == "a"


def test_nothing_is_chosen_while_none_is_ready() -> None:
    assert chosen() == ""
    assert chosen(kept("a", ready=False)) == ""
    assert chosen(rivals=1) == ""


def test_a_refused_one_is_told() -> None:
    assert chosen(kept("a", refused=True)) == "superbill-refused"


def test_two_ready_ones_or_two_encounters_are_for_a_person() -> None:
    assert chosen(kept("a"), kept("b")) == "superbill-ambiguous"
    assert chosen(kept("a"), rivals=1) == "superbill-ambiguous"
    assert chosen(kept("a", owner=OTHER), rivals=1) == "superbill-ambiguous"


def test_what_an_encounter_has_it_keeps_beside_a_rival() -> None:
    assert chosen(kept("a", owner=ME), kept("b"), rivals=1) == "a"
    assert chosen(kept("a", owner=ME, ready=False), kept("b", owner=ME), rivals=1) == "b"


SUPERBILLS = st.builds(
    kept,
    st.uuids().map(str),
    ready=st.booleans(),
    owner=st.sampled_from([None, ME, OTHER]),
    refused=st.booleans(),
)


@given(st.lists(SUPERBILLS, max_size=4), st.integers(0, 2))
def test_what_is_chosen_is_ready_mine_or_free_and_the_only_one(superbills: list[KeptSuperbill], rivals: int) -> None:
    found = own_superbill(VisitView(tuple(superbills), rivals), ME)
    if isinstance(found, KeptSuperbill):
        assert found.ready and found.claim is not None
        possible = [s for s in superbills if s.ready and s.encounter_id in ((ME,) if rivals else (ME, None))]
        assert possible == [found]
