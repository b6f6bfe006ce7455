"""Where a fact stands: in a claim, for findings, and in the canonical model, for the mapping document. Pure."""

from __future__ import annotations

from adapters.billing.http_api.facts import find_fact

_DOCUMENT_ROOTS = {
    "the gateway's id of this submission": "the gateway's id of this submission",
    "item": "Claim.item",
    "unit": "Claim.item.quantity.unit",
    "line_diagnosis": "Claim.item.diagnosisSequence",
    "line_note": "Claim.item.informationSequence",
    "LineProvider": "Claim.item.careTeamSequence",
    "diagnosis": "Claim.diagnosis",
    "diagnosis_code": "Claim.diagnosis.diagnosisCodeableConcept.coding.code",
    "Insurance": "Claim.insurance",
    "Payor": "Organization",
    "Subscriber": "RelatedPerson",
    "BillingProvider": "Claim.provider.resolve()",
    "Facility": "Location",
    "Provider": "Practitioner",
    "Member": "Claim.careTeam",
    "onset": "Claim.supportingInfo.onset",
    "hospitalized": "Claim.supportingInfo.hospitalized",
    "patient_paid": "Claim.supportingInfo.patientPaid",
    "claim_note": "Claim.supportingInfo.info",
}


def document_path(name: str) -> str:
    """The path of a fact as the mapping document prints it: canonical names, alternatives after `|`."""
    fact = find_fact(name)
    assert fact is not None
    return " | ".join(_document_path(path) for path in fact.source.split(" | "))


def _document_path(path: str) -> str:
    root, dot, rest = path.partition(".")
    return _DOCUMENT_ROOTS.get(root, root) + dot + rest


_PLACES = {
    "item": "Claim.item[{n}]",
    "unit": "Claim.item[{n}].quantity.unit",
    "line_diagnosis": "Claim.item[{n}].diagnosisSequence",
    "line_note": "Claim.item[{n}].informationSequence",
    "LineProvider": "Claim.item[{n}].careTeamSequence",
    "diagnosis": "Claim.diagnosis[{n}]",
    "diagnosis_code": "Claim.diagnosis",
    "Insurance": "Claim.insurance[{n}]",
    "Coverage": "Claim.insurance[{n}].coverage",
    "Payor": "Claim.insurance[{n}].coverage.payor",
    "Subscriber": "Claim.insurance[{n}].coverage.subscriber",
    "BillingProvider": "Claim.provider",
    "Facility": "Claim.facility",
    "Provider": "Claim.careTeam[{n}].provider",
    "Member": "Claim.careTeam[{n}]",
    "onset": "Claim.supportingInfo",
    "hospitalized": "Claim.supportingInfo",
    "patient_paid": "Claim.supportingInfo",
    "claim_note": "Claim.supportingInfo",
    "the gateway's id of this submission": "Claim",
}


def expression_of(name: str, number: int = 0) -> str:
    """The FHIRPath of a fact; `number` counts the list's elements from 0."""
    fact = find_fact(name)
    if fact is None:
        return "Claim"
    path = fact.source.split(" | ", maxsplit=1)[0].split(".where(", maxsplit=1)[0]
    root, dot, rest = path.partition(".")
    return _PLACES.get(root, root).format(n=number) + dot + rest
