"""Superbills: a visit's charges as an EHR exports them in a file, where its API holds none (vendors practice_fusion 6).

A superbill becomes a FHIR Claim, made by the rows of `superbill_columns`, and joins the encounter that has the same
patient, date and provider. The keys by which the two find each other are keyed hashes: they tell nothing of a patient.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.canonical import codes
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import Resource

REFUSED = "superbill-refused"


@dataclass(frozen=True, slots=True)
class Visit:
    """Who was seen, on which date at the clinic, by whom: what a superbill and an encounter have in common."""

    record_number: str  # the EHR's medical record number of the patient
    serviced: date
    rendering_npi: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a file, where, and what to do; never a value of the file. Lines count from 1, the header too."""

    line: int
    column: str  # the file's own header; empty when it is about the whole line
    message: str
    fix: str

    def finding(self) -> Finding:
        """The problem as the encounter's hold shows it."""
        place = f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"
        return error(REFUSED, "Claim", f"The superbill was refused: {place}: {self.message}.", self.fix)


@dataclass(frozen=True, slots=True)
class Superbill:
    """One visit's charges. `number` is the EHR's own of the superbill, `claim` a FHIR Claim without id and patient.

    One that is not `ready` is a draft: it is kept and not billed.
    """

    number: str
    visit: Visit
    claim: Resource
    ready: bool


@dataclass(frozen=True, slots=True)
class RefusedSuperbill:
    """A superbill with a bad row; `visit` is None when the rows do not even tell whose it is."""

    number: str
    visit: Visit | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class SuperbillFile:
    """What a file holds. `problems` are all that were found, in file order, those of refused superbills among them."""

    rows: int
    superbills: tuple[Superbill, ...]
    refused: tuple[RefusedSuperbill, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one clinic's export is written. `columns` maps our column to the file's header, where they differ."""

    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    date_format: str = "%Y-%m-%d"
    encoding: str = "utf-8"
    delimiter: str = ","
    ready_statuses: Sequence[str] = ("Ready for biller",)
    max_rows: int = 20_000


@dataclass(frozen=True, slots=True)
class Keys:
    """The keyed hashes of one connection; with another `secret` what waits would no longer find its counterpart."""

    secret: bytes = field(repr=False)
    clinic_id: str
    connection: str

    def of_visit(self, visit: Visit) -> str:
        """The key that a visit's superbill and encounter share; letter case and blanks of the number do not count."""
        number = "".join(visit.record_number.split()).casefold()
        return self._hash("visit", number, visit.serviced.isoformat(), visit.rendering_npi)

    def of_superbill(self, number: str) -> str:
        """The key of a superbill's own number."""
        return self._hash("superbill", number)

    def _hash(self, *parts: str) -> str:
        text = "\x1f".join((self.clinic_id, self.connection, *parts)).encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:40]


def is_superbill(claim: Mapping[str, Any]) -> bool:
    """Whether a Claim was made of a superbill."""
    identifiers = claim.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(i, dict) and i.get("system") == codes.SUPERBILL_IDENTIFIER for i in identifiers
    )
