"""What the codes of acknowledgments and APIs mean: the only place where a vendor word becomes one of ours. Pure.

No text of a clearinghouse or payer is ever passed on, only its codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
)

VENDOR = "x12_837p"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code's meaning: our code, the FHIRPath that it speaks of (empty: the general one), a sentence and a remedy."""

    code: ErrorCode
    expression: str
    message: str
    fix: str


_SUBSCRIBER = "Claim.insurance.coverage.subscriberId"
_MEMBER_FIX = "Compare the member id with the insurance card, and verify the eligibility."
STATUS_CODES: Mapping[str, Meaning] = MappingProxyType(
    {
        "21": Meaning(
            ErrorCode.MISSING_ELEMENT,
            "",
            "Information is missing or invalid",
            "Compare the claim with the payer's rules.",
        ),
        "33": Meaning(
            ErrorCode.SUBSCRIBER_NOT_FOUND, _SUBSCRIBER, "The payer does not find the insured person", _MEMBER_FIX
        ),
        "116": Meaning(
            ErrorCode.PAYER_UNKNOWN,
            "Claim.insurance.coverage.payor",
            "The claim went to the wrong payer",
            "Look up the payer's id, and correct payer_ids in gateway.yaml.",
        ),
        "122": Meaning(
            ErrorCode.MISSING_ELEMENT, "", "An identifier is missing", "Complete the identifier in the EHR."
        ),
        "164": Meaning(ErrorCode.SUBSCRIBER_NOT_FOUND, _SUBSCRIBER, "The member id is not accepted", _MEMBER_FIX),
        "187": Meaning(
            ErrorCode.INVALID_DATE,
            "Claim.item.serviced",
            "A date of service is not accepted",
            "Correct the date of service.",
        ),
        "254": Meaning(
            ErrorCode.INVALID_DIAGNOSIS,
            "Claim.diagnosis[0]",
            "The principal diagnosis is not accepted",
            "Check that the code is billable on the date of service.",
        ),
        "255": Meaning(
            ErrorCode.INVALID_DIAGNOSIS,
            "Claim.diagnosis",
            "A diagnosis is not accepted",
            "Check that the codes are billable on the date of service.",
        ),
        "453": Meaning(
            ErrorCode.INVALID_MODIFIER,
            "Claim.item.modifier",
            "A modifier is not accepted",
            "Correct the modifiers of the line.",
        ),
        "454": Meaning(
            ErrorCode.INVALID_PROCEDURE,
            "Claim.item.productOrService",
            "A procedure code is not accepted",
            "Check that the code is valid on the date of service.",
        ),
        "400": Meaning(
            ErrorCode.INVALID_AMOUNT, "Claim.total", "The charges of the lines do not add up", "Correct the charges."
        ),
        "464": Meaning(
            ErrorCode.OTHER,
            "Claim.related.reference",
            "The payer does not know the number of the claim that this one replaces or voids",
            "Look the payer's claim number up, and correct the claim there by hand.",
        ),
        "477": Meaning(
            ErrorCode.INVALID_DIAGNOSIS,
            "Claim.item.diagnosisSequence",
            "A line's diagnosis pointer is not accepted",
            "Correct the diagnoses of the line in the EHR.",
        ),
        "481": Meaning(
            ErrorCode.OTHER,
            "",
            "The form of the claim is not accepted",
            "Ask the clearinghouse which element it means.",
        ),
        "500": Meaning(ErrorCode.OTHER, "", "A postal code is not accepted", "Correct the address."),
        "503": Meaning(
            ErrorCode.OTHER,
            "Claim.provider.address.line",
            "The street of the billing provider is not accepted; a PO box is none",
            "Correct the billing provider's address in gateway.yaml.",
        ),
        "535": Meaning(
            ErrorCode.UNSUPPORTED,
            "Claim.related",
            "The payer does not take a replacement or a void of this claim",
            "Correct the claim with the payer by hand.",
        ),
        "562": Meaning(
            ErrorCode.PROVIDER_NOT_FOUND,
            "",
            "An NPI is not accepted",
            "Check the NPI, and its enrolment with the payer.",
        ),
    }
)
"""Claim status codes that the gateway knows (section 3; their meanings are not verified)."""

UNKNOWN_STATUS = Meaning(
    ErrorCode.OTHER,
    "",
    "The claim is not accepted, for a reason that the gateway does not know",
    "Look the status code up in the claim status code list, and correct the claim.",
)
ENTITIES: Mapping[str, str] = MappingProxyType(
    {
        "IL": "Claim.insurance.coverage.subscriber",
        "QC": "Claim.patient",
        "85": "Claim.provider",
        "82": "Claim.careTeam.provider",
        "DN": "Claim.careTeam.provider",
        "DK": "Claim.careTeam.provider",
        "DQ": "Claim.careTeam.provider",
        "77": "Claim.facility",
        "PR": "Claim.insurance.coverage.payor",
    }
)
"""Whom a status speaks of (STC01-3)."""

SYNTAX_ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "1": "A required element is missing",
        "2": "A required element is missing because of another one",
        "3": "There are too many elements",
        "4": "The value is too short",
        "5": "The value is too long",
        "6": "The value holds a character that is not allowed",
        "7": "The code is not in the list of allowed codes",
        "8": "The date is not valid",
        "9": "The time is not valid",
        "10": "Two elements exclude each other",
        "12": "There are too many repetitions",
        "13": "There are too many components",
    }
)
"""IK403."""
SEGMENT_ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "1": "A segment is not recognized",
        "2": "A segment was not expected here",
        "3": "A required segment is missing",
        "4": "A loop occurs too often",
        "5": "A segment occurs too often",
        "6": "A segment is not allowed here",
        "7": "A segment is out of order",
        "8": "A segment holds an error",
    }
)
"""IK304."""
DUPLICATE_INTERCHANGE = "025"
"""TA105: the control number was used before; it says nothing against the claims."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """What an API's error code or HTTP status means when it is a definite answer; `reading` is the error of a read."""

    error: type[AdapterError]
    code: ErrorCode
    text: str
    reading: type[AdapterError] | None = None


API_CODES: Mapping[str, ApiError] = MappingProxyType(
    {
        "RequestChangedException": ApiError(
            UnexpectedResponse, ErrorCode.DUPLICATE, "another claim was sent under this submission id before"
        ),
        "TOO_MANY_REQUESTS": ApiError(RateLimited, ErrorCode.THROTTLED, "the vendor asks to come back later"),
    }
)
"""Stedi's error codes, which count more than the HTTP status (section 6)."""
_EDITS = ApiError(ClaimRejected, ErrorCode.OTHER, "the clearinghouse's edits refuse the claim", UnexpectedResponse)
_NO_ADDRESS = "there is no such address: check base_url"
API_STATUSES: Mapping[int, ApiError] = MappingProxyType(
    {
        400: _EDITS,
        401: ApiError(CredentialsRejected, ErrorCode.CREDENTIALS, "the key or token is not accepted"),
        403: ApiError(PermissionMissing, ErrorCode.PERMISSION, "the account or this machine's address may not do this"),
        404: ApiError(PermissionMissing, ErrorCode.NOT_FOUND, _NO_ADDRESS, UnexpectedResponse),
        409: ApiError(RateLimited, ErrorCode.THROTTLED, "the same submission is being worked on"),
        413: ApiError(ClaimRejected, ErrorCode.OTHER, "the request is too large", UnexpectedResponse),
        422: _EDITS,
        429: ApiError(RateLimited, ErrorCode.THROTTLED, "the vendor asks to come back later"),
    }
)
"""HTTP statuses of Stedi, Optum and Claim.MD; any other one of a submission leaves its outcome open."""
CLAIM_MD_WORDS: tuple[tuple[str, ApiError], ...] = (
    (
        r"account.?key|auth|login",
        ApiError(CredentialsRejected, ErrorCode.CREDENTIALS, "the account key is not accepted"),
    ),
    (r"limit|too many|throttl", ApiError(RateLimited, ErrorCode.THROTTLED, "the vendor asks to come back later")),
)
"""Claim.MD's `error_code` and `error_mesg` (upper and lower case alike); anything else refuses the request."""
CLAIM_MD_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "ins_number": _SUBSCRIBER,
        "ins_group": "Claim.insurance.coverage.class",
        "payerid": "Claim.insurance.coverage.payor",
        "pat_name_l": "Claim.patient.name",
        "pat_name_f": "Claim.patient.name",
        "pat_dob": "Claim.patient.birthDate",
        "pat_sex": "Claim.patient.gender",
        "pat_zip": "Claim.patient.address.postalCode",
        "diag": "Claim.diagnosis",
        "proc_code": "Claim.item.productOrService",
        "mod": "Claim.item.modifier",
        "from_date": "Claim.item.serviced",
        "place_of_service": "Claim.item.locationCodeableConcept",
        "prov_npi": "Claim.careTeam.provider",
        "prov_taxonomy": "Claim.careTeam.provider",
        "ref_npi": "Claim.careTeam.provider",
        "bill_npi": "Claim.provider",
        "bill_taxid": "Claim.provider",
        "prior_auth": "Claim.insurance.preAuthRef",
        "referral_number": "Claim.referral",
        "icn_dcn": "Claim.related.reference.value",
        "total_charge": "Claim.total",
        "charge": "Claim.item.net",
    }
)
"""Claim.MD's names of claim elements, without their numbers (section 8)."""
