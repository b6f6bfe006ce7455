"""What Tebra's encounter status and charge rows prove about a claim (sections 5.1 and 6). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.billing.kareo_tebra.replies import day_of
from gateway.canonical.findings import Finding, error, warning
from gateway.canonical.models import SubmissionState

_ENCOUNTER_WORDS = {"1": "Draft", "2": "Submitted", "3": "Approved", "4": "Rejected", "5": "Unpayable"}
REFUSED_BY_BILLER = frozenset({"Rejected", "Unpayable"})
"""Words of an encounter that is never billed."""

UNBILLED = frozenset({"Draft", "Submitted"})
"""Words of an encounter that waits for the biller."""


@dataclass(frozen=True, slots=True)
class ChargeWord:
    """What a charge's `Status` proves, and what a biller is told."""

    state: SubmissionState
    finding: Finding | None = None


_BY_CHARGE = "Open the charge in Tebra for the reason, correct it, and send it again from there."
CHARGE_WORDS: Mapping[str, ChargeWord] = {
    "ready": ChargeWord(SubmissionState.RECEIVED),
    "pending": ChargeWord(SubmissionState.RECEIVED),
    "completed": ChargeWord(SubmissionState.ACCEPTED),
    "error - rejection": ChargeWord(
        SubmissionState.REJECTED,
        error("tebra-rejection", "Claim.item", "The clearinghouse or payer rejected this charge", _BY_CHARGE),
    ),
    "error - denial": ChargeWord(
        SubmissionState.ACCEPTED,
        warning("tebra-denial", "Claim.item", "The payer denied this charge", _BY_CHARGE),
    ),
    "error - no response": ChargeWord(
        SubmissionState.RECEIVED,
        warning("tebra-no-response", "Claim.item", "The payer has not answered for this charge", _BY_CHARGE),
    ),
    "voided": ChargeWord(
        SubmissionState.RECEIVED,
        warning("tebra-voided", "Claim.item", "The charge was voided in Tebra", "Nothing will be paid for it."),
    ),
}
"""`ChargeData/Status` (lower case) to its meaning; an unknown word proves no more than that Tebra holds the charge."""

_UNKNOWN = ChargeWord(SubmissionState.RECEIVED)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a claim stands: its state, the vendor's words that prove it (no PHI), what to tell the biller."""

    state: SubmissionState
    reference: str
    findings: tuple[Finding, ...] = ()


def encounter_word(record: Mapping[str, str]) -> str:
    """The encounter's status as a word: GetEncounterDetails gives a number (section 6)."""
    status = record.get("EncounterStatus", "")
    return _ENCOUNTER_WORDS.get(status, status)


def standing(encounter: Mapping[str, str], charges: Sequence[Mapping[str, str]]) -> Standing:
    """Rejected when any charge is; accepted when all are, adjudicated when the payer's answer is posted to all."""
    word = encounter_word(encounter)
    reference = f"EncounterID {encounter['EncounterID']} {word}".strip()
    if word in REFUSED_BY_BILLER:
        finding = error(
            "tebra-encounter-status",
            "Claim",
            f"The encounter was set to {word} in Tebra",
            "Ask the biller who reviewed it for the reason.",
        )
        return Standing(SubmissionState.REJECTED, reference, (finding,))
    if not charges:
        return Standing(SubmissionState.RECEIVED, reference)
    words = [CHARGE_WORDS.get(charge.get("Status", "").lower(), _UNKNOWN) for charge in charges]
    states = {known.state for known in words}
    state = SubmissionState.ACCEPTED if states == {SubmissionState.ACCEPTED} else SubmissionState.RECEIVED
    if SubmissionState.REJECTED in states:
        state = SubmissionState.REJECTED
    elif state is SubmissionState.ACCEPTED and all(map(_adjudicated, charges)):
        state = SubmissionState.ADJUDICATED
    listed = ", ".join(f"charge {c.get('ID') or '?'} {c.get('Status') or '?'}" for c in charges)
    findings = dict.fromkeys(known.finding for known in words if known.finding is not None)
    return Standing(state, f"{reference}: {listed}", tuple(findings))


def _adjudicated(charge: Mapping[str, str]) -> bool:
    """Whether the primary payer's remittance is posted: the date of it is there, and not before the service."""
    decided = day_of(charge.get("PrimaryInsuranceAdjudicationDate", ""))
    served = day_of(charge.get("ServiceStartDate", ""))
    return decided is not None and served is not None and decided >= served
