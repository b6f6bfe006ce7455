"""MedicsPremier's signals and what they mean: the only place where a vendor word becomes an error class. Pure.

Texts of the vendor (MSA-3, ERR-7, ERR-8) echo patients, so none is ever read: an error's text is a sentence from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    UnexpectedResponse,
    VendorUnavailable,
)

VENDOR = "medics_premier"
ACCEPTED = frozenset({"AA", "CA"})
ERRORS = frozenset({"AE", "CE"})
REJECTS = frozenset({"AR", "CR"})
ADDRESS_FIELDS = frozenset({3, 4, 5, 6})
"""MSH-3 to MSH-6 name the sender and the receiver: the only credentials that HL7 itself has."""

_LAYOUT = "Compare the connection's settings with what was agreed with ADS."
_LOOK = "Compare the element with what MedicsPremier has on file, and correct one of the two."


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code of HL7 table 0357 means; `code` is refined by the element that the error points to."""

    error: type[AdapterError]
    code: ErrorCode
    text: str
    fix: str


CODES = {
    "100": Meaning(ClaimRejected, ErrorCode.OTHER, "MedicsPremier expects the segments in another order", _LAYOUT),
    "101": Meaning(ClaimRejected, ErrorCode.MISSING_ELEMENT, "MedicsPremier needs this element, it is empty", _LOOK),
    "102": Meaning(ClaimRejected, ErrorCode.OTHER, "MedicsPremier cannot read the form of this element", _LOOK),
    "103": Meaning(ClaimRejected, ErrorCode.OTHER, "MedicsPremier does not have this code in its table", _LOOK),
    "200": Meaning(ClaimRejected, ErrorCode.UNSUPPORTED, "MedicsPremier does not take this message type", _LAYOUT),
    "201": Meaning(ClaimRejected, ErrorCode.UNSUPPORTED, "MedicsPremier does not take this event", _LAYOUT),
    "202": Meaning(ClaimRejected, ErrorCode.UNSUPPORTED, "MedicsPremier does not take this processing id", _LAYOUT),
    "203": Meaning(ClaimRejected, ErrorCode.UNSUPPORTED, "MedicsPremier does not take this HL7 version", _LAYOUT),
    "204": Meaning(ClaimRejected, ErrorCode.NOT_FOUND, "MedicsPremier has nothing on file under this key", _LOOK),
    "205": Meaning(DuplicateClaim, ErrorCode.DUPLICATE, "MedicsPremier says that it has this already", _LOOK),
    "206": Meaning(VendorUnavailable, ErrorCode.UNAVAILABLE, "the record is locked in MedicsPremier", ""),
    "207": Meaning(VendorUnavailable, ErrorCode.UNAVAILABLE, "MedicsPremier had an internal error", ""),
}
"""HL7 table 0357 (section 4.2)."""

WITHOUT_CODE = {
    "error": Meaning(
        ClaimRejected,
        ErrorCode.OTHER,
        "MedicsPremier refused the message and gave no code",
        "Ask for the interface log of MedicsPremier at the time of this message.",
    ),
    "reject": Meaning(VendorUnavailable, ErrorCode.UNAVAILABLE, "MedicsPremier rejected the message for now", ""),
}
"""AE and AR without an ERR segment: AE is about the content, AR may be sent again (section 4.2)."""

UNKNOWN_CODE = Meaning(ClaimRejected, ErrorCode.OTHER, "MedicsPremier refused this element", _LOOK)
UNKNOWN_SENDER = Meaning(
    CredentialsRejected,
    ErrorCode.CREDENTIALS,
    "MedicsPremier does not know the sending or receiving application or facility (MSH-3 to MSH-6)",
    "Correct sending_application, sending_facility, receiving_application and receiving_facility.",
)
UNREADABLE = Meaning(
    UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE, "MedicsPremier's acknowledgment cannot be understood", ""
)
KEY_CODES = frozenset({"103", "204"})


@dataclass(frozen=True, slots=True)
class Subject:
    """What an unknown code or key is, by the element that it stands for; `path` is the end or the beginning of it."""

    path: str
    code: ErrorCode
    text: str
    fix: str


SUBJECTS = (
    Subject(
        "Claim.careTeam",
        ErrorCode.PROVIDER_NOT_FOUND,
        "MedicsPremier does not know this provider",
        "Add the provider in MedicsPremier, or correct providers in the connection's settings.",
    ),
    Subject(
        "Claim.facility",
        ErrorCode.LOCATION_NOT_FOUND,
        "MedicsPremier does not know this place",
        "Add the location in MedicsPremier, or correct locations in the connection's settings.",
    ),
    Subject(
        ".coverage.payor",
        ErrorCode.PAYER_UNKNOWN,
        "MedicsPremier does not know this payer",
        "Add the insurance company in MedicsPremier, or correct payers in the connection's settings.",
    ),
    Subject(
        ".coverage.subscriberId",
        ErrorCode.SUBSCRIBER_NOT_FOUND,
        "MedicsPremier does not know this member id",
        "Correct the member id in the EHR or in MedicsPremier.",
    ),
    Subject(
        "Patient",
        ErrorCode.PATIENT_INVALID,
        "MedicsPremier does not know this patient",
        "Register the patient in MedicsPremier, or let the connection do it (setting demographics).",
    ),
    Subject(
        ".productOrService",
        ErrorCode.INVALID_PROCEDURE,
        "MedicsPremier does not have this procedure code",
        "Check the code for the date of service, and add it in MedicsPremier.",
    ),
    Subject(
        ".diagnosisSequence",
        ErrorCode.INVALID_DIAGNOSIS,
        "MedicsPremier does not have a diagnosis code of this line",
        "Check the code for the date of service, and add it in MedicsPremier.",
    ),
    Subject(
        "Claim.diagnosis",
        ErrorCode.INVALID_DIAGNOSIS,
        "MedicsPremier does not have this diagnosis code",
        "Check the code for the date of service, and add it in MedicsPremier.",
    ),
    Subject(
        ".modifier",
        ErrorCode.INVALID_MODIFIER,
        "MedicsPremier does not have a modifier of this line",
        "Check the modifier, and add it in MedicsPremier.",
    ),
    Subject(
        ".locationCodeableConcept.coding.code",
        ErrorCode.PLACE_OF_SERVICE_INVALID,
        "MedicsPremier does not have this place of service",
        "Check the place of service of the line.",
    ),
)

ELEMENT_CODES = {
    ".servicedDate": ErrorCode.INVALID_DATE,
    ".servicedPeriod.end": ErrorCode.INVALID_DATE,
    ".quantity.value": ErrorCode.INVALID_AMOUNT,
    ".unitPrice.value": ErrorCode.INVALID_AMOUNT,
    ".net.value": ErrorCode.INVALID_AMOUNT,
    ".preAuthRef": ErrorCode.MISSING_PRIOR_AUTHORIZATION,
}
"""The end of an element's path to a nearer meaning than its code alone has."""


def subject_of(path: str) -> Subject | None:
    """What the element at a path is to MedicsPremier, or None."""
    return next((s for s in SUBJECTS if (path.endswith(s.path) if s.path[0] == "." else path.startswith(s.path))), None)
