"""What an acknowledgment proves, and its errors as findings. Pure.

AA and CA prove that MedicsPremier has the message (received); AE and AR that it has not. 205 (duplicate key) about our
own transaction id means that it was there before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.billing.medics_premier import errors
from adapters.billing.medics_premier.errors import VENDOR, Meaning
from adapters.billing.medics_premier.layout import Layout
from adapters.billing.medics_premier.payload import ADT_SUFFIX, DFT_SUFFIX
from gateway.canonical.errors import AdapterError, ClaimRejected, DuplicateClaim, ErrorCode, UnexpectedResponse
from gateway.canonical.findings import Finding, Severity, error, warning
from gateway.canonical.models import ClaimOutcome, Evidence, SubmissionState
from gateway.kit.encoders import hl7

_CODE = re.compile(r"[\w.-]{1,20}")
_OWN_KEYS = frozenset({("FT1", 2), ("MSH", 10)})


@dataclass(frozen=True, slots=True)
class Verdict:
    """An acknowledgment's meaning. `problem` None: accepted. `is_ours`: a duplicate by our own id, there before."""

    problem: Meaning | None = None
    code: ErrorCode = ErrorCode.OTHER
    vendor_code: str = ""
    findings: tuple[Finding, ...] = ()
    is_ours: bool = False

    def error(self, operation: str) -> AdapterError:
        """The exception of a verdict that is not an acceptance."""
        assert self.problem is not None
        return self.problem.error(
            VENDOR,
            operation,
            self.problem.text,
            code=self.code,
            vendor_code=self.vendor_code or None,
            findings=self.findings,
        )


def verdict(ack: hl7.Acknowledgment, layout: Layout) -> Verdict:
    """What an acknowledgment says about its message."""
    if ack.code in errors.ACCEPTED:
        return Verdict()
    if ack.code not in errors.ERRORS | errors.REJECTS:
        return _plain(errors.UNREADABLE, "")
    if any(e.segment == "MSH" and e.field in errors.ADDRESS_FIELDS for e in ack.errors):
        return _plain(errors.UNKNOWN_SENDER, ack.code)
    told = [e for e in ack.errors if e.severity not in ("W", "I")] or list(ack.errors)
    if not told:
        return _plain(errors.WITHOUT_CODE["reject" if ack.code in errors.REJECTS else "error"], ack.code)
    return _of_errors(told, layout)


def _plain(meaning: Meaning, vendor_code: str) -> Verdict:
    findings = (error(f"{VENDOR}-{vendor_code or 'unknown'}", "Claim", f"{meaning.text}.", meaning.fix),)
    return Verdict(meaning, meaning.code, vendor_code, findings if meaning.fix else ())


def _of_errors(told: Sequence[hl7.AckError], layout: Layout) -> Verdict:
    read = [_read(entry, layout) for entry in told]
    business = [entry for entry in read if entry[0].error is ClaimRejected]
    chosen = business or read
    meaning, code, vendor_code, _ = chosen[0]
    findings = tuple(dict.fromkeys(finding for *_, finding in chosen))
    ours = meaning.error is DuplicateClaim and all((e.segment, e.field) in _OWN_KEYS for e in told)
    return Verdict(meaning, code, vendor_code, findings, ours)


def _read(entry: hl7.AckError, layout: Layout) -> tuple[Meaning, ErrorCode, str, Finding]:
    meaning = errors.CODES.get(entry.code, errors.UNKNOWN_CODE)
    path = layout.path_of(entry.segment, entry.field, entry.component, entry.sequence)
    number = next((c for c in (entry.code, entry.application_code) if _CODE.fullmatch(c)), "unknown")
    subject = errors.subject_of(path) if entry.code in errors.KEY_CODES else None
    told: Meaning | errors.Subject = subject or meaning
    code = told.code
    if subject is None and meaning.error is ClaimRejected and code is not ErrorCode.MISSING_ELEMENT:
        code = next((c for end, c in errors.ELEMENT_CODES.items() if path.endswith(end)), code)
    return meaning, code, number, error(f"{VENDOR}-{number}", path, f"{told.text}.", told.fix)


def submission_of(control_id: str) -> str:
    """The submission id of a charge message's control id, or an empty text for another message."""
    return control_id.removesuffix(DFT_SUFFIX) if control_id.endswith(DFT_SUFFIX) else ""


def outcomes(text: str, layout: Layout, seen_at: datetime, *, drops_duplicates: bool) -> list[ClaimOutcome]:
    """The outcomes in a file of acknowledgments; raises `UnexpectedResponse` when there is none in it."""
    try:
        acks = hl7.acknowledgments(text)
    except hl7.NotHl7:
        acks = []
    if not acks:
        raise UnexpectedResponse(VENDOR, "parse_outcome", "the file holds no HL7 acknowledgment")
    found = (_outcome(ack, layout, seen_at, drops_duplicates=drops_duplicates) for ack in acks)
    return [outcome for outcome in found if outcome is not None]


def _outcome(
    ack: hl7.Acknowledgment, layout: Layout, seen_at: datetime, *, drops_duplicates: bool
) -> ClaimOutcome | None:
    found = verdict(ack, layout)
    reference = f"{ack.code} {ack.control_id}"
    there = found.problem is None or (found.is_ours and drops_duplicates)
    if ack.control_id.endswith(ADT_SUFFIX):
        if there or found.is_ours:
            return None  # the patient is registered: says nothing about the claim
        told = tuple(warning(f.edit, f.expression, f.message, f.fix) for f in _told(found))
        submission_id = ack.control_id.removesuffix(ADT_SUFFIX)
        return ClaimOutcome(submission_id, Evidence(SubmissionState.SENT, reference, seen_at), told)
    submission_id = submission_of(ack.control_id)
    if not submission_id:
        return None
    if there:
        return ClaimOutcome(submission_id, Evidence(SubmissionState.RECEIVED, reference, seen_at))
    is_clear = found.problem is not errors.UNREADABLE and not _is_duplicate(found)
    state = SubmissionState.REJECTED if is_clear else SubmissionState.SENT
    return ClaimOutcome(submission_id, Evidence(state, reference, seen_at), _told(found))


def _is_duplicate(found: Verdict) -> bool:
    return found.problem is not None and found.problem.error is DuplicateClaim


def _told(found: Verdict) -> tuple[Finding, ...]:
    if found.findings or found.problem is None:
        return found.findings
    fix = "Send the claim again once MedicsPremier works."
    return (Finding(f"{VENDOR}-{found.vendor_code or 'unknown'}", Severity.ERROR, "Claim", found.problem.text, fix),)
