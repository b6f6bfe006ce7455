"""Tebra's signals and what they mean: the only place where a vendor word becomes an error class. Pure.

Tebra's own texts echo the request, so none of them is ever passed on: an error's text is a sentence of this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.billing.kareo_tebra.operations import CLAIM_WRITES, WRITES
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    ErrorCode,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.findings import error

VENDOR = "kareo_tebra"


@dataclass(frozen=True, slots=True)
class Signal:
    """A pattern of a vendor text (upper and lower case alike) and its meaning. `error` None: see `in_doubt`."""

    pattern: str
    error: type[AdapterError] | None
    code: ErrorCode
    text: str


MESSAGE_SIGNALS = (
    Signal(
        r"more than allowed|too many requests|^\W*429\b|\b(?:http|status|error|code)\W{0,3}429\b",
        RateLimited,
        ErrorCode.THROTTLED,
        "Tebra asks for a longer gap between calls",
    ),
    Signal(
        r"timeout expired|deadlock",
        None,
        ErrorCode.UNAVAILABLE,
        "Tebra's own database did not answer in time",
    ),
)
"""`ErrorResponse/ErrorMessage` texts (sections 3.1 and 4). A bare 429 is not enough: it may be part of an id."""

FAULT_SIGNALS = (
    Signal(
        r"contractfilter|expecting element|deserializ",
        UnexpectedResponse,
        ErrorCode.UNEXPECTED_RESPONSE,
        "Tebra cannot read the request (a SOAP fault): the adapter and the service disagree about its form",
    ),
)
"""`s:Fault` texts that are a definite refusal (section 4); any other fault leaves the outcome open."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an `err` inside an element of the echoed encounter means (section 6.1)."""

    code: ErrorCode
    expression: str  # relative to the line when it begins with a dot; {n} is the member's number less one
    message: str
    fix: str


FIELD_REFUSALS = {
    "DiagnosisCode": Refusal(
        ErrorCode.INVALID_DIAGNOSIS,
        ".diagnosisSequence[{n}]",
        "Tebra does not accept the diagnosis code that this pointer names",
        "Check the code for the date of service, and that it is active in Tebra's diagnosis table.",
    ),
    "ProcedureCode": Refusal(
        ErrorCode.INVALID_PROCEDURE,
        ".productOrService",
        "Tebra does not accept this procedure code",
        "Check the code for the date of service, and that it is active in Tebra's procedure table.",
    ),
    "ProcedureModifier": Refusal(
        ErrorCode.INVALID_MODIFIER,
        ".modifier[{n}]",
        "Tebra does not accept this procedure modifier",
        "A modifier has two characters; check that Tebra knows it.",
    ),
    "Units": Refusal(
        ErrorCode.INVALID_AMOUNT, ".quantity", "Tebra does not accept these units", "Correct the quantity of the line."
    ),
    "UnitCharge": Refusal(
        ErrorCode.INVALID_AMOUNT, ".unitPrice", "Tebra does not accept this price", "Correct the price of one unit."
    ),
    "ServiceStartDate": Refusal(
        ErrorCode.INVALID_DATE,
        ".serviced",
        "Tebra does not accept this date of service",
        "Correct the date; it must not be in the future or in a closed period.",
    ),
    "ServiceEndDate": Refusal(
        ErrorCode.INVALID_DATE,
        ".serviced",
        "Tebra does not accept the end of this service",
        "Correct the date; it must not be before the start.",
    ),
    "PostDate": Refusal(
        ErrorCode.INVALID_DATE,
        "Claim.created",
        "Tebra does not accept the posting date",
        "Open the posting period in Tebra, then send the claim again.",
    ),
    "PlaceOfService": Refusal(
        ErrorCode.PLACE_OF_SERVICE_INVALID,
        "Claim.item.locationCodeableConcept",
        "Tebra does not accept this place of service",
        "Correct the place of service of the encounter.",
    ),
    "ServiceLocation": Refusal(
        ErrorCode.LOCATION_NOT_FOUND,
        "Claim.facility",
        "Tebra does not accept this service location",
        "Check that the location belongs to the practice in Tebra.",
    ),
    "RenderingProvider": Refusal(
        ErrorCode.PROVIDER_NOT_FOUND,
        "Claim.careTeam",
        "Tebra does not accept this rendering provider",
        "Check that the provider is active in Tebra.",
    ),
    "Patient": Refusal(
        ErrorCode.PATIENT_INVALID, "Claim.patient", "Tebra does not accept this patient", "Check the patient in Tebra."
    ),
    "Case": Refusal(
        ErrorCode.COVERAGE_MISMATCH,
        "Claim.insurance",
        "Tebra does not accept the patient's insurance case",
        "Check the patient's cases in Tebra.",
    ),
    "AuthorizationNumber": Refusal(
        ErrorCode.MISSING_PRIOR_AUTHORIZATION,
        "Claim.insurance[0].preAuthRef",
        "Tebra does not accept this authorization number",
        "Correct the prior authorization.",
    ),
}
"""Echoed member, without its number, to its meaning. Ids inside `err` other than 6100 are not documented."""

MEMBER_PARENTS = {
    "PlaceOfServiceCode": "PlaceOfService",
    "PlaceOfServiceName": "PlaceOfService",
    "LocationID": "ServiceLocation",
    "ProviderID": "RenderingProvider",
    "PatientID": "Patient",
    "CaseID": "Case",
}
"""Members that say the same as the element around them."""

UNKNOWN_REFUSAL = Refusal(
    ErrorCode.OTHER,
    "Claim",
    "Tebra refused the encounter for a reason that the gateway does not know",
    "Enter the claim in Tebra by hand to see its reason, and report the error number.",
)


def in_doubt(operation: str, text: str, code: ErrorCode) -> AdapterError:
    """The error when Tebra may or may not have done as asked.

    Only a lost encounter must be looked for; a lost patient or case is looked for before every creation anyway.
    """
    kind = OutcomeUnknown if operation in CLAIM_WRITES else VendorUnavailable
    return kind(VENDOR, operation, text, code=code)


def unreadable(operation: str) -> AdapterError:
    """The error for an answer that is not what this operation answers."""
    text = "the answer is not a Tebra reply"
    if operation in WRITES:
        return in_doubt(operation, text, ErrorCode.UNEXPECTED_RESPONSE)
    return UnexpectedResponse(VENDOR, operation, text)


def no_soap(operation: str) -> AdapterError:
    """The error for a page that is no SOAP message: a maintenance or login page, of a system that is away."""
    if operation in WRITES:
        return unreadable(operation)
    return VendorUnavailable(VENDOR, operation, "the answer is a page, not a SOAP message")


def meaning(signals: tuple[Signal, ...], operation: str, vendor_text: str, gap_seconds: float) -> AdapterError | None:
    """The error that a vendor text means, or None when no signal knows it."""
    signal = next((s for s in signals if re.search(s.pattern, vendor_text, re.IGNORECASE)), None)
    if signal is None:
        return None
    if signal.error is None:
        return in_doubt(operation, signal.text, signal.code)
    kind = ClaimRejected if signal.error is UnexpectedResponse and operation in CLAIM_WRITES else signal.error
    retry_after = gap_seconds if kind is RateLimited else None
    return kind(VENDOR, operation, signal.text, code=signal.code, retry_after=retry_after)


def refused(operation: str, code: ErrorCode, expression: str, message: str, fix: str) -> ClaimRejected:
    """A refusal that the adapter itself finds before anything is sent."""
    return ClaimRejected(VENDOR, operation, message, code=code, findings=(error(code.value, expression, message, fix),))
