"""What the pipeline asks of an EHR adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel

from gateway.canonical.mapping import Row
from gateway.canonical.models import (
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    Notification,
    NotificationRequest,
)
from gateway.ports.context import AdapterContext, Probe


class EhrCapability(StrEnum):
    """What an EHR adapter can do; an undeclared verb raises `UnsupportedOperation`."""

    NOTIFY = "notify"
    POLL = "poll"
    SUBSCRIBE = "subscribe"
    WRITE_BACK = "write_back"


class EhrAdapter(Protocol):
    """One clinic's link to one EHR. `verify_*`, `parse_*` and `normalize` are pure; the others use the network."""

    def verify_notification(self, request: NotificationRequest) -> None:
        """Check signature or token over the raw bytes, before any parsing; raises `NotificationRejected`."""

    def parse_notification(self, request: NotificationRequest) -> Notification:
        """Which encounters changed; unknown events give none; raises `NotificationMalformed`."""

    def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Encounters changed since the cursor, oldest first, each with the cursor to store once it is kept."""

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        """All that a claim needs, read concurrently; raises only `AdapterError`s."""

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter; raises `MappingError` with the FHIRPath of what is missing."""

    async def subscribe(self, endpoint: str) -> str:
        """Ask the EHR to notify `endpoint`; returns the subscription's id."""

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
    """

    name: str
    title: str
    docs: str
    settings: type[BaseModel]
    capabilities: frozenset[EhrCapability]
    open: Callable[[Any, AdapterContext], EhrAdapter]
    simulator: str = ""
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
