"""What the pipeline asks of an EHR adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel

from gateway.canonical.clinic import ClinicFact
from gateway.canonical.mapping import Row
from gateway.canonical.models import (
    ClaimFate,
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    Notification,
    NotificationRequest,
)
from gateway.canonical.subscription import Subscribed
from gateway.canonical.superbill import Visit
from gateway.ports.context import AdapterContext, Probe


class EhrCapability(StrEnum):
    """What an EHR adapter can do; an undeclared verb raises `UnsupportedOperation`."""

    NOTIFY = "notify"
    POLL = "poll"
    SUBSCRIBE = "subscribe"
    CHALLENGE = "challenge"  # the EHR asks the hook to prove itself by a GET
    BACKFILL = "backfill"
    WRITE_BACK = "write_back"
    CONSENT = "consent"  # a person must consent once, on a page of the EHR (`gateway connect`)


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent to ask a person for: the page to open, and the state that must come back with the code."""

    authorize_url: str
    state: str


class EhrAdapter(Protocol):
    """One clinic's link to one EHR. `verify_*`, `answer_*`, `parse_*`, `normalize` and `visit` are pure; the others use
    the network. A verb whose capability is not declared raises `UnsupportedOperation`."""

    settle_seconds: float
    """How long after a notice the encounter is left alone: charges may still change after the sign-off."""

    public_keys: Sequence[Mapping[str, Any]]
    """The public JWKs that the EHR verifies this connection's signatures with; they are published."""

    def verify_notification(self, request: NotificationRequest) -> None:
        """Check signature or token over the raw bytes, before any parsing; raises `NotificationRejected`."""

    def answer_challenge(self, request: NotificationRequest) -> Mapping[str, str]:
        """The JSON object that proves to the EHR who answers at the hook; raises `NotificationRejected`."""

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which encounters changed; unknown events give none; raises `NotificationMalformed`."""

    def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Encounters changed since the cursor, oldest first, each with the cursor to store once it is kept."""

    def backfill(self, since: date, position: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Signed encounters with a date of service from `since` on, each with the position to resume after."""

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """All that a claim needs, read concurrently; raises only `AdapterError`s."""

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter; raises `MappingError` with the FHIRPath of what is missing.

        `NotSignedOff` is for an encounter that may be signed off later without another notice.
        """

    def visit(self, record: EncounterRecord) -> Visit:
        """Patient, date and provider of an encounter, by which a superbill finds it; raises `MappingError`."""

    async def subscribe(self, endpoint: str) -> Sequence[Subscribed]:
        """Ask the EHR to notify `endpoint`; returns every subscription that this takes.

        An equal one that lives is kept, so that asking twice leaves one.
        """

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        """Prolong a subscription that ends, or revive one that is in error or off; perhaps under another id.

        Raises `UnsupportedOperation` where the EHR can only be subscribed to anew.
        """

    async def unsubscribe(self, subscription: str) -> None:
        """End a subscription at the EHR; one that is gone already is no error."""

    async def subscription_status(self, subscription: str) -> Subscribed:
        """What the EHR says of a subscription now; of one that it does not know, that it is off."""

    async def missed_events(self, subscription: str, since: int, until: int) -> Notification:
        """The events numbered `since` to `until`, both included; its `numbers` say which of them the EHR still has.

        Raises `UnsupportedOperation` where the EHR does not keep them: then the feed is polled.
        """

    async def write_back(self, ref: EncounterRef, fate: ClaimFate) -> None:
        """Tell the EHR what became of the encounter's claim; telling the same twice leaves one entry."""

    def consent(self, redirect_uri: str) -> Consent:
        """Where a person consents; the EHR sends the browser to `redirect_uri` with the code. New in each call."""

    async def accept_consent(self, code: str, redirect_uri: str) -> list[Probe]:
        """Exchange the code at once and keep the tokens; tells who consented, and what the consent lacks.

        Raises an `AdapterError` when the code is not accepted; then what was kept before stays.
        """

    async def probe(self) -> list[Probe]:
        """Try the connection for `gateway check`; never raises an `AdapterError`, reports it instead."""

    async def aclose(self) -> None:
        """Close the network client."""


@dataclass(frozen=True, slots=True)
class EhrAdapterInfo:
    """The fact sheet of an EHR adapter; `simulator` is `module:function`, imported only by the sandbox.

    `rows` are the mapping's own tables by what they make: a canonical resource ("Patient") or a part of the encounter
    ("charge"), words in parentheses after it where several tables make the same. The mapping document is printed from
    them.
    `lacks` is what this EHR never gives and a claim may need, `may_lack` what some of its sites or visits do not: then
    the clinic's configuration supplies it, and `gateway check` says so. `lacks_of` gives what a connection with these
    settings never gives beside.
    """

    name: str
    title: str
    docs: str
    settings: type[BaseModel]
    capabilities: frozenset[EhrCapability]
    open: Callable[[Any, AdapterContext], EhrAdapter]
    simulator: str = ""
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    bills_itself: bool = False
    lacks: frozenset[ClinicFact] = frozenset()
    may_lack: frozenset[ClinicFact] = frozenset()
    lacks_of: Callable[[Any], frozenset[ClinicFact]] | None = None
