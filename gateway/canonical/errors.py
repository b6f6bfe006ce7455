"""The error tree. The class alone decides about retry.

GatewayError
|- MappingError, ClaimInvalid, UnsupportedElement         never retried: hold, with the element path
|  |- NotSignedOff                                        looked at again, ever more seldom; held after some days
|     |- SuperbillAwaited                                 the same, and at once when the superbill comes
|- AdapterError (vendor, operation, closed ErrorCode, vendor_code, scrubbed text)
|  |- CredentialsRejected, PermissionMissing              stop the connection, alert (accounts get locked)
|  |- RateLimited(retry_after)                            later; not a failure
|  |- VendorUnavailable                                   surely not accepted: back off with jitter
|  |- OutcomeUnknown                                      maybe accepted: only after find_submission
|  |- DuplicateClaim, ClaimRejected, UnexpectedResponse, UnsupportedOperation
|- NotificationError (NotificationRejected 401, NotificationMalformed 400, NotificationUnknown 404)
|- UnknownConnection 404
|- StoreError (FencingLost, BatchSettled)
ConfigurationError   not a GatewayError: stops the start

No message of any class may contain PHI: messages name elements, codes and remedies, never values of a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from gateway.canonical.findings import Finding, error


class Retry(StrEnum):
    """What the queue does with a job that ended in an error."""

    NEVER = "never"  # hold the work for a person
    LATER = "later"  # wait as told; does not count as a failure
    WATCH = "watch"  # it is not ready yet: look again, ever more seldom; hold when it never is
    BACKOFF = "backoff"  # surely not accepted: try again with jittered back-off
    LOOK_FIRST = "look_first"  # maybe accepted: ask the vendor before anything is sent again
    STOP = "stop"  # stop the whole connection until a person acts


class ErrorCode(StrEnum):
    """The closed list of vendor error meanings; every adapter maps its vendor's codes onto it in one table."""

    CREDENTIALS = "credentials"
    PERMISSION = "permission"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    UNEXPECTED_RESPONSE = "unexpected_response"
    UNSUPPORTED = "unsupported"
    NOT_FOUND = "not_found"
    DUPLICATE = "duplicate"
    PATIENT_INVALID = "patient_invalid"
    PATIENT_AMBIGUOUS = "patient_ambiguous"
    SUBSCRIBER_NOT_FOUND = "subscriber_not_found"
    COVERAGE_MISSING = "coverage_missing"
    COVERAGE_INACTIVE = "coverage_inactive"
    COVERAGE_MISMATCH = "coverage_mismatch"
    PAYER_UNKNOWN = "payer_unknown"
    PROVIDER_NOT_FOUND = "provider_not_found"
    LOCATION_NOT_FOUND = "location_not_found"
    PLACE_OF_SERVICE_INVALID = "place_of_service_invalid"
    INVALID_DIAGNOSIS = "invalid_diagnosis"
    INVALID_PROCEDURE = "invalid_procedure"
    INVALID_MODIFIER = "invalid_modifier"
    INVALID_DATE = "invalid_date"
    INVALID_AMOUNT = "invalid_amount"
    MISSING_PRIOR_AUTHORIZATION = "missing_prior_authorization"
    MISSING_ELEMENT = "missing_element"
    OTHER = "other"


class GatewayError(Exception):
    """Anything the gateway expects to go wrong."""

    retry: ClassVar[Retry] = Retry.NEVER

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a biller is shown; at least one, each with its element path."""
        return (error(type(self).__name__, "Encounter", str(self)),)


def _sentence(text: str) -> str:
    """A message as a biller reads it: with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


class _ElementError(GatewayError):
    def __init__(self, expression: str, message: str, fix: str = "", *, edit: str = "") -> None:
        super().__init__(f"{expression}: {message}")
        self._findings: tuple[Finding, ...] = (error(edit or type(self).edit, expression, _sentence(message), fix),)

    edit: ClassVar[str] = "element"

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._findings


class MappingError(_ElementError):
    """The EHR's data cannot be made canonical; names the FHIRPath of each element and the remedy."""

    edit = "mapping"

    @classmethod
    def of(cls, errors: Sequence[MappingError]) -> MappingError:
        """One error for several (at least one), so that a person sees them all at once."""
        first = errors[0].findings[0]
        together = cls(first.expression, first.message, first.fix)
        together._findings = tuple(dict.fromkeys(finding for error_ in errors for finding in error_.findings))
        return together


class NotSignedOff(MappingError):
    """The encounter may still be signed off, and the EHR may not tell when: the gateway looks again by itself.

    `look_after` is the least time until then in seconds, where each look costs a call of a small budget.
    """

    retry = Retry.WATCH

    def __init__(self, expression: str, message: str, fix: str = "", *, look_after: float = 0.0) -> None:
        super().__init__(expression, message, fix)
        self.look_after = look_after


class SuperbillAwaited(NotSignedOff):
    """The charges come in a file, and they have not come yet; the file's intake wakes the encounter."""

    def __init__(self, expression: str, message: str, fix: str = "") -> None:
        super().__init__(expression, message, fix, look_after=6 * 3600.0)


class UnsupportedElement(_ElementError):
    """The billing vendor cannot carry an element that the claim holds; nothing is dropped silently."""

    edit = "unsupported-element"


class ClaimInvalid(GatewayError):
    """The gateway's own checks failed; holds every finding at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{f.expression}: {f.edit}" for f in findings))
        self._findings = tuple(findings)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._findings


class AdapterError(GatewayError):
    """A vendor said no, or nothing; `text` has been scrubbed of secrets and patient values."""

    default_code: ClassVar[ErrorCode] = ErrorCode.OTHER

    def __init__(
        self,
        vendor: str,
        operation: str,
        text: str,
        *,
        code: ErrorCode | None = None,
        vendor_code: str | None = None,
        findings: Sequence[Finding] = (),
        retry_after: float | None = None,
    ) -> None:
        self.vendor, self.operation, self.text = vendor, operation, text
        self.code = code or self.default_code
        self.vendor_code = vendor_code
        self.retry_after = retry_after
        self._findings = tuple(findings)
        super().__init__(f"{vendor} {operation}: {self.code.value}: {text}")

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._findings or (error(self.code.value, "Claim", _sentence(self.text)),)


class CredentialsRejected(AdapterError):
    """The vendor does not accept the connection's credentials; retrying could lock the account."""

    retry = Retry.STOP
    default_code = ErrorCode.CREDENTIALS


class PermissionMissing(AdapterError):
    """The credentials are good but lack a permission or scope."""

    retry = Retry.STOP
    default_code = ErrorCode.PERMISSION


class RateLimited(AdapterError):
    """The vendor asks to come back later; `retry_after` is in seconds when the vendor gave it."""

    retry = Retry.LATER
    default_code = ErrorCode.THROTTLED


class VendorUnavailable(AdapterError):
    """The request was surely not accepted: connection refused, or any failure of a read."""

    retry = Retry.BACKOFF
    default_code = ErrorCode.UNAVAILABLE


class OutcomeUnknown(AdapterError):
    """The request may have been accepted: time-out, reset or 5xx after a claim was sent."""

    retry = Retry.LOOK_FIRST
    default_code = ErrorCode.TIMEOUT


class DuplicateClaim(AdapterError):
    """The vendor already has this claim."""

    retry = Retry.LOOK_FIRST
    default_code = ErrorCode.DUPLICATE


class ClaimRejected(AdapterError):
    """A business refusal with findings; the same claim is never sent again."""


class UnexpectedResponse(AdapterError):
    """The vendor's answer to a read cannot be understood."""

    default_code = ErrorCode.UNEXPECTED_RESPONSE


class UnsupportedOperation(AdapterError):
    """A verb whose capability the adapter does not declare."""

    default_code = ErrorCode.UNSUPPORTED


class NotificationError(GatewayError):
    """An incoming notification that is not acted upon."""


class NotificationRejected(NotificationError):
    """The signature or token is wrong or replayed: HTTP 401, nothing parsed."""


class NotificationMalformed(NotificationError):
    """The body cannot be understood: HTTP 400."""


class NotificationUnknown(NotificationError):
    """It speaks for a subscription that is not the gateway's: HTTP 404, so that the EHR ends it."""


class UnknownConnection(GatewayError):
    """There is no connection of that name: HTTP 404."""


class StoreError(GatewayError):
    """Postgres is away or refused a statement; the work is repeated."""

    retry = Retry.BACKOFF


class FencingLost(StoreError):
    """This worker no longer owns the job; another one has taken it over and this result is dropped."""


class BatchSettled(StoreError):
    """A vendor's message has settled the batch meanwhile: what comes next is judged anew."""


class ConfigurationError(Exception):
    """The configuration is wrong: says which file, which key and what to do; stops the start with exit status 2."""

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where, self.problem, self.remedy = where, problem, remedy
        super().__init__(f"{where}: {problem}" + (f" Remedy: {remedy}" if remedy else ""))
