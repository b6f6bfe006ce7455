"""A FHIR server's answers: what a submission, a search or a read proves. Pure.

A claim's answer is a ClaimResponse, alone or in a Bundle or in Parameters; or a transaction-response; or 201 with a
Location; or an OperationOutcome. An answer with a good status that names neither the claim nor a response to it
leaves the outcome unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.billing.fhir_claim.errors import (
    CREATE_STATUSES,
    NO_CONDITION,
    NO_SUBMIT,
    NO_TRANSACTION,
    NOT_OFFERED,
    READ_STATUSES,
    VENDOR,
    Meaning,
    raised,
)
from adapters.billing.fhir_claim.outcomes import Standing, standing
from adapters.billing.fhir_claim.payload import TRANSACTION
from adapters.billing.fhir_claim.refusals import finding_of, refusal_of, refused_issues
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    ErrorCode,
    OutcomeUnknown,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import Resource, SubmissionState
from gateway.canonical.tolerant import first, objects
from gateway.kit.ehr_references import is_vendor_id, local_reference

_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: status, the Location it names ("" when none), body, and the server that gave it."""

    status: int
    body: bytes
    base_url: str
    location: str = ""

    def resource(self) -> Resource | None:
        """The FHIR resource in the body, or None when there is none."""
        if not self.body or len(self.body) > _MAX_BYTES:
            return None
        try:
            found = jsonio.loads(self.body)
        except jsonio.NotJson:
            return None
        return found if isinstance(found, dict) and isinstance(found.get("resourceType"), str) else None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a submission's answer proves; `vendor_ids` are named as in receipts."""

    state: SubmissionState
    reference: str
    vendor_ids: Mapping[str, str] = field(default_factory=dict)


def read_submission(operation: str, answer: Answer) -> Accepted:
    """What the answer to the one creating call proves; raises the `AdapterError` that any other answer means."""
    resource = answer.resource()
    response = next(_of_type(resource, "ClaimResponse"), None)
    good = 200 <= answer.status < 300
    if response is not None and (good or (400 <= answer.status < 500 and response.get("outcome") == "error")):
        return _by_response(operation, response, answer.base_url)
    if not good:
        raise _refusal(operation, answer.status, resource)
    claim = _created(answer, resource)
    if claim is None:
        text = "the answer names neither the claim nor a response to it"
        raise OutcomeUnknown(VENDOR, operation, text, code=ErrorCode.UNEXPECTED_RESPONSE)
    kind, _, identity = claim.partition("/")
    return Accepted(SubmissionState.RECEIVED, claim, {kind: identity})


def _by_response(operation: str, response: Resource, base_url: str) -> Accepted:
    found = standing(response, base_url)
    if found is None:
        text = "the ClaimResponse has no id that can be asked for again"
        raise OutcomeUnknown(VENDOR, operation, text, code=ErrorCode.UNEXPECTED_RESPONSE)
    if found.state is SubmissionState.REJECTED:
        raise _rejected(operation, found)
    return Accepted(found.state, found.reference, found.vendor_ids)


def _rejected(operation: str, found: Standing) -> ClaimRejected:
    codes = dict.fromkeys(code for code in found.vendor_codes if code)
    return ClaimRejected(
        VENDOR,
        operation,
        "the server answers with outcome error",
        code=found.code,
        vendor_code=",".join(codes) or None,
        findings=found.findings,
    )


def _refusal(operation: str, status: int, resource: Resource | None) -> AdapterError:
    """The error for any status but a good one, after the one call that creates the claim."""
    if status in NOT_OFFERED and not refused_issues(resource, within="Claim"):
        return _not_offered(operation, NO_TRANSACTION if operation == TRANSACTION else NO_SUBMIT)
    if status == 412 and any(issue.get("code") == "not-supported" for issue in refused_issues(resource, within="")):
        return _not_offered(operation, NO_CONDITION)
    if status in CREATE_STATUSES:
        return raised(CREATE_STATUSES[status], operation)
    if 400 <= status < 500:
        return refusal_of(operation, status, resource)
    text = f"the server answered HTTP {status}"
    return OutcomeUnknown(VENDOR, operation, text, code=ErrorCode.UNAVAILABLE)


def _not_offered(operation: str, meaning: Meaning) -> ClaimRejected:
    """The connection's settings do not fit the server: held with the remedy, not tried again."""
    finding = finding_of(meaning, "not-offered", "Claim")
    return ClaimRejected(VENDOR, operation, meaning.text, code=meaning.code, findings=(finding,))


def _created(answer: Answer, resource: Resource | None) -> str | None:
    """`Claim/id` (or `ClaimResponse/id`) of what the server says it created."""
    if resource is not None and resource["resourceType"] == "Bundle":
        replies = (first(entry, "response") for _, entry in objects(resource, "entry"))
        named = (_named(reply.get("location"), answer.base_url) for reply in replies)
        found = next((reference for reference in named if reference), None)
        if found:
            return found
    elif resource is not None and resource["resourceType"] == "Claim":
        return f"Claim/{resource['id']}" if is_vendor_id(str(resource.get("id", ""))) else None
    return _named(answer.location, answer.base_url)


def _named(location: Any, base_url: str) -> str | None:
    reference = local_reference(location, base_url)
    return reference if reference and reference.partition("/")[0] in ("Claim", "ClaimResponse") else None


def read_resource(operation: str, answer: Answer) -> Resource:
    """The resource of a read or search; raises what any other answer means. A read changes nothing at the server."""
    if answer.status in READ_STATUSES:
        raise raised(READ_STATUSES[answer.status], operation)
    text = f"the server answered HTTP {answer.status}"
    if answer.status >= 500 and answer.status != 501:
        raise VendorUnavailable(VENDOR, operation, text)
    if answer.status >= 300:
        raise UnexpectedResponse(VENDOR, operation, text, code=ErrorCode.UNSUPPORTED)
    resource = answer.resource()
    if resource is None:
        raise VendorUnavailable(VENDOR, operation, "the answer is a page, not a FHIR resource")
    if resource["resourceType"] == "OperationOutcome":
        raise UnexpectedResponse(VENDOR, operation, "the server reports a problem instead of an answer")
    return resource


def matches(operation: str, bundle: Resource, kind: str, wanted: Callable[[Resource], bool]) -> list[Resource]:
    """The resources of a type in a searchset that satisfy `wanted(resource)`.

    Raises `UnexpectedResponse` when the set holds others too, or goes on: the server did not follow the search, so
    that an empty list would prove nothing.
    """
    if bundle["resourceType"] != "Bundle":
        raise UnexpectedResponse(VENDOR, operation, "the answer to the search is not a Bundle")
    entries = [first(entry, "resource") for _, entry in objects(bundle, "entry")]
    failed = any(refused_issues(r, within="") for r in entries if r.get("resourceType") == "OperationOutcome")
    candidates = [resource for resource in entries if resource.get("resourceType") == kind]
    found = [resource for resource in candidates if wanted(resource) and is_vendor_id(str(resource.get("id", "")))]
    links = [link.get("relation") for _, link in objects(bundle, "link")]
    if failed or len(found) < len(candidates) or (not found and "next" in links):
        raise UnexpectedResponse(VENDOR, operation, "the server did not follow the search")
    return found


def has_identifier(resource: Resource, system: str, value: str) -> bool:
    """Whether a resource carries an identifier."""
    carried = (identifier for _, identifier in objects(resource, "identifier"))
    return any(i.get("system") == system and i.get("value") == value for i in carried)


def answers_claim(response: Resource, claim_id: str, base_url: str) -> bool:
    """Whether a ClaimResponse answers a claim of this server."""
    return local_reference(first(response, "request").get("reference"), base_url) == f"Claim/{claim_id}"


def oldest_first(resources: list[Resource]) -> list[Resource]:
    """By the server's own `meta.lastUpdated`, then by `created`, then by id."""
    return sorted(resources, key=_age)


def _age(resource: Resource) -> tuple[str, str, int, str]:
    identity = str(resource.get("id", ""))
    return (
        str(first(resource, "meta").get("lastUpdated", "")),
        str(resource.get("created", "")),
        len(identity),
        identity,
    )


def _of_type(resource: Resource | None, kind: str) -> Iterator[Resource]:
    """The resources of a type in an answer: the answer itself, the entries of a Bundle, the members of Parameters."""
    if resource is None:
        return
    if resource.get("resourceType") == kind:
        yield resource
    for _, member in (*objects(resource, "entry"), *objects(resource, "parameter")):
        yield from _of_type(first(member, "resource"), kind)
