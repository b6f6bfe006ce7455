"""Event subscriptions: who is told of what, signed with a key per subscription, and sent again until acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from base64 import b64decode, b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.ehr.elation.simulator.replies import detail, fields
from gateway.canonical import jsonio
from gateway.kit.simulator_http import Refused, Request, Response, parse_object, plain_json, refuse
from gateway.kit.simulator_signing import Signing, WebhookSender

HEADER = "El8-Ed25519-Signature"
RESOURCES = frozenset({"bills", "visit_notes", "patients", "physicians", "appointments", "service_locations"})
ATTEMPTS, PAUSE_SECONDS = 7, 0.2


class Events:
    """The app's subscriptions and what is being delivered to them."""

    def __init__(self, base: str, application_id: str, signing_seed: str) -> None:
        self._base, self._application = base, application_id
        self._seed = b64decode(signing_seed)
        self._subscriptions: dict[int, dict[str, Any]] = {}
        self._sender = WebhookSender()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._sent: dict[str, list[tuple[int, bytes]]] = {}
        self._numbers = 880000

    def handle(self, request: Request, rest: list[str]) -> Response:
        """GET and POST of the list, GET and DELETE of one."""
        if not rest and request.method == "GET":
            return plain_json({"count": len(self.listed()), "next": None, "previous": None, "results": self.listed()})
        if not rest and request.method == "POST":
            return plain_json(self._create(parse_object(request.body)), 201)
        number = int(rest[0]) if len(rest) == 1 and rest[0].isdigit() else -1
        if number not in self._subscriptions:
            raise Refused(detail(404, "Not found."))
        if request.method == "DELETE":
            del self._subscriptions[number]
            return Response(204)
        return plain_json(self._subscriptions[number])

    def listed(self) -> list[dict[str, Any]]:
        """The subscriptions as the API shows them."""
        return list(self._subscriptions.values())

    def publish(self, resource: str, data: dict[str, Any], action: str, signing: Signing | None) -> None:
        """Tell the subscribers of a resource."""
        self._numbers += 1
        event = {
            "event_id": self._numbers,
            "event_uuid": str(uuid.uuid4()),
            "application_id": self._application,
            "resource": resource,
            "action": action,
            "resource_url": f"{self._base}/{resource}/{data['id']}/",
            "data": data,
        }
        body = jsonio.dumps(event)
        chosen = [number for number, held in self._subscriptions.items() if held["resource"] == resource]
        if resource == "bills":
            self._sent[str(data["id"])] = [(number, body) for number in chosen]
        for number in chosen:
            self._deliver(number, body, signing)

    def repeat(self, bill_id: str) -> dict[str, Any]:
        """Send the last event of a bill again."""
        sent = self._sent.get(str(bill_id))
        if not sent:
            raise refuse(409, "conflict", "nobody was told of this bill yet")
        for number, body in sent:
            self._deliver(number, body, None)
        return {"encounter_id": str(bill_id), "subscriptions": len(sent)}

    def signature(self, number: int, body: bytes) -> str:
        """The signature of a body under a subscription's key, in base64."""
        return b64encode(self._key(number).sign(body)).decode()

    async def aclose(self) -> None:
        """Stop the deliveries."""
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._sender.aclose()

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        missing = {name: ["This field is required."] for name in ("resource", "target") if not body.get(name)}
        if missing:
            raise Refused(fields(missing))
        if body["resource"] not in RESOURCES:
            raise Refused(fields({"resource": ["This is not a resource that can be subscribed to."]}))
        if any(body["resource"] == s["resource"] and body["target"] == s["target"] for s in self.listed()):
            raise Refused(detail(409, "A subscription to this resource and target exists."))
        number = 501 + len(self._subscriptions)
        public = self._key(number).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._subscriptions[number] = {
            "id": number,
            "resource": body["resource"],
            "target": body["target"],
            "properties": None,
            "signing_pub_key": b64encode(public).decode(),
            "deleted_date": None,
        }
        return self._subscriptions[number]

    def _key(self, number: int) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self._seed + str(number).encode()).digest())

    def _deliver(self, number: int, body: bytes, signing: Signing | None) -> None:
        target = self._subscriptions[number]["target"] if number in self._subscriptions else ""
        if target:
            task = asyncio.get_running_loop().create_task(self._attempts(target, number, body, signing))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def _attempts(self, target: str, number: int, body: bytes, signing: Signing | None) -> None:
        headers = {HEADER: self.signature(number, body), "Content-Type": "application/json"}
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            if signing:
                signing.attempted()
            if await self._sender.post(target, body, headers):
                if signing:
                    signing.delivered()
                return
