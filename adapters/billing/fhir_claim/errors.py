"""What a FHIR server's words mean: the only place where a vendor word becomes an error class or an error code. Pure.

A server's own texts (diagnostics, details, display, disposition) may quote the claim, so none is ever passed on: a
finding is a sentence of this file, with the server's code and, where it is plain, its FHIRPath.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)

VENDOR = "FHIR server"
EDIT = "fhir"

_CORRECT = "Correct the claim and send it again."
_BY_HAND = "Ask the billing system's operator; the server's own log has the details."


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: `error` decides about retry when it refuses a claim."""

    text: str
    fix: str = _CORRECT
    code: ErrorCode = ErrorCode.OTHER
    error: type[AdapterError] = ClaimRejected


ISSUES: Mapping[str, Meaning] = {
    "invalid": Meaning("the server cannot accept the content of this element"),
    "structure": Meaning("the server finds the structure of this element wrong"),
    "required": Meaning("the server needs this element", "Supply the element.", ErrorCode.MISSING_ELEMENT),
    "value": Meaning("the server does not accept the value of this element"),
    "invariant": Meaning("elements of the claim do not agree with each other"),
    "processing": Meaning("the server could not process the claim", _BY_HAND),
    "not-supported": Meaning("the server does not support this", _BY_HAND, ErrorCode.UNSUPPORTED),
    "not-found": Meaning("the server does not know what this element names", _CORRECT, ErrorCode.NOT_FOUND),
    "deleted": Meaning("what this element names was deleted at the server", _CORRECT, ErrorCode.NOT_FOUND),
    "too-long": Meaning("the content of this element is too long for the server", "Shorten it."),
    "code-invalid": Meaning("the server does not accept this code", "Correct the code."),
    "extension": Meaning("the server does not accept an extension", _BY_HAND, ErrorCode.UNSUPPORTED),
    "too-costly": Meaning("the request is too large for the server", _BY_HAND),
    "business-rule": Meaning("a rule of the billing system refuses the claim"),
    "duplicate": Meaning("the server already has this claim", "", ErrorCode.DUPLICATE, DuplicateClaim),
    "multiple-matches": Meaning("the server has several such resources", "", ErrorCode.DUPLICATE, DuplicateClaim),
    "conflict": Meaning("another change was under way at the server", "", ErrorCode.DUPLICATE, DuplicateClaim),
    "security": Meaning("the server forbids this", "", ErrorCode.PERMISSION, PermissionMissing),
    "forbidden": Meaning("the server forbids this", "", ErrorCode.PERMISSION, PermissionMissing),
    "suppressed": Meaning("the server hides this from the gateway", "", ErrorCode.PERMISSION, PermissionMissing),
    "login": Meaning("the server wants a sign-in", "", ErrorCode.CREDENTIALS, CredentialsRejected),
    "unknown": Meaning("the server does not know the gateway", "", ErrorCode.CREDENTIALS, CredentialsRejected),
    "expired": Meaning("the gateway's session has ended", "", ErrorCode.CREDENTIALS, CredentialsRejected),
    "throttled": Meaning("the server asks to come back later", "", ErrorCode.THROTTLED, RateLimited),
    "transient": Meaning("the server failed for the moment", "", ErrorCode.UNAVAILABLE, OutcomeUnknown),
    "lock-error": Meaning("the server could not lock a record", "", ErrorCode.UNAVAILABLE, OutcomeUnknown),
    "no-store": Meaning("the server's store is away", "", ErrorCode.UNAVAILABLE, OutcomeUnknown),
    "exception": Meaning("the server failed", "", ErrorCode.UNAVAILABLE, OutcomeUnknown),
    "timeout": Meaning("the server ran out of time", "", ErrorCode.TIMEOUT, OutcomeUnknown),
    "incomplete": Meaning("the server has not everything yet", "", ErrorCode.UNAVAILABLE, OutcomeUnknown),
}
"""R4 issue-type of an OperationOutcome to its meaning when it refuses a claim (fhir_rest section 5)."""
UNKNOWN_ISSUE = Meaning("the server refuses the claim for a reason that the gateway does not know", _BY_HAND)

ADJUDICATION_ERRORS: Mapping[str, Meaning] = {
    "a001": Meaning("an identifier is missing", "Supply the identifier.", ErrorCode.MISSING_ELEMENT),
    "a002": Meaning("the date of creation is missing", "Supply the date.", ErrorCode.MISSING_ELEMENT),
    "04": Meaning("more units than authorized", _CORRECT, ErrorCode.INVALID_AMOUNT),
    "15": Meaning("something that the payer requires is missing", "Supply it.", ErrorCode.MISSING_ELEMENT),
    "33": Meaning("the payer finds an input error"),
    "41": Meaning("the provider may not bill this payer", _BY_HAND, ErrorCode.PERMISSION),
    "43": Meaning("the provider's identifier is missing or wrong", "Correct the NPI.", ErrorCode.PROVIDER_NOT_FOUND),
    "44": Meaning("the provider's name is missing or wrong", _CORRECT, ErrorCode.PROVIDER_NOT_FOUND),
    "50": Meaning("the provider is not eligible with this payer", _BY_HAND, ErrorCode.PROVIDER_NOT_FOUND),
    "51": Meaning("the payer does not have the provider on file", _BY_HAND, ErrorCode.PROVIDER_NOT_FOUND),
    "52": Meaning("the service is outside the provider's enrollment", _CORRECT, ErrorCode.INVALID_DATE),
    "54": Meaning("the procedure's code system is wrong", _CORRECT, ErrorCode.INVALID_PROCEDURE),
    "55": Meaning("the procedure code is wrong", _CORRECT, ErrorCode.INVALID_PROCEDURE),
    "56": Meaning("a date is wrong", _CORRECT, ErrorCode.INVALID_DATE),
    "57": Meaning("the date of service is missing or wrong", _CORRECT, ErrorCode.INVALID_DATE),
    "58": Meaning("the patient's birth date is missing or wrong", _CORRECT, ErrorCode.PATIENT_INVALID),
    "64": Meaning("the patient's identifier is missing or wrong", _CORRECT, ErrorCode.PATIENT_INVALID),
    "65": Meaning("the patient's name is missing or wrong", _CORRECT, ErrorCode.PATIENT_INVALID),
    "67": Meaning("the payer does not know the patient", _CORRECT, ErrorCode.SUBSCRIBER_NOT_FOUND),
    "71": Meaning("the patient's birth date differs from the payer's", _CORRECT, ErrorCode.PATIENT_INVALID),
    "72": Meaning("the member id is missing or wrong", _CORRECT, ErrorCode.SUBSCRIBER_NOT_FOUND),
    "73": Meaning("the subscriber's name is missing or wrong", _CORRECT, ErrorCode.SUBSCRIBER_NOT_FOUND),
    "75": Meaning("the payer does not know the subscriber", _CORRECT, ErrorCode.SUBSCRIBER_NOT_FOUND),
    "78": Meaning("the subscriber is not in the group or plan", _CORRECT, ErrorCode.COVERAGE_MISMATCH),
    "95": Meaning("the patient is not eligible", _CORRECT, ErrorCode.COVERAGE_INACTIVE),
    "T4": Meaning("the payer's name or identifier is missing", "Correct the payer id.", ErrorCode.PAYER_UNKNOWN),
}
"""ClaimResponse.error.code: FHIR's own adjudication-error codes and X12 data element 901, as PAS servers send it."""
UNKNOWN_ERROR = Meaning("the payer refuses this for a reason that the gateway does not know", _BY_HAND)

_PLACES: tuple[tuple[str, ErrorCode], ...] = (
    (r"\.preAuthRef", ErrorCode.MISSING_PRIOR_AUTHORIZATION),
    (r"\.diagnosis", ErrorCode.INVALID_DIAGNOSIS),
    (r"\.modifier", ErrorCode.INVALID_MODIFIER),
    (r"\.productOrService", ErrorCode.INVALID_PROCEDURE),
    (r"\.location", ErrorCode.PLACE_OF_SERVICE_INVALID),
    (r"\.(serviced|created|billablePeriod|timing)", ErrorCode.INVALID_DATE),
    (r"\.(net|unitPrice|total|quantity)", ErrorCode.INVALID_AMOUNT),
    (r"\.(careTeam|provider)|^(Practitioner|Organization)\b", ErrorCode.PROVIDER_NOT_FOUND),
    (r"\.facility|^Location\b", ErrorCode.LOCATION_NOT_FOUND),
    (r"\.insurer", ErrorCode.PAYER_UNKNOWN),
    (r"\.insurance|^Coverage\b", ErrorCode.COVERAGE_MISMATCH),
    (r"\.patient|^(Patient|RelatedPerson)\b", ErrorCode.PATIENT_INVALID),
)


def code_at(meaning: Meaning, expression: str) -> ErrorCode:
    """The code of a refusal: the meaning's own, else by the element that it is about."""
    if meaning.code is not ErrorCode.OTHER:
        return meaning.code
    return next((code for pattern, code in _PLACES if re.search(pattern, expression)), ErrorCode.OTHER)


NO_SUBMIT = Meaning(
    "the server does not offer Claim/$submit",
    "Set mode: transaction for this connection if the server stores claims, or correct base_url.",
    ErrorCode.UNSUPPORTED,
)
NO_TRANSACTION = Meaning(
    "the server does not take transactions here",
    "Correct base_url, or set mode: submit if the server offers Claim/$submit.",
    ErrorCode.UNSUPPORTED,
)
NO_CONDITION = Meaning(
    "the server does not take conditional creates",
    "Set conditional_create: false for this connection; a lost claim is then searched all the same.",
    ErrorCode.UNSUPPORTED,
)
ALREADY_THERE = Meaning("the server already has this claim", "", ErrorCode.DUPLICATE, DuplicateClaim)
MOVED = Meaning("the server has moved to another address", "Correct base_url.", error=VendorUnavailable)
IN_DOUBT = Meaning("the server gave up waiting", "", ErrorCode.TIMEOUT, OutcomeUnknown)

CREATE_STATUSES: Mapping[int, Meaning] = {
    301: MOVED,
    307: MOVED,
    308: MOVED,
    401: Meaning("the server does not accept the credentials", error=CredentialsRejected),
    403: Meaning("the credentials lack the right to send claims", error=PermissionMissing),
    408: IN_DOUBT,
    409: ALREADY_THERE,
    412: ALREADY_THERE,
    429: Meaning("the server asks to come back later", error=RateLimited),
}
"""HTTP status of the one call that creates a claim, where the status alone decides."""
NOT_OFFERED = frozenset({404, 405, 501})

READ_STATUSES: Mapping[int, Meaning] = {
    401: Meaning("the server does not accept the credentials", error=CredentialsRejected),
    403: Meaning("the credentials lack the right to read claims", error=PermissionMissing),
    404: Meaning("the server does not have this", code=ErrorCode.NOT_FOUND, error=UnexpectedResponse),
    410: Meaning("the server has deleted this", code=ErrorCode.NOT_FOUND, error=UnexpectedResponse),
    429: Meaning("the server asks to come back later", error=RateLimited),
}


def raised(meaning: Meaning, operation: str) -> AdapterError:
    """The error of a meaning without findings of its own."""
    code = None if meaning.code is ErrorCode.OTHER else meaning.code
    text = meaning.text if not meaning.fix or meaning.error is not ClaimRejected else f"{meaning.text}. {meaning.fix}"
    return meaning.error(VENDOR, operation, text, code=code)
