"""The drug of a charge: its National Drug Code and how much was given."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.kit.ehr_charge_parts import drug_of
from gateway.kit.ehr_element import Element


def item(code: str, quantity: dict[str, Any] | None = None, system: str = codes.NDC) -> Element:
    detail: dict[str, Any] = {"productOrService": codes.concept(system, code)}
    if quantity is not None:
        detail["quantity"] = quantity
    return Element({"detail": [{"productOrService": codes.concept(codes.CPT, "99213")}, detail]}, "Claim.item[0]")


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("60575411201", "60575411201"),
        ("60575-4112-01", "60575411201"),
        ("0003-0293-05", "00003029305"),
        ("60575-112-01", "60575011201"),
        ("60575-4112-1", "60575411201"),
        (" 60575-4112-01 ", "60575411201"),
        ("6057541120", None),
        ("", None),
        ("60575-4112", None),
        ("\u0660" * 11, None),
    ],
)
def test_a_code_becomes_its_eleven_digits_where_its_parts_are_known(written: str, digits: str | None) -> None:
    assert codes.ndc(written) == digits


@given(st.text(max_size=16))
def test_whatever_is_read_is_eleven_digits_or_nothing(text: str) -> None:
    found = codes.ndc(text)
    assert found is None or (len(found) == 11 and found.isdecimal())


@pytest.mark.parametrize(
    ("quantity", "given_"),
    [
        ({"value": Decimal("2.5"), "unit": "ML"}, {"value": Decimal("2.5"), "unit": "ML"}),
        ({"value": 2, "unit": "millilitre", "code": "mL"}, {"value": Decimal(2), "unit": "ML"}),
        ({"value": 40, "code": "mg"}, {"value": Decimal(40), "unit": "ME"}),
        ({"value": 1}, {"value": Decimal(1), "unit": "UN"}),
    ],
)
def test_the_amount_comes_in_the_units_of_a_claim(quantity: dict[str, Any], given_: dict[str, Any]) -> None:
    drug = drug_of(item("0003-0293-05", quantity), "detail")
    assert drug == {"productOrService": codes.concept(codes.NDC, "00003029305"), "quantity": given_}


def test_a_drug_without_an_amount_and_a_detail_that_is_no_drug() -> None:
    assert drug_of(item("60575411201"), "detail") == {"productOrService": codes.concept(codes.NDC, "60575411201")}
    assert drug_of(item("A4550", system=codes.HCPCS), "detail") is None


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (item("6057541120"), "Claim.item[0].detail[1].productOrService.coding[0].code"),
        (item("60575411201", {"value": 0, "unit": "ML"}), "Claim.item[0].detail[1].quantity"),
        (item("60575411201", {"value": 1, "unit": "tablet"}), "Claim.item[0].detail[1].quantity"),
        (item("60575411201", {"unit": "ML"}), "Claim.item[0].detail[1].quantity"),
    ],
)
def test_what_no_claim_can_say_is_named(broken: Element, path: str) -> None:
    with pytest.raises(MappingError) as raised:
        drug_of(broken, "detail")
    assert raised.value.findings[0].expression == path
