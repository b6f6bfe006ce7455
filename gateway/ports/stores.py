"""What the pipeline asks of the store: one unit of work per step, and a queue with order per encounter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from gateway.canonical.audit_event import AuditEvent
from gateway.canonical.findings import Finding
from gateway.canonical.models import (
    ClaimBundle,
    EncounterRef,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)


class JobKind(StrEnum):
    """The steps that the queue runs."""

    NORMALIZE = "normalize"
    CHECK = "check"
    ROUTE = "route"
    SUBMIT = "submit"
    POLL = "poll"
    SUBSCRIBE = "subscribe"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to put on the queue: ids and trace only, never PHI. Jobs of one `ordering_key` keep their order."""

    kind: JobKind
    ordering_key: str
    arguments: Mapping[str, str]
    trace: str = ""
    priority: int = 0  # lower runs first


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this worker owns; `owner` fences its completion."""

    clinic_id: str
    id: int
    kind: JobKind
    ordering_key: str
    arguments: Mapping[str, str]
    trace: str
    attempts: int
    created_at: datetime
    owner: int


class EncounterState(StrEnum):
    """Where an encounter stands."""

    RECEIVED = "received"
    NORMALIZED = "normalized"
    READY = "ready"
    ROUTED = "routed"
    SUBMITTED = "submitted"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class EncounterRow:
    """The store's record of an encounter; `content_hash` is of the claim's content when it was last normalized."""

    clinic_id: str
    id: str
    connection: str
    ehr_encounter_id: str
    state: EncounterState
    content_hash: bytes | None
    generation: int
    claim_id: str | None


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """One claim to one billing connection."""

    clinic_id: str
    id: str
    encounter_id: str
    claim_id: str
    connection: str
    state: SubmissionState
    payload: VendorPayload | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Work that waits for a person, with all its findings at once."""

    encounter_id: str
    step: str
    findings: tuple[Finding, ...]
    submission_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A notice of a changed encounter, to be kept before it is acknowledged."""

    connection: str
    encounter_id: str  # canonical
    ref: EncounterRef
    trace: str


@dataclass(frozen=True, slots=True)
class NormalizedEncounter:
    """The result of the normalize step, to be saved at once."""

    encounter_id: str
    bundle: ClaimBundle
    content_hash: bytes


class UnitOfWork(Protocol):
    """One transaction of one clinic. Leaving it without `commit` rolls back."""

    async def commit(self, *events: AuditEvent) -> None:
        """Write the AuditEvents of the step (at least one) and commit; without its audit no step happens."""

    async def accept(self, arrivals: Sequence[Arrival]) -> int:
        """Keep notices (each dedupe key once) and queue their normalize jobs; returns how many were new."""

    async def set_cursor(self, connection: str, cursor: str) -> None:
        """Remember how far a connection has been polled."""

    async def save_normalized(self, normalized: NormalizedEncounter) -> None:
        """Store the resources that changed as new versions, and the encounter's state; supersedes open holds."""

    async def set_encounter_state(self, encounter_id: str, state: EncounterState) -> None:
        """Move an encounter on."""

    async def hold(self, hold: Hold) -> None:
        """Put work on the worklist in place of the encounter's earlier open hold."""

    async def create_submission(self, submission_id: str, encounter_id: str, claim_id: str, connection: str) -> None:
        """One submission per claim and connection; a second call changes nothing."""

    async def start_sending(self, submission_id: str, payload: VendorPayload) -> None:
        """State SENDING with the exact payload kept, before anything leaves."""

    async def set_submission_state(self, submission_id: str, state: SubmissionState, reason: str = "") -> None:
        """Move a submission to a state that needs no receipt."""

    async def record_receipt(self, submission_id: str, receipt: SubmissionReceipt) -> None:
        """Store what the vendor said, with its evidence."""

    async def finish(self, job: Job, *, then: NewJob | None = None) -> Job | None:
        """Complete an owned job; `then` is queued in its place, already owned by this worker, and returned.

        Raises `FencingLost` when the job has been taken over.
        """

    async def keep(self, job: Job) -> None:
        """Renew the lease of an owned job; raises `FencingLost` when it has been taken over."""

    async def postpone(self, job: Job, delay: timedelta, *, reason: str, failed: bool) -> None:
        """Give a job back to the queue for after `delay`, by the store's clock; `failed` counts an attempt."""

    async def dead_letter(self, job: Job, reason: str) -> None:
        """Take a job off the queue for good, kept with its reason."""

    async def stop_connection(self, connection: str, reason: str) -> None:
        """No more calls over this connection until a person resumes it."""

    async def resume_connection(self, connection: str) -> None:
        """Let a stopped connection work again, its waiting jobs at once."""


class Store(Protocol):
    """Reads, units of work, and the queue."""

    def unit_of_work(self, clinic_id: str) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction for one clinic."""

    async def encounter(self, clinic_id: str, encounter_id: str) -> EncounterRow | None:
        """One encounter's record."""

    async def claim_bundle(self, clinic_id: str, claim_id: str) -> ClaimBundle | None:
        """A stored claim with everything that it references."""

    async def submission(self, clinic_id: str, submission_id: str) -> SubmissionRow | None:
        """One submission."""

    async def possibly_sent(self, clinic_id: str, claim_id: str) -> bool:
        """Whether any submission of the claim may have left the gateway."""

    async def cursor(self, clinic_id: str, connection: str) -> str | None:
        """How far a connection has been polled."""

    async def connection_stopped(self, clinic_id: str, connection: str) -> str | None:
        """Why a connection is stopped, or None."""

    async def any_connection_stopped(self, clinic_id: str) -> bool:
        """Whether the clinic has a stopped connection; known from memory for a moment, as it is asked at every step."""

    async def ensure_job(self, clinic_id: str, job: NewJob) -> None:
        """Queue a recurring job unless one with its ordering key is there already."""

    async def run_soon(self, clinic_id: str, ordering_key: str) -> None:
        """Let a waiting recurring job run now."""
