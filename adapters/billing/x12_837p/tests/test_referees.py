"""Two independent readers judge what the adapter writes; what both let through, its own checks refuse."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyx12.params import params
from pyx12.x12n_document import x12n_document
from x12sdk.io import X12ModelReader

from adapters.billing.x12_837p.interchange import Writer
from adapters.billing.x12_837p.payload import build
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle
from gateway.kit.contract_frame import MADE_AT, PRIOR
from gateway.kit.samples import SAMPLES, sample, void_of

logging.getLogger("pyx12").setLevel(logging.CRITICAL)
_LETTERS = st.characters(codec="latin-1", categories=("Lu", "Ll", "Nd", "Zs"), include_characters="*~:^'-.,")
_NAMES = st.text(_LETTERS, min_size=1, max_size=20).map(lambda text: f"Q{text}")


def pyx12_takes(text: str) -> bool:
    """Whether pyx12 finds no error."""
    return bool(x12n_document(param=params(), src_file=io.StringIO(text), fd_997=None, fd_html=None))


def x12sdk_takes(text: str) -> bool:
    """Whether x12sdk reads the file into its models."""
    try:
        with X12ModelReader(text) as reader:
            return len(list(reader.models())) > 0
    except ValueError:
        return False


def sound(text: str) -> bool:
    """Whether both referees take a file."""
    return pyx12_takes(text) and x12sdk_takes(text)


def interchange(writer: Writer, settings: X12Settings, claims: list[ClaimBundle]) -> str:
    payloads = [build(claim, f"GW{number:014d}", settings, PRIOR) for number, claim in enumerate(claims)]
    return writer.enclose(payloads, 101, MADE_AT).body.decode()


def test_all_samples_and_a_void_pass_in_one_interchange(writer: Writer, settings: X12Settings) -> None:
    claims = [*map(sample, SAMPLES), void_of(sample("replacement")), ordered_by_another()]
    assert sound(interchange(writer, settings, claims))


def ordered_by_another() -> ClaimBundle:
    """A claim whose lines were ordered by the referring provider, with two further coverages."""
    claim = sample("referred_and_authorized")
    claim.claim["careTeam"][1]["role"]["coding"][0]["code"] = "ordering"
    coverage = claim.claim["insurance"][0]["coverage"]
    claim.claim["insurance"] += [{"sequence": n, "focal": False, "coverage": coverage} for n in (2, 3)]
    return claim


@st.composite
def variants(draw: st.DrawFn) -> ClaimBundle:
    """A sample with another name, other charges, another number of lines, and notes."""
    claim = deepcopy(sample(draw(st.sampled_from(SAMPLES[:9]))))
    patient = claim.resources[claim.claim["patient"]["reference"]]
    patient["name"] = [{"family": draw(_NAMES), "given": draw(st.lists(_NAMES, min_size=1, max_size=3))}]
    first = claim.claim["item"][0]
    prices = draw(st.lists(st.decimals(0, 9999, places=2), min_size=1, max_size=9))
    claim.claim["item"] = [_priced(first, number, price) for number, price in enumerate(prices, start=1)]
    claim.claim["total"]["value"] = sum(prices, Decimal(0))
    note = draw(st.text(_LETTERS, min_size=1, max_size=60).map(lambda text: f"N{text}"))
    information = claim.claim.setdefault("supportingInfo", [])
    category = {"coding": [{"code": "info"}]}
    information.append({"sequence": len(information) + 1, "category": category, "valueString": note})
    return claim


def _priced(item: dict[str, Any], number: int, price: Decimal) -> dict[str, Any]:
    made = {**deepcopy(item), "sequence": number, "quantity": {"value": 1}}
    made["unitPrice"] = made["net"] = {"value": price, "currency": "USD"}
    return {name: value for name, value in made.items() if name != "informationSequence"}


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(claims=st.lists(variants(), min_size=5, max_size=8))
def test_variants_pass(claims: list[ClaimBundle], writer: Writer, settings_: X12Settings) -> None:
    assert sound(interchange(writer, settings_, claims))


@pytest.fixture
def settings_(settings: X12Settings) -> X12Settings:
    """The settings, under a name that hypothesis's own does not hide."""
    return settings


Change = Callable[[str], str]


def _replaced(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new, 1)


ADDRESS = "N3*100 CLINIC WAY~N4*TAMPA*FL*336010001~"
MUTANTS: dict[str, Change] = {
    "a wrong count of segments": lambda text: re.sub(r"~SE\*\d+", "~SE*99", text),
    "no diagnoses": lambda text: re.sub(r"~HI\*[^~]*", "", text),
    "an unknown qualifier": _replaced("NM1*IL", "NM1*XX"),
    "a date that does not exist": _replaced("D8*20260303", "D8*20261303"),
    "a place of service that is no code": _replaced("***11:B:1", "***1X:B:1"),
    "a state that does not exist": _replaced("TAMPA*FL*33601~", "TAMPA*ZZ*33601~"),
    "no address of the billing provider": _replaced(ADDRESS, ""),
    "segments out of order": _replaced(ADDRESS, "N4*TAMPA*FL*336010001~N3*100 CLINIC WAY~"),
    "a level under no level": _replaced("HL*2*1*22", "HL*2*9*22"),
    "an unknown sex": _replaced("19850615*F", "19850615*Q"),
    "a name that is too long": _replaced("QUILLFEATHER", "Q" * 70),
    "a total that is not the sum of the lines": _replaced("*265***", "*266***"),
    "a provider without NPI": _replaced("*XX*1679576722", ""),
    "an NPI with a wrong check digit": _replaced("1679576722", "1679576723"),
    "a pointer to a diagnosis that is not there": _replaced("***1:2~", "***1:9~"),
    "a delimiter inside data": _replaced("QUILLFEATHER", "QUILL:FEATHER"),
}
"""One fault each in the interchange of `office_visit`; its taxonomy may be missing, so that is no fault."""


def test_a_missing_taxonomy_is_no_fault(writer: Writer, settings: X12Settings) -> None:
    claim = sample("office_visit")
    del claim.resources[claim.claim["provider"]["reference"]]["type"]
    assert sound(interchange(writer, settings, [claim]))


def _npi(claim: ClaimBundle, npi: str | None) -> None:
    practitioner = claim.resources[claim.claim["careTeam"][0]["provider"]["reference"]]
    practitioner["identifier"][0]["value"] = npi


def _family(claim: ClaimBundle) -> None:
    claim.resources[claim.claim["patient"]["reference"]]["name"][0]["family"] = "Quill:feather*~^"


OWN: dict[str, tuple[Callable[[ClaimBundle], None], str]] = {
    "a total that is not the sum of the lines": (
        lambda claim: claim.claim["total"].update(value=Decimal(266)),
        "Claim.total",
    ),
    "a provider without NPI": (lambda claim: _npi(claim, None), "Claim.careTeam[0].provider.identifier"),
    "an NPI with a wrong check digit": (
        lambda claim: _npi(claim, "1679576723"),
        "Claim.careTeam[0].provider.identifier",
    ),
    "a pointer to a diagnosis that is not there": (
        lambda claim: claim.claim["item"][0].update(diagnosisSequence=[1, 9]),
        "Claim.item[0].diagnosisSequence",
    ),
}
"""The adapter's own check of the same fault in the canonical claim, and the element that it names."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", MUTANTS)
def test_every_mutant_is_caught(fault: str, writer: Writer, settings: X12Settings) -> None:
    text = interchange(writer, settings, [sample("office_visit")])
    mutant = MUTANTS[fault](text)
    assert mutant != text
    if fault != "a wrong count of segments":
        inside = mutant[mutant.index("ST*837") : mutant.index("~SE*")].count("~") + 2
        mutant = re.sub(r"~SE\*\d+", f"~SE*{inside}", mutant)
    own = OWN.get(fault)
    if own is None:
        assert not sound(mutant) or fault == "a delimiter inside data"
        return
    change, expression = own
    claim = sample("office_visit")
    change(claim)
    with pytest.raises((MappingError, UnsupportedElement)) as refusal:
        build(claim, "GW1", settings)
    assert refusal.value.findings[0].expression.startswith(expression)


def test_delimiters_inside_data_are_taken_out(writer: Writer, settings: X12Settings) -> None:
    claim = sample("office_visit")
    _family(claim)
    text = interchange(writer, settings, [claim])
    assert "NM1*IL*1*QUILL FEATHER*JANE" in text
    assert sound(text)
