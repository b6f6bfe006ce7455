"""Asking athenahealth to tell of changes: the feed's subscription, and event subscriptions (sections 11 and 12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.ehr.athenahealth.api import AthenaApi
from adapters.ehr.athenahealth.errors import VENDOR
from adapters.ehr.athenahealth.feed import FEED, SUBSCRIBED_AT
from adapters.ehr.athenahealth.notifications import TOPICS
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.values import practice_filter, text
from gateway.canonical import jsonio
from gateway.canonical.errors import UnexpectedResponse
from gateway.canonical.models import Resource
from gateway.canonical.subscription import Subscribed, SubscriptionStatus
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.ehr_client import FHIR_JSON, FhirClient
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_subscribe import BACKPORT, LIVE, REASON
from gateway.kit.json_api import by_status
from gateway.ports.context import AdapterContext

FEED_ID = "appointments-changed"
FEED_STATUS = {"ACTIVE": SubscriptionStatus.ACTIVE, "PARTIAL": SubscriptionStatus.ACTIVE}
EARLY = timedelta(days=1)
"""One that ends within this time is asked for anew."""


class Subscriptions:
    """The subscriptions of one practice."""

    def __init__(
        self,
        api: AthenaApi,
        fhir: FhirClient,
        http: AuthorizedHttp,
        settings: AthenahealthSettings,
        context: AdapterContext,
    ) -> None:
        self._api, self._fhir, self._http, self._settings, self._context = api, fhir, http, settings, context

    async def subscribe(self, endpoint: str) -> list[Subscribed]:
        """The feed's subscription unless it is not read, and one event subscription per topic when push is on."""
        held = [await self._of_feed()] if self._settings.poll_seconds else []
        if self._settings.push:
            present = await self._fhir.search("Subscription", practice_filter(self._settings.practice_id))
            held += [await self._of_topic(topic, endpoint, present) for topic in TOPICS]
        return held

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """The same topic for another time; a subscription cannot be changed, so it is made anew."""
        if subscription == FEED_ID:
            return await self._of_feed()
        present = await self._fhir.search("Subscription", practice_filter(self._settings.practice_id))
        topic = next((t for s in present for t in TOPICS if s.get("id") == subscription and _is_of(s, t)), TOPICS[0])
        others = [s for s in present if s.get("id") != subscription]
        await self.unsubscribe(subscription)
        return await self._of_topic(topic, endpoint, others)

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription; one that is gone already is no error."""
        if subscription == FEED_ID:
            await self._api.send(f"{FEED}/subscription", "DELETE", f"{FEED}/subscription", {})
            return
        operation, url = "delete:Subscription", f"{self._fhir.base_url}/Subscription/{subscription}"
        response = await self._http.send(operation, "DELETE", url)
        if response.status_code not in (200, 204, 404, 410):
            raise by_status(VENDOR, operation, response)

    async def status(self, subscription: str) -> Subscribed:
        """What athenahealth says of one now."""
        if subscription == FEED_ID:
            return await self.feed_status()
        present = await self._fhir.search("Subscription", practice_filter(self._settings.practice_id))
        found = next((s for s in present if s.get("id") == subscription), None)
        return _subscribed(found) if found else Subscribed(subscription, status=SubscriptionStatus.OFF)

    async def feed_status(self) -> Subscribed:
        """ACTIVE and PARTIAL feeds tell of changes; INACTIVE ones are off."""
        path = f"{FEED}/subscription"
        told = await self._api.one(path, path)
        return Subscribed(FEED_ID, FEED, FEED_STATUS.get(text(told.get("status")).upper(), SubscriptionStatus.OFF))

    async def _of_feed(self) -> Subscribed:
        """All events of the feed; it takes some minutes to become effective."""
        held = await self.feed_status()
        if held.status is SubscriptionStatus.ACTIVE:
            return held
        path = f"{FEED}/subscription"
        await self._context.shared.put(SUBSCRIBED_AT, self._context.now().isoformat().encode())
        await self._api.send(path, "POST", path, {})
        return Subscribed(FEED_ID, FEED, SubscriptionStatus.ACTIVE)

    async def _of_topic(self, topic: str, endpoint: str, present: list[Resource]) -> Subscribed:
        """The one of a topic: kept while it lives, leads here and does not end soon; else made anew."""
        own = [s for s in present if _is_of(s, topic)]
        good = next((s for s in own if self._lives(s) and s.get("channel", {}).get("endpoint") == endpoint), None)
        if good is not None:
            return _subscribed(good)
        for former in own:  # one per topic and practice: the former one must go first
            await self.unsubscribe(str(former["id"]))
        return _subscribed(await self._create(self._wanted(topic, endpoint)))

    def _lives(self, subscription: Resource) -> bool:
        ends = parsed_instant(subscription.get("end"))
        return subscription.get("status") in LIVE and (ends is None or ends > self._context.now() + EARLY)

    async def _create(self, wanted: Resource) -> Resource:
        operation, url = "create:Subscription", f"{self._fhir.base_url}/Subscription"
        secret = self._settings.webhook_secret.get_secret_value()
        headers = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON, "X-Hub-Secret": secret}
        response = await self._http.send(operation, "POST", url, headers=headers, content=jsonio.dumps(wanted))
        if response.status_code not in (200, 201):
            raise by_status(VENDOR, operation, response)
        try:
            made: Any = jsonio.loads(response.content)
        except jsonio.NotJson:
            made = None
        if not isinstance(made, dict) or not isinstance(made.get("id"), str):
            raise UnexpectedResponse(VENDOR, operation, "the answer names no subscription")
        return {**wanted, **made}

    def _wanted(self, topic: str, endpoint: str) -> Resource:
        end = self._context.now().astimezone(UTC) + timedelta(days=self._settings.subscription_days)
        filters = "&".join(f"{name}={value}" for name, value in practice_filter(self._settings.practice_id).items())
        content = {"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}
        return {
            "resourceType": "Subscription",
            "meta": {"profile": [f"{BACKPORT}/backport-subscription"]},
            "status": "requested",
            "end": _instant(end),
            "reason": REASON,
            "criteria": f"{self._fhir.base_url}/SubscriptionTopic/{topic}",
            "_criteria": {"extension": [{"url": f"{BACKPORT}/backport-filter-criteria", "valueString": filters}]},
            "channel": {
                "type": "rest-hook",
                "endpoint": endpoint,
                "payload": FHIR_JSON,
                "_payload": {"extension": [content]},
            },
        }


def _is_of(subscription: Resource, topic: str) -> bool:
    return str(subscription.get("criteria", "")).endswith(f"/SubscriptionTopic/{topic}")


def _subscribed(subscription: Resource) -> Subscribed:
    """The counters of its notifications begin anew in each, so a gap proves nothing."""
    status = subscription.get("status")
    return Subscribed(
        str(subscription["id"]),
        str(subscription.get("criteria", "")).rpartition("/")[2],
        SubscriptionStatus(status) if status in list(SubscriptionStatus) else SubscriptionStatus.REQUESTED,
        parsed_instant(subscription.get("end")),
    )


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
