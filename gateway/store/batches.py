"""The whole unit of work: steps, feeds, superbills, and batches, vendors' messages, and what became of claims."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from gateway.canonical.errors import BatchSettled, FencingLost
from gateway.canonical.findings import Finding
from gateway.canonical.jsonio import dumps, loads
from gateway.canonical.models import (
    ClaimFrequency,
    ClaimOutcome,
    Evidence,
    InboundMessage,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.ports.records import (
    BatchRow,
    Enclose,
    EncounterState,
    Hold,
    Job,
    JobKind,
    SubmissionRow,
    transmit_key,
)
from gateway.store.feeds import FeedWork
from gateway.store.queries import queries
from gateway.store.superbills import SuperbillUnit

_BATCHES, _SUBMISSIONS, _RESOURCES = queries("batches"), queries("submissions"), queries("resources")
_ENCOUNTERS = queries("encounters")
_MEMBER_STATES = {SubmissionState.QUEUED: SubmissionState.BATCHED}  # made, and not at the vendor


class PostgresUnitOfWork(FeedWork, SuperbillUnit):
    """The `UnitOfWork` port over one asyncpg connection in a transaction."""

    async def join_batch(self, submission_id: str, payload: VendorPayload, *, wait: timedelta, most: int) -> None:
        """State BATCHED, and a job that transmits."""
        values = (submission_id, payload.content_type, payload.body, dumps(dict(payload.fields)))
        connection = await self._value(_BATCHES["join"], *values)
        if connection is None:
            raise FencingLost(f"submission {submission_id} does not wait to be sent")
        await self._ensure_transmit(connection, wait)
        if wait and await self._value(_BATCHES["is_full"], connection, most):
            await self._execute(queries("queue")["run_soon"], transmit_key(connection))

    async def _ensure_transmit(self, connection: str, wait: timedelta) -> None:
        """Under the key's lock, so that a job which is about to find nothing waiting cannot end beside this."""
        key = transmit_key(connection)
        await self._execute(_ENCOUNTERS["lock_keys"], [key])
        arguments = dumps({"connection": connection}).decode()
        await self._execute(_BATCHES["put_later"], JobKind.TRANSMIT.value, key, arguments, "", wait)

    async def finish_transmit(self, job: Job) -> bool:
        """Complete the transmit job unless something waits."""
        connection = job.arguments["connection"]
        await self._execute(_ENCOUNTERS["lock_keys"], [transmit_key(connection)])
        if await self._value(_BATCHES["something_waits"], connection):
            return False
        await self.finish(job)
        return True

    async def submissions(self, encounter_id: str) -> list[SubmissionRow]:
        """All submissions of an encounter, newest first, held as they are."""
        return await self._submissions("of_encounter_locked", encounter_id)

    async def batch_members(self, connection: str, most: int) -> list[SubmissionRow]:
        """The oldest submissions that wait for a batch, held as they are."""
        return await self._submissions("batch_members", connection, most)

    async def named(self, connection: str, outcome: ClaimOutcome) -> list[SubmissionRow]:
        """The submissions that an outcome speaks of, held as they are."""
        digits = outcome.control_number
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else -1
        names = (outcome.submission_id.replace("\0", ""), outcome.account_number.replace("\0", ""), number)
        return await self._submissions("named", connection, *names)

    async def _submissions(self, query: str, *arguments: Any) -> list[SubmissionRow]:
        rows = await self._connection.fetch(_SUBMISSIONS[query], self._clinic, *arguments)
        return [submission_row(row) for row in rows]

    async def start_batch(self, connection: str, submission_ids: Sequence[str], enclose: Enclose) -> BatchRow:
        """Number, bytes and members in one transaction: a number is used exactly when its bytes are kept."""
        number = await self._value(_BATCHES["next_number"], connection)
        payload = enclose(number)
        values = (connection, number, payload.content_type, payload.body, dumps(dict(payload.fields)))
        created_at = await self._value(_BATCHES["insert"], *values)
        taken = await self._value(_BATCHES["take_members"], connection, number, list(submission_ids))
        if taken != len(submission_ids):
            raise FencingLost("a claim of the batch was taken back meanwhile")
        return BatchRow(connection, number, SubmissionState.SENDING, payload, created_at)

    async def set_batch_state(self, batch: BatchRow, state: SubmissionState, reason: str = "") -> None:
        """Move a batch, and its claims with it."""
        where = (batch.connection, batch.control_number)
        await self._execute(_BATCHES["set_members"], *where, _MEMBER_STATES.get(state, state).value, reason)
        await self._require_open(where, state, reason)

    async def _require_open(self, where: tuple[str, int], state: SubmissionState, reason: str) -> None:
        """After the claims, as a message locks them too in this order."""
        if await self._value(_BATCHES["set_state"], *where, state.value, reason) is None:
            raise BatchSettled(f"batch {where[1]} was settled meanwhile")

    async def dissolve_batch(self, batch: BatchRow, state: SubmissionState, findings: Sequence[Finding]) -> None:
        """Hold each claim of a batch that was not accepted."""
        where = (batch.connection, batch.control_number)
        for row in await self._connection.fetch(_BATCHES["dissolve_members"], self._clinic, *where, state.value):
            await self.hold(Hold(row["encounter_id"], "submit", tuple(findings), row["id"]))
        await self._require_open(where, SubmissionState.REJECTED, "")

    async def record_batch(self, batch: BatchRow, receipt: SubmissionReceipt) -> None:
        """The receipt of a batch is each claim's."""
        where, evidence = (batch.connection, batch.control_number), receipt.evidence
        values = (evidence.state.value, evidence.reference, dumps(dict(receipt.vendor_ids)), receipt.calls)
        await self._execute(_BATCHES["record_members"], *where, *values)
        await self._execute(_BATCHES["set_state"], *where, SubmissionState.SENT.value, "")

    async def arrived(self, connection: str, control_number: int, evidence: Evidence) -> None:
        """A message speaks of a batch whose fate was open: it is there, and with it what it carried."""
        found = await self._connection.fetchrow(_BATCHES["open_numbered"], self._clinic, connection, control_number)
        if found is not None:
            seen = Evidence(SubmissionState.SENT, evidence.reference, evidence.seen_at)
            await self.record_batch(batch_row(found), SubmissionReceipt(f"{control_number:09d}", seen, {}, 0))

    async def keep_message(self, connection: str, message: InboundMessage, state: str, counts: tuple[int, int]) -> bool:
        """Keep a message once, by its digest."""
        digest = hashlib.sha256(message.content).digest()
        name = message.name.replace("\0", "")
        return bool(
            await self._value(_BATCHES["keep_message"], connection, digest, name, message.content, state, *counts)
        )

    async def record_outcome(self, row: SubmissionRow, outcome: ClaimOutcome, *, ask_in: timedelta | None) -> None:
        """Store what a vendor said later."""
        known = row.receipt.vendor_ids if row.receipt else {}
        await self._execute(
            _SUBMISSIONS["record_outcome"],
            row.id,
            outcome.evidence.state.value,
            outcome.evidence.reference,
            dumps({**known, **outcome.vendor_ids}),
            dumps([finding.as_json() for finding in outcome.findings]) if outcome.findings else None,
            ask_in,
            outcome.findings[0].edit if outcome.findings else "",
        )
        if outcome.claim_response is not None:
            await self.save_resources([outcome.claim_response])

    async def ask_later(self, row: SubmissionRow, delay: timedelta) -> None:
        """The vendor could not answer for this one now."""
        await self._execute(_SUBMISSIONS["ask_later"], row.id, delay)

    async def send_again(self, row: SubmissionRow, trace: str) -> None:
        """Back to QUEUED, and through all steps after those that wait already: what is sent is what is true by then."""
        moved = await self._value(_SUBMISSIONS["send_again"], row.id, row.state.value)
        if moved == SubmissionState.QUEUED.value:
            await self.recheck(row.encounter_id, trace)
            await self.set_done(row.encounter_id, row.id, EncounterState.ROUTED)

    async def recheck(self, encounter_id: str, trace: str) -> None:
        """Fetch and judge an encounter anew, after what waits for it already."""
        await self._execute(_ENCOUNTERS["lock_keys"], [encounter_id])
        arguments = dumps({"encounter_id": encounter_id, "force": "1"}).decode()
        await self._execute(_BATCHES["put"], JobKind.NORMALIZE.value, encounter_id, arguments, trace)


_MOST_DIGITS = 15
_SAME = (
    *("clinic_id", "id", "encounter_id", "claim_id", "connection", "updated_at"),
    *("patient", "prior_id", "batch_number", "sent_at"),
)


def submission_row(record: Mapping[str, Any]) -> SubmissionRow:
    """A `SubmissionRow` from a row of the view `submission_record`."""
    state = SubmissionState(record["state"])
    return SubmissionRow(
        **{name: record[name] for name in _SAME},
        state=state,
        payload=_payload(record),
        frequency=ClaimFrequency(record["frequency"]),
        receipt=_receipt(record, state),
    )


def _payload(record: Mapping[str, Any]) -> VendorPayload | None:
    if record["payload"] is None:
        return None
    return VendorPayload(record["id"], record["content_type"], record["payload"], loads(record["fields"]))


def _receipt(record: Mapping[str, Any], state: SubmissionState) -> SubmissionReceipt | None:
    if record["evidence"] is None:
        return None
    evidence = Evidence(state, record["evidence"], record["confirmed_at"])
    return SubmissionReceipt(record["id"], evidence, loads(record["vendor_ids"] or b"{}"), record["calls"])


def batch_row(record: Mapping[str, Any]) -> BatchRow:
    """A `BatchRow` from a row of `batch`."""
    number = record["control_number"]
    fields = loads(record["fields"])
    payload = VendorPayload(f"{number:09d}", record["content_type"], record["payload"], fields)
    return BatchRow(record["connection"], number, SubmissionState(record["state"]), payload, record["created_at"])
