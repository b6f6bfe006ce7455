"""A canonical claim as the Bundle that the server gets: the claim first, then everything that it references. Pure.

The body is that Bundle (or Parameters that hold it) as JSON in which 105.00 stays 105.00. `VendorPayload.fields` holds
{"operation": "Claim/$submit" or "transaction"}.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.billing.fhir_claim.rows import (
    BUNDLE_ROWS,
    CARRIED,
    CLAIM_REQUEST_ROWS,
    CLAIM_ROWS,
    CREATE_REQUEST_ROWS,
    ENTRY_ROWS,
    PARAMETERS_ROWS,
    REFERENCE_ROWS,
    RELATED_ROWS,
    SHARED_ROWS,
    UPDATE_REQUEST_ROWS,
    Rename,
    Travelling,
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
    submission = {"id": submission_id, "search": submission_id if settings.conditional_create else None}
    key = {"submission": submission, "entry": {"uuid": claim_uuid}, "constant": True}
    entries = [_claim_entry(Travelling(bundle.claim, _strict(uuids), "Claim"), key, settings, prior)]
    rename = _lenient(uuids, clinic_id)
    for reference, resource in bundle.resources.items():
        entries.append(_entry(Travelling(resource, rename, reference), uuids[reference], settings))
    transaction = settings.mode is Mode.TRANSACTION
    roots: dict[str, Any] = {
        "Claim": bundle.claim,
        "submission": submission,
        "constant": True,
        "settings": {"kind": TRANSACTION if transaction else "collection"},
    }
    body: Resource = {**apply(BUNDLE_ROWS, roots), "entry": entries}
    if not transaction and settings.submit_body == "parameters":
        body = apply(PARAMETERS_ROWS, {**roots, "bundle": body})
    fields = {"operation": TRANSACTION if transaction else SUBMIT}
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(body), fields)


def _uuid(clinic_id: str, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{clinic_id}/{name}"))


def _claim_entry(
    travelling: Travelling, key: Mapping[str, Any], settings: FhirClaimSettings, prior: SubmissionReceipt | None
) -> dict[str, Any]:
    """The entry of the Claim, with the submission's identifier, and the claim on file as the server knows it."""
    claim, related = travelling.content, travelling.content.get("related", ())
    plain = {name: value for name, value in claim.items() if name != "related"}
    roots = {**key, "resource": replace(travelling, content=plain)}
    transaction = settings.mode is Mode.TRANSACTION
    entry = _nested(apply((*ENTRY_ROWS, *(CLAIM_REQUEST_ROWS if transaction else ())), roots))
    changed = entry["resource"]
    changed["identifier"] = [*claim.get("identifier", ()), apply(CLAIM_ROWS, roots)["identifier"]]
    if related:
        known = dict(prior.vendor_ids) if prior else {}
        changed["related"] = [_related(each, known) for each in related]
    return {**entry, "resource": _without_id(changed)} if transaction else entry


def _related(related: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """One entry of `Claim.related` whose claim is named as the server knows it."""
    mapped = _nested(apply(RELATED_ROWS, {"related": related, "prior": known}))
    kept = {name: value for name, value in related.items() if name != "claim"}
    return {**({"claim": mapped.pop("claim")} if "claim" in mapped else {}), **kept, **mapped}


def _entry(travelling: Travelling, key: str, settings: FhirClaimSettings) -> dict[str, Any]:
    """The entry of a resource that the claim references."""
    original = travelling.content
    roots = {"entry": {"uuid": key, "type": original["resourceType"]}, "resource": travelling, "constant": True}
    if settings.mode is Mode.SUBMIT:
        return apply(ENTRY_ROWS, roots)
    request = UPDATE_REQUEST_ROWS if settings.supporting == "update" else CREATE_REQUEST_ROWS
    entry = _nested(apply((*ENTRY_ROWS, *request), roots))
    shared = _without_id(entry["resource"])
    shared["identifier"] = [*shared.get("identifier", ()), apply(SHARED_ROWS, roots)["identifier"]]
    return {**entry, "resource": shared}


def _without_id(resource: Resource) -> Resource:
    """A transaction leaves the ids to the server: a conditional update with a foreign id is refused (R4 3.1.0.4.3)."""
    return {name: value for name, value in resource.items() if name != "id"}


def _strict(uuids: Mapping[str, str]) -> Rename:
    """Every reference of the claim itself must name something that travels with it."""

    def rename(reference: str, where: str) -> Mapping[str, Any]:
        if reference not in uuids:
            raise MappingError(where, "this does not resolve to a resource that came with the claim")
        return apply(REFERENCE_ROWS, {"referred": {"uuid": uuids[reference]}})

    return rename


def _lenient(uuids: Mapping[str, str], clinic_id: str) -> Rename:
    """A supporting resource may name one that does not travel: then by its identifier."""

    def rename(reference: str, where: str) -> Mapping[str, Any]:
        known = uuids.get(reference)
        referred = {"uuid": known} if known else {"elsewhere": _uuid(clinic_id, reference)}
        return apply(REFERENCE_ROWS, {"referred": referred})

    return rename


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for target, value in flat.items():
        outer, _, inner = target.rpartition(".")
        (nested.setdefault(outer, {}) if outer else nested)[inner] = value
    return nested
