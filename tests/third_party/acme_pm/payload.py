"""A canonical claim as Acme's JSON: rows, and what the system has no place for is refused. Pure."""

from __future__ import annotations

from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.codes import codings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, VendorPayload
from gateway.kit.mapping import Row, apply
from gateway.kit.payload import refuse_uncarried

TITLE = "Acme PM"


def text(amount: Any) -> str:
    """A decimal as text, exactly as written."""
    return str(amount)


CLAIM_ROWS = (
    Row("account", "Claim.identifier.where(system='urn:fhir-billing-gateway:patient-account').value", required=True),
    Row("last_name", "Patient.name.family", required=True, fix="Complete the patient's name in the EHR."),
    Row("first_name", "Patient.name.given[0]", required=True, fix="Complete the patient's name in the EHR."),
    Row("born", "Patient.birthDate", required=True, fix="Complete the birth date in the EHR."),
    Row("member_id", "Coverage.subscriberId", required=True, fix="Complete the member id in the EHR."),
    Row("payer", "Payer.identifier.where(system='urn:fhir-billing-gateway:payer-id').value", required=True),
    Row("rendering_npi", "Rendering.identifier.value", required=True),
    Row("total", "Claim.total.value", text, required=True),
)
LINE_ROWS = (
    Row("code", "item.productOrService.coding.code", required=True),
    Row("date", "item.servicedDate", required=True, note="Acme takes one date of service a line"),
    Row("place", "item.locationCodeableConcept.coding.code", required=True),
    Row("units", "item.quantity.value", text, required=True),
    Row("price", "item.unitPrice.value", text, required=True),
)
CARRIED = {
    "Claim.identifier": "account",
    "Claim.billablePeriod": "- the lines have their dates",
    "Claim.provider": "- the account bills",
    "Claim.facility": "- the account has one place",
    "Claim.careTeam.rendering": "rendering_npi",
    "Claim.diagnosis": "lines[].diagnoses",
    "Claim.insurance.focal": "member_id, payer",
    "Claim.item.productOrService": "lines[].code",
    "Claim.item.modifier": "lines[].modifiers",
    "Claim.item.serviced": "lines[].date",
    "Claim.item.location": "lines[].place",
    "Claim.item.quantity": "lines[].units",
    "Claim.item.unitPrice": "lines[].price",
    "Claim.item.net": "- Acme multiplies",
    "Claim.item.diagnosisSequence": "lines[].diagnoses",
    "Claim.item.careTeamSequence": "- one rendering provider a claim",
    "Claim.total": "total",
}


def build(bundle: ClaimBundle, submission_id: str) -> VendorPayload:
    """The claim's JSON; raises `UnsupportedElement` and `MappingError`."""
    refuse_uncarried(bundle, CARRIED, TITLE)
    claim = bundle.claim
    if len(claim["careTeam"]) > 1:
        raise UnsupportedElement("Claim.careTeam[1]", f"{TITLE} has one rendering provider a claim", "Split the claim.")
    coverage = bundle.find(claim["insurance"][0]["coverage"]["reference"]) or {}
    roots = {
        "Claim": claim,
        "Patient": bundle.find(claim["patient"]["reference"]),
        "Coverage": coverage,
        "Payer": bundle.find(coverage.get("payor", [{}])[0].get("reference")),
        "Rendering": bundle.find(claim["careTeam"][0]["provider"]["reference"]),
    }
    document = {"reference": submission_id, **apply(CLAIM_ROWS, roots), "lines": _lines(claim)}
    return VendorPayload(submission_id, "application/json", jsonio.dumps(document))


def _lines(claim: dict[str, Any]) -> list[dict[str, Any]]:
    codes = {d["sequence"]: _code(d["diagnosisCodeableConcept"]) for d in claim["diagnosis"]}
    lines = []
    for i, item in enumerate(claim["item"]):
        try:
            line = apply(LINE_ROWS, {"item": item})
        except MappingError as problem:
            finding = problem.findings[0]
            where = finding.expression.replace("item", f"Claim.item[{i}]", 1)
            raise MappingError(where, finding.message, finding.fix) from None
        line["modifiers"] = [_code(modifier) for modifier in item.get("modifier", ())]
        line["diagnoses"] = [codes[sequence] for sequence in item["diagnosisSequence"]]
        lines.append(line)
    return lines


def _code(concept: dict[str, Any]) -> str:
    return str(codings(concept)[0]["code"])
