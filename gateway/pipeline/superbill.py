"""Superbills: a file is taken in, and an encounter finds the superbill of its visit; which of them comes first is all
the same. What could be either of two is held for a person, never guessed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import AdapterError, ClaimInvalid
from gateway.canonical.findings import Finding, error
from gateway.canonical.identifiers import content_hash
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.canonical.superbill import Keys, Problem, RefusedSuperbill, Superbill, SuperbillFile
from gateway.canonical.superbill_file import read_superbills, report_lines
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.receive import new_trace
from gateway.ports.ehr import EhrAdapter
from gateway.ports.records import Arrival, EncounterRow, Job, JobKind, NewJob
from gateway.ports.superbills import (
    KeptSuperbill,
    OfferedSuperbill,
    SuperbillLink,
    SuperbillPlace,
    Taken,
    VisitView,
    WaitingEncounter,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a file: what was in it, and what of that was news."""

    digest: str
    file: SuperbillFile
    taken: Taken

    @property
    def report(self) -> str:
        """What is wrong, a line each; no value of the file is in it."""
        return "".join(f"{line}\n" for line in report_lines(self.file.problems))


def superbills_job(connection: str) -> NewJob:
    """The recurring job that looks where a connection's superbill files arrive."""
    return NewJob(JobKind.SUPERBILLS, f"superbills:{connection}", {"superbills": connection}, priority=5)


async def take_file(
    pipeline: Pipeline, clinic_id: str, content: bytes, *, source: str, address: str = "", trace: str = ""
) -> Intake:
    """Take the good superbills of a file and wake their encounters, in one transaction; the clinic must have a link.

    `source` says in the AuditEvents where the file came from, `address` who sent it. The file may go once this returns.
    """
    link = pipeline.superbills[clinic_id]
    digest, trace = hashlib.sha256(content).hexdigest(), trace or new_trace()
    file = await asyncio.to_thread(_read, content, link)
    offered = [*(_offer(link.keys, s) for s in file.superbills), *_refusals(link.keys, file.refused)]
    async with pipeline.store.unit_of_work(clinic_id) as unit:
        taken = await unit.take_superbills(link.connection, digest, offered)
        await unit.accept([_wake(link.connection, encounter, trace) for encounter in taken.encounters])
        event = _event(pipeline, clinic_id, trace, digest, taken.encounters)
        event = replace(event, source=source, network_address=address, target=link.connection)
        await unit.commit(*_told(event, file))
    return Intake(digest, file, taken)


def _read(content: bytes, link: SuperbillLink) -> SuperbillFile:
    if len(content) > link.max_bytes:
        fix = "Split the file, or raise superbills.max_bytes in gateway.yaml."
        return SuperbillFile(0, (), (), (Problem(1, "", f"the file is larger than {link.max_bytes} bytes", fix),))
    return read_superbills(content, link.layout)


def _offer(keys: Keys, superbill: Superbill) -> OfferedSuperbill:
    key = keys.of_visit(superbill.visit)
    digest = content_hash([key, superbill.ready, superbill.claim])
    return OfferedSuperbill(keys.of_superbill(superbill.number), key, digest, superbill.ready, superbill.claim)


def _refusals(keys: Keys, refused: Sequence[RefusedSuperbill]) -> list[OfferedSuperbill]:
    """Those whose visit is known: the encounter shows why its superbill was refused."""
    offered = []
    for superbill in refused:
        if superbill.visit is not None:
            findings = tuple(problem.finding() for problem in superbill.problems)
            key = keys.of_visit(superbill.visit)
            digest = content_hash([key, [finding.as_json() for finding in findings]])
            offered.append(OfferedSuperbill(keys.of_superbill(superbill.number), key, digest, False, None, findings))
    return offered


def _wake(connection: str, encounter: WaitingEncounter, trace: str) -> Arrival:
    """A superbill that comes is a change of its encounter; each intake tells it once."""
    ref = EncounterRef(encounter.ehr_encounter_id, f"superbill:{encounter.encounter_id}:{trace}")
    return Arrival(connection, encounter.encounter_id, ref, trace)


def _event(
    pipeline: Pipeline, clinic_id: str, trace: str, digest: str, encounters: Sequence[WaitingEncounter]
) -> AuditEvent:
    entities = (f"Binary/{digest}", *(f"Encounter/{encounter.encounter_id}" for encounter in encounters))
    return AuditEvent(Step.SUPERBILLS_TAKEN, pipeline.now(), clinic_id, trace, entities=entities)


def _told(event: AuditEvent, file: SuperbillFile) -> list[AuditEvent]:
    """Taken, refused, or both."""
    refused = replace(
        event,
        step=Step.SUPERBILLS_REFUSED,
        outcome=Outcome.MINOR_FAILURE,
        error_code=f"{len(file.problems)} problems",
        entities=event.entities[:1],
    )
    return [*([event] if file.superbills or not file.problems else []), *([refused] if file.problems else [])]


async def look_for_superbills(pipeline: Pipeline, job: Job) -> Next:
    """Take in every file that has arrived; a good one is shredded, one with a mistake set aside with its report."""
    link = pipeline.superbills.get(job.clinic_id)
    place = link.place if link else None
    if link is None or place is None:  # the configuration has changed
        async with pipeline.store.unit_of_work(job.clinic_id) as unit:
            await unit.finish(job)
            await unit.commit(pipeline.event(Step.POLLED, job))
        return DONE
    reason = await _look(pipeline, job, place)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.postpone(job, timedelta(seconds=link.look_seconds), reason=reason, failed=bool(reason))
        outcome = Outcome.MINOR_FAILURE if reason else Outcome.SUCCESS
        event = pipeline.event(Step.POLLED, job, target=f"superbills:{link.connection}", outcome=outcome)
        await unit.commit(replace(event, error_code=reason))
    return DONE


async def _look(pipeline: Pipeline, job: Job, place: SuperbillPlace) -> str:
    """Take in what has arrived; the first trouble's code, or nothing. One bad file does not hold up the others."""
    troubles: list[AdapterError] = []
    try:
        async for name, content in place.arrived():
            try:
                await _take_in(pipeline, job, place, name, content)
            except AdapterError as problem:
                troubles.append(problem)
    except AdapterError as problem:  # of the folder or the SFTP server, not of the EHR: nothing else stops for it
        troubles.append(problem)
    for trouble in troubles:
        log.warning("superbills cannot be read", extra={"clinic": job.clinic_id, "error": trouble.text})
    return troubles[0].code.value if troubles else ""


async def _take_in(pipeline: Pipeline, job: Job, place: SuperbillPlace, name: str, content: bytes) -> None:
    intake = await take_file(pipeline, job.clinic_id, content, source="superbill folder")
    if intake.file.problems:
        await place.set_aside(name, content, intake.report)
    else:
        await place.shred(name)
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        await unit.keep(job)
        await unit.commit(pipeline.event(Step.POLLED, job, entities=(f"Binary/{intake.digest}",)))


async def with_superbill(
    pipeline: Pipeline, job: Job, row: EncounterRow, adapter: EhrAdapter, record: EncounterRecord
) -> EncounterRecord:
    """The record with the Claim of its superbill, when the connection has superbills and this one has come.

    Raises `ClaimInvalid` when a person must decide, `MappingError` when it cannot be told whose visit it is.
    """
    link = pipeline.superbills.get(job.clinic_id)
    if link is None or link.connection != row.connection:
        return record
    visit_key = link.keys.of_visit(adapter.visit(record))
    async with pipeline.store.unit_of_work(job.clinic_id) as unit:
        view = await unit.join_visit(row.connection, row.id, visit_key)
        chosen = own_superbill(view, row.id)
        if isinstance(chosen, KeptSuperbill) and chosen.encounter_id is None:
            await unit.assign_superbill(row.connection, chosen.id, row.id)
        await unit.commit(
            pipeline.event(Step.SUPERBILL_LOOKED_UP, job, target=row.connection, entities=(f"Encounter/{row.id}",))
        )
    if isinstance(chosen, tuple):
        raise ClaimInvalid(chosen)
    if chosen is None or chosen.claim is None:
        return record
    return replace(record, resources=(*record.resources, _claim_of(chosen, record)))


def own_superbill(view: VisitView, encounter_id: str) -> KeptSuperbill | tuple[Finding, ...] | None:
    """The encounter's superbill, or None when none has come, or the findings for which a person must decide."""
    own = [s for s in view.superbills if s.encounter_id == encounter_id]
    free = [s for s in view.superbills if s.encounter_id is None]
    if view.rivals and not own and view.superbills:
        return (_TWO_ENCOUNTERS,)
    possible = own if view.rivals else [*own, *free]
    ready = [s for s in possible if s.ready]
    if len(ready) > 1:
        return (_TWO_SUPERBILLS,)
    refused = tuple(finding for s in possible for finding in s.findings)
    return ready[0] if ready else refused or None


def _claim_of(superbill: KeptSuperbill, record: EncounterRecord) -> Resource:
    """The superbill's Claim as the EHR would give it for this encounter."""
    subject = record.encounter.get("subject")
    return {**(superbill.claim or {}), "id": superbill.id, **({"patient": subject} if subject else {})}


_SAME_VISIT = "patient, date and provider"
_TWO_ENCOUNTERS = error(
    "superbill-ambiguous",
    "Encounter",
    f"The superbill could belong to this encounter or to another one with the same {_SAME_VISIT}.",
    "Mark the encounter that was not billed as entered in error, or enter this claim by hand; then recheck.",
)
_TWO_SUPERBILLS = error(
    "superbill-ambiguous",
    "Claim",
    f"Several superbills have the {_SAME_VISIT} of this encounter, and only one may be billed.",
    "Put all charges on one superbill and take the others back to draft in the EHR, then export them all again.",
)
