"""Documents both ways, paths into answers, and expressions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.http_api.documents import Format, NotReadable, NotWritable, at, holds, path_problem, read, write
from adapters.billing.http_api.expressions import BadExpression, Mention, compile_expression
from adapters.billing.http_api.scrubbing import scrubbed


def test_a_form_has_brackets() -> None:
    document = {"a": "1 & 2", "l": [{"c": Decimal("7.50"), "t": True}, {"c": 2}], "m": ["25", "59"]}
    assert write(document, Format.FORM) == (
        b"a=1+%26+2&l%5B0%5D%5Bc%5D=7.50&l%5B0%5D%5Bt%5D=true&l%5B1%5D%5Bc%5D=2&m%5B0%5D=25&m%5B1%5D=59"
    )


def test_xml_has_attributes_text_and_repeated_elements() -> None:
    document = {"C": {"@id": '"7"', "L": [{"@n": 1, "#text": "a<b"}, {"@n": 2, "#text": Decimal("1.50")}], "E": True}}
    written = write(document, Format.XML)
    assert written.decode().splitlines()[1] == (
        '<C id="&quot;7&quot;"><L n="1">a&lt;b</L><L n="2">1.50</L><E>true</E></C>'
    )
    assert read(written, Format.XML) == {
        "C": {"@id": '"7"', "L": [{"@n": "1", "#text": "a<b"}, {"@n": "2", "#text": "1.50"}], "E": "true"}
    }


_xml_text = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), max_size=20)


@given(text=_xml_text.filter(lambda text: text == text.strip()))
def test_text_comes_back_from_xml_as_it_was(text: str) -> None:
    assert read(write({"a": {"@b": text, "c": text}}, Format.XML), Format.XML) == {"a": {"@b": text, "c": text}}


def test_control_characters_are_refused_in_xml() -> None:
    with pytest.raises(NotWritable):
        write({"a": "x\x00y"}, Format.XML)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"not xml",
        b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    ],
)
def test_what_is_no_plain_xml_is_not_read(body: bytes) -> None:
    with pytest.raises(NotReadable):
        read(body, Format.XML)


def test_namespaces_are_left_out_in_answers() -> None:
    body = b'<s:A xmlns:s="urn:a" xmlns:t="urn:b"><t:B t:c="1">x</t:B><!-- no --></s:A>'
    assert read(body, Format.XML) == {"A": {"B": {"@c": "1", "#text": "x"}}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", {"a": [{"b": 1}, {"b": 2}], "c": {"@d": "x", "#text": "y"}}),
        ("$.a[1].b", 2),
        ("$.a[2].b", None),
        ("$.c.@d", "x"),
        ("$.c.#text", "y"),
        ("$.c[0].@d", "x"),
        ("$.a.b", None),
        ("$.x.y", None),
    ],
)
def test_paths(path: str, value: Any) -> None:
    assert not path_problem(path)
    assert at({"a": [{"b": 1}, {"b": 2}], "c": {"@d": "x", "#text": "y"}}, path) == value


@pytest.mark.parametrize("path", ["a", "$a", "$..a", "$.a[x]", "$.a[*]", "$.a b", "$."])
def test_what_is_no_path(path: str) -> None:
    assert path_problem(path)


def test_a_path_that_leads_nowhere_is_told_from_an_empty_one() -> None:
    document = {"a": {"list": []}, "b": None}
    assert [holds(document, path) for path in ("$", "$.a.list", "$.b", "$.c", "$.a.l", "$.b.x")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("item.net", [Mention("item.net")]),
        ('"item.net and (patient)"', []),
        ("item.modifier[1]", [Mention("item.modifier", 1)]),
        ("at(item.modifier, 2)", [Mention("item.modifier", 2)]),
        (
            "size(item.modifier) > 0 ? item.modifier[0] : ''",
            [Mention("item.modifier", 0), Mention("item.modifier", sized=True)],
        ),
        ("item.modifier.size() == 0", [Mention("item.modifier", sized=True)]),
        ("item.modifier.map(m, m + item.unit)", [Mention("item.modifier"), Mention("item.unit")]),
        ("prior.claim_id", [Mention("prior.claim_id")]),
    ],
)
def test_what_an_expression_mentions(text: str, mentions: list[Mention]) -> None:
    assert list(compile_expression(text).mentions) == mentions


@pytest.mark.parametrize(
    "text", ["", "  ", "item", "item['net']", "unknown.net", "item.nett", "import os", "().__class__"]
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        compile_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"last": "Quill \\"Q\\" feather", "n": [1, -2.5e3, "x"]}',
        "<a b='Quill'>feather</a>",
        "last=Quill&first=feather+x",
        "GET /claims?name=Quill HTTP",
        "born 1985-06-15, called 813-555-0111, jane@example.test",
        "key s3cret+/= and s3cret%2B%2F%3D",
    ],
)
def test_scrubbing(text: str) -> None:
    clean = scrubbed(text, ["s3cret+/="])
    for value in ("Quill", "feather", "1985", "555", "jane@", "s3cret", "2.5"):
        assert value not in clean
