"""What an EHR says of the subscriptions by which it notifies the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SubscriptionStatus(StrEnum):
    """FHIR's Subscription.status. One that the EHR no longer knows is `off`."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ERROR = "error"
    OFF = "off"


class NoticeKind(StrEnum):
    """Why a notification was sent, in the words of the Subscriptions R5 Backport."""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    EVENT = "event-notification"
    STATUS = "query-status"
    MISSED = "query-event"  # the answer to a question for missed events


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What an EHR says of one subscription of the gateway.

    `counts`: its events are numbered from 1 without gaps for as long as it lives, so that a gap proves a loss. `total`:
    how many events it has counted so far, where it tells.
    """

    id: str
    topic: str = ""
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    ends_at: datetime | None = None
    heartbeat_seconds: float | None = None
    counts: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionNotice:
    """What a notification says of its subscription: `numbers` of the events in it, `total` counted so far."""

    id: str
    kind: NoticeKind
    status: SubscriptionStatus | None = None
    total: int | None = None
    numbers: tuple[int, ...] = ()
