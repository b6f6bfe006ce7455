"""AdvancedMD's signals and what they mean: the only place where a vendor word becomes an error class. Pure.

Faults come with HTTP 200. A fault's description echoes the request, so none is ever passed on: an error's text is a
sentence of this file, and the vendor's code goes beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.billing.advancedmd.actions import CREATES_CLAIM, WRITES
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
from gateway.canonical.findings import error

VENDOR = "advancedmd"
REDIRECT_CODE = "-2147220476"
TOO_MANY_CODE = "-2147217350"


class SessionExpired(VendorUnavailable):
    """The token is no longer good and nothing was done: the call is sent again once, after a new login."""


class AlreadyThere(ClaimRejected):
    """AdvancedMD refuses to add a patient because it holds one like it: look again."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a fault means. A `refusal` becomes `ClaimRejected` for a write and `UnexpectedResponse` for a read."""

    error: type[AdapterError] | None
    code: ErrorCode
    text: str
    fix: str = ""

    @property
    def refusal(self) -> bool:
        """Whether AdvancedMD said no for good, to this request alone."""
        return self.error is None


_OURS = "Report this: the adapter and AdvancedMD disagree about the form of a request."
_ACCOUNT = "Ask AdvancedMD or the office administrator, then start the connection again."

FAULTS: Mapping[str, Meaning] = {
    "1024": Meaning(
        CredentialsRejected, ErrorCode.CREDENTIALS, "AdvancedMD does not accept the user name or password", _ACCOUNT
    ),
    "1025": Meaning(SessionExpired, ErrorCode.UNAVAILABLE, "the session has ended"),
    "1026": Meaning(
        PermissionMissing, ErrorCode.PERMISSION, "AdvancedMD does not allow this host's IP address", _ACCOUNT
    ),
    "1027": Meaning(
        PermissionMissing, ErrorCode.PERMISSION, "AdvancedMD does not serve this version of the interface", _ACCOUNT
    ),
    "2048": Meaning(None, ErrorCode.UNEXPECTED_RESPONSE, "AdvancedMD misses an attribute of the request", _OURS),
    "2049": Meaning(None, ErrorCode.UNEXPECTED_RESPONSE, "AdvancedMD misses an element of the request", _OURS),
    "2050": Meaning(
        None,
        ErrorCode.UNEXPECTED_RESPONSE,
        "AdvancedMD does not accept an element of the request",
        "Check the claim's codes and dates in AdvancedMD; enter the charges there by hand to see its reason.",
    ),
    "2051": Meaning(
        None,
        ErrorCode.UNEXPECTED_RESPONSE,
        "AdvancedMD does not accept an attribute of the request",
        "Check the claim's codes and dates in AdvancedMD; enter the charges there by hand to see its reason.",
    ),
    "2052": Meaning(None, ErrorCode.UNEXPECTED_RESPONSE, "AdvancedMD cannot parse the request", _OURS),
    "2053": Meaning(None, ErrorCode.OTHER, "the message is too large for AdvancedMD", "Split the claim."),
    "-2147220449": Meaning(CredentialsRejected, ErrorCode.CREDENTIALS, "the AdvancedMD account has expired", _ACCOUNT),
    "-2147220474": Meaning(CredentialsRejected, ErrorCode.CREDENTIALS, "the AdvancedMD account is locked", _ACCOUNT),
    TOO_MANY_CODE: Meaning(
        None,
        ErrorCode.OTHER,
        "the answer has too many records",
        "Look in AdvancedMD why so many records fit this claim's patient or day.",
    ),
    "-2147217398": Meaning(
        VendorUnavailable, ErrorCode.UNAVAILABLE, "another user changed the record at the same time; nothing was saved"
    ),
}
"""Fault code to its meaning (section 3.1)."""

ALIASES: Mapping[str, str] = {"-2147220480": "1024", "-2147220479": "1025"}
"""Codes that say the same."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A pattern of a fault's description (upper and lower case alike) where the code is not documented."""

    pattern: str
    meaning: Meaning


SIGNALS = (
    Signal(
        r"duplicate|already exists",
        Meaning(DuplicateClaim, ErrorCode.DUPLICATE, "AdvancedMD says that it holds this already"),
    ),
    Signal(
        r"timeout expired|deadlock",
        Meaning(OutcomeUnknown, ErrorCode.UNAVAILABLE, "AdvancedMD's own database did not answer in time"),
    ),
    Signal(
        r"locked by|in use by",
        Meaning(VendorUnavailable, ErrorCode.UNAVAILABLE, "a user has the record open in AdvancedMD"),
    ),
)
"""Faults whose code the vendor document does not give (section 7), by their description."""

UNKNOWN = Meaning(
    None,
    ErrorCode.OTHER,
    "AdvancedMD refused this for a reason that the gateway does not know",
    "Enter the charges in AdvancedMD by hand to see its reason, and report the error code.",
)


def fault(action: str, code: str, description: str) -> AdapterError:
    """The error that a fault of an action means."""
    number = ALIASES.get(code, code)
    signal = next((s.meaning for s in SIGNALS if re.search(s.pattern, description, re.IGNORECASE)), None)
    meaning = FAULTS.get(number) or signal or UNKNOWN
    if meaning.error is OutcomeUnknown:
        return in_doubt(action, meaning.text, meaning.code)
    if meaning.error is DuplicateClaim and action not in CREATES_CLAIM:
        return AlreadyThere(VENDOR, action, meaning.text, code=meaning.code, vendor_code=number)
    if meaning.refusal:
        return refusal(action, meaning, number)
    assert meaning.error is not None
    return meaning.error(VENDOR, action, meaning.text, code=meaning.code, vendor_code=number)


def refusal(action: str, meaning: Meaning, number: str = "") -> AdapterError:
    """A definite no: of a write it holds the claim, of a read it is an answer that cannot be used."""
    if action not in WRITES:
        return UnexpectedResponse(VENDOR, action, meaning.text, vendor_code=number or None)
    edit = f"{VENDOR}-{number}" if number else meaning.code.value
    finding = error(edit, "Claim", f"{meaning.text[:1].upper()}{meaning.text[1:]}.", meaning.fix)
    return ClaimRejected(
        VENDOR, action, meaning.text, code=meaning.code, vendor_code=number or None, findings=(finding,)
    )


def in_doubt(action: str, text: str, code: ErrorCode) -> AdapterError:
    """The error when AdvancedMD may or may not have done as asked.

    Only lost charges must be looked for; a lost patient or visit is looked for before every creation anyway.
    """
    lost = OutcomeUnknown if action in CREATES_CLAIM else VendorUnavailable
    return lost(VENDOR, action, text, code=code)


def unreadable(action: str) -> AdapterError:
    """The error for an answer that is no AdvancedMD reply, e.g. a maintenance page."""
    return in_doubt(action, "the answer is not an AdvancedMD reply", ErrorCode.UNEXPECTED_RESPONSE)


def http(action: str, status: int) -> AdapterError:
    """The error for an HTTP status other than 200; 429 is not here, it needs the connection's pace."""
    text = f"the service answered HTTP {status}"
    if status >= 500:
        return in_doubt(action, text, ErrorCode.UNAVAILABLE)
    if status == 400:
        return refusal(action, Meaning(None, ErrorCode.UNEXPECTED_RESPONSE, f"{text}: a badly formed request", _OURS))
    known: Mapping[int, type[AdapterError]] = {401: CredentialsRejected, 403: PermissionMissing}
    return known.get(status, VendorUnavailable)(VENDOR, action, text)


def throttled(action: str, retry_after: float) -> RateLimited:
    """The error for HTTP 429."""
    return RateLimited(VENDOR, action, "AdvancedMD asks to come back later", retry_after=retry_after)


def refused(action: str, code: ErrorCode, expression: str, message: str, fix: str) -> ClaimRejected:
    """A refusal that the adapter itself finds before charges are sent."""
    return ClaimRejected(
        VENDOR, action, message, code=code, findings=(error(code.value, expression, f"{message}.", fix),)
    )
