"""What all rungs of the feed ladder work with: the server as a feed sees it, and what counts as news.

Source: shared vendors generic_smart_fhir sections 3 and 5.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from gateway.canonical import jsonio
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError, UnexpectedResponse
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.ehr_bulk import BulkExporter
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_feed_settings import Feed
from gateway.kit.ehr_notifications import encounter_ref
from gateway.kit.ehr_settings import SmartSettings
from gateway.ports.context import AdapterContext

MAX_POLL_PAGES = 200
PAGE_SIZE = 100
_SHORTEST, _LONGEST = timedelta(days=7), timedelta(days=56)
EARLIEST = datetime.min.replace(tzinfo=UTC)


class Verdict(StrEnum):
    """What trying a rung out has shown."""

    FOUND = "finds encounters"
    OFFERED = "is offered"
    EMPTY = "is answered with nothing"
    IGNORED = "is not heeded: the EHR answers as if nothing had been asked for"


@dataclass(frozen=True, slots=True)
class Window:
    """What one poll shall find.

    `since` is the cursor less its overlap, `cursor` what is stored while more is to come, `began` when this feed looked
    for the first time: nothing older is news because it is read once more.
    """

    since: datetime
    cursor: datetime
    began: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """An Encounter as a search or an export shows it; `starts` in UTC."""

    ref: EncounterRef
    status: str
    starts: datetime | None

    @property
    def moment(self) -> datetime:
        """When it changed last, as far as is known."""
        return self.ref.last_updated or self.starts or EARLIEST

    def after(self, changed: datetime) -> EncounterRef:
        """The pointer for a later change of something that belongs to the encounter."""
        return replace(self.ref, dedupe_key=f"{self.ref.dedupe_key}+{changed.astimezone(UTC).isoformat()}")


@dataclass(frozen=True, slots=True)
class Site:
    """One FHIR server with what its connection's settings say of it."""

    client: FhirClient
    settings: SmartSettings
    context: AdapterContext
    exporter: BulkExporter
    encounter_search: Mapping[str, Any]

    def seen(self, resource: Resource) -> Seen | None:
        """What an Encounter says of itself; None for anything else, and for one that cannot be read anyway."""
        if resource.get("resourceType") != "Encounter":
            return None
        try:
            ref = encounter_ref(resource, "" if _versioned(resource) else _digest(resource))
        except MappingError:
            return None  # its own fetch would fail, and others must not wait for it
        if ref is None:
            return None
        period, status = resource.get("period"), resource.get("status")
        starts = _instant(period.get("start") if isinstance(period, dict) else None, self.context.clinic)
        serviced = self.context.clinic.local_date(starts) if starts else None
        return Seen(replace(ref, serviced=serviced), status if isinstance(status, str) else "", starts)

    def follows(self, seen: Seen) -> bool:
        """Whether the connection follows encounters of this status."""
        wanted = self.settings.followed.get("status", "")
        return not wanted or seen.status in wanted.split(",")

    def signed(self, seen: Seen) -> bool:
        """Whether its status says that it is signed off."""
        return self.settings.follow_unsigned or seen.status in self.settings.signed_statuses

    async def encounters(self, params: Mapping[str, Any], *, sorted_: bool = False) -> list[Seen]:
        """All Encounters of a search, oldest first: pointers only, all pages before any, as some ignore `_sort`.

        A backlog of more than `MAX_POLL_PAGES` pages is cut there, which needs a server that sorts.
        """
        found: list[Seen] = []
        read = 0
        async with aclosing(self.client.pages("Encounter", params)) as pages:
            async for page in pages:
                found += [seen for seen in map(self.seen, page) if seen is not None]
                read += 1
                if read == MAX_POLL_PAGES:
                    break
        ordered = sorted(found, key=lambda seen: seen.moment)
        if read == MAX_POLL_PAGES and (ordered != found or not sorted_):
            text = "too many encounters at once, and the EHR does not sort them; lower lookback_minutes or the days"
            raise UnexpectedResponse(self.client.vendor, "search:Encounter", text)
        return ordered

    async def any_encounter(self, **params: Any) -> bool:
        """Whether the first page of a search holds an Encounter."""
        async with aclosing(self.client.pages("Encounter", {**params, "_count": 1})) as pages:
            return any(self.seen(resource) for resource in await anext(pages))

    def is_new(self, seen: Seen, window: Window) -> bool:
        """Whether it has changed since the window began, also where the EHR does not heed what it was asked.

        One that does not say when it changed is news if the visit was not before the feed's first look.
        """
        if seen.ref.last_updated is not None:
            return seen.ref.last_updated >= window.since
        return seen.starts is None or seen.starts >= window.began

    def news(self, found: Iterable[Seen], window: Window) -> list[EncounterRef]:
        """What of a listing has changed since the window began, and what is due to be read once more."""
        return [ref for seen in found if self.follows(seen) for ref in self._news(seen, window)]

    def _news(self, seen: Seen, window: Window) -> Iterable[EncounterRef]:
        if self.is_new(seen, window):
            yield seen.ref
        age = window.now - seen.moment
        passed = [days for days in self.settings.feed_reread_days if age >= timedelta(days=days)]
        if passed and seen.moment >= window.began:
            yield replace(seen.ref, dedupe_key=f"{seen.ref.dedupe_key}~{max(passed)}d")


class Rung(ABC):
    """One way to find encounters."""

    kind: ClassVar[Feed]

    def __init__(self, site: Site) -> None:
        self.site = site

    @abstractmethod
    async def tried(self) -> Verdict:
        """Try it out; raises the `AdapterError` of a refusal."""

    @abstractmethod
    def changed(self, window: Window) -> AsyncIterator[tuple[EncounterRef, datetime]]:
        """Encounters of the window, oldest first, each with the cursor to store once it is kept."""

    @abstractmethod
    def listed(self, since: date, position: str) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Signed encounters with a date of service from `since` on, each with the position to resume after."""


class SearchRung(Rung):
    """A rung that searches; it lists former visits by spans of days."""

    @abstractmethod
    async def found_between(self, first: date, end: date) -> list[Seen]:
        """Encounters dated from `first` to before `end`, oldest first."""

    async def listed(self, since: date, position: str) -> AsyncIterator[tuple[EncounterRef, str]]:
        """Short spans where there is much, longer ones where there is nothing; the position is a span's first day."""
        first = date.fromisoformat(position) if position else since - timedelta(days=1)  # the EHR's day may be UTC's
        last = self.site.context.clinic.local_date(self.site.context.now()) + timedelta(days=1)
        span = _SHORTEST
        while first <= last:
            found = await self.found_between(first, first + span)
            for ref in signed_from(self.site, found, since):
                yield ref, first.isoformat()
            first += span
            span = _SHORTEST if found else min(2 * span, _LONGEST)


def signed_from(site: Site, found: Iterable[Seen], since: date) -> list[EncounterRef]:
    """The signed ones with a date of service from `since` on; one without a date is among them."""
    return [s.ref for s in found if site.signed(s) and (s.ref.serviced is None or s.ref.serviced >= since)]


def last_marked(
    refs: Iterable[EncounterRef], cursor: datetime, end: datetime
) -> Iterable[tuple[EncounterRef, datetime]]:
    """Each with the cursor that is safe while others follow; only the last one moves it to the end."""
    every = list(refs)
    return [(ref, end if number == len(every) else cursor) for number, ref in enumerate(every, start=1)]


def as_instant(moment: datetime) -> str:
    """An instant as FHIR's search has it: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _versioned(resource: Resource) -> bool:
    meta = resource.get("meta")
    return isinstance(meta, dict) and bool(meta.get("versionId") or parsed_instant(meta.get("lastUpdated")))


def _digest(resource: Resource) -> str:
    """What tells versions apart where the EHR does not."""
    return hashlib.sha256(jsonio.canonical_bytes(resource)).hexdigest()[:16]


def _instant(value: Any, clinic: ClinicFacts) -> datetime | None:
    """A FHIR dateTime in UTC; one without a zone, or a mere date, is the clinic's."""
    exact = parsed_instant(value)
    if exact is not None:
        return exact.astimezone(UTC)
    try:
        local = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    is_local = local.tzinfo is None and MINYEAR < local.year < MAXYEAR
    return local.replace(tzinfo=clinic.timezone).astimezone(UTC) if is_local else None
