"""The webhooks: the handshake, deliveries with the raw secret in a header, and retries after 1, 3 and 7 hours.

Source: vendor document section 10. The hours pass on the vendor's clock, which a test puts forward.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field

from adapters.ehr.drchrono.simulator.store import Clock, Object
from gateway.canonical import jsonio
from gateway.kit.simulator_signing import Signing, WebhookSender

RETRY_HOURS = (1, 3, 7)


@dataclass(slots=True)
class Delivery:
    """One event on its way to the hook."""

    event: str
    body: bytes
    signing: Signing | None
    due: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    done: bool = False


class Webhooks:
    """The one hook of the app. `duplicates` sends everything twice, `out_of_order` each batch from its end."""

    def __init__(self, clock: Clock, url: str, secret: str, practice_group: int) -> None:
        self.clock, self.url, self._secret, self._practice = clock, url, secret, practice_group
        self.verified: bool | None = None
        self.duplicates = self.out_of_order = False
        self.sent: list[Delivery] = []
        self._held: list[Delivery] = []
        self._sender = WebhookSender()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, event: str, obj: Object, signing: Signing | None = None) -> None:
        """Note an event; `flush` sends what was noted."""
        if self.url:
            receiver = {"id": 321, "callback_url": self.url, "events": [event]}
            body = {"receiver": receiver, "object": obj, "practice_group_id": self._practice}
            self._held.append(Delivery(event, jsonio.dumps(body), signing, self.clock.now()))

    def flush(self) -> None:
        """Send what was noted since the last time."""
        batch, self._held = self._held, []
        self.sent += batch
        for delivery in reversed(batch) if self.out_of_order else batch:
            self._start(delivery)

    def again(self, delivery: Delivery) -> None:
        """Deliver once more, under the same id."""
        self._start(delivery)

    async def pump(self) -> int:
        """Try what is due by now again; returns how many."""
        due = [d for d in self.sent if not d.done and d.due <= self.clock.now() and d.attempts]
        await asyncio.gather(*(self._attempt(delivery) for delivery in due))
        return len(due)

    async def verify(self) -> bool:
        """GET the hook with a random message: it must answer with the message's HMAC."""
        message = secrets.token_hex(8)
        answer = await self._sender.get(f"{self.url}?msg={message}", {})
        wanted = hmac.new(self._secret.encode(), message.encode(), hashlib.sha256).hexdigest()
        self.verified = False
        if answer is not None and answer[0] == 200:
            try:
                self.verified = jsonio.loads(answer[1]) == {"secret_token": wanted}
            except jsonio.NotJson:
                self.verified = False
        return self.verified

    async def aclose(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()
        await self._sender.aclose()

    def _start(self, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._delivered(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _delivered(self, delivery: Delivery) -> None:
        for _ in range(2 if self.duplicates else 1):
            await self._attempt(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        delivery.attempts += 1
        if delivery.signing:
            delivery.signing.attempted()
        headers = {
            "Content-Type": "application/json",
            "X-drchrono-event": delivery.event,
            "X-drchrono-delivery": delivery.id,
            "X-drchrono-signature": self._secret,
        }
        verified = self.verified or await self.verify()
        if verified and await self._sender.post(self.url, delivery.body, headers):
            delivery.done = True
            if delivery.signing:
                delivery.signing.delivered()
            return
        failed = delivery.attempts
        delivery.due = self.clock.now() + RETRY_HOURS[failed - 1] * 3600 if failed <= len(RETRY_HOURS) else float("inf")
