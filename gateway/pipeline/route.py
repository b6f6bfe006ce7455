"""Step 5: which billing connection the claim goes to."""

from __future__ import annotations

from gateway.canonical.audit_event import Step
from gateway.canonical.identifiers import submission_id
from gateway.canonical.models import ClaimBundle
from gateway.pipeline.check import stored_claim
from gateway.pipeline.context import Next, Pipeline, patient_of
from gateway.ports.stores import EncounterState, Job, JobKind, NewJob


async def route(pipeline: Pipeline, job: Job, carried: ClaimBundle | None = None) -> Next:
    """Make the one submission of this claim to the clinic's billing connection."""
    claim = carried or await stored_claim(pipeline, job)
    connection = pipeline.connections.default_billing(job.clinic_id)
    claim_id, encounter_id = claim.claim["id"], job.arguments["encounter_id"]
    submission = submission_id(job.clinic_id, connection, claim_id)
    arguments = {**job.arguments, "submission_id": submission}
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.create_submission(submission, encounter_id, claim_id, connection)
        await unit.set_encounter_state(encounter_id, EncounterState.ROUTED)
        following = await unit.finish(job, then=NewJob(JobKind.SUBMIT, job.ordering_key, arguments, job.trace))
        entities = (f"Claim/{claim_id}",)
        await unit.commit(
            pipeline.event(Step.CLAIM_ROUTED, job, target=connection, patient=patient_of(claim), entities=entities)
        )
    return Next(following, claim)
