"""Canonical claims in files: a FHIR Bundle that holds one Claim and everything that it references."""

from __future__ import annotations

from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource


def read_claim(content: bytes) -> ClaimBundle:
    """The claim of a Bundle's bytes; raises `MappingError` naming the element, and `NotJson` with the byte."""
    bundle = jsonio.loads(content)
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise MappingError("Bundle", "this is no FHIR Bundle", "Give a Bundle with one Claim and what it references.")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise MappingError("Bundle.entry", "this is no list of entries", "Give each resource an entry of its own.")
    resources = [_resource(entry, i) for i, entry in enumerate(entries)]
    claims = [resource for resource in resources if resource["resourceType"] == "Claim"]
    if len(claims) != 1:
        message = f"the Bundle holds {len(claims)} Claims instead of one"
        raise MappingError("Bundle.entry", message, "Give one Bundle a claim.")
    return ClaimBundle.of(claims[0], (resource for resource in resources if resource is not claims[0]))


def _resource(entry: Any, index: int) -> Resource:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict) or not resource.get("resourceType") or not resource.get("id"):
        message = "the entry has no resource with resourceType and id"
        raise MappingError(f"Bundle.entry[{index}].resource", message, "Correct the entry.")
    return resource


def write_claim(claim: ClaimBundle) -> bytes:
    """The Bundle of a claim, its amounts as they are."""
    entries = [{"resource": resource} for resource in (claim.claim, *claim.resources.values())]
    return jsonio.dumps({"resourceType": "Bundle", "id": claim.claim["id"], "type": "collection", "entry": entries})
