"""Entry errors of a clinic day: each is what it says, and nothing else is wrong anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.sandbox.clinic_day import generate
from gateway.sandbox.day_errors import ENTRY_ERRORS, transposed

View = Any  # the reader of conftest.py, which no test module can import
DAY = date(2026, 3, 3)
KINDS = [error.name for error in ENTRY_ERRORS]


def first_coverage(view: View, encounter: Resource) -> Resource:
    return view.coverages(encounter)[0]


def claim_pointers(view: View, encounter: Resource) -> list[set[int]]:
    return [set(item.get("diagnosisSequence", [])) for c in view.own(encounter, "Claim") for item in c["item"]]


def has_malformed_icd10(view: View, encounter: Resource) -> bool:
    first = view.diagnoses(encounter)[0]
    return [codes.icd10cm(c["code"]) for c in first if c["system"] == codes.ICD10CM] == [None]


def points_nowhere(view: View, encounter: Resource) -> bool:
    return any(
        pointer > len(encounter["diagnosis"]) for pointers in claim_pointers(view, encounter) for pointer in pointers
    )


def lacks_member_id(view: View, encounter: Resource) -> bool:
    return not {"subscriberId", "identifier"} & set(first_coverage(view, encounter))


def has_malformed_code(view: View, encounter: Resource) -> bool:
    return any(
        codes.procedure_system(line["code"]) is None and line["system"] != codes.SNOMED
        for line in view.lines(encounter)
    )


def has_unknown_payer(view: View, encounter: Resource) -> bool:
    payer = view.at(first_coverage(view, encounter)["payor"][0])
    return "identifier" not in payer and payer["name"] not in view.day.clinic["payer_ids"]


def has_self_subscriber_without_address(view: View, encounter: Resource) -> bool:
    own = first_coverage(view, encounter)["subscriber"] == encounter["subject"]
    return own and "address" not in view.patient(encounter)


def has_nameless_subscriber(view: View, encounter: Resource) -> bool:
    subscriber = view.at(first_coverage(view, encounter)["subscriber"])
    return subscriber["resourceType"] == "RelatedPerson" and "name" not in subscriber


SIGNS: dict[str, Callable[[View, Resource], bool]] = {
    "member-id-missing": lacks_member_id,
    "rendering-npi-transposed": lambda v, e: not v.is_valid_npi(v.participant(e, "ATND", "PPRF")),
    "referring-npi-transposed": lambda v, e: (
        v.participant(e, "REF") is not None and not v.is_valid_npi(v.participant(e, "REF"))
    ),
    "diagnosis-pointer-dangling": points_nowhere,
    "diagnosis-pointer-missing": lambda v, e: set() in claim_pointers(v, e),
    "coverage-ended": lambda v, e: first_coverage(v, e)["period"].get("end", "9") < DAY.isoformat(),
    "coverage-cancelled": lambda v, e: first_coverage(v, e)["status"] == "cancelled",
    "coverage-missing": lambda v, e: v.coverages(e) == [],
    "payer-unknown": has_unknown_payer,
    "procedure-code-malformed": has_malformed_code,
    "procedure-code-snomed": lambda v, e: any(line["system"] == codes.SNOMED for line in v.lines(e)),
    "modifier-malformed": lambda v, e: any(codes.modifier(m) is None for line in v.lines(e) for m in line["modifiers"]),
    "quantity-zero": lambda v, e: any(line["quantity"] == 0 for line in v.lines(e)),
    "diagnosis-code-malformed": has_malformed_icd10,
    "diagnosis-snomed-only": lambda v, e: {c["system"] for c in v.diagnoses(e)[0]} == {codes.SNOMED},
    "birth-date-missing": lambda v, e: "birthDate" not in v.patient(e),
    "birth-date-after-visit": lambda v, e: v.patient(e).get("birthDate", "") > DAY.isoformat(),
    "patient-name-missing": lambda v, e: "name" not in v.patient(e),
    "patient-address-missing": has_self_subscriber_without_address,
    "subscriber-name-missing": has_nameless_subscriber,
    "date-of-service-future": lambda v, e: (v.local_date(e) - DAY).days == 365,
}


def test_each_kind_of_error_has_its_sign() -> None:
    assert set(SIGNS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_error_is_what_it_says_and_the_only_one(wrong: View, kind: str) -> None:
    encounters = wrong.encounters(kind)
    assert len(encounters) == 4
    for encounter in encounters:
        applicable = {k: sign for k, sign in SIGNS.items() if kind != "coverage-missing" or needs_no_coverage(k)}
        assert [name for name, sign in applicable.items() if sign(wrong, encounter)] == [kind]


def needs_no_coverage(kind: str) -> bool:
    covered = ("coverage-ended", "coverage-cancelled", "payer-", "member-", "patient-address-", "subscriber-")
    return not kind.startswith(covered)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clean_encounter_has_no_entry_error(clean: View, kind: str) -> None:
    assert not [encounter["id"] for encounter in clean.of_type("Encounter") if SIGNS[kind](clean, encounter)]


def test_an_error_touches_no_other_encounter(view_of: Any) -> None:
    view = view_of(generate(seed=21, encounters=250, day=DAY, error_rate=0.3))
    for encounter in view.encounters("clean"):
        assert not [kind for kind, sign in SIGNS.items() if sign(view, encounter)]


@given(st.integers(100_000_000, 299_999_999).map(str))
def test_a_transposed_npi_is_never_valid(base: str) -> None:
    npi = next(base + digit for digit in "0123456789" if codes.npi_is_valid(base + digit))
    if len(set(npi[1:])) > 1 and set(npi[1:]) != {"0", "9"}:
        swapped = transposed(npi)
        assert not codes.npi_is_valid(swapped)
        assert sorted(swapped) == sorted(npi)
