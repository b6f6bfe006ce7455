"""Asking a FHIR R4 server to notify the gateway, and how its subscriptions fare.

Source: shared standards subscriptions sections 1, 2, 3 and 5.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    ErrorCode,
    MappingError,
    NotificationMalformed,
    PermissionMissing,
    UnexpectedResponse,
    UnsupportedOperation,
)
from gateway.canonical.models import Notification, Resource
from gateway.canonical.subscription import Subscribed, SubscriptionStatus
from gateway.kit.ehr_client import FHIR_JSON, FhirClient
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_notifications import parse_events
from gateway.kit.ehr_settings import SmartSettings, SubscriptionStyle, WebhookSignature
from gateway.ports.context import AdapterContext

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
MEDPLUM_SECRET = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"  # noqa: S105 - a URL
HEARTBEAT = f"{BACKPORT}/backport-heartbeat-period"
REASON = "Encounters that are signed off, for billing"
LIVE = frozenset({SubscriptionStatus.REQUESTED, SubscriptionStatus.ACTIVE})


def subscription_for(settings: SmartSettings, endpoint: str, now: datetime) -> Resource:
    """The Subscription to create: R4 criteria with the whole resource, or a topic with ids only (Backport)."""
    secret = settings.webhook_secret.get_secret_value()
    criteria = "Encounter?" + "&".join(f"{name}={value}" for name, value in settings.followed.items())
    subscription: Resource = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": REASON,
        "criteria": criteria,
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": FHIR_JSON,
            "header": [f"Authorization: Bearer {secret}"],
        },
    }
    if settings.subscription_days:
        end = now.astimezone(UTC) + timedelta(days=settings.subscription_days)
        subscription["end"] = end.isoformat(timespec="seconds").replace("+00:00", "Z")
    if settings.webhook_signature is WebhookSignature.HMAC_SHA256:
        del subscription["channel"]["header"]
        subscription["extension"] = [{"url": MEDPLUM_SECRET, "valueString": secret}]
    if settings.subscription is SubscriptionStyle.BACKPORT:
        _make_topic_based(subscription, settings)
    return subscription


def _make_topic_based(subscription: Resource, settings: SmartSettings) -> None:
    channel = subscription["channel"]
    wanted = {"url": f"{BACKPORT}/backport-filter-criteria", "valueString": subscription["criteria"]}
    subscription["meta"] = {"profile": [f"{BACKPORT}/backport-subscription"]}
    subscription["criteria"] = settings.subscription_topic
    subscription["_criteria"] = {"extension": [wanted]}
    channel["_payload"] = {"extension": [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}]}
    if settings.heartbeat_seconds:
        channel["extension"] = [{"url": HEARTBEAT, "valueUnsignedInt": settings.heartbeat_seconds}]


class FhirSubscriptions:
    """The subscriptions of one connection at one FHIR R4 server."""

    def __init__(self, client: FhirClient, settings: SmartSettings, context: AdapterContext) -> None:
        self.client, self.settings, self.now, self.shared = client, settings, context.now, context.shared
        self._counts = settings.subscription is SubscriptionStyle.BACKPORT

    async def subscribe(self, endpoint: str) -> Subscribed:
        """Create the Subscription, or keep an equal one that lives, or put right an equal one that does not."""
        settings = self.settings
        if settings.subscription is SubscriptionStyle.NONE or not settings.webhook_secret.get_secret_value():
            text = "subscriptions are switched off for this connection, or it has no webhook_secret"
            raise UnsupportedOperation(self.client.vendor, "subscribe", text)
        with self._permitted("subscribe"):
            return await self._subscribe(subscription_for(settings, endpoint, self.now()))

    async def _subscribe(self, wanted: Resource) -> Subscribed:
        equal = [s for s in await self._existing(wanted["channel"]["endpoint"]) if _is_equal(s, wanted)]
        for held in equal:
            if held.get("status") in LIVE and await self._is_as_wanted(held["id"], wanted):
                return await self._counted(self._told(held))
        if equal:
            with suppress(UnsupportedOperation):
                return await self._counted(await self._resubmitted(equal[0]["id"], wanted))
        return replace(self._told(await self._write(self.client.create, wanted)), total=0 if self._counts else None)

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """Submit it again as requested: the server keeps its numbers and sends a new handshake (V15)."""
        return await self._resubmitted(subscription, subscription_for(self.settings, endpoint, self.now()))

    async def unsubscribe(self, subscription: str) -> None:
        """Switch it off; a client may, where it may not delete."""
        try:
            with self._permitted("unsubscribe"):
                held = await self.client.read(f"Subscription/{subscription}")
                await self.client.update({**held, "status": "off"})
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.NOT_FOUND and problem.vendor_code not in GONE:
                raise
        await self.shared.drop(_wanted_key(subscription))

    async def status(self, subscription: str) -> Subscribed:
        """By $status where events are numbered, else the resource's own; off when the server does not know it."""
        try:
            with self._permitted("subscription_status"):
                held = await self.client.read(f"Subscription/{subscription}")
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.NOT_FOUND:
                raise
            return Subscribed(subscription, status=SubscriptionStatus.OFF)
        return await self._counted(self._told(held))

    async def missed(self, subscription: str, since: int, until: int) -> Notification:
        """$events from `since` to `until`, both included; `UnsupportedOperation` where the server has none."""
        asked = {"eventsSinceNumber": since, "eventsUntilNumber": until, "content": "id-only"}
        return await self._operation(f"Subscription/{subscription}/$events", asked)

    async def _counted(self, told: Subscribed) -> Subscribed:
        """With the total that $status gives, where the server has that operation."""
        if not self._counts:
            return told
        try:
            notice = (await self._operation(f"Subscription/{told.id}/$status", {})).subscription
        except UnsupportedOperation:
            return told
        return told if notice is None else replace(told, total=notice.total, status=notice.status or told.status)

    async def _operation(self, path: str, inputs: dict[str, Any]) -> Notification:
        name = path.rpartition("/")[2]
        try:
            with self._permitted(name):
                return parse_events(await self.client.operation(path, inputs))
        except (MappingError, NotificationMalformed) as problem:
            raise UnexpectedResponse(self.client.vendor, name, str(problem)) from None
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.UNSUPPORTED:
                raise
            raise UnsupportedOperation(self.client.vendor, name, "the EHR does not offer this operation") from None

    async def _resubmitted(self, subscription: str, wanted: Resource) -> Subscribed:
        try:
            with self._permitted("renew"):
                return self._told(await self._write(self.client.update, {**wanted, "id": subscription}))
        except UnexpectedResponse as problem:
            if problem.vendor_code not in GONE:
                raise
            text = "the EHR takes no change of this subscription"
            raise UnsupportedOperation(self.client.vendor, "renew", text) from None

    @contextmanager
    def _permitted(self, operation: str) -> Iterator[None]:
        """What the app may not do with subscriptions, it does without: that alone shall not stop the connection."""
        try:
            yield
        except PermissionMissing:
            text = "the EHR does not allow this to the app; grant it the scopes of Subscription"
            raise UnsupportedOperation(self.client.vendor, operation, text) from None

    async def _write(self, write: Callable[[Resource], Awaitable[Resource]], wanted: Resource) -> Resource:
        """Some servers refuse a Subscription that asks for heartbeats: they are asked without."""
        try:
            stored = await self._answered(write, wanted)
        except UnexpectedResponse as problem:
            if problem.vendor_code not in ("400", "422") or "extension" not in wanted["channel"]:
                raise
            plain = copy.deepcopy(wanted)
            del plain["channel"]["extension"]
            stored = await self._answered(write, plain)
        await self.shared.put(_wanted_key(stored["id"]), _fingerprint(wanted))
        return stored

    async def _is_as_wanted(self, subscription: str, wanted: Resource) -> bool:
        """Whether it was made like this, with this secret: many servers do not show the headers that they send."""
        return await self.shared.get(_wanted_key(subscription)) == _fingerprint(wanted)

    async def _answered(self, write: Callable[[Resource], Awaitable[Resource]], wanted: Resource) -> Resource:
        stored = await write(wanted)
        if not isinstance(stored.get("id"), str) or not stored["id"]:
            raise UnexpectedResponse(self.client.vendor, "subscribe", "the EHR's answer names no subscription")
        return stored

    async def _existing(self, endpoint: str) -> list[Resource]:
        try:
            return await self.client.search("Subscription", {"url": endpoint})
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.UNSUPPORTED:
                raise
            return []

    def _told(self, held: Resource) -> Subscribed:
        status = held.get("status")
        return Subscribed(
            id=str(held["id"]),
            topic=str(held.get("criteria", "")),
            status=SubscriptionStatus(status) if status in list(SubscriptionStatus) else SubscriptionStatus.REQUESTED,
            ends_at=parsed_instant(held.get("end")),
            heartbeat_seconds=_heartbeat(held) if self._counts else None,
            counts=self._counts,
        )


GONE = frozenset({"404", "405", "410"})


def _heartbeat(held: Resource) -> float | None:
    """The period that the server has agreed to."""
    channel = held.get("channel")
    extensions = channel.get("extension") if isinstance(channel, dict) else None
    for extension in extensions if isinstance(extensions, list) else []:
        if isinstance(extension, dict) and extension.get("url") == HEARTBEAT:
            seconds = extension.get("valueUnsignedInt")
            return float(seconds) if isinstance(seconds, int) and seconds > 0 else None
    return None


def _is_equal(held: Resource, wanted: Resource) -> bool:
    channel = held.get("channel")
    endpoint = channel.get("endpoint") if isinstance(channel, dict) else None
    same_hook = endpoint == wanted["channel"]["endpoint"] and held.get("criteria") == wanted["criteria"]
    return same_hook and isinstance(held.get("id"), str)


def _wanted_key(subscription: str) -> str:
    return f"subscription:{subscription}"


def _fingerprint(wanted: Resource) -> bytes:
    """Of what was asked for, without what differs each time."""
    lasting = {name: value for name, value in wanted.items() if name not in ("id", "end")}
    return hashlib.sha256(jsonio.canonical_bytes(lasting)).hexdigest().encode()
