"""What the charges of a claim prove about it (section 6.6). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.billing.advancedmd.replies import Charge
from gateway.canonical.findings import Finding, warning
from gateway.canonical.models import SubmissionState

VOIDED = warning(
    "advancedmd-voided",
    "Claim.item",
    "A charge of this claim was voided in AdvancedMD.",
    "Nothing will be paid for it; charges that were posted in its place have new numbers.",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a claim stands: its state, the vendor's words that prove it (no PHI), what to tell the biller."""

    state: SubmissionState
    reference: str
    findings: tuple[Finding, ...] = ()


def word(charge: Charge) -> str:
    """What a charge's flags say; a charge that shows nothing of the kind is only known to be there."""
    if charge.voided:
        return "voided"
    if charge.billed:
        return "billed"
    if charge.protected:
        return "protected"
    return "posted" if charge.batch else "held"


def standing(visit: str, charges: Sequence[Charge]) -> Standing:
    """Accepted when every charge is posted or billed; else AdvancedMD holds the claim, no more."""
    words = [word(charge) for charge in charges]
    listed = ", ".join(f"charge {charge.charge_id} {told}" for charge, told in zip(charges, words, strict=True))
    accepted = bool(words) and set(words) <= {"posted", "billed"}
    state = SubmissionState.ACCEPTED if accepted else SubmissionState.RECEIVED
    return Standing(state, f"visit {visit}: {listed or 'no charges'}", (VOIDED,) if "voided" in words else ())
