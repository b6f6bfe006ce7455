"""Asking a FHIR R4 server to notify the gateway (shared standards subscriptions sections 1, 2 and 3)."""

from __future__ import annotations

from gateway.canonical.errors import ErrorCode, UnexpectedResponse, UnsupportedOperation
from gateway.canonical.models import Resource
from gateway.canonical.subscription import Subscribed, SubscriptionStatus
from gateway.kit.ehr_client import FHIR_JSON, FhirClient
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_settings import SmartSettings, SubscriptionStyle, WebhookSignature

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
MEDPLUM_SECRET = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"  # noqa: S105 - a URL
REASON = "Encounters that are signed off, for billing"
LIVE = frozenset({SubscriptionStatus.REQUESTED, SubscriptionStatus.ACTIVE})


def subscription_for(settings: SmartSettings, endpoint: str) -> Resource:
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
    if settings.webhook_signature is WebhookSignature.HMAC_SHA256:
        del subscription["channel"]["header"]
        subscription["extension"] = [{"url": MEDPLUM_SECRET, "valueString": secret}]
    if settings.subscription is SubscriptionStyle.BACKPORT:
        subscription["meta"] = {"profile": [f"{BACKPORT}/backport-subscription"]}
        subscription["criteria"] = settings.subscription_topic
        subscription["_criteria"] = {
            "extension": [{"url": f"{BACKPORT}/backport-filter-criteria", "valueString": criteria}]
        }
        subscription["channel"]["_payload"] = {
            "extension": [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}]
        }
    return subscription


async def subscribe(client: FhirClient, settings: SmartSettings, endpoint: str) -> Subscribed:
    """Create the Subscription, or reuse an equal one that lives, or revive an equal one that does not."""
    if settings.subscription is SubscriptionStyle.NONE or not settings.webhook_secret.get_secret_value():
        text = "subscriptions are switched off for this connection, or it has no webhook_secret"
        raise UnsupportedOperation(client.vendor, "subscribe", text)
    wanted = subscription_for(settings, endpoint)
    equal = [s for s in await _existing(client, endpoint) if _is_equal(s, wanted)]
    live = next((s for s in equal if s.get("status") in LIVE), None)
    if live is None:
        live = await (client.update({**wanted, "id": equal[0]["id"]}) if equal else client.create(wanted))
    if not isinstance(live.get("id"), str) or not live["id"]:
        raise UnexpectedResponse(client.vendor, "subscribe", "the EHR's answer names no subscription")
    return subscribed(live, settings)


def subscribed(subscription: Resource, settings: SmartSettings) -> Subscribed:
    """What a Subscription resource says; only those of the Backport number their events."""
    status = subscription.get("status")
    return Subscribed(
        id=str(subscription["id"]),
        topic=str(subscription.get("criteria", "")),
        status=SubscriptionStatus(status) if status in list(SubscriptionStatus) else SubscriptionStatus.REQUESTED,
        ends_at=parsed_instant(subscription.get("end")),
        counts=settings.subscription is SubscriptionStyle.BACKPORT,
    )


async def _existing(client: FhirClient, endpoint: str) -> list[Resource]:
    try:
        return await client.search("Subscription", {"url": endpoint})
    except UnexpectedResponse as problem:
        if problem.code is not ErrorCode.UNSUPPORTED:
            raise
        return []


def _is_equal(held: Resource, wanted: Resource) -> bool:
    channel = held.get("channel")
    endpoint = channel.get("endpoint") if isinstance(channel, dict) else None
    same_hook = endpoint == wanted["channel"]["endpoint"] and held.get("criteria") == wanted["criteria"]
    return same_hook and isinstance(held.get("id"), str)
