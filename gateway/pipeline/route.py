"""Step 5: which billing connection the claim goes to."""

from __future__ import annotations

from gateway.canonical.audit_event import Step
from gateway.canonical.identifiers import submission_id
from gateway.canonical.models import ClaimBundle, ClaimFrequency
from gateway.pipeline.check import stored_claim
from gateway.pipeline.context import Next, Pipeline, patient_of
from gateway.pipeline.corrections import last_on_file
from gateway.ports.records import EncounterState, Job, JobKind, NewJob, NewSubmission, SubmissionRow


async def route(pipeline: Pipeline, job: Job, carried: ClaimBundle | None = None) -> Next:
    """Make the one submission of this claim: to the clinic's billing connection, or where the claim it replaces is."""
    claim = carried or await stored_claim(pipeline, job)
    claim_id, encounter_id = claim.claim["id"], job.arguments["encounter_id"]
    prior = await _prior(pipeline, job, claim)
    connection = prior.connection if prior else pipeline.connections.default_billing(job.clinic_id)
    submission = submission_id(job.clinic_id, connection, claim_id)
    arguments = {**job.arguments, "submission_id": submission}
    kind = (patient_of(claim), claim.account_number, claim.frequency, prior.id if prior else None)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.create_submission(NewSubmission(submission, encounter_id, claim_id, connection, *kind))
        await unit.set_encounter_state(encounter_id, EncounterState.ROUTED)
        following = await unit.finish(job, then=NewJob(JobKind.SUBMIT, job.ordering_key, arguments, job.trace))
        entities = (f"Claim/{claim_id}",)
        await unit.commit(
            pipeline.event(Step.CLAIM_ROUTED, job, target=connection, patient=patient_of(claim), entities=entities)
        )
    return Next(following, claim)


async def _prior(pipeline: Pipeline, job: Job, claim: ClaimBundle) -> SubmissionRow | None:
    if claim.frequency is ClaimFrequency.ORIGINAL:
        return None
    submissions = await pipeline.store.submissions(job.clinic_id, job.arguments["encounter_id"])
    return last_on_file(submissions, other_than=claim.claim["id"])
