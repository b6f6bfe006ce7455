"""The practice's own people and places: read once per hour, then matched by NPI (sections 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.billing.kareo_tebra import operations, replies, requests
from adapters.billing.kareo_tebra.cache import TimedCache
from adapters.billing.kareo_tebra.errors import VENDOR, refused
from adapters.billing.kareo_tebra.requests import ResolvedIds
from adapters.billing.kareo_tebra.service import Session
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from adapters.billing.kareo_tebra.tasks import side_by_side
from gateway.canonical.errors import ClaimRejected, ErrorCode, PermissionMissing

LIFETIME_SECONDS = 3600.0
RECHECK_SECONDS = 30.0  # an older directory is read again before a claim is refused because of it
_NORMAL, _REFERRING = "Normal Provider", "Referring Provider"
_ROLE_WORDS = {
    "rendering_provider": "rendering",
    "referring_provider": "referring",
    "supervising_provider": "supervising",
}

Record = dict[str, str]


@dataclass(frozen=True, slots=True)
class Directory:
    """Rows of one practice as Tebra gave them."""

    practice: Record
    providers: tuple[Record, ...]
    locations: tuple[Record, ...]


class PracticeDirectory:
    """The cached directory of a connection's practice."""

    def __init__(self, settings: KareoTebraSettings) -> None:
        self._name = settings.practice_name
        self._cache: TimedCache[str, Directory] = TimedCache(lifetime_seconds=LIFETIME_SECONDS, max_entries=1)

    async def resolve(self, session: Session, document: Mapping[str, Any]) -> ResolvedIds:
        """Tebra's ids for a document; raises `ClaimRejected` naming the element that has no counterpart."""
        directory = await self.read(session)
        try:
            return resolved(directory, document)
        except ClaimRejected:
            if self._cache.age(self._name) < RECHECK_SECONDS:
                raise
        self._cache.drop(self._name)
        return resolved(await self.read(session), document)

    async def read(self, session: Session) -> Directory:
        """The directory, from the cache when it is fresh; raises `AdapterError`s."""
        return await self._cache.get(self._name, lambda: self._read(session))

    async def aclose(self) -> None:
        """End a read that is under way."""
        await self._cache.aclose()

    async def _read(self, session: Session) -> Directory:
        of_practice = requests.list_request(PracticeName=self._name)
        async with side_by_side() as group:
            practices, providers, locations = (
                group.create_task(session.call(operation, of_practice))
                for operation in (
                    operations.GET_PRACTICES,
                    operations.GET_PROVIDERS,
                    operations.GET_SERVICE_LOCATIONS,
                )
            )
        return Directory(
            practice=self._practice(replies.rows(practices.result(), "Practices", "PracticeData")),
            providers=tuple(replies.rows(providers.result(), "Providers", "ProviderData")),
            locations=tuple(replies.rows(locations.result(), "ServiceLocations", "ServiceLocationData")),
        )

    def _practice(self, rows: list[Record]) -> Record:
        for row in rows:
            if row.get("PracticeName", "").casefold() == self._name.casefold():
                return row
        text = "the account shows no practice of the configured name: correct `practice_name`, or grant the user access"
        raise PermissionMissing(VENDOR, operations.GET_PRACTICES, text, code=ErrorCode.NOT_FOUND)


def resolved(directory: Directory, document: Mapping[str, Any]) -> ResolvedIds:
    """The ids of a document's providers and location; raises `ClaimRejected`."""
    providers = {role: _provider_id(directory, role, document[role]["npi"]) for role in _ROLE_WORDS if role in document}
    return ResolvedIds(directory.practice["ID"], _location_id(directory, document["location"]), **providers)


def _provider_id(directory: Directory, role: str, npi: str) -> str:
    """The active provider with an NPI. A "Referring Provider" only refers; anyone may refer."""
    refers = role == "referring_provider"
    found = [
        row
        for row in directory.providers
        if row.get("NationalProviderIdentifier") == npi
        and row.get("Active", "").lower() != "false"
        and (refers or row.get("Type") != _REFERRING)
    ]
    if not found:
        word = _ROLE_WORDS[role]
        raise refused(
            operations.GET_PROVIDERS,
            ErrorCode.PROVIDER_NOT_FOUND,
            "Claim.careTeam",
            f"Tebra has no active {word} provider with this NPI in the practice",
            "Add the provider in Tebra, or complete the NPI there, then send the claim again.",
        )
    return min(found, key=lambda row: row.get("Type") != (_REFERRING if refers else _NORMAL))["ID"]


def _location_id(directory: Directory, wanted: Mapping[str, str]) -> str:
    """By NPI, else by name, else the only location of the place of service that is not known as another one."""
    npi, name = wanted.get("npi", ""), wanted.get("name", "").casefold()
    by_npi = [row for row in directory.locations if npi and row.get("NPI") == npi]
    by_name = [row for row in by_npi or directory.locations if name and row.get("Name", "").casefold() == name]
    same_place = [
        row
        for row in directory.locations
        if row.get("PlaceOfService", "")[:2] == wanted["place_of_service"] and not (npi and row.get("NPI"))
    ]
    for candidates in (by_name, by_npi, same_place):
        if len(candidates) == 1:
            return candidates[0]["ID"]
    raise refused(
        operations.GET_SERVICE_LOCATIONS,
        ErrorCode.LOCATION_NOT_FOUND,
        "Claim.facility",
        "Tebra has no single service location with this NPI, name or place of service in the practice",
        "Add the location in Tebra, or complete its NPI there, then send the claim again.",
    )
