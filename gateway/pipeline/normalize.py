"""Step 3: fetch the encounter, make it canonical, and build its claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from gateway.canonical.audit_event import Step
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import ClaimInvalid, MappingError, NotSignedOff
from gateway.canonical.identifiers import content_hash, lasting
from gateway.canonical.models import (
    ClaimBundle,
    ClaimFrequency,
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    SubmissionState,
)
from gateway.canonical.validation import check_source
from gateway.pipeline.context import DONE, Next, Pipeline, patient_of
from gateway.pipeline.corrections import can, hold_changed, last_on_file, replacing, settle_first, withdraw
from gateway.pipeline.superbill import with_superbill
from gateway.ports.billing import BillingCapability
from gateway.ports.ehr import EhrAdapter
from gateway.ports.records import EncounterRow, EncounterState, Job, JobKind, NewJob, NormalizedEncounter, SubmissionRow
from gateway.ports.stores import UnitOfWork

MOST_SOURCE_FINDINGS = 20
NOT_SIGNED_OFF, SETTLING = "not signed off yet", "settling"
"""Why a job waits without having failed: `accept` brings such a job forward when a notice comes."""


async def normalize(pipeline: Pipeline, job: Job) -> Next:
    """Turn what the EHR holds now into a claim; the same content as before changes nothing.

    A recheck ("force") sends the same content through the steps again: a claim held as uncertain is looked for.
    """
    row = await pipeline.store.encounter(job.clinic_id, job.arguments["encounter_id"])
    if row is None:
        raise LookupError("the job names an encounter that is not stored")
    adapter = pipeline.connections.ehr(job.clinic_id, row.connection)
    record = await adapter.fetch_encounter(_ref(job, row))
    if record.withdrawn:
        return await withdraw(pipeline, job, row)
    record = await with_superbill(pipeline, job, row, adapter, record)
    bundle = _normalized(adapter, record)
    if job.last_error == NOT_SIGNED_OFF and adapter.settle_seconds:
        return await _let_settle(pipeline, job, timedelta(seconds=adapter.settle_seconds))
    return await _take(pipeline, job, row, partial(_claim, pipeline, job, bundle))


async def _let_settle(pipeline: Pipeline, job: Job, delay: timedelta) -> Next:
    """A watched encounter that is signed off at last was signed a moment ago: its charges may still change."""
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.postpone(job, delay, reason=SETTLING, failed=False)
        await unit.commit(pipeline.event(Step.RETRY_SCHEDULED, job, error_code=SETTLING))
    return DONE


def _ref(job: Job, row: EncounterRow) -> EncounterRef:
    changed_at = job.arguments.get("changed_at")
    return EncounterRef(row.ehr_encounter_id, "", datetime.fromisoformat(changed_at) if changed_at else None)


def _claim(pipeline: Pipeline, job: Job, bundle: EncounterBundle, generation: int) -> ClaimBundle:
    created = pipeline.now().isoformat(timespec="seconds")
    return build_claim(bundle, pipeline.clinics[job.clinic_id], created=created, generation=generation)


async def _take(pipeline: Pipeline, job: Job, row: EncounterRow, claim_of: Callable[[int], ClaimBundle]) -> Next:
    """Store a claim that is news, and pass it on: in place of one that has not left, or as the next generation."""
    claim = claim_of(row.generation)
    unchanged = claim_hash(claim) == row.content_hash
    if unchanged and "force" not in job.arguments:
        return await _unchanged(pipeline, job, row, claim)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        submissions = await unit.submissions(row.id) if row.claim_id else []
        own = [s for s in submissions if s.claim_id == row.claim_id]
        doubtful = next((s for s in own if s.in_doubt), None)
        if doubtful is not None and not unchanged and "force" in job.arguments:
            return await settle_first(pipeline, job, doubtful, unit)
        if unchanged or _correctable(pipeline, own):
            generation = _generation(row, own, unchanged=unchanged)
            taken = claim if generation == row.generation else claim_of(generation)
            digest = claim_hash(taken)
            taken = replacing(taken, last_on_file(submissions, other_than=taken.claim["id"]))
            if row.claim_id is not None:
                await unit.recall(row.claim_id)
            return await _save(pipeline, job, row, NormalizedEncounter(row.id, taken, digest, generation), unit)
    return await hold_changed(pipeline, job, row, claim)


def _generation(row: EncounterRow, own: Sequence[SubmissionRow], *, unchanged: bool) -> int:
    """The next one when the present claim has been at the vendor: refused there, or on file with other content."""
    refused = any(s.state is SubmissionState.REJECTED and s.receipt is not None for s in own)
    replaced = not unchanged and any(s.on_file for s in own)
    return row.generation + (refused or replaced)


def _correctable(pipeline: Pipeline, own: Sequence[SubmissionRow]) -> bool:
    """Whether other content may go: what is in doubt must be settled first, what is on file must be replaceable."""
    on_file = [s for s in own if s.on_file and s.frequency is not ClaimFrequency.VOID]
    return not any(s.in_doubt for s in own) and all(can(pipeline, s, BillingCapability.CORRECT) for s in on_file)


async def _save(
    pipeline: Pipeline, job: Job, row: EncounterRow, normalized: NormalizedEncounter, unit: UnitOfWork
) -> Next:
    claim = normalized.bundle
    patient, encounter = patient_of(claim), f"Encounter/{row.id}"
    await unit.save_normalized(normalized)
    forced = {"force": "1"} if "force" in job.arguments else {}
    arguments = {"encounter_id": row.id, "claim_id": claim.claim["id"], **forced}
    following = await unit.finish(job, then=NewJob(JobKind.CHECK, job.ordering_key, arguments, job.trace))
    entities = (encounter, f"Claim/{claim.claim['id']}")
    await unit.commit(
        pipeline.event(
            Step.ENCOUNTER_FETCHED, job, source=row.connection, patient=patient, entities=_read_from_ehr(claim)
        ),
        pipeline.event(Step.ENCOUNTER_NORMALIZED, job, patient=patient, entities=entities),
    )
    return Next(following, claim)


def _normalized(adapter: EhrAdapter, record: EncounterRecord) -> EncounterBundle:
    """The canonical encounter; when it cannot be mapped, all else that is wrong with the EHR's data is told at once."""
    try:
        return adapter.normalize(record)
    except NotSignedOff:
        raise
    except MappingError as unmapped:
        is_fhir = record.encounter.get("resourceType") == "Encounter"  # else they are a vendor's own objects
        wrong = check_source([record.encounter, *record.resources]) if is_fhir else ()
        raise ClaimInvalid([*unmapped.findings, *wrong[:MOST_SOURCE_FINDINGS]]) from None


def claim_hash(claim: ClaimBundle) -> bytes:
    """A hash of all that makes the claim; not of when it was built, nor of what it replaces, nor of EHR versions."""
    content = [
        {name: value for name, value in claim.claim.items() if name != "related"},
        *(claim.resources[reference] for reference in sorted(claim.resources)),
    ]
    return content_hash([lasting(resource) for resource in content])


def _read_from_ehr(claim: ClaimBundle) -> tuple[str, ...]:
    """All that the claim refers to, but for the billing provider, who comes from the configuration."""
    return tuple(sorted(claim.resources.keys() - {claim.claim["provider"]["reference"]}))


async def _unchanged(pipeline: Pipeline, job: Job, row: EncounterRow, claim: ClaimBundle) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        if row.state is EncounterState.HELD and (on_file := last_on_file(await unit.submissions(row.id))):
            await unit.set_done(row.id, on_file.id, EncounterState.SUBMITTED)  # it may have been opened again meanwhile
        await unit.finish(job)
        await unit.commit(
            pipeline.event(
                Step.ENCOUNTER_UNCHANGED,
                job,
                source=row.connection,
                patient=patient_of(claim),
                entities=(f"Encounter/{row.id}",),
            )
        )
    return DONE
