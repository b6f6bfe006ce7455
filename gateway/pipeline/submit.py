"""Step 6: hand the claim to the billing vendor exactly once.

QUEUED -> SENDING is committed, with the exact payload and the audit of the intended disclosure, before anything
leaves. A row found in SENDING belongs to a worker that died: the claim may be at the vendor, so the row becomes
UNCERTAIN. An UNCERTAIN claim is looked for, after the vendor has had time to finish saving, and only when it is surely
not there is it sent again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import (
    AdapterError,
    DuplicateClaim,
    ErrorCode,
    OutcomeUnknown,
    Retry,
    StoreError,
    VendorUnavailable,
)
from gateway.canonical.findings import error
from gateway.canonical.models import ClaimBundle, ClaimFrequency, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.pipeline.check import stored_claim
from gateway.pipeline.context import DONE, Next, Pipeline, patient_of
from gateway.pipeline.holding import hold_job
from gateway.ports.billing import BatchRule, BillingAdapter
from gateway.ports.records import EncounterState, Job, JobKind, NewJob, SubmissionRow

# Between the commit of SENDING and the vendor call only computing may happen. A process that was suspended in between
# (a frozen virtual machine) must not send: another worker may have taken over and looked already.
SEND_WITHIN_SECONDS = 10.0


async def submit(pipeline: Pipeline, job: Job, carried: ClaimBundle | None = None) -> Next:
    """Bring one submission forward from whatever state it is in."""
    row = await pipeline.store.submission(job.clinic_id, job.arguments["submission_id"])
    if row is None:
        raise LookupError("the job names a submission that is not stored")
    if row.batch_number is not None:
        return await _batched_before(pipeline, job, row)
    if row.state is SubmissionState.SENDING:
        return await _uncertain(pipeline, job, row, "the worker that was sending it died")
    claim = carried or await stored_claim(pipeline, job)
    if row.state is SubmissionState.UNCERTAIN:
        return await _look(pipeline, job, row, claim)
    if row.state in (SubmissionState.QUEUED, SubmissionState.BATCHED):
        return await _build_and_send(pipeline, job, row, claim)
    return await _already_settled(pipeline, job, row)


async def _batched_before(pipeline: Pipeline, job: Job, row: SubmissionRow) -> Next:
    """It went with a batch, which settles it; only one that is held as unknown is looked for, by that batch."""
    batch = await pipeline.store.batch(job.clinic_id, row.connection, row.batch_number or 0)
    if row.state is not SubmissionState.UNCERTAIN or batch is None or batch.state is not SubmissionState.REJECTED:
        return await _already_settled(pipeline, job, row)
    claim = await stored_claim(pipeline, job)
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    try:
        receipt = await adapter.find_submission(batch.payload.submission_id, batch.payload)
    except AdapterError as failure:
        if failure.retry is not Retry.NEVER:
            raise
        return await _hold_for_look_by_hand(pipeline, job, row, claim)
    if receipt is not None:
        return await _record(pipeline, job, row, claim, replace(receipt, submission_id=row.id))
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.send_again(row, job.trace)
        await unit.finish(job)
        await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job, row))
    return DONE


async def _build_and_send(pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle) -> Next:
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    prior = await _prior(pipeline, row)
    if prior is not None and not prior.on_file:
        return await _take_anew(pipeline, job, row)
    payload = adapter.build(claim, row.id, prior.receipt if prior else None)
    if adapter.batch is not None:
        return await _join_batch(pipeline, job, row, claim, payload, adapter.batch)
    return await _send(pipeline, job, row, claim, payload)


async def _take_anew(pipeline: Pipeline, job: Job, row: SubmissionRow) -> Next:
    """What it was to replace or void is no longer on file: judge the encounter anew."""
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        following = await unit.finish(job, then=_anew(job, row))
        await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job, row))
    return Next(following)


def _anew(job: Job, row: SubmissionRow) -> NewJob:
    arguments = {"encounter_id": row.encounter_id, "force": "1"}
    return NewJob(JobKind.NORMALIZE, job.ordering_key, arguments, job.trace)


async def _prior(pipeline: Pipeline, row: SubmissionRow) -> SubmissionRow | None:
    return await pipeline.store.submission(row.clinic_id, row.prior_id) if row.prior_id else None


async def _join_batch(  # noqa: PLR0917
    pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, payload: VendorPayload, rule: BatchRule
) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.join_batch(row.id, payload, wait=timedelta(seconds=rule.wait_seconds), most=rule.most)
        await unit.finish(job)
        await unit.commit(_event(pipeline, Step.CLAIM_BATCHED, job, row, claim))
    return DONE


async def _send(
    pipeline: Pipeline,
    job: Job,
    row: SubmissionRow,
    claim: ClaimBundle,
    payload: VendorPayload,
    *,
    repeat: bool = False,
) -> Next:
    """One attempt. A `repeat` that fails leaves the doubt as it was: the first one may have arrived."""
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    started = time.monotonic()
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.start_sending(row.id, payload, repeat=repeat)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_INTENDED, job, row, claim))
    require_awake(started)
    try:
        receipt = await adapter.submit(payload)
    except (OutcomeUnknown, DuplicateClaim) as lost:
        return await _uncertain(pipeline, job, row, lost.code.value)
    except AdapterError as refusal:
        back = SubmissionState.UNCERTAIN if repeat else SubmissionState.QUEUED
        return await _not_accepted(pipeline, job, row, claim, refusal, back)
    return await _record(pipeline, job, row, claim, receipt)


def require_awake(started: float) -> None:
    """Raise `StoreError` when this process stood still since `started` (monotonic): others may have looked by now."""
    if time.monotonic() - started > SEND_WITHIN_SECONDS:
        raise StoreError("this process was suspended before sending; the submission is looked at anew")


async def _record(
    pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, receipt: SubmissionReceipt
) -> Next:
    prior = await _prior(pipeline, row)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if await unit.record_receipt(row.id, receipt):
            await unit.set_done(row.encounter_id, row.id, done_state(row))
            if prior is not None:
                await unit.cancel_claim(prior.claim_id)
        following = await unit.finish(job, then=_anew(job, row) if "settle" in job.arguments else None)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_CONFIRMED, job, row, claim))
    return Next(following)


def done_state(row: SubmissionRow) -> EncounterState:
    """What a sent submission makes of its encounter: a void leaves nothing on file."""
    return EncounterState.WITHDRAWN if row.frequency is ClaimFrequency.VOID else EncounterState.SUBMITTED


async def _uncertain(pipeline: Pipeline, job: Job, row: SubmissionRow, reason: str) -> Next:
    """The claim may be at the vendor: wait until the vendor can have finished saving, then look."""
    settle = timedelta(seconds=pipeline.connections.settle_seconds(job.clinic_id, row.connection))
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.set_submission_state(row.id, SubmissionState.UNCERTAIN, reason)
        await unit.postpone(job, settle, reason=f"uncertain: {reason}", failed=False)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_UNCERTAIN, job, row, failure=reason))
    return DONE


async def _look(pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle) -> Next:
    """Settle what became of a claim: by asking the vendor, or by repeating it where the vendor drops repeats."""
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    payload = row.payload
    if payload is None:
        raise LookupError("a submission in doubt has no payload")
    settling = "settle" in job.arguments  # what is to become of the claim depends on what is found
    repeat = not settling and is_repeatable(pipeline, adapter, row.sent_at)
    if not repeat:
        try:
            receipt = await adapter.find_submission(row.id, payload)
        except AdapterError as failure:
            if failure.retry is not Retry.NEVER:
                raise
            return await _hold_for_look_by_hand(pipeline, job, row, claim)
        if receipt is not None:
            return await _record(pipeline, job, row, claim, receipt)
        async with pipeline.store.unit_of_work(job.clinic_id) as unit:
            await unit.keep(job)
            still_open = await unit.set_submission_state(row.id, SubmissionState.QUEUED)
            await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job, row))
        if not still_open:
            return await submit(pipeline, job, claim)
        if settling:
            return await _take_anew(pipeline, job, row)
    if pipeline.retry.gives_up(job.failing_since, pipeline.now()):
        raise VendorUnavailable(row.connection, "submit", "the vendor keeps losing the claim", code=ErrorCode.TIMEOUT)
    return await _send(pipeline, job, row, claim, payload, repeat=repeat)


def is_repeatable(pipeline: Pipeline, adapter: BillingAdapter, sent_at: datetime | None) -> bool:
    """Whether the same bytes may simply be sent again: the vendor drops repeats, and still knows the first ones."""
    return sent_at is not None and (pipeline.now() - sent_at).total_seconds() < adapter.repeatable_seconds


async def _hold_for_look_by_hand(pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle) -> Next:
    finding = error(
        "outcome-unknown",
        "Claim",
        "The billing system did not answer after the claim was sent, and it cannot tell whether it has it.",
        f"Look for {row.id} in the billing system; enter the claim there only if it is missing.",
    )
    state = (row.id, SubmissionState.UNCERTAIN)
    return await hold_job(
        pipeline,
        job,
        "submit",
        (finding,),
        code="outcome-unknown",
        submission=state,
        patient=patient_of(claim),
        target=row.connection,
    )


async def _not_accepted(  # noqa: PLR0917
    pipeline: Pipeline,
    job: Job,
    row: SubmissionRow,
    claim: ClaimBundle,
    refusal: AdapterError,
    back: SubmissionState,
) -> Next:
    """This attempt did not arrive: hold a business refusal, else put it back (`back`) for the retry rule."""
    if refusal.retry is Retry.NEVER:
        state = SubmissionState.REJECTED if back is SubmissionState.QUEUED else back
        return await hold_job(
            pipeline,
            job,
            "submit",
            refusal.findings,
            code=refusal.code,
            submission=(row.id, state),
            patient=patient_of(claim),
            target=row.connection,
        )
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.set_submission_state(row.id, back, refusal.code.value)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_FAILED, job, row, claim, failure=refusal.code.value))
    raise refusal


async def _already_settled(pipeline: Pipeline, job: Job, row: SubmissionRow) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if row.on_file:
            await unit.set_done(row.encounter_id, row.id, done_state(row))
        await unit.finish(job)
        await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job, row))
    return DONE


def _event(
    pipeline: Pipeline, step: Step, job: Job, row: SubmissionRow, claim: ClaimBundle | None = None, *, failure: str = ""
) -> AuditEvent:
    """The AuditEvent of a submission: its claim, its connection, and the patient where the claim is at hand."""
    return pipeline.event(
        step,
        job,
        target=row.connection,
        patient=row.patient or None,
        entities=(f"Claim/{row.claim_id}",),
        outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
        error_code=failure,
    )
