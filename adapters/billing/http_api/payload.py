"""A canonical claim as the vendor's document, by the compiled map of a description. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from adapters.billing.http_api.description import Description
from adapters.billing.http_api.documents import CONTENT_TYPES, Format, NotWritable, write
from adapters.billing.http_api.extract import Facts, number_of
from adapters.billing.http_api.guards import refuse_overflow, refuse_unknown_prior, refuse_unsupported
from adapters.billing.http_api.requests import fill
from adapters.billing.http_api.template import VALUE, Entries, Fixed, Leaf, Loop, Members, Node, Scope
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, SubmissionReceipt, VendorPayload
from gateway.kit.mapping import first

Loops = Mapping[str, list[Facts]]

_ACCOUNT = "Claim.identifier.where(system='urn:fhir-billing-gateway:patient-account').value"


def build(
    bundle: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None, description: Description, zone: tzinfo
) -> VendorPayload:
    """The request of a claim; `zone` is the clinic's, for the posting date.

    Raises `UnsupportedElement` for what the description does not carry and `MappingError` for what the vendor needs.
    """
    plan, frequency = description.plan, bundle.frequency
    refuse_unsupported(bundle, plan.carrying, description.vendor, plan.frequencies)
    scope, loops = plan.extractor.scope(bundle, submission_id, prior, zone)
    if frequency is not ClaimFrequency.ORIGINAL:
        refuse_unknown_prior(scope, plan.carrying.facts)
    refuse_overflow(scope, loops, plan.carrying)
    document = _rendered(plan.root, scope, loops, plan.omit_empty)
    if not document:
        raise MappingError("Claim", "the description's map makes nothing of this claim", "Correct the description.")
    method, path = _request(description, frequency, submission_id, prior, bundle)
    return VendorPayload(
        submission_id,
        CONTENT_TYPES[description.submit.payload],
        _bytes(document, description.submit.payload),
        {"method": method, "path": path, "account_number": _account(bundle)},
    )


def _bytes(document: Any, form: Format) -> bytes:
    try:
        return write(document, form)
    except NotWritable:
        text = "a text of the claim holds a character that XML cannot carry"
        raise UnsupportedElement("Claim", text, "Remove control characters from the texts in the EHR.") from None


def _account(bundle: ClaimBundle) -> str:
    return str(first(_ACCOUNT, {"Claim": bundle.claim}) or "")


def _request(
    description: Description,
    frequency: ClaimFrequency,
    submission_id: str,
    prior: SubmissionReceipt | None,
    bundle: ClaimBundle,
) -> tuple[str, str]:
    request = description.plan.requests[frequency.value]
    ids = {"submission_id": submission_id, "account_number": _account(bundle)}
    for name, value in (prior.vendor_ids if prior else {}).items():
        ids[f"prior.{name}"] = value
    missing = [name for name in request.placeholders if not ids.get(name)]
    if missing:
        text = f"the claim on file has no {missing[0].removeprefix('prior.')} of the billing system"
        raise MappingError("Claim.related", text, "Correct this claim in the billing system by hand.")
    return request.method, fill(request, ids)


def _rendered(node: Node, scope: Scope, loops: Loops, omit: bool) -> Any:
    """The value of a node, or None when it is left out."""
    if isinstance(node, Fixed):
        return node.constant
    if isinstance(node, Leaf):
        value = node.value(scope)
        return None if omit and value in ("", []) else value
    if isinstance(node, Members):
        return _members(node, scope, loops, omit)
    if isinstance(node, Entries):
        entries = (_rendered(inner, scope, loops, omit) for inner in node.nodes)
        return [entry for entry in entries if entry is not None]
    return _loop(node, scope, loops, omit)


def _members(node: Members, scope: Scope, loops: Loops, omit: bool) -> dict[str, Any] | None:
    """An object; one of whose facts the claim has none is left out, with its fixed values."""
    if node.condition is not None and not node.condition.value(scope):
        return None
    members, mapped, found = {}, False, False
    for name, inner in node.nodes:
        value = _rendered(inner, scope, loops, omit)
        mapped = mapped or not isinstance(inner, Fixed)
        if value is not None:
            found = found or not isinstance(inner, Fixed)
            members[name] = value
    return None if omit and mapped and not found else members


def _loop(node: Loop, scope: Scope, loops: Loops, omit: bool) -> list[Any] | None:
    if node.over is None:
        entries: list[Any] = loops.get(node.scope, [])
    else:
        root, _, member = node.over.name.partition(".")
        entries = scope.get(root, {}).get(member, [])
    if node.most is not None and len(entries) > node.most:
        where = f"{_LISTS[node.scope]}[{node.most}]" if node.over is None else scope.expression(node.over.name)
        text = f"the billing system takes at most {node.most} of these"
        raise UnsupportedElement(where, text, "Split the claim, or enter it in the billing system by hand.")
    inner = (scope.within(node.scope, entry, number_of(entry, n)) for n, entry in enumerate(entries))
    rendered = [value for each in inner if (value := _rendered(node.body, each, loops, omit)) is not None]
    return rendered or (None if omit else [])


_LISTS = {
    "item": "Claim.item",
    "diagnosis": "Claim.diagnosis",
    "care_team": "Claim.careTeam",
    "coverage": "Claim.insurance",
    "other_insurance": "Claim.insurance",
    VALUE: "Claim",
}
