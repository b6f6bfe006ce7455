"""Edits on the coverages of a claim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from gateway.canonical.findings import Finding, error
from gateway.canonical.models import ClaimBundle
from gateway.edits.dates import Edit, full_date, serviced_dates


def coverage_inactive(claim: ClaimBundle, today: date) -> Iterator[Finding]:
    """coverage-inactive: the coverage must be in force on every date of service."""
    for i, insurance in enumerate(claim.claim.get("insurance") or []):
        period = (claim.find(insurance["coverage"].get("reference")) or {}).get("period") or {}
        start, end = full_date(period.get("start")), full_date(period.get("end"))
        for _, serviced in serviced_dates(claim):
            if (start and serviced < start) or (end and serviced > end):
                yield error(
                    "coverage-inactive",
                    f"Claim.insurance[{i}].coverage",
                    "This coverage was not in force on the date of service.",
                    "Ask the patient for the current insurance card and correct the coverage in the EHR.",
                )
                break


EDITS: tuple[Edit, ...] = (coverage_inactive,)
