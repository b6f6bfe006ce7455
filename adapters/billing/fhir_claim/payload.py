"""A canonical claim as the Bundle that the server gets: the claim first, then everything that it references. Pure.

The body is that Bundle (or Parameters that hold it) as JSON in which 105.00 stays 105.00. `VendorPayload.fields` holds
{"operation": "Claim/$submit" or "transaction"}.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from adapters.billing.fhir_claim.rows import (
    BUNDLE_ROWS,
    CARRIED,
    CLAIM_ROWS,
    ENTRY_ROWS,
    RELATED_ROWS,
    RESOURCE_IDENTIFIER,
    SHARED_ROWS,
    SUBMISSION_IDENTIFIER,
    resource_identifier,
    urn,
)
from adapters.billing.fhir_claim.settings import FhirClaimSettings, Mode
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource, SubmissionReceipt, VendorPayload, reference_of
from gateway.kit.mapping import apply
from gateway.kit.payload import refuse_uncarried

CONTENT_TYPE = "application/fhir+json"
TITLE = "A FHIR server"
SUBMIT = "Claim/$submit"
TRANSACTION = "transaction"

_NAMESPACE = uuid.UUID("6f1d1c3e-6a0b-5d0e-9c58-0a4c1f8b7e21")
_SUBMISSION_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")  # it stands in a search URL, where nothing needs escaping
_LITERAL = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-_]+")

Rename = Callable[[str, str], Mapping[str, Any]]
"""(literal reference, its FHIRPath) to the members that stand in its place."""


def build(
    bundle: ClaimBundle,
    submission_id: str,
    settings: FhirClaimSettings,
    clinic_id: str,
    prior: SubmissionReceipt | None = None,
) -> VendorPayload:
    """The request of a claim; `clinic_id` keeps equal ids of two clinics apart, `prior` is the claim on file.

    Raises `UnsupportedElement` for an element that the canonical claim does not define, and `MappingError` for a
    reference of the claim that does not resolve.
    """
    if not _SUBMISSION_ID.fullmatch(submission_id):
        raise ValueError("a submission id of 1 to 64 letters, digits, points and hyphens fits a FHIR search")
    refuse_uncarried(bundle, CARRIED, TITLE)
    uuids = {reference: _uuid(clinic_id, reference) for reference in bundle.resources}
    claim_uuid = _uuid(clinic_id, f"{reference_of(bundle.claim)}/{submission_id}")
    claim = _claim(bundle.claim, submission_id, prior, _strict(uuids))
    transaction = settings.mode is Mode.TRANSACTION
    rest = [
        (uuids[reference], _rewritten(resource, _lenient(uuids, clinic_id), reference))
        for reference, resource in bundle.resources.items()
    ]
    body: Resource = {
        "resourceType": "Bundle",
        **apply(BUNDLE_ROWS, {"Claim": bundle.claim, "submission": {"id": submission_id}}),
        "type": TRANSACTION if transaction else "collection",
        "entry": [
            _claim_entry(claim, claim_uuid, submission_id, settings),
            *(_entry(resource, key, settings) for key, resource in rest),
        ],
    }
    if not transaction and settings.submit_body == "parameters":
        body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": body}]}
    fields = {"operation": TRANSACTION if transaction else SUBMIT}
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(body), fields)


def _uuid(clinic_id: str, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{clinic_id}/{name}"))


def _claim(claim: Resource, submission_id: str, prior: SubmissionReceipt | None, rename: Rename) -> Resource:
    known = dict(prior.vendor_ids) if prior else {}
    related = claim.get("related", ())
    plain = {name: value for name, value in claim.items() if name != "related"}
    changed: Resource = _rewritten(plain, rename, "Claim")
    added = apply(CLAIM_ROWS, {"submission": {"id": submission_id}})
    changed["identifier"] = [*claim.get("identifier", ()), added["identifier"]]
    if related:
        changed["related"] = [_related(entry, known) for entry in related]
    return changed


def _related(related: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """One entry of `Claim.related` whose claim is named as the server knows it."""
    mapped = _nested(apply(RELATED_ROWS, {"related": related, "prior": known}))
    kept = {name: value for name, value in related.items() if name != "claim"}
    return {**({"claim": mapped.pop("claim")} if "claim" in mapped else {}), **kept, **mapped}


def _claim_entry(claim: Resource, key: str, submission_id: str, settings: FhirClaimSettings) -> dict[str, Any]:
    if settings.mode is Mode.SUBMIT:
        return _framed(claim, key, {})
    condition = f"identifier={SUBMISSION_IDENTIFIER}|{submission_id}" if settings.conditional_create else None
    return _framed(_without_id(claim), key, {"method": "POST", "url": "Claim", "condition": condition})


def _entry(resource: Resource, key: str, settings: FhirClaimSettings) -> dict[str, Any]:
    if settings.mode is Mode.SUBMIT:
        return _framed(resource, key, {})
    shared = _without_id(resource)
    added = apply(SHARED_ROWS, {"entry": {"uuid": key}})
    shared["identifier"] = [*resource.get("identifier", ()), added["identifier"]]
    found_by, kind = f"identifier={RESOURCE_IDENTIFIER}|{key}", resource["resourceType"]
    if settings.supporting == "update":
        return _framed(shared, key, {"method": "PUT", "url": f"{kind}?{found_by}"})
    return _framed(shared, key, {"method": "POST", "url": kind, "condition": found_by})


def _framed(resource: Resource, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
    frame = _nested(apply(ENTRY_ROWS, {"entry": {"uuid": key}, "request": request}))
    return {"fullUrl": frame.pop("fullUrl"), "resource": resource, **frame}


def _without_id(resource: Resource) -> Resource:
    """A transaction leaves the ids to the server: a conditional update with a foreign id is refused (R4 3.1.0.4.3)."""
    return {name: value for name, value in resource.items() if name != "id"}


def _strict(uuids: Mapping[str, str]) -> Rename:
    """Every reference of the claim itself must name something that travels with it."""

    def rename(reference: str, where: str) -> Mapping[str, Any]:
        if reference not in uuids:
            raise MappingError(where, "this does not resolve to a resource that came with the claim")
        return {"reference": urn(uuids[reference])}

    return rename


def _lenient(uuids: Mapping[str, str], clinic_id: str) -> Rename:
    """A supporting resource may name one that does not travel: then by its identifier."""

    def rename(reference: str, where: str) -> Mapping[str, Any]:
        if reference in uuids:
            return {"reference": urn(uuids[reference])}
        return {"identifier": resource_identifier(_uuid(clinic_id, reference))}

    return rename


def _rewritten(value: Any, rename: Rename, where: str) -> Any:
    """A copy in which every literal reference `Type/id` is renamed; `where` is the FHIRPath so far."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and _LITERAL.fullmatch(reference):
            kept = {name: member for name, member in value.items() if name != "reference"}
            return {**rename(reference, where), **kept}
        return {name: _rewritten(member, rename, f"{where}.{name}") for name, member in value.items()}
    if isinstance(value, list):
        return [_rewritten(element, rename, f"{where}[{i}]") for i, element in enumerate(value)]
    return value


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for target, value in flat.items():
        outer, _, inner = target.rpartition(".")
        (nested.setdefault(outer, {}) if outer else nested)[inner] = value
    return nested
