"""One transaction: work, its AuditEvents and the next job commit together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

import asyncpg

from gateway.canonical.audit_event import AuditEvent
from gateway.canonical.errors import FencingLost
from gateway.canonical.identifiers import content_hash, lasting
from gateway.canonical.jsonio import dumps, loads
from gateway.canonical.models import Resource, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.ports.records import (
    Arrival,
    EncounterState,
    Hold,
    Job,
    JobKind,
    NewJob,
    NewSubmission,
    NormalizedEncounter,
)
from gateway.ports.stores import NOW
from gateway.store.queries import queries

LEASE_SECONDS = 30.0

_ENCOUNTERS, _RESOURCES, _SUBMISSIONS = queries("encounters"), queries("resources"), queries("submissions")
_QUEUE, _AUDIT = queries("queue"), queries("audit")


class StepWork:
    """What every step does in its transaction; `FeedWork` adds feeds, `PostgresUnitOfWork` batches and outcomes."""

    def __init__(
        self, connection: asyncpg.Connection, transaction: Any, clinic_id: str, *, on_stop: Callable[[str], None]
    ) -> None:
        self._connection, self._transaction, self._clinic = connection, transaction, clinic_id
        self._on_stop = on_stop

    async def commit(self, *events: AuditEvent) -> None:
        """Write the step's AuditEvents and commit."""
        if not events:
            raise ValueError("a unit of work is committed with at least one AuditEvent")
        await self._execute(_AUDIT["append"], *_columns([_audit_row(event) for event in events]))
        await self._transaction.commit()

    async def accept(self, arrivals: Sequence[Arrival], *, settle: timedelta = NOW, priority: int = 0) -> int:
        """Keep notices, each dedupe key once, and queue their encounters."""
        if not arrivals:
            return 0
        encounter_ids = [a.encounter_id for a in arrivals]
        await self._execute(_ENCOUNTERS["lock_keys"], encounter_ids)
        count = await self._connection.fetchval(
            _ENCOUNTERS["accept"],
            self._clinic,
            arrivals[0].connection,
            [a.ref.dedupe_key for a in arrivals],
            encounter_ids,
            [a.ref.encounter_id for a in arrivals],
            [a.trace for a in arrivals],
            [a.ref.last_updated.astimezone(UTC).isoformat() if a.ref.last_updated else "" for a in arrivals],
            settle,
            priority,
        )
        return int(count)

    async def enqueue(self, job: NewJob) -> None:
        """Put a job on the queue, behind those of its key."""
        await self._execute(_ENCOUNTERS["lock_keys"], [job.ordering_key])
        arguments = dumps(dict(job.arguments)).decode()
        await self._execute(_QUEUE["put"], job.kind.value, job.ordering_key, arguments, job.trace, job.priority)

    async def set_cursor(self, connection: str, cursor: str) -> None:
        """Remember how far a connection has been polled."""
        await self._execute(_ENCOUNTERS["set_cursor"], connection, cursor)

    async def allow_before_go_live(self, encounter_ids: Sequence[str]) -> list[str]:
        """Let encounters from before the go-live date pass; returns those that were held until now."""
        rows = await self._connection.fetch(_ENCOUNTERS["allow_before_go_live"], self._clinic, list(encounter_ids))
        return [row["id"] for row in rows if row["held"]]

    async def save_normalized(self, normalized: NormalizedEncounter) -> None:
        """Store changed resources, what the claim refers to, and the encounter's state."""
        claim = normalized.bundle.claim
        resources: list[Resource] = [claim, *normalized.bundle.resources.values()]
        types, ids = await self.save_resources(resources)
        await self._execute(_RESOURCES["refer"], claim["id"], types, ids)
        await self._execute(_ENCOUNTERS["supersede_holds"], normalized.encounter_id)
        values = (normalized.encounter_id, normalized.content_hash, claim["id"], normalized.generation)
        await self._execute(_ENCOUNTERS["save_normalized"], *values)

    async def save_resources(self, resources: Sequence[Resource]) -> tuple[list[str], list[str]]:
        """Store those that changed as new versions; returns all their types and ids."""
        types, ids = [r["resourceType"] for r in resources], [r["id"] for r in resources]
        contents, hashes = [dumps(r) for r in resources], [content_hash(lasting(r)) for r in resources]
        await self._execute(_RESOURCES["save"], types, ids, contents, hashes)
        return types, ids

    async def set_encounter_state(self, encounter_id: str, state: EncounterState) -> None:
        """Move an encounter on."""
        await self._execute(_ENCOUNTERS["set_state"], encounter_id, state.value)

    async def hold(self, hold: Hold) -> None:
        """Put work on the worklist in place of the encounter's earlier open hold."""
        await self._execute(_ENCOUNTERS["supersede_holds"], hold.encounter_id)
        findings = dumps([finding.as_json() for finding in hold.findings])
        await self._execute(_ENCOUNTERS["hold"], hold.encounter_id, hold.submission_id, hold.step, findings)
        await self.set_encounter_state(hold.encounter_id, EncounterState.HELD)

    async def create_submission(self, submission: NewSubmission) -> None:
        """One submission per claim and connection."""
        to = (submission.id, submission.encounter_id, submission.claim_id, submission.connection)
        kind = (submission.patient, submission.account_number, submission.frequency.value, submission.prior_id)
        await self._execute(_SUBMISSIONS["create"], *to, *kind)

    async def recall(self, claim_id: str) -> None:
        """Take a claim out of the waiting room."""
        await self._execute(_SUBMISSIONS["recall"], claim_id)

    async def set_done(self, encounter_id: str, submission_id: str, state: EncounterState) -> None:
        """The submission is settled: a hold about it alone ends, and the encounter with it if nothing else is open."""
        await self._execute(_ENCOUNTERS["set_done"], encounter_id, submission_id, state.value)

    async def withdraw_unsent(self, encounter_id: str) -> None:
        """Submissions of an encounter that have not left will not leave."""
        await self._execute(_SUBMISSIONS["withdraw"], encounter_id)

    async def forget_content(self, encounter_id: str) -> None:
        """Nothing of the encounter is on file: whatever is signed off next is news."""
        await self._execute(_ENCOUNTERS["forget_content"], encounter_id)

    async def withdraw(self, encounter_id: str) -> None:
        """The encounter is done with: nothing of it is on file, and nothing will be sent."""
        await self.withdraw_unsent(encounter_id)
        await self._execute(_ENCOUNTERS["supersede_holds"], encounter_id)
        await self._execute(_ENCOUNTERS["withdraw"], encounter_id)

    async def cancel_claim(self, claim_id: str) -> None:
        """The replaced, voided or withdrawn Claim gets a version with status cancelled."""
        content = await self._value(_RESOURCES["resource"], "Claim", claim_id)
        if content is not None:
            await self.save_resources([{**loads(content), "status": "cancelled"}])

    async def start_sending(self, submission_id: str, payload: VendorPayload, *, repeat: bool = False) -> None:
        """State SENDING with the exact payload kept."""
        fields = dumps(dict(payload.fields))
        arguments = (submission_id, payload.content_type, payload.body, fields, repeat)
        if await self._value(_SUBMISSIONS["start_sending"], *arguments) is None:
            raise FencingLost(f"submission {submission_id} is not waiting to be sent")

    async def set_submission_state(self, submission_id: str, state: SubmissionState, reason: str = "") -> bool:
        """Move a submission to a state that needs no receipt; False when the vendor has spoken meanwhile."""
        return await self._value(_SUBMISSIONS["set_state"], submission_id, state.value, reason) is not None

    async def record_receipt(self, submission_id: str, receipt: SubmissionReceipt) -> bool:
        """Store what the vendor said, with its evidence; False when it has said more meanwhile."""
        evidence, vendor_ids = receipt.evidence, dumps(dict(receipt.vendor_ids))
        values = (submission_id, evidence.state.value, evidence.reference, vendor_ids, receipt.calls)
        return await self._value(_SUBMISSIONS["record_receipt"], *values) is not None

    async def set_told(self, submission_id: str, state: SubmissionState) -> None:
        """The EHR knows this state of a claim."""
        await self._execute(_SUBMISSIONS["set_told"], submission_id, state.value)

    async def finish(self, job: Job, *, then: NewJob | None = None) -> Job | None:
        """Complete an owned job, or turn it into the next step's."""
        if then is None:
            await self._fenced(job, _QUEUE["finish"])
            return None
        arguments = dumps(dict(then.arguments)).decode()
        return job_from(await self._fenced(job, _QUEUE["become"], then.kind.value, arguments, LEASE_SECONDS))

    async def keep(self, job: Job) -> None:
        """Renew the lease of an owned job."""
        await self._fenced(job, _QUEUE["keep"], LEASE_SECONDS)

    async def postpone(self, job: Job, delay: timedelta, *, reason: str, failed: bool) -> None:
        """Give a job back to the queue for later."""
        await self._fenced(job, _QUEUE["postpone"], delay, reason, int(failed))

    async def give_way(self, job: Job) -> bool:
        """Complete an owned job that another one of its key and kind waits behind; none comes until this unit ends."""
        await self._execute(_ENCOUNTERS["lock_keys"], [job.ordering_key])
        if not await self._value(_QUEUE["has_follower"], job.ordering_key, job.id, job.kind.value):
            return False
        await self._fenced(job, _QUEUE["finish"])
        return True

    async def dead_letter(self, job: Job, reason: str) -> None:
        """Take a job off the queue for good."""
        await self._fenced(job, _QUEUE["dead_letter"], reason)

    async def stop_connection(self, connection: str, reason: str) -> None:
        """No more calls over this connection."""
        self._on_stop(self._clinic)
        await self._execute(_ENCOUNTERS["stop_connection"], connection, reason)

    async def resume_connection(self, connection: str) -> None:
        """Let a stopped connection work again."""
        await self._execute(_ENCOUNTERS["resume_connection"], connection)

    async def _execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, self._clinic, *arguments)

    async def _value(self, statement: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(statement, self._clinic, *arguments)

    async def _fenced(self, job: Job, statement: str, *arguments: Any) -> Any:
        row = await self._connection.fetchrow(statement, job.clinic_id, job.id, job.owner, *arguments)
        if row is None:
            raise FencingLost(f"job {job.id} has been taken over by another worker")
        return row


def job_from(row: Mapping[str, Any]) -> Job:
    """A `Job` from a row of the queue."""
    values = dict(row)
    return Job(**{**values, "kind": JobKind(values["kind"]), "arguments": loads(values["arguments"])})


def _audit_row(event: AuditEvent) -> tuple[Any, ...]:
    content = dumps(event.resource())
    outcome = event.outcome.value
    return event.recorded, event.step.value, outcome, event.encounter_id, event.patient, event.transaction, content


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
