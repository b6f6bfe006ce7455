"""The mapping tables of the Bundle: what travels as it is, and what the adapter adds or changes. Pure.

Roots: `Claim` and `related` (one entry of `Claim.related`) are canonical; `submission` = {id, search}; `settings` =
{kind of Bundle}; `prior` holds the vendor ids of the receipt of the claim on file; `resource` is any resource of the
claim as a `Travelling`; `entry` = {uuid, type, search}; `referred` = {uuid} of a resource that travels, or {elsewhere}
of one that does not; `constant` is there in every claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.canonical import codes
from gateway.kit.mapping import Row

SUBMISSION_IDENTIFIER = "urn:fhir-billing-gateway:submission"
"""System of the identifier by which a claim can be searched: one value, one submission."""
RESOURCE_IDENTIFIER = "urn:fhir-billing-gateway:resource"
"""System of the identifier by which a transaction finds a patient, coverage or provider again."""

_LITERAL = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-_]+")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})")


Rename = Callable[[str, str], Mapping[str, Any]]
"""(literal reference, its FHIRPath) to the members that stand in its place: those of `REFERENCE_ROWS`."""


@dataclass(frozen=True, slots=True)
class Travelling:
    """A resource on its way into the Bundle: its references are renamed; `where` is its FHIRPath, for errors."""

    content: Mapping[str, Any]
    rename: Rename
    where: str


def as_it_is(resource: Travelling) -> dict[str, Any]:
    """As it is, but each literal reference `Type/id` names the entry of the Bundle (see References)."""
    renamed: dict[str, Any] = _renamed(resource.content, resource.rename, resource.where)
    return renamed


def _renamed(value: Any, rename: Rename, where: str) -> Any:
    if isinstance(value, Mapping):
        reference = value.get("reference")
        if isinstance(reference, str) and _LITERAL.fullmatch(reference):
            kept = {name: member for name, member in value.items() if name != "reference"}
            return {**rename(reference, where), **kept}
        return {name: _renamed(member, rename, f"{where}.{name}") for name, member in value.items()}
    if isinstance(value, list):
        return [_renamed(element, rename, f"{where}[{i}]") for i, element in enumerate(value)]
    return value


def always(text: str) -> Callable[[Any], str]:
    """The same text whenever the source is there at all."""

    def fixed(_: Any) -> str:
        return text

    fixed.__doc__ = f"Always {text}."
    return fixed


def submission_identifier(submission_id: str) -> dict[str, str]:
    """An identifier of the system `urn:fhir-billing-gateway:submission`."""
    return {"system": SUBMISSION_IDENTIFIER, "value": submission_id}


def resource_identifier(uuid: str) -> dict[str, str]:
    """An identifier of the system `urn:fhir-billing-gateway:resource`."""
    return {"system": RESOURCE_IDENTIFIER, "value": uuid}


def urn(uuid: str) -> str:
    """`urn:uuid:` and the UUID."""
    return f"urn:uuid:{uuid}"


def instant(created: str) -> str | None:
    """As it is when it has a time and its zone, else left out: a Bundle's time has both."""
    return created if _INSTANT.fullmatch(created) else None


def on_file(claim_id: str) -> str:
    """`Claim/` and the id."""
    return f"Claim/{claim_id}"


def canonical_claim(reference: str) -> dict[str, str]:
    """The number in `Claim/<number>` as an identifier, which every version of the claim carries."""
    return {"system": codes.CLAIM_IDENTIFIER, "value": reference.removeprefix("Claim/")}


def number(value: str | dict[str, Any]) -> dict[str, Any]:
    """As an identifier; one that is an identifier already stays as it is."""
    return {"value": value} if isinstance(value, str) else value


def submission_search(submission_id: str) -> str:
    """The search `identifier=<system>|<submission id>`: no claim is created where one has it."""
    return f"identifier={SUBMISSION_IDENTIFIER}|{submission_id}"


def resource_search(uuid: str) -> str:
    """The search `identifier=<system>|<UUID>`."""
    return f"identifier={RESOURCE_IDENTIFIER}|{uuid}"


def update_url(entry: Mapping[str, str]) -> str:
    """`<Type>?identifier=<system>|<UUID>`: what has this identifier is updated, else created."""
    return f"{entry['type']}?{resource_search(entry['uuid'])}"


def in_parameters(bundle: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One parameter `resource` that holds the Bundle."""
    return [{"name": "resource", "resource": bundle}]


BUNDLE_ROWS = (
    Row("resourceType", "constant", always("Bundle")),
    Row("identifier", "submission.id", submission_identifier, True, "the submission's number, on the Bundle"),
    Row("timestamp", "Claim.created", instant),
    Row(
        "type", "settings.kind", note="collection for Claim/$submit; transaction where the connection's `mode` says so"
    ),
)
PARAMETERS_ROWS = (
    Row("resourceType", "constant", always("Parameters")),
    Row("parameter", "bundle", in_parameters),
)
"""Only with `submit_body` parameters: what holds the Bundle."""
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
    Row("resource", "resource", as_it_is, note="the Claim first, then everything that it references"),
)
CLAIM_REQUEST_ROWS = (
    Row("request.method", "constant", always("POST")),
    Row("request.url", "constant", always("Claim")),
    Row("request.ifNoneExist", "submission.search", submission_search, note="unless `conditional_create` is off"),
)
UPDATE_REQUEST_ROWS = (
    Row("request.method", "constant", always("PUT")),
    Row("request.url", "entry", update_url),
)
CREATE_REQUEST_ROWS = (
    Row("request.method", "constant", always("POST")),
    Row("request.url", "entry.type"),
    Row("request.ifNoneExist", "entry.uuid", resource_search),
)
"""What a transaction does with its entries: the Claim; the others, with `supporting` update; with create."""
REFERENCE_ROWS = (
    Row("reference", "referred.uuid", urn, note="the fullUrl of the entry"),
    Row("identifier", "referred.elsewhere", resource_identifier, note="where another resource's reference leads out"),
)
"""What stands in the place of a literal reference `Type/id`, wherever it is; `display` and the like are kept."""
SHARED_ROWS = (
    Row(
        "identifier",
        "entry.uuid",
        resource_identifier,
        True,
        "added as the last, so that a later claim finds the resource again; its id is left to the server",
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
