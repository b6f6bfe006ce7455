"""What the adapter adds to, or changes in, the canonical claim: everything else travels as it is. Pure tables.

Roots: `Claim` and `related` (one entry of `Claim.related`) are canonical; `submission` = {id}; `prior` holds the vendor
ids of the receipt of the claim on file; `entry` = {uuid, type}; `request` is what a transaction does with an entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.canonical import codes
from gateway.kit.mapping import Row

SUBMISSION_IDENTIFIER = "urn:fhir-billing-gateway:submission"
"""System of the identifier by which a claim can be searched: one value, one submission."""
RESOURCE_IDENTIFIER = "urn:fhir-billing-gateway:resource"
"""System of the identifier by which a transaction finds a patient, coverage or provider again."""

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})")


def submission_identifier(submission_id: str) -> dict[str, str]:
    """The identifier of a submission."""
    return {"system": SUBMISSION_IDENTIFIER, "value": submission_id}


def resource_identifier(uuid: str) -> dict[str, str]:
    """The identifier of a resource that claims share."""
    return {"system": RESOURCE_IDENTIFIER, "value": uuid}


def urn(uuid: str) -> str:
    """A UUID as the URI that stands for an entry of the Bundle."""
    return f"urn:uuid:{uuid}"


def instant(created: str) -> str | None:
    """A dateTime that is a full instant, else None: FHIR wants the Bundle's time with its zone, or not at all."""
    return created if _INSTANT.fullmatch(created) else None


def on_file(claim_id: str) -> str:
    """The reference of a claim that the server holds."""
    return f"Claim/{claim_id}"


def canonical_claim(reference: str) -> dict[str, str]:
    """A canonical claim's own number, which every version of it carries as an identifier."""
    return {"system": codes.CLAIM_IDENTIFIER, "value": reference.removeprefix("Claim/")}


def number(value: str | dict[str, Any]) -> dict[str, Any]:
    """The payer's number of a claim as an identifier; one that is an identifier already stays as it is."""
    return {"value": value} if isinstance(value, str) else value


BUNDLE_ROWS = (
    Row("identifier", "submission.id", submission_identifier, True, "the submission's number, on the Bundle"),
    Row("timestamp", "Claim.created", instant, note="left out unless it has a time with its zone"),
)
CLAIM_ROWS = (
    Row(
        "identifier",
        "submission.id",
        submission_identifier,
        True,
        "added as the last of Claim.identifier: a lost claim is searched by it",
    ),
)
RELATED_ROWS = (
    Row("claim.reference", "prior.Claim", on_file, note="the server's own id of the claim on file, from its receipt"),
    Row(
        "claim.identifier",
        "related.claim.reference",
        canonical_claim,
        note="the number that the claim on file carries, for a server that gave no id",
    ),
    Row(
        "reference",
        "related.reference | prior.PayerClaimControlNumber",
        number,
        note="the payer's number of the claim on file: the claim's own word first, else the receipt's",
    ),
)
ENTRY_ROWS = (
    Row(
        "fullUrl",
        "entry.uuid",
        urn,
        True,
        "a UUID made of clinic, type and id; every reference to the resource becomes the same URN",
    ),
    Row("request.method", "request.method", note="transaction only: POST for the Claim, PUT or POST for the others"),
    Row("request.url", "request.url", note="transaction only: Claim, or Type?identifier=... for what claims share"),
    Row("request.ifNoneExist", "request.condition", note="transaction only: the identifier that must not be there yet"),
)
SHARED_ROWS = (
    Row(
        "identifier",
        "entry.uuid",
        resource_identifier,
        True,
        "transaction only: added to each supporting resource, so that a later claim finds it again",
    ),
)

CARRIED: Mapping[str, str] = {
    "Claim.identifier": "Claim.identifier, with the submission's number added",
    "Claim.billablePeriod": "Claim.billablePeriod",
    "Claim.provider": "Claim.provider with its Organization or Practitioner in the Bundle",
    "Claim.facility": "Claim.facility with its Location in the Bundle",
    "Claim.referral": "Claim.referral.identifier",
    "Claim.related": "Claim.related.claim, Claim.related.reference and Claim.status (cancelled: void)",
    "Claim.accident": "Claim.accident",
    "Claim.careTeam.rendering": "Claim.careTeam with its Practitioner in the Bundle",
    "Claim.careTeam.referring": "Claim.careTeam with its Practitioner in the Bundle",
    "Claim.careTeam.supervisor": "Claim.careTeam with its Practitioner in the Bundle",
    "Claim.careTeam.ordering": "Claim.careTeam with its Practitioner in the Bundle",
    "Claim.supportingInfo.hospitalized": "Claim.supportingInfo.timingPeriod",
    "Claim.supportingInfo.onset": "Claim.supportingInfo.timingDate",
    "Claim.supportingInfo.info": "Claim.supportingInfo.valueString",
    "Claim.supportingInfo.patientPaid": "Claim.supportingInfo.valueQuantity",
    "Claim.diagnosis": "Claim.diagnosis in order of sequence",
    "Claim.insurance.focal": "Claim.insurance with its Coverage, subscriber and payor in the Bundle",
    "Claim.insurance.other": "Claim.insurance with its Coverage, subscriber and payor in the Bundle",
    "Claim.insurance.preAuthRef": "Claim.insurance.preAuthRef",
    "Claim.item.productOrService": "Claim.item.productOrService",
    "Claim.item.modifier": "Claim.item.modifier in order",
    "Claim.item.serviced": "Claim.item.servicedDate or servicedPeriod",
    "Claim.item.location": "Claim.item.locationCodeableConcept",
    "Claim.item.quantity": "Claim.item.quantity",
    "Claim.item.unitPrice": "Claim.item.unitPrice, to the last digit given",
    "Claim.item.net": "Claim.item.net, to the last digit given",
    "Claim.item.diagnosisSequence": "Claim.item.diagnosisSequence in order",
    "Claim.item.careTeamSequence": "Claim.item.careTeamSequence",
    "Claim.item.detail": "Claim.item.detail",
    "Claim.item.informationSequence": "Claim.item.informationSequence",
    "Claim.total": "Claim.total, to the last digit given",
}
"""The canonical claim is a FHIR Claim, so every element that it defines travels under its own name."""
