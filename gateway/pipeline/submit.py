"""Step 6: hand the claim to the billing vendor exactly once.

QUEUED -> SENDING is committed, with the exact payload and the audit of the intended disclosure, before anything
leaves. A row found in SENDING belongs to a worker that died: the claim may be at the vendor, so the row becomes
UNCERTAIN. An UNCERTAIN claim is looked for, after the vendor has had time to finish saving, and only when it is surely
not there is it sent again.
"""

from __future__ import annotations

import time
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
from gateway.ports.records import EncounterState, Job, SubmissionRow

# Between the commit of SENDING and the vendor call only computing may happen. A process that was suspended in between
# (a frozen virtual machine) must not send: another worker may have taken over and looked already.
SEND_WITHIN_SECONDS = 10.0


async def submit(pipeline: Pipeline, job: Job, carried: ClaimBundle | None = None) -> Next:
    """Bring one submission forward from whatever state it is in."""
    row = await pipeline.store.submission(job.clinic_id, job.arguments["submission_id"])
    if row is None:
        raise LookupError("the job names a submission that is not stored")
    if row.state is SubmissionState.SENDING:
        return await _uncertain(pipeline, job, row, "the worker that was sending it died")
    claim = carried or await stored_claim(pipeline, job)
    if row.state is SubmissionState.UNCERTAIN:
        return await _look(pipeline, job, row, claim)
    if row.state in (SubmissionState.QUEUED, SubmissionState.BATCHED) and row.batch_number is None:
        return await _build_and_send(pipeline, job, row, claim)
    return await _already_settled(pipeline, job, row)


async def _build_and_send(pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle) -> Next:
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    prior = await _prior(pipeline, row)
    payload = adapter.build(claim, row.id, prior.receipt if prior else None)
    if adapter.batch is not None:
        return await _join_batch(pipeline, job, row, claim, payload, adapter.batch)
    return await _send(pipeline, job, row, claim, payload)


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


async def _send(pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, payload: VendorPayload) -> Next:
    adapter = pipeline.connections.billing(job.clinic_id, row.connection)
    started = time.monotonic()
    await _start_sending(pipeline, job, row, claim, payload)
    if time.monotonic() - started > SEND_WITHIN_SECONDS:
        raise StoreError("this process was suspended before sending; the submission is looked at anew")
    try:
        receipt = await adapter.submit(payload)
    except (OutcomeUnknown, DuplicateClaim) as lost:
        return await _uncertain(pipeline, job, row, lost.code.value)
    except AdapterError as refusal:
        return await _not_accepted(pipeline, job, row, claim, refusal)
    return await _record(pipeline, job, row, claim, receipt)


async def _start_sending(
    pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, payload: VendorPayload
) -> None:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.start_sending(row.id, payload)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_INTENDED, job, row, claim))


async def _record(
    pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, receipt: SubmissionReceipt
) -> Next:
    prior = await _prior(pipeline, row)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.record_receipt(row.id, receipt)
        await unit.set_encounter_state(row.encounter_id, done_state(row))
        if prior is not None:
            await unit.cancel_claim(prior.claim_id)
        await unit.finish(job)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_CONFIRMED, job, row, claim))
    return DONE


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
    if not is_repeatable(pipeline, adapter, row.sent_at):
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
        await unit.set_submission_state(row.id, SubmissionState.QUEUED)
        await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job, row))
    if pipeline.now() - job.created_at > pipeline.retry.give_up_after:
        raise VendorUnavailable(row.connection, "submit", "the vendor keeps losing the claim", code=ErrorCode.TIMEOUT)
    return await _send(pipeline, job, row, claim, payload)


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


async def _not_accepted(
    pipeline: Pipeline, job: Job, row: SubmissionRow, claim: ClaimBundle, refusal: AdapterError
) -> Next:
    """The claim is surely not at the vendor: hold a business refusal, else queue it again for the retry rule."""
    if refusal.retry is Retry.NEVER:
        return await hold_job(
            pipeline,
            job,
            "submit",
            refusal.findings,
            code=refusal.code,
            submission=(row.id, SubmissionState.REJECTED),
            patient=patient_of(claim),
            target=row.connection,
        )
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.set_submission_state(row.id, SubmissionState.QUEUED, refusal.code.value)
        await unit.commit(_event(pipeline, Step.DISCLOSURE_FAILED, job, row, claim, failure=refusal.code.value))
    raise refusal


async def _already_settled(pipeline: Pipeline, job: Job, row: SubmissionRow) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if row.on_file:
            await unit.set_encounter_state(row.encounter_id, done_state(row))
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
        patient=patient_of(claim) if claim else None,
        entities=(f"Claim/{row.claim_id}",),
        outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
        error_code=failure,
    )
