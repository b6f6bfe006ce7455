"""Step 1 and 2: a notification is verified, understood and kept before it is acknowledged."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import NotificationError, NotificationUnknown
from gateway.canonical.identifiers import canonical_id
from gateway.canonical.models import EncounterRef, NotificationRequest
from gateway.canonical.subscription import NoticeKind, SubscriptionNotice
from gateway.pipeline.context import Pipeline
from gateway.pipeline.subscription_rules import heard, look_after_notice
from gateway.ports.records import Arrival, JobKind, NewJob, SubscriptionRow
from gateway.ports.stores import UnitOfWork

POLL_PAUSE = timedelta(seconds=2)
"""Between polls that notifications ask for: many of them that name nothing, forged or not, are one poll."""


def new_trace() -> str:
    """A W3C trace id: 32 hex digits."""
    return secrets.token_hex(16)


def poll_key(connection: str) -> str:
    """The ordering key of a connection's recurring poll job."""
    return f"poll:{connection}"


def poll_job(connection: str) -> NewJob:
    """The recurring job that polls a connection."""
    return NewJob(JobKind.POLL, poll_key(connection), {"connection": connection}, priority=5)


def subscribe_key(connection: str) -> str:
    """The ordering key of a connection's recurring job that looks after its subscriptions."""
    return f"subscribe:{connection}"


def subscribe_job(connection: str) -> NewJob:
    """The recurring job that looks after a connection's subscriptions."""
    return NewJob(JobKind.SUBSCRIBE, subscribe_key(connection), {"connection": connection}, priority=1)


async def receive(pipeline: Pipeline, clinic_id: str, connection: str, request: NotificationRequest) -> int:
    """Keep what a notification tells; returns how many changes were new. Raises `NotificationError`s.

    A refused notification leaves nothing but its AuditEvent.
    """
    adapter = pipeline.connections.ehr(clinic_id, connection)
    trace = new_trace()
    try:
        adapter.verify_notification(request)
        notification = adapter.parse_notification(request)
        arrivals = [arrival(connection, ref, trace) for ref in notification.refs]
        async with pipeline.store.unit_of_work(clinic_id) as unit:
            new = await unit.accept(arrivals, settle=timedelta(seconds=adapter.settle_seconds))
            care_in = await _heard(pipeline, unit, connection, notification.subscription)
            await unit.hear(connection)
            if notification.poll:  # it names nothing: only the feed can tell, even where polling is switched off
                await unit.poll_soon(poll_job(connection), POLL_PAUSE)
            if care_in is not None:
                await unit.bring_forward(subscribe_key(connection), care_in)
            await unit.commit(*_received(pipeline, clinic_id, connection, request, trace, arrivals))
    except NotificationError as refusal:
        await _audit_refusal(pipeline, clinic_id, connection, request, trace, type(refusal).__name__)
        raise
    return new


async def _heard(
    pipeline: Pipeline, unit: UnitOfWork, connection: str, notice: SubscriptionNotice | None
) -> timedelta | None:
    """Note what a notification says of its subscription; how soon that needs care. Raises `NotificationUnknown`.

    A handshake comes before the EHR's answer to the request that made the subscription: it is believed, as the secret
    is right, and dropped later if the subscription is not the gateway's. So is everything while none is known.
    """
    if notice is None:
        return None
    rows = await unit.subscriptions(connection)
    vendor_id = notice.id.replace("\0", "")
    row = next((row for row in rows if row.id == vendor_id), None)
    if row is None:
        if notice.kind is not NoticeKind.HANDSHAKE and any(row.endpoint for row in rows):
            raise NotificationUnknown("the gateway has no such subscription")
        row = SubscriptionRow(connection, vendor_id, pipeline.now())
    row = heard(row, notice, pipeline.now())
    await unit.save_subscription(row)
    return look_after_notice(row, notice)


async def answer_challenge(
    pipeline: Pipeline, clinic_id: str, connection: str, request: NotificationRequest
) -> Mapping[str, str]:
    """What the EHR wants to hear from the hook before it sends anything. Raises `NotificationError`s."""
    adapter, trace = pipeline.connections.ehr(clinic_id, connection), new_trace()
    try:
        answer = adapter.answer_challenge(request)
    except NotificationError as refusal:
        await _audit_refusal(pipeline, clinic_id, connection, request, trace, type(refusal).__name__)
        raise
    async with pipeline.store.unit_of_work(clinic_id) as unit:
        await unit.commit(*_received(pipeline, clinic_id, connection, request, trace, []))
    return answer


def arrival(connection: str, ref: EncounterRef, trace: str) -> Arrival:
    """An arrival under the gateway's id of the encounter. Postgres' text has no NUL, and an EHR could send one."""
    ref = replace(ref, encounter_id=ref.encounter_id.replace("\0", ""), dedupe_key=_key(ref.dedupe_key))
    return Arrival(connection, canonical_id(connection, ref.encounter_id), ref, trace)


def _key(dedupe_key: str) -> str:
    """A dedupe key as the inbox holds it: versions and dates in it are the EHR's texts, and could be anything."""
    return hashlib.sha256(dedupe_key.encode("utf-8", "surrogatepass")).hexdigest()


def _received(  # noqa: PLR0917
    pipeline: Pipeline,
    clinic_id: str,
    connection: str,
    request: NotificationRequest,
    trace: str,
    arrivals: list[Arrival],
) -> list[AuditEvent]:
    encounters: list[str | None] = [a.encounter_id for a in arrivals] or [None]
    return [
        AuditEvent(
            Step.NOTIFICATION_RECEIVED,
            pipeline.now(),
            clinic_id,
            trace,
            source=connection,
            network_address=request.client_address,
            encounter_id=encounter_id,
            entities=(f"Encounter/{encounter_id}",) if encounter_id else (),
        )
        for encounter_id in encounters
    ]


async def _audit_refusal(  # noqa: PLR0917
    pipeline: Pipeline, clinic_id: str, connection: str, request: NotificationRequest, trace: str, reason: str
) -> None:
    event = AuditEvent(
        Step.NOTIFICATION_REJECTED,
        pipeline.now(),
        clinic_id,
        trace,
        source=connection,
        network_address=request.client_address,
        outcome=Outcome.SERIOUS_FAILURE,
        error_code=reason,
    )
    async with pipeline.store.unit_of_work(clinic_id) as unit:
        await unit.commit(event)
