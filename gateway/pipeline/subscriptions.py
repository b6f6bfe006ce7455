"""The recurring job that looks after a connection's subscriptions: made, proven alive, renewed, and their gaps filled.

Source: shared standards subscriptions sections 2 and 6.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.errors import UnsupportedOperation
from gateway.canonical.models import Notification
from gateway.canonical.subscription import Subscribed
from gateway.pipeline.context import DONE, Next, Pipeline
from gateway.pipeline.receive import POLL_PAUSE, arrival, new_trace, poll_job
from gateway.pipeline.subscription_rules import (
    ADOPTED_PATIENCE,
    BROKEN,
    MOST_GAPS,
    asked,
    filled,
    is_gap_due,
    is_restarted,
    is_silent,
    is_to_be_asked,
    is_to_be_renewed,
    made,
    next_look,
    restarted,
)
from gateway.ports.ehr import EhrAdapter
from gateway.ports.records import Job, SubscriptionRow
from gateway.ports.stores import UnitOfWork

log = logging.getLogger(__name__)

MOST_MISSED = 1000
"""Beyond it, or beyond `MOST_GAPS`, what is missing is not asked for event by event: the feed is polled."""


async def subscribe(pipeline: Pipeline, job: Job) -> Next:
    """Look after the connection's subscriptions, and come back when one needs it next."""
    care = _Care(pipeline, job)
    rows = await care.rows()
    if not care.endpoint:
        return await care.give_up(rows)
    own = [row for row in rows if row.endpoint == care.endpoint]
    if not own or any(row.asked_at is None for row in own):
        try:
            told = await care.subscribe(rows, poll=bool(rows))
        except UnsupportedOperation:
            told = ()
        if not told:  # switched off for this connection, or not allowed: it is polled
            log.info("not subscribed", extra={"clinic": job.clinic_id, "connection": care.connection})
            return await care.give_up(await care.rows())
    for row in await care.rows():
        await care.look_after(row)
    return await care.come_back()


class _Care:
    """One run over the subscriptions of one connection. Each thing learned from the EHR is a transaction of its own."""

    def __init__(self, pipeline: Pipeline, job: Job) -> None:
        self.pipeline, self.job, self.connection = pipeline, job, job.arguments["connection"]
        self.adapter: EhrAdapter = pipeline.connections.ehr(job.clinic_id, self.connection)
        self.endpoint = pipeline.connections.hook_url(job.clinic_id, self.connection)

    async def rows(self) -> list[SubscriptionRow]:
        return await self.pipeline.store.subscriptions(self.job.clinic_id, self.connection)

    async def subscribe(self, rows: Sequence[SubscriptionRow], *, poll: bool) -> Sequence[Subscribed]:
        """Have the EHR notify the gateway, and end what this replaces; returns what there is now."""
        told = await self.adapter.subscribe(self.endpoint)
        await self._keep_made(rows, told, poll=poll)
        kept = {each.id for each in told}
        for row in rows:
            if row.id not in kept and row.endpoint == self.endpoint:
                await self._end(row)
        return told

    async def look_after(self, row: SubscriptionRow) -> None:
        """Ask, recover and renew, as far as it is due."""
        now = self.pipeline.now()
        if row.endpoint != self.endpoint:
            if row.endpoint or now > row.began_at + ADOPTED_PATIENCE:
                await self._end(row)
            return
        if is_to_be_asked(row, now):
            row = await self._ask(row)
        if is_gap_due(row, now):
            row = await self._recover(row)
        if is_to_be_renewed(row, now):
            await self._renew(row)

    async def come_back(self) -> Next:
        """Give the job back until a subscription needs care; what is heard of one brings it forward."""
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            rows, now = await unit.subscriptions(self.connection), self.pipeline.now()
            delay = min((next_look(row, now) for row in rows), default=ADOPTED_PATIENCE)
            await unit.postpone(self.job, delay, reason="", failed=False)
            await unit.commit(self._event(Step.SUBSCRIPTION_CHECKED, *rows))
        return DONE

    async def give_up(self, rows: Sequence[SubscriptionRow]) -> Next:
        """The EHR is not asked for notifications: what it still has is ended, and the job with it."""
        for row in rows:
            await self._end(row)
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            await unit.finish(self.job)
            event = self._event(Step.SUBSCRIBED)
            await unit.commit(replace(event, outcome=Outcome.MINOR_FAILURE, error_code="unsupported"))
        return DONE

    async def _ask(self, row: SubscriptionRow) -> SubscriptionRow:
        """Ask the EHR how a subscription fares; where it cannot tell what does not fit, the feed is polled."""
        try:
            told = await self.adapter.subscription_status(row.id)
        except UnsupportedOperation:
            told = None
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            current = await self._locked(unit, row)
            if told is not None:
                current = await self._learn(unit, current, row, told)
            elif row.doubted:
                current = restarted(current, None)
                await unit.poll_soon(poll_job(self.connection), POLL_PAUSE)
            current = replace(current, asked_at=self.pipeline.now())
            await unit.save_subscription(current)
            await unit.keep(self.job)
            await unit.commit(self._event(Step.SUBSCRIPTION_CHECKED, row))
        return current

    async def _recover(self, row: SubscriptionRow) -> SubscriptionRow:
        """Fetch what is missing, range by range; what the EHR does not have any more, the poll finds."""
        gaps = row.missing
        if len(gaps) > MOST_GAPS or sum(map(len, gaps)) > MOST_MISSED:
            return await self._fill(row, range(gaps[0].start, gaps[-1].stop), Notification(poll=True))
        for gap in gaps:
            try:
                found = await self.adapter.missed_events(row.id, gap.start, gap.stop - 1)
            except UnsupportedOperation:
                found = Notification(poll=True)
            row = await self._fill(row, gap, found)
        return row

    async def _fill(self, row: SubscriptionRow, gap: range, found: Notification) -> SubscriptionRow:
        numbers = found.subscription.numbers if found.subscription else ()
        arrivals = [arrival(self.connection, ref, new_trace()) for ref in found.refs]
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            await unit.accept(arrivals, settle=timedelta(seconds=self.adapter.settle_seconds))
            current = filled(await self._locked(unit, row), gap)
            await unit.save_subscription(current)
            if found.poll or not set(gap) <= set(numbers):
                await unit.poll_soon(poll_job(self.connection), POLL_PAUSE)
            await unit.keep(self.job)
            entities = tuple(f"Encounter/{a.encounter_id}" for a in arrivals)
            await unit.commit(
                self.pipeline.event(Step.EVENTS_RECOVERED, self.job, source=self.connection, entities=entities)
            )
        return current

    async def _renew(self, row: SubscriptionRow) -> None:
        """Prolong or revive a subscription, or replace it; one that was broken has told nothing meanwhile."""
        try:
            told = await self.adapter.renew(row.id, self.endpoint)
        except UnsupportedOperation:
            await self.subscribe([row], poll=row.status in BROKEN)
        else:
            await self._keep_made([row], [told], poll=row.status in BROKEN)
            if told.id != row.id:
                await self._end(row)

    async def _end(self, row: SubscriptionRow) -> None:
        """End a subscription that is not wanted any more; where the EHR cannot be told, the hook refuses what comes."""
        with suppress(UnsupportedOperation):
            await self.adapter.unsubscribe(row.id)
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            await unit.drop_subscription(row)
            await unit.keep(self.job)
            await unit.commit(self._event(Step.UNSUBSCRIBED, row))

    async def _keep_made(self, before: Sequence[SubscriptionRow], told: Sequence[Subscribed], *, poll: bool) -> None:
        former = {row.id: row for row in before}
        async with self.pipeline.store.unit_of_work(self.job.clinic_id) as unit:
            rows = {row.id: row for row in await unit.subscriptions(self.connection)}
            for each in told:
                row = made(rows.get(each.id), each, self.connection, self.endpoint, self.pipeline.now())
                await unit.save_subscription(await self._learn(unit, row, former.get(each.id), each))
            if poll:
                await unit.poll_soon(poll_job(self.connection), POLL_PAUSE)
            await unit.keep(self.job)
            await unit.commit(self._event(Step.SUBSCRIBED, *(rows[each.id] for each in told if each.id in rows)))

    async def _learn(
        self, unit: UnitOfWork, row: SubscriptionRow, before: SubscriptionRow | None, told: Subscribed
    ) -> SubscriptionRow:
        """The row with what the EHR says of it now; a poll where events may have been lost."""
        now, anew = self.pipeline.now(), is_restarted(before, told)
        row = asked(restarted(row, told.total) if anew else row, told, now)
        if anew or row.status in BROKEN or is_silent(row, now):
            place = {"clinic": self.job.clinic_id, "connection": self.connection}
            log.warning("notifications may be lost", extra={**place, "status": row.status.value, "counts_anew": anew})
            await unit.poll_soon(poll_job(self.connection), POLL_PAUSE)
        return row

    async def _locked(self, unit: UnitOfWork, row: SubscriptionRow) -> SubscriptionRow:
        """The row as it is now; notifications have changed it while the EHR was asked."""
        rows = await unit.subscriptions(self.connection)
        return next((each for each in rows if each.id == row.id), row)

    def _event(self, step: Step, *rows: SubscriptionRow) -> AuditEvent:
        entities = tuple(f"Subscription/{row.id}" for row in rows)
        return self.pipeline.event(step, self.job, target=self.connection, entities=entities)
