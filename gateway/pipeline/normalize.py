"""Step 3: fetch the encounter, make it canonical, and build its claim."""

from __future__ import annotations

from datetime import datetime

from gateway.canonical.audit_event import Step
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import ClaimInvalid, MappingError
from gateway.canonical.findings import error
from gateway.canonical.identifiers import content_hash, lasting
from gateway.canonical.models import ClaimBundle, EncounterBundle, EncounterRecord, EncounterRef, Resource
from gateway.canonical.validation import check_source
from gateway.pipeline.context import DONE, Next, Pipeline, patient_of
from gateway.pipeline.holding import hold_job
from gateway.ports.ehr import EhrAdapter
from gateway.ports.stores import EncounterRow, Job, JobKind, NewJob, NormalizedEncounter

MOST_SOURCE_FINDINGS = 20


async def normalize(pipeline: Pipeline, job: Job) -> Next:
    """Turn what the EHR holds now into a claim; the same content as before changes nothing.

    A recheck ("force") sends the same content through the steps again: a claim held as uncertain is looked for.
    """
    row = await pipeline.store.encounter(job.clinic_id, job.arguments["encounter_id"])
    if row is None:
        raise LookupError("the job names an encounter that is not stored")
    claim = await _canonical(pipeline, job, row)
    digest = claim_hash(claim)
    unchanged = digest == row.content_hash
    if unchanged and "force" not in job.arguments:
        return await _unchanged(pipeline, job, row, claim)
    if not unchanged and row.claim_id and await pipeline.store.possibly_sent(job.clinic_id, row.claim_id):
        return await _changed_after_submission(pipeline, job, row, claim)
    normalized = NormalizedEncounter(row.id, claim, digest)
    patient, encounter = patient_of(claim), f"Encounter/{row.id}"
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.save_normalized(normalized)
        arguments = {"encounter_id": row.id, "claim_id": claim.claim["id"]}
        following = await unit.finish(job, then=NewJob(JobKind.CHECK, job.ordering_key, arguments, job.trace))
        await unit.commit(
            pipeline.event(
                Step.ENCOUNTER_FETCHED,
                job,
                source=row.connection,
                patient=patient,
                entities=_read_from_ehr(claim),
            ),
            pipeline.event(
                Step.ENCOUNTER_NORMALIZED, job, patient=patient, entities=(encounter, f"Claim/{claim.claim['id']}")
            ),
        )
    return Next(following, claim)


async def _canonical(pipeline: Pipeline, job: Job, row: EncounterRow) -> ClaimBundle:
    adapter = pipeline.connections.ehr(job.clinic_id, row.connection)
    changed_at = job.arguments.get("changed_at")
    ref = EncounterRef(row.ehr_encounter_id, "", datetime.fromisoformat(changed_at) if changed_at else None)
    record = await adapter.fetch_encounter(ref)
    bundle = _normalized(adapter, record)
    created = pipeline.now().isoformat(timespec="seconds")
    return build_claim(bundle, pipeline.clinics[job.clinic_id], created=created, generation=row.generation)


def _normalized(adapter: EhrAdapter, record: EncounterRecord) -> EncounterBundle:
    """The canonical encounter; when it cannot be mapped, all else that is wrong with the EHR's data is told at once."""
    try:
        return adapter.normalize(record)
    except MappingError as unmapped:
        wrong = check_source([record.encounter, *record.resources])
        raise ClaimInvalid([*unmapped.findings, *wrong[:MOST_SOURCE_FINDINGS]]) from None


def claim_hash(claim: ClaimBundle) -> bytes:
    """A hash of all that makes the claim; not of when it was built nor of the EHR's version numbers."""
    content = [claim.claim, *(claim.resources[reference] for reference in sorted(claim.resources))]
    return content_hash([lasting(resource) for resource in content])


def _read_from_ehr(claim: ClaimBundle) -> tuple[str, ...]:
    """All that the claim refers to, but for the billing provider, who comes from the configuration."""
    return tuple(sorted(claim.resources.keys() - {claim.claim["provider"]["reference"]}))


async def _unchanged(pipeline: Pipeline, job: Job, row: EncounterRow, claim: ClaimBundle) -> Next:
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
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


async def _changed_after_submission(pipeline: Pipeline, job: Job, row: EncounterRow, claim: ClaimBundle) -> Next:
    before = await pipeline.store.claim_bundle(job.clinic_id, row.claim_id or "")
    changed = changed_elements(before, claim) if before else ["Claim"]
    findings = tuple(
        error(
            "changed-after-submission",
            element,
            "The encounter was changed in the EHR after its claim had been sent; this element differs.",
            "Compare with the claim in the billing system and correct it there.",
        )
        for element in changed
    )
    return await hold_job(pipeline, job, "normalize", findings, code="changed-after-submission")


def changed_elements(before: ClaimBundle, after: ClaimBundle) -> list[str]:
    """The elements that differ between two versions of a claim: of the Claim, then of what it references."""
    of_claim = _differing("Claim", before.claim, after.claim)
    references = sorted(before.resources.keys() | after.resources.keys())
    others = [
        path
        for reference in references
        for path in _differing(
            reference.split("/", maxsplit=1)[0],
            before.resources.get(reference, {}),
            after.resources.get(reference, {}),
        )
    ]
    return list(dict.fromkeys([*of_claim, *others]))


def _differing(root: str, before: Resource, after: Resource) -> list[str]:
    names = dict.fromkeys([*lasting(before), *lasting(after)])
    return [f"{root}.{name}" for name in names if before.get(name) != after.get(name)]
