"""Step 4: the profile and the edits judge the claim."""

from __future__ import annotations

from gateway.canonical.audit_event import Step
from gateway.canonical.findings import Finding, holds
from gateway.canonical.models import ClaimBundle, ClaimFrequency
from gateway.canonical.validation import check_claim
from gateway.edits import run_edits
from gateway.edits.dates import before_go_live
from gateway.pipeline.context import Next, Pipeline, patient_of
from gateway.pipeline.holding import hold_job
from gateway.ports.records import EncounterState, Job, JobKind, NewJob


async def check(pipeline: Pipeline, job: Job, carried: ClaimBundle | None = None) -> Next:
    """All findings at once; an error holds the claim, a warning lets it pass."""
    claim = carried or await stored_claim(pipeline, job)
    today = pipeline.clinics[job.clinic_id].local_date(pipeline.now())
    findings = (*check_claim(claim), *run_edits(claim, today), *await _before_go_live(pipeline, job, claim))
    if holds(findings):
        return await hold_job(pipeline, job, "check", findings, code="claim-invalid", patient=patient_of(claim))
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.set_encounter_state(job.arguments["encounter_id"], EncounterState.READY)
        following = await unit.finish(job, then=NewJob(JobKind.ROUTE, job.ordering_key, job.arguments, job.trace))
        entities = (f"Claim/{claim.claim['id']}",)
        await unit.commit(pipeline.event(Step.CLAIM_CHECKED, job, patient=patient_of(claim), entities=entities))
    return Next(following, claim)


async def _before_go_live(pipeline: Pipeline, job: Job, claim: ClaimBundle) -> tuple[Finding, ...]:
    """A first claim for a visit of former times is held, unless a person has said that it was not billed elsewhere."""
    go_live = pipeline.clinics[job.clinic_id].go_live
    if go_live is None or claim.frequency is not ClaimFrequency.ORIGINAL:
        return ()
    found = tuple(before_go_live(claim, go_live))
    row = await pipeline.store.encounter(job.clinic_id, job.arguments["encounter_id"]) if found else None
    return () if row is not None and row.send_before_go_live else found


async def stored_claim(pipeline: Pipeline, job: Job) -> ClaimBundle:
    """The claim that a job names, from the store: only when a step starts anew, not on the way through."""
    claim = await pipeline.store.claim_bundle(job.clinic_id, job.arguments["claim_id"])
    if claim is None:
        raise LookupError("the job names a claim that is not stored")
    return claim
