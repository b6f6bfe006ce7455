"""Which step a job is, and what its failure means: the error's class alone decides about retry."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import AdapterError, FencingLost, GatewayError, NotSignedOff, Retry, StoreError
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import ClaimBundle
from gateway.pipeline.check import check
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.corrections import reopened
from gateway.pipeline.holding import hold_job
from gateway.pipeline.normalize import NOT_SIGNED_OFF, SETTLING, normalize
from gateway.pipeline.poll import poll
from gateway.pipeline.reconcile import reconcile
from gateway.pipeline.route import route
from gateway.pipeline.submit import submit
from gateway.pipeline.subscriptions import subscribe
from gateway.pipeline.superbill import look_for_superbills
from gateway.pipeline.transmit import transmit
from gateway.pipeline.write_back import write_back
from gateway.ports.records import Hold, Job, JobKind

log = logging.getLogger(__name__)

STOPPED_RECHECK = timedelta(minutes=10)  # resuming wakes what waits


async def run_job(pipeline: Pipeline, job: Job, carried: ClaimBundle | None) -> Next:
    """Run one step; its failure is settled in the queue. Raises only `StoreError`: then nothing was changed."""
    try:
        stopped = await _stopped_reason(pipeline, job)
        if stopped is not None:
            return await _postpone(pipeline, job, STOPPED_RECHECK, f"connection stopped: {stopped}", failed=False)
        with pipeline.span(job.kind.value, job.trace):
            return await _step(pipeline, job, carried)
    except FencingLost:
        log.info("job taken over", extra={"job": job.id, "kind": job.kind.value})
        return DONE
    except StoreError:
        raise
    except GatewayError as failure:
        return await _settle(pipeline, job, failure)
    except Exception as bug:
        return await _settle_bug(pipeline, job, bug)


_STEPS: Mapping[JobKind, Callable[[Pipeline, Job], Awaitable[Next]]] = {
    JobKind.NORMALIZE: normalize,
    JobKind.POLL: poll,
    JobKind.SUBSCRIBE: subscribe,
    JobKind.TRANSMIT: transmit,
    JobKind.RECONCILE: reconcile,
    JobKind.SUPERBILLS: look_for_superbills,
    JobKind.WRITE_BACK: write_back,
}
_CLAIM_STEPS: Mapping[JobKind, Callable[[Pipeline, Job, ClaimBundle | None], Awaitable[Next]]] = {
    JobKind.CHECK: check,
    JobKind.ROUTE: route,
    JobKind.SUBMIT: submit,
}


async def _step(pipeline: Pipeline, job: Job, carried: ClaimBundle | None) -> Next:
    if job.kind in _CLAIM_STEPS:
        return await _CLAIM_STEPS[job.kind](pipeline, job, carried)
    return await _STEPS[job.kind](pipeline, job)


async def _connection_of(pipeline: Pipeline, job: Job) -> str | None:
    """The vendor connection that a job's step calls, if any."""
    if "connection" in job.arguments:
        return job.arguments["connection"]
    if job.kind is JobKind.NORMALIZE:
        row = await pipeline.store.encounter(job.clinic_id, job.arguments["encounter_id"])
        return row.connection if row else None
    if job.kind is JobKind.SUBMIT:
        submission = await pipeline.store.submission(job.clinic_id, job.arguments["submission_id"])
        return submission.connection if submission else None
    return None


async def _stopped_reason(pipeline: Pipeline, job: Job) -> str | None:
    if not await pipeline.store.any_connection_stopped(job.clinic_id):
        return None
    connection = await _connection_of(pipeline, job)
    return await pipeline.store.connection_stopped(job.clinic_id, connection) if connection else None


async def _settle(pipeline: Pipeline, job: Job, failure: GatewayError) -> Next:
    code = failure.code.value if isinstance(failure, AdapterError) else type(failure).__name__
    match failure.retry:
        case Retry.NEVER | Retry.LOOK_FIRST:
            return await _give_up(pipeline, job, failure.findings, code)
        case Retry.STOP:
            return await _stop(pipeline, job, code)
        case Retry.WATCH:
            return await _watch(pipeline, job, failure, code)
        case Retry.LATER:
            seconds = failure.retry_after if isinstance(failure, AdapterError) and failure.retry_after else 1.0
            waits_for = job.last_error if job.last_error in (NOT_SIGNED_OFF, SETTLING) else code  # as before
            return await _postpone(pipeline, job, timedelta(seconds=seconds), waits_for, failed=False)
        case Retry.BACKOFF:
            recurring = "encounter_id" not in job.arguments  # as old as the connection: it never gives up
            if not recurring and pipeline.retry.gives_up(job.failing_since, pipeline.now()):
                return await _dead_letter(pipeline, job, code)
            told = failure.retry_after if isinstance(failure, AdapterError) else None
            delay = max(pipeline.retry.delay(job.attempts), timedelta(seconds=told or 0.0))
            return await _postpone(pipeline, job, delay, code, failed=True)


async def _watch(pipeline: Pipeline, job: Job, failure: GatewayError, code: str) -> Next:
    """Look again later; what is not signed off for days is shown to a person.

    A notice that came while this was being looked at waits behind this job: it does the looking then, and at once.
    """
    waited = pipeline.now() - job.created_at
    if waited > pipeline.retry.watch_for:
        return await _give_up(pipeline, job, failure.findings, code)
    least = failure.look_after if isinstance(failure, NotSignedOff) else 0.0
    delay = max(pipeline.retry.watch_delay(waited), timedelta(seconds=least))
    row = await pipeline.store.encounter(job.clinic_id, job.arguments["encounter_id"])
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if row is not None and row.claim_id is not None:
            await reopened(unit, row)
        if not await unit.give_way(job):
            await unit.postpone(job, delay, reason=NOT_SIGNED_OFF, failed=False)
        await unit.commit(_failure(pipeline, Step.RETRY_SCHEDULED, job, NOT_SIGNED_OFF))
    return DONE


async def _settle_bug(pipeline: Pipeline, job: Job, bug: Exception) -> Next:
    """Report where, never with which values: an exception's text may hold PHI."""
    frames = [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in traceback.extract_tb(bug.__traceback__)]
    log.error("defect", extra={"job": job.id, "kind": job.kind.value, "error": type(bug).__name__, "at": frames[-6:]})
    lasting = "encounter_id" not in job.arguments  # a connection's job: without it nothing would go or be learned
    if lasting or job.attempts + 1 < pipeline.retry.bug_attempts:
        reason = f"defect: {type(bug).__name__}"
        return await _postpone(pipeline, job, pipeline.retry.delay(job.attempts), reason, failed=True)
    return await _dead_letter(pipeline, job, f"defect: {type(bug).__name__} at {frames[-1] if frames else '?'}")


async def _give_up(pipeline: Pipeline, job: Job, findings: tuple[Finding, ...], code: str) -> Next:
    if "encounter_id" in job.arguments:
        return await hold_job(pipeline, job, job.kind.value, findings, code=code)
    return await _postpone(pipeline, job, timedelta(seconds=pipeline.retry.cap_seconds), code, failed=True)


async def _postpone(pipeline: Pipeline, job: Job, delay: timedelta, reason: str, *, failed: bool) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.postpone(job, delay, reason=reason, failed=failed)
        await unit.commit(_failure(pipeline, Step.RETRY_SCHEDULED, job, reason))
    return DONE


async def _stop(pipeline: Pipeline, job: Job, code: str) -> Next:
    """Bad credentials stop the connection at once: accounts get locked by retries."""
    connection = await _connection_of(pipeline, job) or ""
    place = {"clinic": job.clinic_id, "connection": connection}
    log.error("connection stopped", extra={"alert": "connection-stopped", **place, "error": code})
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.stop_connection(connection, code)
        reason = f"connection stopped: {code}"
        await unit.postpone(job, STOPPED_RECHECK, reason=reason, failed=False)
        await unit.commit(_failure(pipeline, Step.CONNECTION_STOPPED, job, code, target=connection))
    return DONE


async def _dead_letter(pipeline: Pipeline, job: Job, reason: str) -> Next:
    log.error("dead letter", extra={"job": job.id, "kind": job.kind.value, "error": reason})
    finding = error(
        "gave-up",
        "Encounter",
        "The gateway could not finish this encounter and has stopped trying.",
        "Ask the on-call engineer to look at its dead letter, or enter this claim by hand.",
    )
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if "encounter_id" in job.arguments:
            await unit.hold(Hold(job.arguments["encounter_id"], job.kind.value, (finding,)))
        await unit.dead_letter(job, reason)
        await unit.commit(_failure(pipeline, Step.DEAD_LETTERED, job, reason))
    return DONE


def _failure(pipeline: Pipeline, step: Step, job: Job, code: str, target: str = "gateway") -> AuditEvent:
    encounter_id = job.arguments.get("encounter_id")
    entities = (f"Encounter/{encounter_id}",) if encounter_id else ()
    return pipeline.event(step, job, target=target, entities=entities, outcome=Outcome.MINOR_FAILURE, error_code=code)
