"""Putting work on the worklist."""

from __future__ import annotations

from gateway.canonical.audit_event import Outcome, Step
from gateway.canonical.errors import ErrorCode
from gateway.canonical.findings import Finding
from gateway.canonical.models import SubmissionState
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.ports.records import Hold, Job
from gateway.ports.stores import UnitOfWork


async def hold_job(
    pipeline: Pipeline,
    job: Job,
    step: str,
    findings: tuple[Finding, ...],
    *,
    code: ErrorCode | str,
    submission: tuple[str, SubmissionState] | None = None,
    patient: str | None = None,
    target: str = "gateway",
) -> Next:
    """End a job with a hold that shows all findings; `submission` names one whose state changes with it."""
    encounter_id = job.arguments["encounter_id"]
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if submission and not await unit.set_submission_state(submission[0], submission[1], str(code)):
            return await _settled_meanwhile(pipeline, job, unit, patient, target)
        await unit.hold(Hold(encounter_id, step, findings, submission[0] if submission else None))
        await unit.finish(job)
        event = pipeline.event(
            Step.DISCLOSURE_FAILED if submission else Step.CLAIM_HELD,
            job,
            target=target,
            patient=patient,
            entities=(f"Encounter/{encounter_id}",),
            outcome=Outcome.MINOR_FAILURE,
            error_code=str(code),
        )
        await unit.commit(event)
    return DONE


async def _settled_meanwhile(pipeline: Pipeline, job: Job, unit: UnitOfWork, patient: str | None, target: str) -> Next:
    """The vendor has spoken while it was being asked: there is nothing left for a person to look for."""
    await unit.finish(job)
    await unit.commit(pipeline.event(Step.SUBMISSION_LOOKED_UP, job, target=target, patient=patient))
    return DONE
