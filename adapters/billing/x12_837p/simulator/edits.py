"""The clearinghouse's own edits: each failed one is a status as in STC01, category:status:entity (section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from adapters.billing.x12_837p.simulator.claims import Claim, Line, Provider

_DIAGNOSIS = re.compile(r"[A-Z]\d[0-9A-Z]{1,5}")
_PROCEDURE = re.compile(r"[A-Z0-9]\d{3}[A-Z0-9]")
_BOX = re.compile(r"\b(P\.? ?O\.? BOX|POST OFFICE BOX)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Status:
    """A claim status; category A1 or A2 takes the claim, A3, A6, A7 and A8 send it back."""

    category: str
    code: str
    entity: str = ""

    @property
    def rejects(self) -> bool:
        """Whether the claim goes back."""
        return self.category in ("A3", "A4", "A6", "A7", "A8")

    def parts(self) -> tuple[str, ...]:
        """The components of STC01."""
        return (self.category, self.code, *((self.entity,) if self.entity else ()))


RECEIVED = Status("A1", "19", "PR")
"""The clearinghouse has the claim."""


def edits(claim: Claim, payers: Set[str], on_file: Set[str]) -> list[Status]:
    """Everything that the clearinghouse finds; `on_file` are the payer claim control numbers that payers gave."""
    return list(dict.fromkeys([*_parties(claim, payers), *_correction(claim, on_file), *_content(claim)]))


def _parties(claim: Claim, payers: Set[str]) -> Iterator[Status]:
    if claim.payer_id not in payers:
        yield Status("A3", "116", "PR")
    if not claim.member_id:
        yield Status("A6", "164", "IL")
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]+", claim.member_id):
        yield Status("A7", "164", "IL")
    for provider in (claim.billing, *claim.providers):
        yield from _provider(provider, required=provider is claim.billing)
    if any(not re.fullmatch(r"\d{5}(\d{4})?", code) for code in claim.postal_codes):
        yield Status("A7", "500", "QC")


def _provider(provider: Provider, *, required: bool) -> Iterator[Status]:
    if not provider.npi and required:
        yield Status("A6", "562", provider.entity)
    elif provider.npi and not npi_is_valid(provider.npi):
        yield Status("A7", "562", provider.entity)
    if provider.entity in ("85", "77") and not re.fullmatch(r"\d{9}", provider.postal_code):
        yield Status("A7", "500", provider.entity)
    if provider.entity == "85" and _BOX.search(provider.street):
        yield Status("A7", "503", "85")


def _correction(claim: Claim, on_file: Set[str]) -> Iterator[Status]:
    """7 and 8 name the claim on file; Original Medicare takes neither."""
    if claim.frequency == "1":
        return
    if claim.filing == "MB":
        yield Status("A7", "535")
    elif not claim.prior_control:
        yield Status("A6", "464", "PR")
    elif claim.prior_control not in on_file:
        yield Status("A3", "464", "PR")


def _content(claim: Claim) -> Iterator[Status]:
    if sum(line.charge for line in claim.lines) != claim.total:
        yield Status("A8", "400")
    if len(set(claim.diagnoses)) < len(claim.diagnoses):
        yield Status("A8", "255")
    for number, code in enumerate(claim.diagnoses):
        if not _DIAGNOSIS.fullmatch(code):
            yield Status("A7", "255" if number else "254")
    for line in claim.lines:
        yield from _line(line, len(claim.diagnoses))


def _line(line: Line, diagnoses: int) -> Iterator[Status]:
    if not _PROCEDURE.fullmatch(line.procedure):
        yield Status("A7", "454")
    if any(not p.isdigit() or not 1 <= int(p) <= diagnoses for p in line.pointers):
        yield Status("A8", "477")
    if len(set(line.pointers)) < len(line.pointers):
        yield Status("A8", "477")


def npi_is_valid(npi: str) -> bool:
    """Ten digits whose last is the Luhn check digit over 80840 and the others."""
    if not re.fullmatch(r"[12]\d{9}", npi):
        return False
    digits = [int(d) for d in reversed(f"80840{npi}")]
    return sum(sum(divmod(2 * d, 10)) if place % 2 else d for place, d in enumerate(digits)) % 10 == 0
