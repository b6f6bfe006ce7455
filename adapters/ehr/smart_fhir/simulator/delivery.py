"""Sending notifications: one HTTP attempt, the retries, and the notification bundles (subscriptions section 4)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from adapters.ehr.smart_fhir.simulator.channel import Channel
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.metadata import SB
from gateway.kit.fhir_simulator.store import Stored
from gateway.kit.fhir_simulator.values import now_instant
from gateway.kit.simulator_http import Resource
from gateway.kit.simulator_signing import Signing

_PROFILE = f"{SB}/StructureDefinition"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one subscription, with the version of the encounter that it is about."""

    number: int
    timestamp: str
    focus: Stored
    signing: Signing


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; each failed attempt doubles the back-off, `retries` times. `scale` shortens waits for tests."""

    timeout: float = 5.0
    backoff: float = 0.2
    retries: int = 6
    handshake_delay: float = 0.05
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One HTTP request to a subscriber."""

    method: str
    url: str
    body: bytes
    media: str


class Sender:
    """Delivers notifications over one pooled client; a 2xx answer alone is a success."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, channel: Channel, notification: Notification, signing: Signing | None = None) -> str:
        """Send with retries; returns "" or the subscription-error code of the last attempt."""
        problem = ""
        for attempt in range(self.timing.retries + 1):
            if attempt:
                await asyncio.sleep(self.timing.backoff * 2 ** (attempt - 1) * self.timing.scale)
            if signing:
                signing.attempted()
            problem = await self._attempt(channel, notification)
            if not problem:
                if signing:
                    signing.delivered()
                return ""
        return problem

    async def _attempt(self, channel: Channel, notification: Notification) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession(skip_auto_headers=("Content-Type",))
        headers = dict(channel.headers)
        if notification.media:
            headers["Content-Type"] = notification.media
        if channel.secret:
            headers["X-Signature"] = hmac.new(channel.secret.encode(), notification.body, hashlib.sha256).hexdigest()
        try:
            async with self._session.request(
                notification.method,
                notification.url,
                data=notification.body or None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=channel.timeout_seconds or self.timing.timeout),
                allow_redirects=False,
            ) as answer:
                return "" if 200 <= answer.status < 300 else "error-response"
        except aiohttp.ClientConnectorDNSError:
            return "dns-resolution-error"
        except (aiohttp.ClientError, TimeoutError, OSError):
            return "no-response"

    async def aclose(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def criteria_notification(channel: Channel, focus: Stored) -> Notification:
    """R4 core: an empty POST, or an update below the endpoint.

    Medplum's secret extension marks a Medplum client, which is sent the resource by POST with its HMAC.
    """
    if not channel.payload:
        return Notification("POST", channel.endpoint, b"", "")
    if channel.secret:
        return Notification("POST", channel.endpoint, focus.body, channel.payload)
    return Notification("PUT", f"{channel.endpoint.rstrip('/')}/{focus.key}", focus.body, channel.payload)


def topic_notification(channel: Channel, bundle: bytes) -> Notification:
    """Backport: every kind of notification is POSTed to the endpoint itself (S26)."""
    return Notification("POST", channel.endpoint, bundle, channel.payload)


@dataclass(frozen=True, slots=True)
class StatusView:
    """What a status resource tells of a subscription."""

    url: str
    topic: str
    content: str
    status: str
    total: int
    error: str = ""

    def parameters(self, kind: str, events: Iterable[Event] = (), base: str = "") -> Resource:
        """The Parameters resource of the profile backport-subscription-status-r4."""
        parts: list[dict[str, Any]] = [{"name": "subscription", "valueReference": {"reference": self.url}}]
        if self.topic and self.content != "empty":
            parts.append({"name": "topic", "valueCanonical": self.topic})
        parts.append({"name": "status", "valueCode": self.status})
        parts.append({"name": "type", "valueCode": kind})
        parts.append({"name": "events-since-subscription-start", "valueString": str(self.total)})
        parts += [self._event(event, base) for event in events]
        if self.error:
            system = "http://terminology.hl7.org/CodeSystem/subscription-error"
            concept = {"coding": [{"system": system, "code": self.error}]}
            parts.append({"name": "error", "valueCodeableConcept": concept})
        profile = f"{_PROFILE}/backport-subscription-status-r4"
        return {"resourceType": "Parameters", "meta": {"profile": [profile]}, "parameter": parts}

    def _event(self, event: Event, base: str) -> dict[str, Any]:
        part: list[dict[str, Any]] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": event.timestamp},
        ]
        if self.content != "empty":
            part.append({"name": "focus", "valueReference": {"reference": f"{base}/{event.focus.key}"}})
        return {"name": "notification-event", "part": part}


def notification_bundle(view: StatusView, kind: str, base: str, events: Iterable[Event] = ()) -> bytes:
    """The history Bundle of a notification: the status first, then an entry per focus by content level."""
    events = list(events)
    status = {
        "fullUrl": f"urn:uuid:{uuid.uuid4()}",
        "resource": view.parameters(kind, events, base),
        "request": {"method": "GET", "url": f"{view.url}/$status"},
        "response": {"status": "200"},
    }
    foci = {event.focus.key: event.focus for event in events} if view.content != "empty" else {}
    entries = [status, *(_focus_entry(focus, base, view.content) for focus in foci.values())]
    bundle = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_PROFILE}/backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": now_instant(),
        "entry": entries,
    }
    return jsonio.dumps(bundle)


def _focus_entry(focus: Stored, base: str, content: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "fullUrl": f"{base}/{focus.key}",
        "request": {"method": "PUT", "url": focus.key},
        "response": {"status": "200"},
    }
    return {**entry, "resource": focus.resource} if content == "full-resource" else entry
