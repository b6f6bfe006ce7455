"""Step 6 for vendors that take many claims at once: one batch of a connection after the other, each exactly once.

Claims wait in the state BATCHED. A batch gets its control number in the transaction that keeps its bytes, and is then
sent like a single claim: SENDING before it leaves, UNCERTAIN when the answer was lost, and looked for, or repeated byte
for byte where the vendor drops repeats. While one batch travels, the next one gathers.
"""

from __future__ import annotations

import time
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import AdapterError, BatchSettled, DuplicateClaim, OutcomeUnknown, Retry
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import SubmissionReceipt, SubmissionState
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.submit import is_repeatable, require_awake
from gateway.ports.billing import BillingAdapter
from gateway.ports.records import BatchRow, Job, SubmissionRow
from gateway.ports.stores import UnitOfWork

_MANY = 10_000


async def transmit(pipeline: Pipeline, job: Job) -> Next:
    """Bring the connection's oldest batch forward, or make the next one of what waits; ends when nothing does."""
    try:
        return await _forward(pipeline, job)
    except BatchSettled:
        return Next(job)


async def _forward(pipeline: Pipeline, job: Job) -> Next:
    connection = job.arguments["connection"]
    adapter = pipeline.connections.billing(job.clinic_id, connection)
    batch = await pipeline.store.open_batch(job.clinic_id, connection)
    if batch is not None and batch.state is SubmissionState.SENDING:
        return await _uncertain(pipeline, job, batch, "the worker that was sending it died")
    if adapter.batch is None:
        return await _unbatched(pipeline, job, batch)
    if batch is None:
        return await _next_batch(pipeline, job, adapter, adapter.batch.most)
    if batch.state is SubmissionState.UNCERTAIN:
        return await _look(pipeline, job, adapter, batch)
    return await _send_again(pipeline, job, adapter, batch)


async def _next_batch(pipeline: Pipeline, job: Job, adapter: BillingAdapter, most: int) -> Next:
    """Number, bytes, and the audit of each claim's intended disclosure, in one transaction."""
    connection, made_at, started = job.arguments["connection"], pipeline.now(), time.monotonic()
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        members = await _still_wanted(pipeline, job, unit, await unit.batch_members(connection, most))
        payloads = [member.payload for member in members if member.payload is not None]
        if members:
            ids = [member.id for member in members]
            batch = await unit.start_batch(connection, ids, lambda number: adapter.enclose(payloads, number, made_at))
            await unit.commit(*_events(pipeline, Step.DISCLOSURE_INTENDED, job, members))
        else:
            await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job))
    if not members:
        return await _finish(pipeline, job)
    require_awake(started)
    return await _send(pipeline, job, adapter, batch)


async def _still_wanted(
    pipeline: Pipeline, job: Job, unit: UnitOfWork, members: list[SubmissionRow]
) -> list[SubmissionRow]:
    """Without corrections of what is no longer on file: their encounters are judged anew."""
    wanted = []
    for member in members:
        prior = await pipeline.store.submission(job.clinic_id, member.prior_id) if member.prior_id else None
        if prior is None or prior.on_file:
            wanted.append(member)
        else:
            await unit.send_again(member, job.trace)
    return wanted


async def _unbatched(pipeline: Pipeline, job: Job, batch: BatchRow | None) -> Next:
    """The connection sends claims one by one now: what has not left goes that way, what may have is a person's."""
    if batch is not None and batch.state is SubmissionState.UNCERTAIN:
        return await _dissolve(pipeline, job, batch, SubmissionState.UNCERTAIN, (_LOOK_BY_HAND,), "outcome-unknown")
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        members = await unit.batch_members(job.arguments["connection"], _MANY)
        if batch is not None:
            members += await pipeline.store.submissions_of_batch(job.clinic_id, batch.connection, batch.control_number)
            await unit.set_batch_state(batch, SubmissionState.REJECTED, "the connection no longer batches")
        for member in members:
            await unit.send_again(member, job.trace)
        await unit.finish_transmit(job)
        await unit.commit(*_events(pipeline, Step.SUBMISSION_LOOKED_UP, job, members))
    return DONE


async def _send_again(pipeline: Pipeline, job: Job, adapter: BillingAdapter, batch: BatchRow) -> Next:
    """The same bytes under the same control number."""
    if pipeline.now() - batch.created_at > pipeline.retry.give_up_after:
        return await _give_up(pipeline, job, batch)
    members, started = await _members(pipeline, job, batch), time.monotonic()
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.set_batch_state(batch, SubmissionState.SENDING)
        await unit.commit(*_events(pipeline, Step.DISCLOSURE_INTENDED, job, members))
    require_awake(started)
    return await _send(pipeline, job, adapter, batch)


async def _send(pipeline: Pipeline, job: Job, adapter: BillingAdapter, batch: BatchRow) -> Next:
    """One attempt; `batch.state` is what it was before, and a repeat that fails leaves the doubt as it was."""
    try:
        receipt = await adapter.submit(batch.payload)
    except (OutcomeUnknown, DuplicateClaim) as lost:
        return await _uncertain(pipeline, job, batch, lost.code.value)
    except AdapterError as refusal:
        return await _not_accepted(pipeline, job, batch, refusal)
    return await _record(pipeline, job, batch, receipt)


async def _record(pipeline: Pipeline, job: Job, batch: BatchRow, receipt: SubmissionReceipt) -> Next:
    members = await _members(pipeline, job, batch)
    priors = [await pipeline.store.submission(job.clinic_id, m.prior_id) for m in members if m.prior_id]
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.record_batch(batch, receipt)
        for prior in priors:
            if prior is not None:
                await unit.cancel_claim(prior.claim_id)
        done = await _go_on(pipeline, job, unit, len(members))
        await unit.commit(*_events(pipeline, Step.DISCLOSURE_CONFIRMED, job, members))
    return DONE if done else Next(job)


async def _go_on(pipeline: Pipeline, job: Job, unit: UnitOfWork, sent: int) -> bool:
    """End the job when nothing waits; else go on at once after a full batch, or gather anew. True: it is put down."""
    if await unit.finish_transmit(job):
        return True
    rule = pipeline.connections.billing(job.clinic_id, job.arguments["connection"]).batch
    if rule is None or not rule.wait_seconds or sent >= rule.most:
        return False
    await unit.postpone(job, timedelta(seconds=rule.wait_seconds), reason="", failed=False)
    return True


async def _uncertain(pipeline: Pipeline, job: Job, batch: BatchRow, reason: str) -> Next:
    settle = timedelta(seconds=pipeline.connections.settle_seconds(job.clinic_id, batch.connection))
    members = await _members(pipeline, job, batch)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.set_batch_state(batch, SubmissionState.UNCERTAIN, reason)
        await unit.postpone(job, settle, reason=f"uncertain: {reason}", failed=False)
        await unit.commit(*_events(pipeline, Step.DISCLOSURE_UNCERTAIN, job, members, failure=reason))
    return DONE


async def _look(pipeline: Pipeline, job: Job, adapter: BillingAdapter, batch: BatchRow) -> Next:
    if not is_repeatable(pipeline, adapter, batch.created_at):
        try:
            receipt = await adapter.find_submission(batch.payload.submission_id, batch.payload)
        except AdapterError as failure:
            if failure.retry is not Retry.NEVER:
                raise
            return await _dissolve(pipeline, job, batch, SubmissionState.UNCERTAIN, (_LOOK_BY_HAND,), "outcome-unknown")
        if receipt is not None:
            return await _record(pipeline, job, batch, receipt)
    return await _send_again(pipeline, job, adapter, batch)


async def _not_accepted(pipeline: Pipeline, job: Job, batch: BatchRow, refusal: AdapterError) -> Next:
    """A refusal of the whole transmission is each claim's; otherwise the same bytes go again by the retry rule."""
    doubted = batch.state is SubmissionState.UNCERTAIN
    if refusal.retry is Retry.NEVER:
        state = SubmissionState.UNCERTAIN if doubted else SubmissionState.REJECTED
        return await _dissolve(pipeline, job, batch, state, refusal.findings, refusal.code.value)
    members = await _members(pipeline, job, batch)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        back = SubmissionState.UNCERTAIN if doubted else SubmissionState.QUEUED
        await unit.set_batch_state(batch, back, refusal.code.value)
        await unit.commit(*_events(pipeline, Step.DISCLOSURE_FAILED, job, members, failure=refusal.code.value))
    raise refusal


async def _give_up(pipeline: Pipeline, job: Job, batch: BatchRow) -> Next:
    if batch.state is SubmissionState.UNCERTAIN:
        return await _dissolve(pipeline, job, batch, SubmissionState.UNCERTAIN, (_LOOK_BY_HAND,), "outcome-unknown")
    return await _dissolve(pipeline, job, batch, SubmissionState.QUEUED, (_GAVE_UP,), "gave-up")


async def _dissolve(  # noqa: PLR0917
    pipeline: Pipeline,
    job: Job,
    batch: BatchRow,
    state: SubmissionState,
    findings: tuple[Finding, ...],
    code: str,
) -> Next:
    members = await _members(pipeline, job, batch)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.dissolve_batch(batch, state, findings)
        await unit.commit(*_events(pipeline, Step.DISCLOSURE_FAILED, job, members, failure=code))
    return Next(job)


async def _finish(pipeline: Pipeline, job: Job) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if await unit.finish_transmit(job):
            await unit.commit(_event(pipeline, Step.SUBMISSION_LOOKED_UP, job))
            return DONE
    return Next(job)


async def _members(pipeline: Pipeline, job: Job, batch: BatchRow) -> list[SubmissionRow]:
    return await pipeline.store.submissions_of_batch(job.clinic_id, batch.connection, batch.control_number)


def _events(
    pipeline: Pipeline, step: Step, job: Job, members: list[SubmissionRow], *, failure: str = ""
) -> list[AuditEvent]:
    """One AuditEvent a claim: a disclosure is somebody's."""
    return [
        AuditEvent(
            step=step,
            recorded=pipeline.now(),
            clinic_id=job.clinic_id,
            transaction=job.trace,
            target=job.arguments["connection"],
            encounter_id=member.encounter_id,
            patient=member.patient or None,
            entities=(f"Claim/{member.claim_id}",),
            outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
            error_code=failure,
        )
        for member in members
    ] or [_event(pipeline, step, job, failure)]


def _event(pipeline: Pipeline, step: Step, job: Job, failure: str = "") -> AuditEvent:
    outcome = Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS
    return pipeline.event(step, job, target=job.arguments["connection"], outcome=outcome, error_code=failure)


_GAVE_UP = error(
    "gave-up",
    "Claim",
    "The billing system could not be reached for a long time, and the gateway has stopped trying.",
    "When it is reachable again, release the claim with `gateway recheck`.",
)
_LOOK_BY_HAND = error(
    "outcome-unknown",
    "Claim",
    "The billing system did not answer after the claim was sent, and it cannot tell whether it has it.",
    "Look for the claim in the billing system by its account number; enter it there only if it is missing.",
)
