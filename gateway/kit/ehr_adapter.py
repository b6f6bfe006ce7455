"""What EHR adapters share: every verb that a vendor cannot do raises, by the same words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from gateway.canonical.errors import NotificationRejected, UnsupportedOperation
from gateway.canonical.models import ClaimFate, EncounterRecord, EncounterRef, Notification, NotificationRequest
from gateway.canonical.subscription import Subscribed
from gateway.canonical.superbill import Visit
from gateway.ports.context import Probe
from gateway.ports.ehr import Consent


class EhrBase:
    """Inherit and add `fetch_encounter`, `normalize`, `probe`, `aclose`, and the verbs of the declared capabilities."""

    vendor: ClassVar[str]
    """The vendor's name in error texts."""

    settle_seconds: float = 0.0
    public_keys: Sequence[Mapping[str, Any]] = ()

    def verify_notification(self, request: NotificationRequest) -> None:
        """Not without NOTIFY: everything is refused."""
        raise NotificationRejected("this connection takes no notifications; it is polled")

    def answer_challenge(self, request: NotificationRequest) -> Mapping[str, str]:
        """Not without CHALLENGE."""
        raise self._unsupported("answer_challenge", "the EHR does not ask the hook to prove itself")

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Not without NOTIFY."""
        raise self._unsupported("parse_notification", "the EHR sends no notifications")

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Not without POLL."""
        raise self._unsupported("changed_encounters", "the EHR has no feed of changes")
        yield  # an async generator, like those that override it

    async def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Not without BACKFILL."""
        raise self._unsupported("backfill", "former encounters cannot be listed")
        yield

    async def subscribe(self, endpoint: str) -> Sequence[Subscribed]:
        """Not without SUBSCRIBE."""
        raise self._unsupported("subscribe", "the EHR cannot be asked for notifications over its API")

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """Not by default: the gateway subscribes anew."""
        raise self._unsupported("renew", "a subscription cannot be changed once it is made")

    async def unsubscribe(self, subscription: str) -> None:
        """Not by default: the hook refuses what a former subscription still sends."""
        raise self._unsupported("unsubscribe", "a subscription cannot be ended over the EHR's API")

    async def subscription_status(self, subscription: str) -> Subscribed:
        """Not by default: its notifications alone show that it lives."""
        raise self._unsupported("subscription_status", "the EHR cannot be asked how a subscription fares")

    async def missed_events(self, subscription: str, since: int, until: int) -> Notification:
        """Not by default: the feed is polled."""
        raise self._unsupported("missed_events", "the EHR does not keep the events of a subscription")

    def visit(self, record: EncounterRecord) -> Visit:
        """Not without what a superbill names: patient, date and provider."""
        text = "this EHR's charges come over its API; take `superbills` out of the clinic's configuration"
        raise self._unsupported("visit", text)

    async def write_back(self, ref: EncounterRef, fate: ClaimFate) -> None:
        """Not without WRITE_BACK."""
        raise self._unsupported("write_back", "the EHR cannot be told what became of a claim")

    def consent(self, redirect_uri: str) -> Consent:
        """Not without CONSENT."""
        raise self._unsupported("consent", "this connection needs nobody's consent")

    async def accept_consent(self, code: str, redirect_uri: str) -> list[Probe]:
        """Not without CONSENT."""
        raise self._unsupported("accept_consent", "this connection needs nobody's consent")

    def _unsupported(self, operation: str, text: str) -> UnsupportedOperation:
        return UnsupportedOperation(self.vendor, operation, text)
