"""What the pipeline asks of the store: one unit of work per step, and a queue with order per encounter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from gateway.canonical.audit_event import AuditEvent
from gateway.canonical.findings import Finding
from gateway.canonical.models import (
    ClaimBundle,
    ClaimOutcome,
    Evidence,
    InboundMessage,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.ports.records import (
    Arrival,
    BatchRow,
    Enclose,
    EncounterRow,
    EncounterState,
    Hold,
    Job,
    NewJob,
    NewSubmission,
    NormalizedEncounter,
    SubmissionRow,
    SubscriptionRow,
    Untold,
)
from gateway.ports.superbills import SuperbillWork

NOW = timedelta(0)


class UnitOfWork(SuperbillWork, Protocol):
    """One transaction of one clinic. Leaving it without `commit` rolls back."""

    async def commit(self, *events: AuditEvent) -> None:
        """Write the AuditEvents of the step (at least one) and commit; without its audit no step happens."""

    async def accept(self, arrivals: Sequence[Arrival], *, settle: timedelta = NOW, priority: int = 0) -> int:
        """Keep notices (each dedupe key once) and queue their normalize jobs; returns how many were new.

        The jobs run after `settle`. A job that waits for the encounter already is brought forward instead.
        """

    async def hear(self, connection: str) -> None:
        """Note that an EHR has sent something."""

    async def subscriptions(self, connection: str) -> list[SubscriptionRow]:
        """A connection's subscriptions, oldest first; they stay as they are until this unit ends."""

    async def save_subscription(self, row: SubscriptionRow) -> None:
        """Keep what is known of a subscription."""

    async def drop_subscription(self, row: SubscriptionRow) -> None:
        """Forget a subscription."""

    async def poll_soon(self, job: NewJob, pause: timedelta) -> None:
        """Let a connection's poll job run now, or `pause` after the poll before; it is queued if there is none."""

    async def end_poll(self, connection: str) -> bool:
        """Note that a poll has come to its end; True when another one was asked for since it began."""

    async def bring_forward(self, ordering_key: str, delay: timedelta) -> None:
        """Let a waiting recurring job run after `delay`, if it would run later."""

    async def enqueue(self, job: NewJob) -> None:
        """Put a job on the queue."""

    async def set_cursor(self, connection: str, cursor: str) -> None:
        """Remember how far a connection has been polled."""

    async def allow_before_go_live(self, encounter_ids: Sequence[str]) -> list[str]:
        """Let encounters from before the go-live date pass; returns those that were held until now."""

    async def save_normalized(self, normalized: NormalizedEncounter) -> None:
        """Store the resources that changed as new versions, and the encounter's state; supersedes open holds."""

    async def set_encounter_state(self, encounter_id: str, state: EncounterState) -> None:
        """Move an encounter on."""

    async def hold(self, hold: Hold) -> None:
        """Put work on the worklist in place of the encounter's earlier open hold."""

    async def create_submission(self, submission: NewSubmission) -> None:
        """One submission per claim and connection; a second call changes nothing but one that was refused."""

    async def submissions(self, encounter_id: str) -> list[SubmissionRow]:
        """All submissions of an encounter's claims, newest first; they stay as they are until this unit ends."""

    async def batch_members(self, connection: str, most: int) -> list[SubmissionRow]:
        """The oldest submissions that wait for a batch; they stay as they are until this unit ends."""

    async def named(self, connection: str, outcome: ClaimOutcome) -> list[SubmissionRow]:
        """The submissions that an outcome speaks of: by id, account number, or batch; they stay as they are."""

    async def recall(self, claim_id: str) -> None:
        """Take a claim that waits for a batch out again."""

    async def set_done(self, encounter_id: str, submission_id: str, state: EncounterState) -> None:
        """A submission is settled: a hold about it alone ends; the encounter is in `state` if nothing else is open."""

    async def withdraw_unsent(self, encounter_id: str) -> None:
        """Submissions of an encounter that have not left will not leave."""

    async def forget_content(self, encounter_id: str) -> None:
        """Nothing of the encounter is on file: whatever is signed off next is news."""

    async def withdraw(self, encounter_id: str) -> None:
        """State WITHDRAWN: nothing of the encounter is on file and nothing will be sent; its hold is superseded."""

    async def cancel_claim(self, claim_id: str) -> None:
        """A new version of a Claim with status cancelled: another one has replaced or voided it at the vendor."""

    async def join_batch(self, submission_id: str, payload: VendorPayload, *, wait: timedelta, most: int) -> None:
        """State BATCHED with the payload kept, and a job that transmits: after `wait`, at once when `most` wait."""

    async def start_batch(self, connection: str, submission_ids: Sequence[str], enclose: Enclose) -> BatchRow:
        """Give the next control number, keep the bytes made with it, and set the batch and its claims to SENDING."""

    async def set_batch_state(self, batch: BatchRow, state: SubmissionState, reason: str = "") -> None:
        """Move a batch and its claims to a state that needs no receipt. QUEUED: the same bytes will be sent again."""

    async def dissolve_batch(self, batch: BatchRow, state: SubmissionState, findings: Sequence[Finding]) -> None:
        """Surely not accepted and not to be sent again: its claims go to `state`, each held with the findings."""

    async def record_batch(self, batch: BatchRow, receipt: SubmissionReceipt) -> None:
        """Store what the vendor said to a batch, for each of its claims; their encounters are submitted."""

    async def finish_transmit(self, job: Job) -> bool:
        """Complete the transmit job if nothing waits any more; False (and nothing done) when something does."""

    async def arrived(self, connection: str, control_number: int, evidence: Evidence) -> None:
        """A vendor's message speaks of a batch: if its fate was open, it is there."""

    async def keep_message(self, connection: str, message: InboundMessage, state: str, counts: tuple[int, int]) -> bool:
        """Keep a vendor's message byte for byte, with (outcomes, unmatched ones); False when it is there already."""

    async def record_outcome(self, row: SubmissionRow, outcome: ClaimOutcome, *, ask_in: timedelta | None) -> None:
        """Store a state with its evidence, the vendor's ids, notes and ClaimResponse; `ask_in`: when to ask again."""

    async def ask_later(self, row: SubmissionRow, delay: timedelta) -> None:
        """When to ask the vendor about a submission next."""

    async def set_told(self, submission_id: str, state: SubmissionState) -> None:
        """The EHR knows this state of a claim."""

    async def recheck(self, encounter_id: str, trace: str) -> None:
        """Fetch and judge an encounter anew, after what waits for it already."""

    async def send_again(self, row: SubmissionRow, trace: str) -> None:
        """A claim that is surely not on file, through no fault of its own: through all steps again, if still wanted."""

    async def start_sending(self, submission_id: str, payload: VendorPayload, *, repeat: bool = False) -> None:
        """State SENDING with the exact payload kept, before anything leaves; `repeat` lets one in doubt go again."""

    async def set_submission_state(self, submission_id: str, state: SubmissionState, reason: str = "") -> bool:
        """Move a submission to a state that needs no receipt; False when the vendor has spoken meanwhile."""

    async def record_receipt(self, submission_id: str, receipt: SubmissionReceipt) -> bool:
        """Store what the vendor said, with its evidence; False when it has said more meanwhile."""

    async def finish(self, job: Job, *, then: NewJob | None = None) -> Job | None:
        """Complete an owned job; `then` is queued in its place, already owned by this worker, and returned.

        Raises `FencingLost` when the job has been taken over.
        """

    async def keep(self, job: Job) -> None:
        """Renew the lease of an owned job; raises `FencingLost` when it has been taken over."""

    async def postpone(self, job: Job, delay: timedelta, *, reason: str, failed: bool) -> None:
        """Give a job back to the queue for after `delay`, by the store's clock; `failed` counts an attempt."""

    async def give_way(self, job: Job) -> bool:
        """Complete an owned job if another one of its key and kind waits behind it; False (and nothing done) if not."""

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

    async def submissions(self, clinic_id: str, encounter_id: str) -> list[SubmissionRow]:
        """All submissions of an encounter's claims, newest first, without their payloads."""

    async def open_batch(self, clinic_id: str, connection: str) -> BatchRow | None:
        """The oldest batch whose fate is not known yet."""

    async def batch(self, clinic_id: str, connection: str, control_number: int) -> BatchRow | None:
        """One batch."""

    async def submissions_of_batch(self, clinic_id: str, connection: str, control_number: int) -> list[SubmissionRow]:
        """The claims of a batch."""

    async def submissions_to_ask(self, clinic_id: str, connection: str, most: int) -> list[SubmissionRow]:
        """Submissions on file whose outcome the vendor shall be asked now, the longest waiting first."""

    async def cursor(self, clinic_id: str, name: str) -> str | None:
        """How far something has been read: a connection's feed, or a backfill."""

    async def begin_poll(self, clinic_id: str, connection: str) -> str | None:
        """How far a connection has been polled; polls that were asked for until now are this one."""

    async def subscriptions(self, clinic_id: str, connection: str) -> list[SubscriptionRow]:
        """A connection's subscriptions, oldest first."""

    async def subscribe_anew(self, clinic_id: str, job: NewJob) -> None:
        """Have a connection subscribe now, whatever is known of its subscriptions."""

    async def submissions_to_tell(self, clinic_id: str, connection: str, most: int) -> list[Untold]:
        """States of claims that an EHR connection has not been told of, the longest waiting first."""

    async def connection_stopped(self, clinic_id: str, connection: str) -> str | None:
        """Why a connection is stopped, or None."""

    async def any_connection_stopped(self, clinic_id: str) -> bool:
        """Whether the clinic has a stopped connection; known from memory for a moment, as it is asked at every step."""

    async def ensure_job(self, clinic_id: str, job: NewJob) -> None:
        """Queue a recurring job unless one with its ordering key is there already."""

    async def run_soon(self, clinic_id: str, ordering_key: str) -> None:
        """Let a waiting recurring job run now."""
