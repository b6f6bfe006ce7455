"""From a mapping row's source back to the FHIRPath that a biller is shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROOT_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "Claim": "Claim",
        "Coverage": "Claim.insurance[{n}].coverage",
        "Encounter": "Encounter",
        "Guarantor": "Claim.insurance[0].coverage.subscriber",
        "Patient": "Patient",
        "Payer": "Claim.insurance[{n}].coverage.payor",
        "Subscriber": "Claim.insurance[{n}].coverage.subscriber",
        "attending": "Claim.careTeam",
        "cover": "Claim.insurance[{n}].coverage",
        "cover.authorization": "Claim.insurance[{n}].preAuthRef",
        "cover.company": "Claim.insurance[{n}].coverage.payor",
        "cover.plan": "Claim.insurance[{n}].coverage.payor",
        "cover.relationship": "Claim.insurance[{n}].coverage.relationship",
        "diagnoses": "Claim.item[{n}].diagnosisSequence",
        "diagnosis": "Claim.diagnosis[{n}]",
        "drug": "Claim.item[{n}].detail",
        "guarantor": "Claim.insurance[0].coverage.subscriber",
        "guarantor_name": "Claim.insurance[0].coverage.subscriber",
        "hospitalized": "Claim.supportingInfo",
        "item": "Claim.item[{n}]",
        "line": "Claim.item[{n}]",
        "line_note": "Claim.item[{n}].informationSequence",
        "literal": "Claim",
        "message": "Claim",
        "modifiers": "Claim.item[{n}].modifier",
        "name": "Patient.name",
        "notes": "Claim.supportingInfo",
        "onset": "Claim.supportingInfo",
        "ordering": "Claim.careTeam",
        "patient_paid": "Claim.supportingInfo",
        "place": "Claim.facility",
        "procedure": "Claim.item[{n}].productOrService",
        "referring": "Claim.careTeam",
        "rendering": "Claim.careTeam",
        "site": "Claim",
        "subscriber_name": "Claim.insurance[{n}].coverage.subscriber",
        "supervisor": "Claim.careTeam",
    }
)
"""Every root that a row may begin with, to its FHIRPath; `{n}` is the line's, diagnosis' or insurance's index."""

LINE_ROOTS = frozenset(
    {"diagnoses", "drug", "item", "line", "line_note", "modifiers", "ordering", "procedure", "rendering"}
)
"""Roots that mean another value on each line: a Z segment that uses one follows its FT1."""

_KEEPS_REST = frozenset({"Claim", "Coverage", "Encounter", "Patient", "item"})


def root_of(source: str) -> str:
    """The first name of a path."""
    return source.split(" | ", 1)[0].split(".", 1)[0].split("[", 1)[0]


def fhir_path(source: str, index: int = 0) -> str:
    """The FHIRPath of a row's source (of its first alternative)."""
    source = source.split(" | ", 1)[0]
    root = root_of(source)
    if source in ROOT_PATHS:
        return ROOT_PATHS[source].format(n=index)
    rest = source.removeprefix(root) if root in _KEEPS_REST else ""
    return ROOT_PATHS.get(root, "Claim").format(n=index) + rest
