"""The visit's note: the submission id, and what only a biller can enter when approving the charges. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.billing.advancedmd.limits import first_code
from adapters.billing.advancedmd.rows import money
from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource
from gateway.kit.mapping import Row, first

NOTE_ROWS = (
    Row("Referral number", "Claim.referral.identifier.value"),
    Row("Prior authorization", "Claim.insurance[0].preAuthRef[0]"),
    Row("Referring provider NPI", "referring"),
    Row("Supervising provider NPI", "supervisor"),
    Row("Patient paid", "paid", money),
    Row("Diagnoses in order", "diagnoses"),
)
"""Words of the note to their sources. Roots beside the claim: `referring` and `supervisor`, the NPI of that careTeam
member; `paid`, the amount paid by the patient; `diagnoses`, there when the charges lose a diagnosis or the order."""


def note_of(bundle: ClaimBundle, charges: list[dict[str, str]], submission_id: str) -> str:
    """The note: "Gateway GW7F3A91; Referral number: 77; Line 1: ..."."""
    claim = bundle.claim
    paid = [i for i in claim.get("supportingInfo", ()) if first_code(i.get("category")) == "patientPaid"]
    roots = {
        "Claim": claim,
        "referring": _npi(bundle, "referring"),
        "supervisor": _npi(bundle, "supervisor"),
        "paid": first("info.valueQuantity.value", {"info": paid}) or None,
        "diagnoses": lost_diagnoses(claim, charges),
    }
    found = ((row.target, row.value(roots)) for row in NOTE_ROWS)
    told = [f"{words}: {value}" for words, value in found if value is not None]
    return "; ".join([f"Gateway {submission_id}", *told, *_information(claim)])


def _npi(bundle: ClaimBundle, role: str) -> str | None:
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        if first_code(member.get("role")) == role:
            provider = bundle.find(member.get("provider", {}).get("reference"))
            npi = codes.identifier(provider or {}, codes.NPI)
            if npi is None:
                where = f"Claim.careTeam[{i}].provider"
                raise MappingError(where, "the provider has no NPI", "Complete the provider's NPI in the EHR.")
            return npi
    return None


def lost_diagnoses(claim: Resource, charges: list[dict[str, str]]) -> str | None:
    """The claim's diagnoses in order, when the charges alone would lose one of them or their order."""
    wanted = [first_code(d.get("diagnosisCodeableConcept")) for d in claim.get("diagnosis", ())]
    told = list(dict.fromkeys(code for charge in charges for code in charge["diagcodes"].split()))
    return None if told == wanted else " ".join(wanted)


def _information(claim: Resource) -> Iterator[str]:
    lines: dict[Any, list[str]] = {}
    for i, item in enumerate(claim.get("item", ())):
        for sequence in item.get("informationSequence", ()):
            lines.setdefault(sequence, []).append(str(i + 1))
    for info in claim.get("supportingInfo", ()):
        if first_code(info.get("category")) == "info":
            where = lines.get(info.get("sequence"))
            yield f"Line {', '.join(where)}: {info['valueString']}" if where else f"Note: {info['valueString']}"
