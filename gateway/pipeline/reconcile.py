"""Step 7: what became of claims, from the messages that wait at a vendor and by asking it.

A message is kept byte for byte, with all that it says, in one transaction, before it is taken away at the vendor. A
state only ever rises by evidence; a refusal holds the claim for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import (
    AdapterError,
    Retry,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import (
    ClaimOutcome,
    Evidence,
    InboundMessage,
    SubmissionReceipt,
    SubmissionState,
)
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.submit import done_state
from gateway.ports.billing import BillingAdapter, BillingCapability
from gateway.ports.records import Hold, Job, JobKind, NewJob, SubmissionRow
from gateway.ports.stores import UnitOfWork

log = logging.getLogger(__name__)

ASK_MOST = 50  # claims asked about in one run
FAILURES_MOST = 3  # in a row: then it is the vendor, not the claim
_LADDER = (SubmissionState.SENT, SubmissionState.RECEIVED, SubmissionState.ACCEPTED, SubmissionState.ADJUDICATED)


def reconcile_job(connection: str) -> NewJob:
    """The recurring job that learns what became of a connection's claims."""
    return NewJob(JobKind.RECONCILE, f"reconcile:{connection}", {"connection": connection}, priority=5)


async def reconcile(pipeline: Pipeline, job: Job) -> Next:
    """Read what waits, ask what is due, and come back later."""
    connection = job.arguments["connection"]
    adapter = pipeline.connections.billing(job.clinic_id, connection)
    capabilities = pipeline.connections.billing_info(job.clinic_id, connection).capabilities
    if BillingCapability.INBOUND_OUTCOME in capabilities:
        async for message in adapter.collect():
            await _take(pipeline, job, adapter, message)
            await adapter.discard(message)
    pause = timedelta(seconds=pipeline.connections.outcome_seconds(job.clinic_id, connection))
    if BillingCapability.POLL_OUTCOME in capabilities:
        await _ask_all(pipeline, job, adapter, pause)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.postpone(job, pause, reason="", failed=False)
        await unit.commit(pipeline.event(Step.POLLED, job, target=connection))
    return DONE


async def _take(pipeline: Pipeline, job: Job, adapter: BillingAdapter, message: InboundMessage) -> None:
    """Keep a message with everything that it says; one that is kept already says nothing new."""
    connection = job.arguments["connection"]
    state = "applied"
    try:
        outcomes = adapter.parse_outcome(message.content)
    except Exception as problem:  # reading is pure: a message on which it breaks must not keep the others waiting
        kind = type(problem).__name__
        log.error("unreadable message", extra={"alert": "unreadable-message", "connection": connection, "error": kind})
        outcomes, state = [], "unreadable"
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        unmatched, events = await _apply_all(pipeline, job, unit, outcomes)
        if not await unit.keep_message(connection, message, state, (len(outcomes), unmatched)):
            return
        worth = Outcome.SUCCESS if state == "applied" else Outcome.MINOR_FAILURE
        kept = pipeline.event(Step.MESSAGE_RECEIVED, job, source=connection, outcome=worth, error_code=state)
        await unit.commit(kept, *events)


async def _apply_all(
    pipeline: Pipeline, job: Job, unit: UnitOfWork, outcomes: Sequence[ClaimOutcome]
) -> tuple[int, list[AuditEvent]]:
    """Outcomes of single claims first, each over what the one before left: what is said of a whole batch is for those
    of which nothing else is said. Returns how many spoke of nothing that is known, and the events."""
    events: list[AuditEvent] = []
    spoken_of: set[str] = set()
    unmatched = 0
    for outcome in sorted(outcomes, key=_speaks_of_a_batch):
        rows = await unit.named(job.arguments["connection"], outcome)
        unmatched += not rows
        await _batches_arrived(unit, rows, outcome)
        for row in await unit.named(job.arguments["connection"], outcome) if rows else ():
            if _speaks_of_a_batch(outcome) and row.id in spoken_of:
                continue
            spoken_of.add(row.id)
            if await _apply(pipeline, unit, row, outcome, job.trace, ask_in=None):
                events.append(_event(pipeline, job, row, outcome))
    return unmatched, events


def _speaks_of_a_batch(outcome: ClaimOutcome) -> bool:
    return not outcome.submission_id and not outcome.account_number


async def _batches_arrived(unit: UnitOfWork, rows: Sequence[SubmissionRow], outcome: ClaimOutcome) -> None:
    """A batch of which a message speaks is at the vendor: its fate is known, and it never goes again."""
    for number in {row.batch_number for row in rows if row.in_doubt and row.batch_number is not None}:
        await unit.arrived(rows[0].connection, number, outcome.evidence)


async def _ask_all(pipeline: Pipeline, job: Job, adapter: BillingAdapter, pause: timedelta) -> None:
    """One claim that the vendor cannot answer for does not keep the others from being asked about; a vendor that
    fails again and again is left alone until later."""
    failures = 0
    for row in await pipeline.store.submissions_to_ask(job.clinic_id, job.arguments["connection"], ASK_MOST):
        try:
            await _ask(pipeline, job, adapter, row, pause)
            failures = 0
        except VendorUnavailable as problem:
            failures += 1
            async with pipeline.store.unit_of_work(job.clinic_id) as unit:
                await unit.keep(job)
                await unit.ask_later(row, pause)
                await unit.commit(_put_off(pipeline, job, row, problem))
            if failures >= FAILURES_MOST:
                raise


async def _ask(pipeline: Pipeline, job: Job, adapter: BillingAdapter, row: SubmissionRow, pause: timedelta) -> None:
    if row.receipt is None:
        return
    try:
        outcome = await adapter.fetch_outcome(row.receipt)
    except UnsupportedOperation:  # the capability is the adapter's, this connection is set up without it
        return
    except AdapterError as problem:
        if problem.retry is not Retry.NEVER:
            raise
        outcome = _no_news(row, row.receipt, problem)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        if await _apply(pipeline, unit, row, outcome, job.trace, ask_in=pause):
            await unit.commit(_event(pipeline, job, row, outcome))


def _put_off(pipeline: Pipeline, job: Job, row: SubmissionRow, problem: AdapterError) -> AuditEvent:
    return pipeline.event(
        Step.RETRY_SCHEDULED,
        job,
        target=row.connection,
        patient=row.patient or None,
        entities=(f"Claim/{row.claim_id}",),
        outcome=Outcome.MINOR_FAILURE,
        error_code=problem.code.value,
    )


def _no_news(row: SubmissionRow, receipt: SubmissionReceipt, problem: AdapterError) -> ClaimOutcome:
    """The vendor cannot tell: the state stays, with what it said as a note."""
    evidence = Evidence(row.state, receipt.evidence.reference, receipt.evidence.seen_at)
    return ClaimOutcome(row.id, evidence, problem.findings)


async def _apply(
    pipeline: Pipeline,
    unit: UnitOfWork,
    row: SubmissionRow,
    outcome: ClaimOutcome,
    trace: str,
    *,
    ask_in: timedelta | None,
) -> bool:
    """Let an outcome change a submission; False when it has nothing new to say."""
    said = outcome.evidence.state
    if said is SubmissionState.QUEUED:  # surely not on file, and not for the claim's own fault
        if row.state not in (SubmissionState.SENT, SubmissionState.UNCERTAIN):
            return False
        await unit.send_again(row, trace)
        return True
    if not row.on_file and not row.in_doubt:
        return False
    judged = _judged(row, outcome)
    await unit.record_outcome(row, judged, ask_in=ask_in)
    if said is SubmissionState.REJECTED:
        if row.state is not SubmissionState.ADJUDICATED and await _is_current(pipeline, row):
            await unit.hold(Hold(row.encounter_id, "reconcile", outcome.findings, row.id))
    elif row.in_doubt:
        await unit.set_done(row.encounter_id, row.id, done_state(row))
        await _cancel_prior(pipeline, unit, row)
    return True


async def _cancel_prior(pipeline: Pipeline, unit: UnitOfWork, row: SubmissionRow) -> None:
    prior = await pipeline.store.submission(row.clinic_id, row.prior_id) if row.prior_id else None
    if prior is not None:
        await unit.cancel_claim(prior.claim_id)


async def _is_current(pipeline: Pipeline, row: SubmissionRow) -> bool:
    """Whether the claim is still the encounter's: what became of one that was replaced is nobody's work."""
    encounter = await pipeline.store.encounter(row.clinic_id, row.encounter_id)
    return encounter is not None and encounter.claim_id == row.claim_id


def _judged(row: SubmissionRow, outcome: ClaimOutcome) -> ClaimOutcome:
    """The outcome with the higher of both states; a lower word than what is known changes no state."""
    said = outcome.evidence.state
    if not row.on_file or row.receipt is None:
        return outcome
    refused = said is SubmissionState.REJECTED and row.state is not SubmissionState.ADJUDICATED
    if refused or (said in _LADDER and _LADDER.index(said) >= _LADDER.index(row.state)):
        return outcome
    evidence = row.receipt.evidence
    return ClaimOutcome(row.id, evidence, outcome.findings, outcome.claim_response, vendor_ids=outcome.vendor_ids)


def _event(pipeline: Pipeline, job: Job, row: SubmissionRow, outcome: ClaimOutcome) -> AuditEvent:
    refused = outcome.evidence.state is SubmissionState.REJECTED
    return AuditEvent(
        Step.OUTCOME_LEARNED,
        pipeline.now(),
        job.clinic_id,
        job.trace,
        source=job.arguments["connection"],
        encounter_id=row.encounter_id,
        patient=row.patient or None,
        entities=(f"Claim/{row.claim_id}",),
        outcome=Outcome.MINOR_FAILURE if refused else Outcome.SUCCESS,
        error_code=outcome.findings[0].edit if refused and outcome.findings else "",
    )
