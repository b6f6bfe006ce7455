"""What becomes of a claim on file when its encounter changes: replaced, voided, or held for a person.

A correction is an ordinary claim of the next generation whose `related` names the one on file (C12); it takes the same
steps and is as surely sent once. The vendor's capabilities decide; where it cannot, a person is told what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.canonical import codes
from gateway.canonical.audit_event import Step
from gateway.canonical.codes import concept
from gateway.canonical.findings import Finding, error
from gateway.canonical.identifiers import account_number, claim_id, lasting, submission_id
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimBundle, ClaimFrequency, Resource
from gateway.pipeline.context import DONE, Next, Pipeline, patient_of
from gateway.pipeline.holding import hold_job
from gateway.ports.billing import BillingCapability
from gateway.ports.records import (
    EncounterRow,
    EncounterState,
    Hold,
    Job,
    JobKind,
    NewJob,
    NewSubmission,
    NormalizedEncounter,
    SubmissionRow,
)
from gateway.ports.stores import UnitOfWork

REOPENED = "reopened"
_REOPENED_FINDING = error(
    "reopened-after-submission",
    "Encounter.status",
    "The encounter was opened again in the EHR after its claim had been sent.",
    "Finish it and sign it again in the EHR: what changes is then corrected, and this ends by itself.",
)
_VOID_HASH = b"void"  # of no claim: signed off again, even the same content is news
_IDENTITY = frozenset({"id", "identifier", "related", "status"})  # differ between two versions by their nature


def last_on_file(submissions: Sequence[SubmissionRow], other_than: str = "") -> SubmissionRow | None:
    """The encounter's claim that the vendor holds now, by the newest evidence; none after a void."""
    newest = next((s for s in submissions if s.on_file and s.claim_id != other_than), None)
    return None if newest is None or newest.frequency is ClaimFrequency.VOID else newest


def replacing(claim: ClaimBundle, prior: SubmissionRow | None) -> ClaimBundle:
    """The claim as one that replaces what is on file; unchanged when nothing is."""
    return claim if prior is None else ClaimBundle({**claim.claim, "related": _related(prior)}, claim.resources)


def voiding(claim: ClaimBundle, prior: SubmissionRow, clinic_id: str, generation: int) -> ClaimBundle:
    """The claim that voids one on file: the same content, cancelled, under an identity of its own."""
    encounter_id = prior.encounter_id
    own = {
        codes.CLAIM_IDENTIFIER: claim_id(clinic_id, encounter_id, generation),
        codes.ACCOUNT_IDENTIFIER: account_number(clinic_id, encounter_id, generation),
    }
    identifiers = [{**i, "value": own.get(i.get("system"), i["value"])} for i in claim.claim["identifier"]]
    changed = {"id": own[codes.CLAIM_IDENTIFIER], "identifier": identifiers, "status": "cancelled"}
    return ClaimBundle({**claim.claim, **changed, "related": _related(prior)}, claim.resources)


def _related(prior: SubmissionRow) -> list[Resource]:
    related: Resource = {
        "claim": {"reference": f"Claim/{prior.claim_id}"},
        "relationship": concept(codes.RELATED_CLAIM, "prior"),
    }
    number = prior.receipt.vendor_ids.get(PAYER_CLAIM_CONTROL_NUMBER) if prior.receipt else None
    return [{**related, "reference": {"value": number}} if number else related]


def can(pipeline: Pipeline, prior: SubmissionRow, capability: BillingCapability) -> bool:
    """Whether the vendor that holds the claim can correct (void) it."""
    return capability in pipeline.connections.billing_info(prior.clinic_id, prior.connection).capabilities


async def withdraw(pipeline: Pipeline, job: Job, row: EncounterRow) -> Next:
    """The encounter was entered in error: void its claim on file, or see to it that none is ever sent."""
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        submissions = await unit.submissions(row.id)
        doubtful = next((submission for submission in submissions if submission.in_doubt), None)
        prior = last_on_file(submissions)
        if doubtful is None and prior is None:
            return await _withdrawn(pipeline, job, row, unit)
        if doubtful is not None and "force" in job.arguments:
            return await settle_first(pipeline, job, doubtful, unit)
        if doubtful is None and prior is not None and can(pipeline, prior, BillingCapability.VOID):
            return await _void(pipeline, job, row, prior, unit)
    if doubtful is not None:
        return await _hold_withdrawn(pipeline, job, "It is not known whether its claim reached the billing system.")
    return await _hold_withdrawn(pipeline, job, "The billing system holds it and cannot void it so.")


async def _withdrawn(pipeline: Pipeline, job: Job, row: EncounterRow, unit: UnitOfWork) -> Next:
    await unit.withdraw(row.id)
    await unit.finish(job)
    entities = (f"Encounter/{row.id}",)
    await unit.commit(pipeline.event(Step.ENCOUNTER_WITHDRAWN, job, source=row.connection, entities=entities))
    return DONE


async def settle_first(pipeline: Pipeline, job: Job, doubtful: SubmissionRow, unit: UnitOfWork) -> Next:
    """A recheck: only look for what is in doubt; then it is known what is to be replaced or voided."""
    ids = {"encounter_id": doubtful.encounter_id, "claim_id": doubtful.claim_id, "submission_id": doubtful.id}
    ids["settle"] = "1"
    following = await unit.finish(job, then=NewJob(JobKind.SUBMIT, job.ordering_key, ids, job.trace))
    await unit.commit(pipeline.event(Step.RECHECK_REQUESTED, job, entities=(f"Claim/{doubtful.claim_id}",)))
    return Next(following)


async def _hold_withdrawn(pipeline: Pipeline, job: Job, why: str) -> Next:
    finding = error(
        "withdrawn-after-submission",
        "Encounter.status",
        f"The encounter was marked as entered in error in the EHR after its claim had been sent. {why}",
        "Void the claim in the billing system by hand.",
    )
    return await hold_job(pipeline, job, "normalize", (finding,), code="withdrawn-after-submission")


async def _void(pipeline: Pipeline, job: Job, row: EncounterRow, prior: SubmissionRow, unit: UnitOfWork) -> Next:
    on_file = await pipeline.store.claim_bundle(job.clinic_id, prior.claim_id)
    if on_file is None:
        raise LookupError("the submission names a claim that is not stored")
    generation = row.generation + 1
    void = voiding(on_file, prior, job.clinic_id, generation)
    own_id = void.claim["id"]
    submission = submission_id(job.clinic_id, prior.connection, own_id)
    arguments = {"encounter_id": row.id, "claim_id": own_id, "submission_id": submission}
    await unit.withdraw_unsent(row.id)
    await unit.save_normalized(NormalizedEncounter(row.id, void, _VOID_HASH, generation))
    kind = (patient_of(void), void.account_number, ClaimFrequency.VOID, prior.id)
    await unit.create_submission(NewSubmission(submission, row.id, own_id, prior.connection, *kind))
    following = await unit.finish(job, then=NewJob(JobKind.SUBMIT, job.ordering_key, arguments, job.trace))
    entities = (f"Encounter/{row.id}", f"Claim/{own_id}")
    event = (Step.ENCOUNTER_WITHDRAWN, job)
    await unit.commit(pipeline.event(*event, source=row.connection, patient=patient_of(void), entities=entities))
    return Next(following, void)


async def hold_changed(pipeline: Pipeline, job: Job, row: EncounterRow, claim: ClaimBundle) -> Next:
    """Tell a person each element that differs from the claim that was sent."""
    before = await pipeline.store.claim_bundle(job.clinic_id, row.claim_id or "")
    changed = changed_elements(before, claim) if before else ["Claim"]
    findings = tuple(_changed(element) for element in changed)
    return await hold_job(pipeline, job, "normalize", findings, code="changed-after-submission")


async def reopened(unit: UnitOfWork, row: EncounterRow) -> None:
    """The encounter was signed off and is worked on again: its claim does not leave, or a person is told that it has.

    When it is signed again, other content replaces the claim on file; the same content ends the hold.
    """
    submissions = await unit.submissions(row.id)
    on_file = last_on_file(submissions)
    if on_file is not None and row.state is not EncounterState.HELD:
        await unit.hold(Hold(row.id, REOPENED, (_REOPENED_FINDING,), on_file.id))
    elif on_file is None and not any(submission.in_doubt for submission in submissions):
        await unit.withdraw_unsent(row.id)
        await unit.forget_content(row.id)


def _changed(element: str) -> Finding:
    return error(
        "changed-after-submission",
        element,
        "The encounter was changed in the EHR after its claim had been sent; this element differs.",
        "Compare with the claim in the billing system and correct it there.",
    )


def changed_elements(before: ClaimBundle, after: ClaimBundle) -> list[str]:
    """The elements that differ between two versions of a claim, each as deep as it differs: of the Claim, then of
    what it references."""
    of_claim = _differing("Claim", _compared(before.claim), _compared(after.claim))
    references = sorted(before.resources.keys() | after.resources.keys())
    others = [
        path
        for reference in references
        for path in _differing(
            reference.split("/", maxsplit=1)[0],
            lasting(before.resources.get(reference, {})),
            lasting(after.resources.get(reference, {})),
        )
    ]
    return list(dict.fromkeys([*of_claim, *others]))


def _compared(claim: Resource) -> Resource:
    return {name: value for name, value in lasting(claim).items() if name not in _IDENTITY}


def _differing(path: str, before: Any, after: Any) -> Iterator[str]:
    """FHIRPaths of the leaves that differ; a list whose length differs is named once, as whole."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _differing(f"{path}.{name}", before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differing(f"{path}[{i}]", one, other)
    else:
        yield path
