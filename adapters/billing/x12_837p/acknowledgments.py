"""TA1 and 999: what became of an interchange and of its form (section 3). Pure.

Both speak of a batch, by its control number. A 999 that refuses a batch because of single claims rejects these and asks
for the others again: they were not at fault, and a functional group is taken or refused as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.billing.x12_837p.errors import DUPLICATE_INTERCHANGE
from adapters.billing.x12_837p.findings import code_word, element_finding, note, segment_finding
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import ClaimOutcome, Evidence, SubmissionState
from gateway.kit.encoders.x12 import Interchange, Segment, element

_CLAIM_CONTEXT = "CLM01"
_ACCEPTED = frozenset({"A", "E"})
_ENVELOPE_FIX = "Check submitter_id, receiver_id and their qualifiers, and the usage, with the clearinghouse."
_AGAIN = "Another claim of the same batch was refused, and with it the whole batch; this claim is sent again."


@dataclass(slots=True)
class _Errors:
    """The errors of one transaction set: by account number where they name a claim, else under ""."""

    by_claim: dict[str, list[Finding]] = field(default_factory=dict)
    segment: str = ""
    loop: str = ""
    whole: Finding | None = None
    pending: list[Finding] = field(default_factory=list)
    account: str = ""

    def open(self, found: Segment) -> None:
        """An IK3 begins: what follows it belongs to its segment."""
        self.close()
        self.segment, self.loop = element(found, 1), element(found, 3)
        self.whole = segment_finding(self.segment, self.loop, element(found, 4))
        self.pending, self.account = [self.whole], ""

    def element(self, found: Segment, parts: Sequence[str]) -> None:
        """An IK4, which tells more than the IK3 around it."""
        self.pending = [f for f in self.pending if f is not self.whole]
        position = ":".join(parts[:2]) if len(parts) > 1 else parts[0]
        self.pending.append(element_finding(self.segment, self.loop, position, element(found, 3)))

    def close(self) -> None:
        """The IK3 is over."""
        if self.segment:
            self.by_claim.setdefault(self.account, []).extend(self.pending)
        self.segment, self.pending = "", []


def interchange_outcomes(interchange: Interchange, seen_at: datetime) -> Iterator[ClaimOutcome]:
    """The outcomes of each TA1; one that refuses a repeated interchange says nothing against the claims."""
    for found in interchange.segments:
        if found[0] != "TA1":
            continue
        control, answer, code = element(found, 1), element(found, 4), element(found, 5)
        reference = f"TA1 {code_word(control, longest=9)} {code_word(answer)} {code_word(code)}"
        if answer != "R":
            yield _batch(control, SubmissionState.SENT, reference, seen_at)
        elif code != DUPLICATE_INTERCHANGE:
            refused = error(
                f"ta1-{code_word(code)}",
                "Claim",
                "The clearinghouse refused the interchange's envelope.",
                _ENVELOPE_FIX,
            )
            yield _batch(control, SubmissionState.REJECTED, reference, seen_at, (refused,))


def syntax_outcomes(interchange: Interchange, segments: Sequence[Segment], seen_at: datetime) -> Iterator[ClaimOutcome]:
    """The outcomes of one 999: of the claims that it names first, then of the batch."""
    control, errors, answers, group = "", _Errors(), [], ""
    for found in segments:
        match found[0]:
            case "AK1":
                control = element(found, 2).zfill(9)
            case "IK3":
                errors.open(found)
            case "CTX":
                name, *values = interchange.parts(element(found, 1))
                errors.account = values[0] if name == _CLAIM_CONTEXT and values else errors.account
            case "IK4":
                errors.element(found, interchange.parts(element(found, 1)))
            case "IK5":
                errors.close()
                answers.append(element(found, 1))
            case "AK9":
                group = element(found, 1)
    errors.close()
    reference = f"999 {code_word(control, longest=9)} {code_word(group)}"
    refused = group not in _ACCEPTED and (group != "P" or any(answer not in _ACCEPTED for answer in answers))
    yield from _answer(control, refused, errors.by_claim, Evidence(SubmissionState.RECEIVED, reference, seen_at))


def _answer(
    control: str, refused: bool, by_claim: dict[str, list[Finding]], received: Evidence
) -> Iterator[ClaimOutcome]:
    if not refused:
        yield ClaimOutcome("", received, control_number=control)
        return
    reference, seen_at = received.reference, received.seen_at
    rejected = Evidence(SubmissionState.REJECTED, reference, seen_at)
    named = {account: found for account, found in by_claim.items() if account}
    for account, found in named.items():
        yield ClaimOutcome("", rejected, tuple(dict.fromkeys(found)), account_number=account)
    if named:
        yield _batch(control, SubmissionState.QUEUED, reference, seen_at, (note("999-batch", _AGAIN),))
    else:
        fix = "Report it with the control number: the gateway and the clearinghouse disagree about the form."
        general = error("999-R", "Claim", "The clearinghouse refused the form of the whole batch.", fix)
        yield _batch(control, SubmissionState.REJECTED, reference, seen_at, tuple(by_claim.get("", [general])))


def _batch(
    control: str, state: SubmissionState, reference: str, seen_at: datetime, findings: tuple[Finding, ...] = ()
) -> ClaimOutcome:
    return ClaimOutcome("", Evidence(state, reference, seen_at), findings, control_number=control.zfill(9))
