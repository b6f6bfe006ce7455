"""Subscriptions of the simulator: their life, their events in order, and the operations $status and $events."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.ehr.smart_fhir.simulator.channel import CONTENT_LEVELS, Channel, read_channel
from adapters.ehr.smart_fhir.simulator.delivery import (
    Event,
    Sender,
    StatusView,
    Timing,
    criteria_notification,
    notification_bundle,
    topic_notification,
)
from adapters.ehr.smart_fhir.simulator.disturbance import Disturbance
from adapters.ehr.smart_fhir.simulator.operations import event_range, inputs_of
from gateway.kit.fhir_simulator.access import Access
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.fhir_simulator.values import now_instant
from gateway.kit.simulator_http import Request, Resource, Response, fhir, parse_object, refuse
from gateway.kit.simulator_signing import Signing


@dataclass(slots=True)
class _Live:
    """A subscription at work. `events` are all that ever matched; `queue` holds those still to be sent.

    `late` is one that a disturbance keeps back until the next one has been sent.
    """

    id: str
    channel: Channel
    events: list[Event] = field(default_factory=list)
    queue: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None
    late: Event | None = None

    def stop(self) -> None:
        """Stop sending."""
        if self.task is not None:
            self.task.cancel()
            self.task = None


class Subscriptions:
    """Accepts Subscriptions and notifies their endpoints, each in order and apart from the others."""

    def __init__(self, base: str, store: Store, topics: frozenset[str], timing: Timing) -> None:
        self.base, self.store, self.topics = base, store, topics
        self.sender = Sender(timing)
        self.disturbance = Disturbance()
        self._live: dict[str, _Live] = {}

    def handles(self, request: Request) -> bool:
        """Whether a request is for this module: a write to Subscription, or one of its operations."""
        parts = request.path.strip("/").split("/")
        return parts[0] == "Subscription" and parts[-1] != "_search" and (request.method != "GET" or "$" in parts[-1])

    def handle(self, request: Request, access: Access) -> Response:
        """Answer a create, update, delete or operation on Subscription."""
        parts = request.path.strip("/").split("/")
        if parts[-1].startswith("$"):
            return self._operation(parts, request, access)
        if request.method == "POST" and len(parts) == 1:
            access.require("Subscription", "c")
            return self._create(request)
        if request.method == "PUT" and len(parts) == 2:
            access.require("Subscription", "u")
            return self._update(parts[1], request)
        if request.method == "DELETE" and len(parts) == 2:
            access.require("Subscription", "d")
            return self._delete(parts[1])
        raise refuse(405, "not-supported", "not allowed here", (("Allow", "GET, POST, PUT, DELETE"),))

    def publish(self, focus: Stored, signing: Signing) -> None:
        """Tell every subscription whose filters the encounter meets that it was signed."""
        for live in self._live.values():
            status = self._status(live)
            if status == "off" or not all(query.holds(focus) for query in live.channel.filters):
                continue
            event = Event(len(live.events) + 1, now_instant(), focus, signing)
            live.events.append(event)
            if status != "error":
                live.queue.put_nowait(event)

    def repeat(self, encounter_id: str) -> int:
        """Send the last notification of an encounter again, number and all; returns to how many subscriptions."""
        repeated = 0
        for live in self._live.values():
            event = next((event for event in reversed(live.events) if event.focus.id == encounter_id), None)
            if event is not None and live.task is not None and not live.task.done():
                live.queue.put_nowait(event)
                repeated += 1
        return repeated

    def disturb(self, body: dict[str, Any]) -> dict[str, Any]:
        """`POST /_sim/subscriptions`: a `Disturbance`; `restart`: counting begins anew; `status`: error or off."""
        told = dict(body)
        if told.pop("restart", False):
            for live in self._live.values():
                live.events.clear()
        status = told.pop("status", None)
        if status is not None:
            for live in self._live.values():
                live.stop()
                self._set_status(live, str(status))
        self.disturbance.change(told)
        return {"subscriptions": {live.id: self._status(live) for live in self._live.values()}}

    async def aclose(self) -> None:
        """Stop every delivery."""
        for live in self._live.values():
            live.stop()
        await self.sender.aclose()

    def _create(self, request: Request) -> Response:
        resource = _subscription(request)
        stored = self._save(secrets.token_hex(8), resource)
        location = f"{self.base}/{stored.key}/_history/{stored.version}"
        return fhir(stored.resource, 201, (("Location", location), ("ETag", f'W/"{stored.version}"')))

    def _update(self, subscription_id: str, request: Request) -> Response:
        resource = _subscription(request)
        if resource.get("id") != subscription_id:
            raise refuse(400, "invalid", "Subscription.id is not the id of the URL")
        status = 200 if self.store.get("Subscription", subscription_id) else 201
        stored = self._save(subscription_id, resource)
        return fhir(stored.resource, status, (("ETag", f'W/"{stored.version}"'),))

    def _delete(self, subscription_id: str) -> Response:
        live = self._live.pop(subscription_id, None)
        if live is not None:
            live.stop()
            self.store.delete("Subscription", subscription_id)
        return Response(204)

    def _save(self, subscription_id: str, resource: Resource) -> Stored:
        """Store a submitted Subscription; only "off" is taken over, else the server starts anew (V9, V15, V16)."""
        channel = read_channel(resource, base=self.base, topics=self.topics)
        if channel.heartbeat_seconds and not self.disturbance.heartbeats:
            raise refuse(400, "not-supported", "heartbeats are not supported")
        previous = self._live.get(subscription_id)
        if previous is not None:
            previous.stop()
        live = _Live(subscription_id, channel, previous.events if previous else [])
        self._live[subscription_id] = live
        status = "off" if resource.get("status") == "off" else "requested"
        submitted = {name: value for name, value in resource.items() if name != "error"}
        stored = self.store.put({**submitted, "id": subscription_id, "status": status})
        if status == "requested":
            live.task = asyncio.create_task(self._run(live))
        return stored

    async def _run(self, live: _Live) -> None:
        """Activate, then send event by event; a heartbeat when there was nothing to send for its period."""
        if not await self._activate(live):
            return
        while True:
            event = await self._next_event(live)
            if live.channel.end is not None and live.channel.end <= datetime.now(UTC):
                self._set_status(live, "off")
                return
            if event is None:
                if not self.disturbance.silent:
                    await self._notify(live, "heartbeat")
            elif self.disturbance.delays():
                live.late = event
            elif not await self._send_events(live, event):
                return

    async def _activate(self, live: _Live) -> bool:
        """R4 core has no handshake; Backport has one, sent after the answer to the create has left (S29 to S31)."""
        if live.channel.topic:
            await asyncio.sleep(self.sender.timing.handshake_delay * self.sender.timing.scale)
            problem = await self._notify(live, "handshake")
            if problem:
                self._set_status(live, "error", problem)
                return False
        self._set_status(live, "active")
        return True

    async def _next_event(self, live: _Live) -> Event | None:
        """The next event; None when a heartbeat is due or the subscription has reached its end."""
        period, end = live.channel.heartbeat_seconds if live.channel.topic else None, live.channel.end
        waits = [period * self.sender.timing.scale] if period else []
        waits += [max(0.0, (end - datetime.now(UTC)).total_seconds())] if end else []
        try:
            async with asyncio.timeout(min(waits, default=None)):
                return await live.queue.get()
        except TimeoutError:
            return None

    async def _send_events(self, live: _Live, event: Event) -> bool:
        """Send an event, and after it the one that was kept back."""
        late, live.late = live.late, None
        return await self._send_event(live, event) and (late is None or await self._send_event(live, late))

    async def _send_event(self, live: _Live, event: Event) -> bool:
        """Send one event. A failed one ends a topic subscription; for R4 criteria it is only recorded."""
        if self.disturbance.loses():
            return True
        if live.channel.topic:
            problem = await self._notify(live, "event-notification", event)
        else:
            notification = criteria_notification(live.channel, event.focus)
            problem = await self.sender.deliver(live.channel, notification, event.signing)
        if problem:
            self._set_status(live, "error" if live.channel.topic else "active", problem)
        return not (problem and live.channel.topic)

    async def _notify(self, live: _Live, kind: str, event: Event | None = None) -> str:
        view = self._view(live, total=event.number if event else None)
        bundle = notification_bundle(view, kind, self.base, [event] if event else [])
        notification = topic_notification(live.channel, bundle)
        return await self.sender.deliver(live.channel, notification, event.signing if event else None)

    def _status(self, live: _Live) -> str:
        stored = self.store.get("Subscription", live.id)
        return str(stored.resource["status"]) if stored else "off"

    def _set_status(self, live: _Live, status: str, problem: str = "") -> None:
        stored = self.store.get("Subscription", live.id)
        if stored is not None:
            error = {"error": problem} if problem else {}
            self.store.put({**stored.resource, "status": status, **error})

    def _view(self, live: _Live, total: int | None = None) -> StatusView:
        stored = self.store.get("Subscription", live.id)
        error = str(stored.resource.get("error", "")) if stored else ""
        channel = live.channel
        count = len(live.events) if total is None else total
        url = f"{self.base}/Subscription/{live.id}"
        return StatusView(url, channel.topic, channel.content, self._status(live), count, error)

    def _operation(self, parts: list[str], request: Request, access: Access) -> Response:
        if request.method not in ("GET", "POST"):
            raise refuse(405, "not-supported", "not allowed here", (("Allow", "GET, POST"),))
        if not self.disturbance.operations:
            raise refuse(404, "not-supported", "there is no such operation")
        access.require("Subscription", "r" if len(parts) == 3 else "s")
        inputs = inputs_of(request)
        if parts[1:] == ["$status"]:
            return self._status_of(self._selected(inputs))
        if len(parts) != 3 or parts[1] not in self._live:
            raise refuse(404, "not-found", "there is no such subscription or operation")
        live = self._live[parts[1]]
        if parts[2] == "$status":
            return self._status_of([live])
        if parts[2] == "$events":
            return self._events_of(live, inputs)
        raise refuse(404, "not-supported", "there is no such operation")

    def _selected(self, inputs: dict[str, list[str]]) -> list[_Live]:
        ids, statuses = inputs.get("id"), inputs.get("status")
        return [
            live
            for live in self._live.values()
            if (ids is None or live.id in ids) and (statuses is None or self._status(live) in statuses)
        ]

    def _status_of(self, selected: list[_Live]) -> Response:
        entries = [
            {
                "fullUrl": f"{self.base}/Subscription/{live.id}/$status",
                "resource": self._view(live).parameters("query-status"),
                "search": {"mode": "match"},
            }
            for live in selected
        ]
        found = {"entry": entries} if entries else {}
        return fhir({"resourceType": "Bundle", "type": "searchset", "total": len(entries), **found})

    def _events_of(self, live: _Live, inputs: dict[str, list[str]]) -> Response:
        """The events of an inclusive range of numbers (S115 to S119)."""
        first, last = event_range(inputs, len(live.events))
        asked = inputs.get("content", [live.channel.content])[0]
        content = asked if asked in CONTENT_LEVELS else live.channel.content or "id-only"
        plain = self._view(live)
        view = StatusView(plain.url, plain.topic, content, plain.status, plain.total, plain.error)
        kept = self.disturbance.kept_events
        held = live.events if kept is None else live.events[max(0, len(live.events) - kept) :]
        events = [event for event in held if first <= event.number <= last]
        return Response(200, notification_bundle(view, "query-event", self.base, events))


def _subscription(request: Request) -> Resource:
    resource = parse_object(request.body)
    if resource.get("resourceType") != "Subscription":
        raise refuse(400, "invalid", "the body is not a Subscription")
    return resource
