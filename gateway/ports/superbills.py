"""Superbills as the pipeline sees them: where their files arrive, and what the store keeps of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.canonical.findings import Finding
from gateway.canonical.models import Resource
from gateway.canonical.superbill import Keys, Layout


class SuperbillPlace(Protocol):
    """A folder or SFTP directory in which superbill files arrive; raises `AdapterError`s."""

    async def waiting(self) -> int:
        """How many files are there."""

    def arrived(self) -> AsyncIterator[tuple[str, bytes]]:
        """Name and content of the files that are as they were at the look before, oldest first.

        One that is still being written is not among them: half of a superbill would be billed, and the rest shredded.
        """

    async def shred(self, name: str) -> None:
        """Overwrite a file and take it away; one that is gone is no error."""

    async def set_aside(self, name: str, content: bytes, report: str) -> None:
        """Put a file and its report among the rejected ones, then shred it where it was."""

    async def aclose(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True)
class SuperbillLink:
    """One clinic's superbills: whose charges they are, how they are written, where they arrive (or only by upload)."""

    connection: str  # the EHR connection
    layout: Layout
    keys: Keys
    place: SuperbillPlace | None = None
    look_seconds: float = 60.0
    upload_secret: str = ""
    max_bytes: int = 10_000_000


@dataclass(frozen=True, slots=True)
class OfferedSuperbill:
    """A superbill of a file, by keyed hashes: its Claim, or the findings for which it was refused."""

    id: str
    visit_key: str
    digest: bytes
    ready: bool
    claim: Resource | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptSuperbill:
    """A superbill as it is on file; `encounter_id` is the encounter that it has joined."""

    id: str
    ready: bool
    encounter_id: str | None
    claim: Resource | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class WaitingEncounter:
    """An encounter of the same visit as a superbill that came or changed."""

    encounter_id: str
    ehr_encounter_id: str
    visit_key: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file's superbills, and the encounters to look at anew."""

    new: int
    changed: int
    unchanged: int
    encounters: tuple[WaitingEncounter, ...] = ()


@dataclass(frozen=True, slots=True)
class VisitView:
    """What is on file for a visit: its superbills, and how many other encounters claim to be the same visit."""

    superbills: tuple[KeptSuperbill, ...]
    rivals: int


class SuperbillWork(Protocol):
    """What one transaction does with superbills."""

    async def take_superbills(self, connection: str, file_digest: str, offered: Sequence[OfferedSuperbill]) -> Taken:
        """Keep what is new or changed. What was taken from a file once is not taken from that file again.

        A refused one never replaces one that was good.
        """

    async def join_visit(self, connection: str, encounter_id: str, visit_key: str) -> VisitView:
        """Note whose visit an encounter is; gives what is there for it. Nobody changes it until this unit ends."""

    async def assign_superbill(self, connection: str, superbill_id: str, encounter_id: str) -> None:
        """The superbill is this encounter's."""
