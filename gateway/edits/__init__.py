"""Pure claim edits: one small function per edit, each with its id.

The profile says what shape a claim has; an edit says whether a well-shaped claim can be right.
"""

from __future__ import annotations

from datetime import date

from gateway.canonical.findings import Finding
from gateway.canonical.models import ClaimBundle
from gateway.edits import coverage, dates

EDITS = (*dates.EDITS, *coverage.EDITS)


def run_edits(claim: ClaimBundle, today: date) -> tuple[Finding, ...]:
    """All findings of all edits; `today` is the clinic's calendar date."""
    return tuple(finding for edit in EDITS for finding in edit(claim, today))
