"""What an HTTP status means, by default and by a description's `statuses`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)

CLASSES: Mapping[str, type[AdapterError]] = {
    "credentials_rejected": CredentialsRejected,
    "permission_missing": PermissionMissing,
    "rate_limited": RateLimited,
    "vendor_unavailable": VendorUnavailable,
    "outcome_unknown": OutcomeUnknown,
    "duplicate_claim": DuplicateClaim,
    "claim_rejected": ClaimRejected,
    "unexpected_response": UnexpectedResponse,
}
"""A description's word to the class of error, which decides about retry."""

DEFAULTS: Mapping[int, type[AdapterError]] = {
    401: CredentialsRejected,
    403: PermissionMissing,
    408: OutcomeUnknown,
    409: DuplicateClaim,
    429: RateLimited,
}
"""Statuses below 500 that are no plain refusal of a claim."""

WRONG_ADDRESS = frozenset({404, 405, 406, 415})
"""Statuses that speak of the request's address or form; with errors in the answer they speak of the claim."""

SENTENCES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "the billing system does not accept the credentials",
    PermissionMissing: "the credentials lack a permission in the billing system",
    RateLimited: "the billing system asks to come back later",
    VendorUnavailable: "the billing system is not available",
    OutcomeUnknown: "the billing system failed after the claim was sent",
    DuplicateClaim: "the billing system already has this claim",
    ClaimRejected: "the billing system refused the claim",
    UnexpectedResponse: "the billing system answers in a way that the description does not tell of",
}


def status_problem(status: int, word: str) -> str:
    """What is wrong with one entry of `statuses`, or ""."""
    if not 400 <= status <= 599:
        return "is no error status; 400 to 599 can be given a meaning"
    if word not in CLASSES:
        return f"`{word}` is no class of error; use one of {', '.join(CLASSES)}"
    if status >= 500 and word not in ("outcome_unknown", "rate_limited", "claim_rejected"):
        return "after a failure of the server a claim may be saved: use outcome_unknown, rate_limited or claim_rejected"
    return ""


def class_of(status: int, *, creates: bool, retry_after: bool, words: Mapping[int, str]) -> type[AdapterError] | None:
    """The class of error of a status, or None for success. `creates`: the request may have created a claim."""
    if 200 <= status < 300:
        return None
    if status in words:
        chosen = CLASSES[words[status]]
    elif status == 503 and retry_after:
        chosen = RateLimited
    elif status >= 500:
        chosen = OutcomeUnknown
    elif status < 400:
        chosen = UnexpectedResponse
    else:
        chosen = DEFAULTS.get(status, ClaimRejected)
    if creates:
        return chosen
    return {
        OutcomeUnknown: VendorUnavailable,
        DuplicateClaim: UnexpectedResponse,
        ClaimRejected: UnexpectedResponse,
    }.get(chosen, chosen)
