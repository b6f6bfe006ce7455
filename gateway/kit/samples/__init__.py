"""Ten canonical claims, all synthetic, and the practice that they belong to.

Every billing adapter's golden files show what becomes of these ten. `directory()` is what a billing simulator needs to
know to take them (`SimulatorOptions.data`).
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.claim_file import read_claim
from gateway.canonical.models import ClaimBundle

SAMPLES = (
    "office_visit",  # two lines, a modifier, pointers, group and plan
    "two_payers",  # Medicare, then a supplement; a charge below ten dollars per unit
    "child_of_subscriber",  # the patient is not the subscriber
    "period_with_line_note",  # dates of service from-to, line note, claim note, amount paid by the patient
    "twelve_diagnoses",  # all twelve, four pointers a line, order against the alphabet
    "injected_drug",  # NDC, a unit price in tenths of a cent
    "auto_accident",  # accident with state and date, onset
    "referred_and_authorized",  # referring and supervising provider, referral and authorization number
    "inpatient_two_renderers",  # hospital, hospitalization dates, a line by another provider
    "replacement",  # replaces a claim on file (frequency 7)
)


def sample(name: str) -> ClaimBundle:
    """A fresh bundle of one of `SAMPLES`."""
    return read_claim((files(__name__) / f"{name}.json").read_bytes())


def void_of(claim: ClaimBundle) -> ClaimBundle:
    """The claim that voids the one which a replacement replaces (frequency 8)."""
    return ClaimBundle({**claim.claim, "status": "cancelled"}, claim.resources)


def directory() -> dict[str, Any]:
    """The practice: providers, locations, payers, procedures and fees, in no vendor's words."""
    found: dict[str, Any] = jsonio.loads((files(__name__) / "directory.json").read_bytes())
    return found
