"""The two forms of a message carry the same tree, and lists of one are lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.advancedmd import wire
from adapters.billing.advancedmd.simulator import codec

_NAMES = st.sampled_from(["visit", "charge", "patient", "note", "list"])
_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=20)
_ATTRIBUTES = st.dictionaries(_NAMES.map("@{}".format), _TEXTS, min_size=1, max_size=3)
_TREES = st.recursive(
    _ATTRIBUTES,
    lambda inner: st.builds(
        lambda a, c: {**a, **c}, _ATTRIBUTES, st.dictionaries(_NAMES, st.one_of(inner, st.lists(inner, min_size=2)))
    ),
    max_leaves=8,
)


@given(_TREES)
def test_both_forms_say_the_same(tree: dict[str, Any]) -> None:
    read = {form: codec.read_message(wire.encode(form, tree), wire.CONTENT_TYPES[form]) for form in wire.CONTENT_TYPES}
    assert read["json"] == read["xml"] == tree


@given(_TREES)
def test_replies_of_both_forms_read_the_same(tree: dict[str, Any]) -> None:
    replies = [wire.decode(codec.write_reply(tree, form)[0]) for form in ("application/json", "text/xml")]
    assert replies[0] == replies[1]


@given(st.lists(st.fixed_dictionaries({"@id": st.integers(1, 99).map(str)}), max_size=4))
def test_a_list_of_one_is_a_list(charges: list[dict[str, str]]) -> None:
    for form in ("application/json", "text/xml"):
        reply = wire.decode(codec.write_reply({"Results": {"@n": "1", "l": {"@c": "1", "charge": charges}}}, form)[0])
        assert wire.rows(reply, "Results", "l", "charge") == charges
        assert list(wire.everywhere(reply, "charge")) == charges


def test_the_token_is_the_first_child_and_the_encoding_is_latin_1() -> None:
    sent = wire.encode("xml", {"@action": "a", "visit": {"@note": "Zoë – 5"}, "usercontext": "T0"})
    assert sent.startswith(b"<?xml version='1.0' encoding='ISO-8859-1'?>")
    assert b'<ppmdmsg action="a"><usercontext>T0</usercontext><visit note="Zo\xeb &#8211; 5"/></ppmdmsg>' in sent


def test_control_characters_do_not_break_the_xml_form() -> None:
    assert b"a\xef\xbf\xbdb" in wire.encode("xml", {"@note": "a\x0bb"}) or b"a&#65533;b" in wire.encode(
        "xml", {"@note": "a\x0bb"}
    )


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff", b"<html><body>down</body></html>", b"{", b"[1]", b'{"a": 1}', b"<a"]
)
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        wire.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'\xff\xfe<PPMDResults><Results success="1"/></PPMDResults>',
        b'<PPMDResults><Results success="1"/></PPMDResults>\x00\x00',
        b'<PPMDResults><Results success="1"><a b="x&y"/></Results></PPMDResults>',
    ],
)
def test_stray_bytes(body: bytes) -> None:
    assert wire.attribute(wire.decode(body)["Results"], "success") == "1"


def test_entities_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "boom">]><PPMDResults><Results success="1">&a;</Results></PPMDResults>'
    assert b"boom" not in str(wire.decode(bomb)).encode()
