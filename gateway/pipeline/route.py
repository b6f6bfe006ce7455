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
    """Make the one submission of this claim: to the clinic's billing connection, or where it or its prior one is."""
    claim = carried or await stored_claim(pipeline, job)
    claim_id, encounter_id = claim.claim["id"], job.arguments["encounter_id"]
    earlier = await _earlier(pipeline, job, claim)
    prior = last_on_file(earlier, other_than=claim_id) if claim.frequency is not ClaimFrequency.ORIGINAL else None
    been_at = prior or next((s for s in earlier if s.claim_id == claim_id and (s.on_file or s.in_doubt)), None)
    connection = been_at.connection if been_at else pipeline.connections.default_billing(job.clinic_id)
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


async def _earlier(pipeline: Pipeline, job: Job, claim: ClaimBundle) -> list[SubmissionRow]:
    """The encounter's submissions so far; a first claim on its first way has none that matter."""
    if claim.frequency is ClaimFrequency.ORIGINAL and "force" not in job.arguments:
        return []
    return await pipeline.store.submissions(job.clinic_id, job.arguments["encounter_id"])
