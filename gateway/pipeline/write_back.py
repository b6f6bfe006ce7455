"""Step 8: each EHR that can hold it is told what became of its encounters' claims.

The state that it was told last is kept beside the claim: nothing has to be told at the very moment at which a claim
moves, and an EHR that was away learns the last state, not all that were between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import AdapterError, PermissionMissing, Retry, VendorUnavailable
from gateway.canonical.models import ClaimFate, EncounterRef
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.ports.records import Job, JobKind, NewJob, Untold

TELL_MOST = 50
FAILURES_MOST = 3  # in a row: then it is the EHR, not the claim
PAUSE = timedelta(seconds=10)


def write_back_job(connection: str) -> NewJob:
    """The recurring job that tells an EHR connection what became of claims."""
    return NewJob(JobKind.WRITE_BACK, f"write-back:{connection}", {"connection": connection}, priority=6)


async def write_back(pipeline: Pipeline, job: Job) -> Next:
    """Tell what is not told yet, the longest waiting first; one that cannot be told is noted and passed over."""
    connection = job.arguments["connection"]
    untold = await pipeline.store.submissions_to_tell(job.clinic_id, connection, TELL_MOST)
    await _tell_all(pipeline, job, connection, untold)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        more = len(untold) == TELL_MOST
        await unit.postpone(job, timedelta(0) if more else PAUSE, reason="", failed=False)
        await unit.commit(pipeline.event(Step.POLLED, job, target=connection))
    return DONE


async def _tell_all(pipeline: Pipeline, job: Job, connection: str, untold: Sequence[Untold]) -> None:
    """One that the EHR fails to take does not keep the others from being told; it is tried again with the next ones."""
    failures: list[VendorUnavailable] = []
    in_a_row = 0
    for claim in untold:
        try:
            await _tell(pipeline, job, connection, claim)
            in_a_row = 0
        except VendorUnavailable as problem:
            failures.append(problem)
            in_a_row += 1
            if in_a_row == FAILURES_MOST:
                break
    if failures:
        raise failures[0]


async def _tell(pipeline: Pipeline, job: Job, connection: str, claim: Untold) -> None:
    adapter = pipeline.connections.ehr(job.clinic_id, connection)
    title = pipeline.connections.billing_info(job.clinic_id, claim.billing_connection).title
    fate = ClaimFate(claim.state, claim.account_number, title, claim.since, claim.reference, claim.reason)
    problem: AdapterError | None = None
    try:
        await adapter.write_back(EncounterRef(claim.ehr_encounter_id, ""), fate)
    except AdapterError as refusal:
        if refusal.retry is not Retry.NEVER and not isinstance(refusal, PermissionMissing):
            raise
        problem = refusal  # telling it again would be refused again; what may not be written may still be read
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.set_told(claim.submission_id, claim.state)
        await unit.commit(_told(pipeline, job, connection, claim, problem))


def _told(pipeline: Pipeline, job: Job, connection: str, claim: Untold, problem: AdapterError | None) -> AuditEvent:
    return pipeline.event(
        Step.EHR_TOLD,
        job,
        target=connection,
        patient=claim.patient or None,
        entities=(f"Encounter/{claim.encounter_id}", f"Claim/{claim.claim_id}"),
        outcome=Outcome.MINOR_FAILURE if problem else Outcome.SUCCESS,
        error_code=problem.code.value if problem else "",
    )
