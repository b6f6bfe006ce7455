"""The FHIR event subscriptions: alpha, one topic each, at least once, in any order (vendor document section 12).

A delivery has 2 seconds, is repeated for an hour, and then lies in a dead-letter queue for 7 days.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.ehr.athenahealth.simulator.notification import Event, bundle
from adapters.ehr.athenahealth.simulator.practice import Practice
from gateway.canonical import jsonio
from gateway.kit.simulator_http import Refused, Request, Response, fhir, outcome, parse_object
from gateway.kit.simulator_signing import Signing, WebhookSender

TOPICS = ("Encounter.check-in", "Encounter.signoff", "Encounter.reopen", "Appointment.check-out", "Claim.create")
DELIVERY_SECONDS = 2.0
RETRY_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 600.0, 600.0, 600.0, 600.0, 585.0)  # an hour in all
DEAD_LETTER_DAYS = 7
LOOK_SECONDS = 0.05
LEAST_RETRY_SECONDS = 0.2
FILTER = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria"


@dataclass
class Delivery:
    """One bundle on its way to one endpoint; `due` is on the simulator's clock."""

    endpoint: str
    secret: str
    body: bytes
    due: datetime
    signings: tuple[Signing, ...] = ()
    attempts: int = 0
    dead_since: datetime | None = None


@dataclass
class Events:
    """Subscriptions and what is to be delivered. `scale` shortens the waits between attempts."""

    base: str
    practice: Practice
    scale: float
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: list[Delivery] = field(default_factory=list)
    dead: list[Delivery] = field(default_factory=list)
    last: dict[str, list[Delivery]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._sender = WebhookSender(DELIVERY_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._order = random.Random(1)

    def create(self, request: Request) -> Response:
        """`POST /Subscription`."""
        wanted = parse_object(request.body)
        topic = self._topic(wanted)
        channel = wanted.get("channel") or {}
        if channel.get("type") != "rest-hook" or not str(channel.get("endpoint", "")).startswith("http"):
            raise Refused(outcome(422, "invalid", "the channel is no rest-hook"))
        practice = f"ah-practice=Organization/a-1.Practice-{self.practice.id}"
        filters = [e.get("valueString") for e in wanted.get("_criteria", {}).get("extension", []) if e["url"] == FILTER]
        if practice not in filters:
            raise Refused(outcome(422, "required", "the filter must name the practice"))
        if any(self._topic(other) == topic for other in self.held.values()):
            raise Refused(outcome(422, "duplicate", "there is a subscription of this topic for this practice"))
        subscription_id = uuid.uuid4().hex[:8]
        self.held[subscription_id] = {**wanted, "id": subscription_id, "status": "active"}
        self._secrets[subscription_id] = request.headers.get("x-hub-secret", "")
        return fhir(self.held[subscription_id], 201)

    def search(self) -> Response:
        """`GET /Subscription`."""
        self._expire()
        return _searchset(list(self.held.values()))

    def topics(self) -> Response:
        """`GET /SubscriptionTopic`."""
        return _searchset(
            [{"resourceType": "SubscriptionTopic", "id": name, "url": self._url(name)} for name in TOPICS]
        )

    def delete(self, subscription_id: str) -> Response:
        """`DELETE /Subscription/{id}`."""
        if self.held.pop(subscription_id, None) is None:
            raise Refused(outcome(404, "not-found", "there is no such subscription"))
        return Response(204)

    def happened(self, topic: str, encounter_id: str, signing: Signing | None = None) -> None:
        """Announce an event to every subscription of its topic."""
        self._expire()
        deliveries = [
            Delivery(
                held["channel"]["endpoint"],
                self._secrets[subscription_id],
                jsonio.dumps(self._notification(subscription_id, topic, encounter_id)),
                self.practice.clock.now(),
                (signing,) if signing else (),
            )
            for subscription_id, held in self.held.items()
            if self._topic(held) == topic
        ]
        if deliveries:
            self.last[encounter_id] = deliveries
            self.send(deliveries)

    def send(self, deliveries: list[Delivery]) -> None:
        """Put deliveries in the queue, in no particular order."""
        self.waiting += deliveries
        self._order.shuffle(self.waiting)
        if self._task is None or self._task.done():
            with suppress(RuntimeError):  # no loop: somebody else calls `deliver`
                self._task = asyncio.get_running_loop().create_task(self._run())

    def repeat(self, encounter_id: str) -> int:
        """Deliver the last event of an encounter again, as at-least-once delivery does; how many subscriptions."""
        again = [
            Delivery(d.endpoint, d.secret, d.body, self.practice.clock.now()) for d in self.last.get(encounter_id, ())
        ]
        self.send(again)
        return len(again)

    def replay(self) -> int:
        """Put the dead letters that are younger than 7 days back into the queue."""
        limit = self.practice.clock.now() - timedelta(days=DEAD_LETTER_DAYS)
        again = [d for d in self.dead if d.dead_since is not None and d.dead_since > limit]
        self.dead = []
        for delivery in again:
            delivery.attempts, delivery.dead_since, delivery.due = 0, None, self.practice.clock.now()
        self.send(again)
        return len(again)

    async def deliver(self) -> dict[str, int]:
        """Attempt everything that is due now."""
        async with self._turn:
            now = self.practice.clock.now()
            due = [d for d in self.waiting if d.due <= now]
            self.waiting = [d for d in self.waiting if d.due > now]
            await asyncio.gather(*map(self._attempt, due))
        return {"attempted": len(due), "waiting": len(self.waiting), "dead": len(self.dead)}

    async def aclose(self) -> None:
        """Stop delivering."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._sender.aclose()

    async def _run(self) -> None:
        while self.waiting:
            await self.deliver()
            await asyncio.sleep(LOOK_SECONDS)

    async def _attempt(self, delivery: Delivery) -> None:
        for signing in delivery.signings:
            signing.attempted()
        headers = {"Content-Type": "application/fhir+json"}
        if delivery.secret:
            digest = hmac.new(delivery.secret.encode(), delivery.body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature"] = f"sha256={digest}"
        if await self._sender.post(delivery.endpoint, delivery.body, headers):
            for signing in delivery.signings:
                signing.delivered()
            return
        if delivery.attempts >= len(RETRY_SECONDS):
            delivery.dead_since = self.practice.clock.now()
            self.dead.append(delivery)
            return
        pause = max(RETRY_SECONDS[delivery.attempts] * self.scale, LEAST_RETRY_SECONDS)
        delivery.attempts += 1
        delivery.due = self.practice.clock.now() + timedelta(seconds=pause)
        self.waiting.append(delivery)

    def _expire(self) -> None:
        """A subscription ends at its `end`."""
        now = self.practice.clock.now()
        self.held = {i: s for i, s in self.held.items() if "end" not in s or datetime.fromisoformat(s["end"]) > now}

    def _topic(self, subscription: Mapping[str, Any]) -> str:
        name = str(subscription.get("criteria", "")).rpartition("/")[2]
        if subscription.get("criteria") != self._url(name) or name not in TOPICS:
            raise Refused(outcome(422, "not-supported", "the criteria is no topic of this server"))
        return name

    def _url(self, topic: str) -> str:
        return f"{self.base}/SubscriptionTopic/{topic}"

    def _notification(self, subscription_id: str, topic: str, encounter_id: str) -> dict[str, Any]:
        appointment = self.practice.appointment_of(encounter_id)
        event = Event(topic, self.practice.id, encounter_id, appointment["patientid"], appointment["departmentid"])
        return bundle(event, subscription_id, self._url(topic), self.practice.clock.now())


def _searchset(resources: list[dict[str, Any]]) -> Response:
    entries = [{"resource": resource, "search": {"mode": "match"}} for resource in resources]
    return fhir({"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})
