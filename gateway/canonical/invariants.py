"""The profiles' constraints: which Python function carries out which key, and the rules shared by several types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.canonical import claim_invariants as claim
from gateway.canonical import codes
from gateway.canonical.tolerant import codes_in, first, identifiers, objects, references, text

Invariant = Callable[[dict[str, Any]], Iterator[str]]
"""Takes the element that a constraint stands on; gives the paths below it that violate the constraint."""

_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")
_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_NPI = re.compile(r"[0-9]{10}")
_EIN = re.compile(r"[0-9]{2}-?[0-9]{7}")
_PROCEDURE_SYSTEMS = (codes.CPT, codes.HCPCS)


def _relative_references(resource: dict[str, Any]) -> Iterator[str]:
    yield from (path for path, reference in references(resource) if not _RELATIVE.fullmatch(reference))


def _npi_check_digit(resource: dict[str, Any]) -> Iterator[str]:
    for path, value in identifiers(resource, codes.NPI):
        if not (_NPI.fullmatch(value) and codes.npi_is_valid(value)):
            yield f"{path}.value"


def _has_npi(resource: dict[str, Any]) -> Iterator[str]:
    if not identifiers(resource, codes.NPI):
        yield "identifier"


def _ein_form(resource: dict[str, Any]) -> Iterator[str]:
    yield from (f"{path}.value" for path, value in identifiers(resource, codes.EIN) if not _EIN.fullmatch(value))


def _family_and_given(resource: dict[str, Any]) -> Iterator[str]:
    names = [name for _, name in objects(resource, "name")]
    if names and not any(text(name, "family") and _given(name) for name in names):
        yield "name"


def _given(name: dict[str, Any]) -> bool:
    given = name.get("given")
    return isinstance(given, list) and any(isinstance(part, str) and part.strip() for part in given)


def _family(resource: dict[str, Any]) -> Iterator[str]:
    names = [name for _, name in objects(resource, "name")]
    if names and not any(text(name, "family") for name in names):
        yield "name"


def _full_birth_date(resource: dict[str, Any]) -> Iterator[str]:
    value = text(resource, "birthDate")
    if value and not _FULL_DATE.fullmatch(value):
        yield "birthDate"


def _full_start_date(resource: dict[str, Any]) -> Iterator[str]:
    value = text(first(resource, "period"), "start")
    if value and not _FULL_DATE.fullmatch(value):
        yield "period.start"


def _subscriber_named(coverage: dict[str, Any]) -> Iterator[str]:
    found = codes_in(coverage.get("relationship"), codes.RELATIONSHIP)
    if found and "self" not in found and not text(coverage.get("subscriber"), "reference"):
        yield "subscriber"


def _icd10cm_coded(condition: dict[str, Any]) -> Iterator[str]:
    if not codes_in(condition.get("code"), codes.ICD10CM):
        yield "code"


def _procedure_coded(procedure: dict[str, Any]) -> Iterator[str]:
    if not codes_in(procedure.get("code"), *_PROCEDURE_SYSTEMS):
        yield "code"


INVARIANTS: Mapping[str, Invariant] = {
    "gw-npi": _npi_check_digit,
    "gw-10": _relative_references,
    "gwc-1": claim.created_with_zone,
    "gwc-2a": claim.one_claim_id,
    "gwc-2b": claim.one_account_number,
    "gwc-2c": claim.account_number_typed,
    "gwc-2d": claim.account_number_form,
    "gwc-3": claim.sequences_without_gap,
    "gwc-4a": claim.diagnosis_form,
    "gwc-4b": claim.diagnoses_distinct,
    "gwc-4c": claim.first_is_principal,
    "gwc-6a": claim.procedure_form,
    "gwc-6b": claim.place_of_service_form,
    "gwc-6c": claim.quantity_positive,
    "gwc-6d": claim.net_in_cents,
    "gwc-6e": claim.net_is_product,
    "gwc-6f": claim.pointers_distinct,
    "gwc-6g": claim.pointers_resolve,
    "gwc-6h": claim.modifier_form,
    "gwc-6i": claim.service_date_full,
    "gwc-7": claim.total_is_sum,
    "gwc-8a": claim.one_focal,
    "gwc-8b": claim.coverages_distinct,
    "gwc-9a": claim.has_rendering,
    "gwc-9b": claim.further_rendering_on_lines,
    "gwc-9c": claim.line_providers_resolve,
    "gwc-11": claim.one_encounter,
    "gwc-12": claim.prior_claim_named,
    "gwcd-1": _icd10cm_coded,
    "gwcv-1": _subscriber_named,
    "gwe-1": _full_start_date,
    "gwo-1": _ein_form,
    "gwp-1": _family_and_given,
    "gwp-2": _full_birth_date,
    "gwpc-1": _procedure_coded,
    "gwpr-1": _has_npi,
    "gwpr-2": _family,
    "gwrp-1": _family,
}
"""Constraint key of the StructureDefinitions to the function that finds its violations."""
