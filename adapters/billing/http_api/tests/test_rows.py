"""The rows are the mapping: no member of a document comes from elsewhere, and no row is for nothing."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any
from urllib.parse import parse_qsl

import pytest

from adapters.billing.http_api import ADAPTER, mapping_of
from adapters.billing.http_api.documents import Format, read
from adapters.billing.http_api.payload import build
from adapters.billing.http_api.rows import rows_of
from adapters.billing.http_api.settings import HttpApiSettings, described
from gateway.canonical import jsonio
from gateway.kit.contract_support import leaf_names
from gateway.kit.samples import sample

HERE = pathlib.Path(__file__).parent
GOLDEN = sorted((HERE / "golden").glob("*.payload.json"))


def leaves(value: Any) -> Iterator[str]:
    """The names of all values that are no object: `lines[].charge`; a list of plain values is one."""
    return (name.removesuffix("[]") for name in leaf_names(value))


def targets(settings: HttpApiSettings) -> set[str]:
    return {row.target.removesuffix("[]") for of in mapping_of(settings)[1].values() for row in of}


@pytest.fixture
def settings(plain_settings: Callable[[str], dict[str, Any]]) -> HttpApiSettings:
    return HttpApiSettings.model_validate(plain_settings("http://127.0.0.1:9"))


def test_the_fact_sheet_shows_the_rows_of_its_example(settings: HttpApiSettings) -> None:
    shown = [(row.target, row.source) for of in ADAPTER.rows.values() for row in of]
    assert shown == [(row.target, row.source) for of in mapping_of(settings)[1].values() for row in of]


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_every_member_of_a_document_is_the_target_of_a_row(file: pathlib.Path, settings: HttpApiSettings) -> None:
    assert set(leaves(jsonio.loads(file.read_bytes()))) - targets(settings) == set()


def test_every_row_makes_a_member_of_some_document(settings: HttpApiSettings) -> None:
    seen = {leaf for file in GOLDEN for leaf in leaves(jsonio.loads(file.read_bytes()))}
    assert targets(settings) - seen == set()


def plain(path: str) -> str:
    """A path without the numbers of lists, the brackets of a form and the prefixes of XML names."""
    return re.sub(r"\bnb:", "", re.sub(r"\[(\w+)\]", r".\1", re.sub(r"\[\d*\]", "", path)))


@pytest.mark.parametrize("name", ["northbill", "formly"])
def test_other_forms_have_a_row_for_every_member_too(name: str) -> None:
    """XML with attributes, constants and lists of plain values; a form."""
    description = described((HERE / "descriptions" / f"{name}.yaml").read_text("utf-8"))
    body = build(sample("office_visit"), "GW1", None, description, UTC).body
    shown = {plain(row.target) for of in rows_of(description).values() for row in of}
    if description.submit.payload is Format.FORM:
        found = {plain(key) for key, _ in parse_qsl(body.decode())}
    else:
        found = {plain(leaf) for leaf in leaves(read(body, description.submit.payload))}
    assert found
    assert found - shown == set()


def test_a_constant_and_an_entry_of_a_plain_list_say_what_they_are() -> None:
    description = described((HERE / "descriptions" / "northbill.yaml").read_text("utf-8"))
    rows = {row.target: row for of in rows_of(description).values() for row in of}
    constant = next(row for target, row in rows.items() if target.endswith("@xmlns:nb"))
    assert (constant.source, constant.via.__doc__) == ("'urn:northbill:claims:3'", "Always urn:northbill:claims:3")
    pointer = next(row for target, row in rows.items() if target.endswith("Dx[].@p"))
    assert pointer.source == "Claim.item.diagnosisSequence"


def test_a_member_without_a_row_is_found(settings: HttpApiSettings) -> None:
    document = jsonio.loads(GOLDEN[0].read_bytes())
    document["lines"][0]["note"] = "x"
    assert set(leaves(document)) - targets(settings) == {"lines[].note"}
