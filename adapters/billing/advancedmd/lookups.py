"""AdvancedMD's ids of codes, profiles, facilities and carriers: looked up once, then remembered (sections 4 and 5).

Lookups would dominate the calls of a clinic, so ids are kept in memory and in the shared values, for weeks where they
hardly ever change. They name no patient.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from adapters.billing.advancedmd import actions, errors, replies, requests
from adapters.billing.advancedmd.memory import Memory
from adapters.billing.advancedmd.requests import ChargeIds, prefixed
from adapters.billing.advancedmd.service import Calls
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.wire import Tree, rows
from gateway.canonical.errors import ErrorCode
from gateway.ports.context import AdapterContext

CODES_KEPT, PLACES_KEPT = timedelta(days=28), timedelta(days=1)
MEMORY_SECONDS, MAX_IDS = 3600.0, 8192
MAX_PAGES = 20


@dataclass(frozen=True, slots=True)
class CodeKind:
    """How one kind of code is looked up, and how a claim is refused for a code that AdvancedMD lacks."""

    action: str
    list_name: str
    row_name: str
    error: ErrorCode
    element: str
    what: str
    attributes: Mapping[str, str]


PROCEDURE = CodeKind(
    actions.LOOKUP_PROCEDURE,
    "proccodelist",
    "proccode",
    ErrorCode.INVALID_PROCEDURE,
    "productOrService",
    "procedure",
    {},
)
DIAGNOSIS = CodeKind(
    actions.LOOKUP_DIAGNOSIS,
    "diagcodelist",
    "diagcode",
    ErrorCode.INVALID_DIAGNOSIS,
    "diagnosisSequence",
    "diagnosis",
    {"codeset": "10"},
)
MODIFIER = CodeKind(
    actions.LOOKUP_MODIFIER, "modcodelist", "modcode", ErrorCode.INVALID_MODIFIER, "modifier", "modifier", {}
)


class Lookups:
    """The ids of one connection's office."""

    def __init__(self, settings: AdvancedMdSettings, context: AdapterContext) -> None:
        self._settings, self._shared = settings, context.shared
        self._ids: Memory[str, str] = Memory(lifetime_seconds=MEMORY_SECONDS, max_entries=MAX_IDS)
        self._facilities: Memory[str, list[Tree]] = Memory(lifetime_seconds=MEMORY_SECONDS, max_entries=1)

    async def charges(self, calls: Calls, document: Mapping[str, Any]) -> list[ChargeIds]:
        """The ids of each charge's codes; raises `ClaimRejected` naming the line and the kind of code."""
        found = []
        for i, charge in enumerate(document["charges"]):
            found.append(
                ChargeIds(
                    await self._code(calls, PROCEDURE, charge["proccode"], i),
                    tuple([await self._code(calls, MODIFIER, c, i) for c in charge.get("modcodes", "").split()]),
                    tuple([await self._code(calls, DIAGNOSIS, c, i) for c in charge["diagcodes"].split()]),
                )
            )
        return found

    async def profile(self, calls: Calls, wanted: Mapping[str, str]) -> str:
        """The id of the profile that bills for a rendering provider: configured by NPI, else looked up by name."""
        known = self._settings.profiles.get(wanted["npi"])
        if known:
            return prefixed("prof", known)
        return await self._remembered(
            f"profile/{wanted['npi']}", PLACES_KEPT, lambda: self._profile_by_name(calls, wanted["name"])
        )

    async def facility(self, calls: Calls, wanted: Mapping[str, str] | None) -> str:
        """The id of the facility: configured by NPI, else found by name in the setup; empty when the claim has none."""
        if wanted is None:
            return ""
        known = self._settings.facilities.get(wanted.get("npi", ""))
        if known:
            return prefixed("fac", known)
        listed = await self._facilities.get("all", lambda: self._all_facilities(calls))
        found = replies.one_of(replies.of_name(listed, wanted["name"])) if wanted.get("name") else None
        if found is None:
            self._facilities.drop("all")  # the office may add it now
            raise errors.refused(
                actions.GET_SETUP,
                ErrorCode.LOCATION_NOT_FOUND,
                "Claim.facility",
                "AdvancedMD has no single facility of this name",
                "Add the facility's NPI and id to `facilities` of the connection, or correct its name in AdvancedMD.",
            )
        return prefixed("fac", found)

    async def carrier(self, calls: Calls, payer: Mapping[str, str], expression: str) -> str:
        """The id of a payer's carrier: configured by payer id, else looked up by name."""
        known = self._settings.carriers.get(payer.get("id", ""))
        if known:
            return prefixed("car", known)
        key = f"carrier/{payer.get('id') or payer.get('name', '')}"
        return await self._remembered(key, PLACES_KEPT, lambda: self._carrier_by_name(calls, payer, expression))

    async def forget(self, document: Mapping[str, Any]) -> None:
        """Look the codes of a document up again next time: AdvancedMD did not accept what was remembered."""
        for charge in document["charges"]:
            for kind, member in ((PROCEDURE, "proccode"), (MODIFIER, "modcodes"), (DIAGNOSIS, "diagcodes")):
                for code in charge.get(member, "").split():
                    self._ids.drop(_code_key(kind, code))
                    await self._shared.drop(_code_key(kind, code))

    async def _code(self, calls: Calls, kind: CodeKind, code: str, line: int) -> str:
        return await self._remembered(_code_key(kind, code), CODES_KEPT, lambda: self._look_up(calls, kind, code, line))

    async def _look_up(self, calls: Calls, kind: CodeKind, code: str, line: int) -> str:
        page = last = 1
        while page <= readable(kind.action, last):
            results = await calls.call(requests.lookup(kind.action, page, code=code, **kind.attributes))
            found = replies.of_code(rows(results, kind.list_name, kind.row_name), code)
            if found:
                return found
            page, last = page + 1, replies.pages(results, kind.list_name)
        raise errors.refused(
            kind.action,
            kind.error,
            f"Claim.item[{line}].{kind.element}",
            f"AdvancedMD's table has no such {kind.what} code",
            f"Add the {kind.what} code in AdvancedMD, or correct it in the EHR, then send the claim again.",
        )

    async def _profile_by_name(self, calls: Calls, name: str) -> str:
        found = await named(calls, actions.LOOKUP_PROFILE, "profilelist", "profile", name)
        ids = [row["@id"] for row in found if replies.person_name(row.get("@name", "")) == replies.person_name(name)]
        profile = replies.one_of(ids) if name else None
        if profile is None:
            raise errors.refused(
                actions.LOOKUP_PROFILE,
                ErrorCode.PROVIDER_NOT_FOUND,
                "Claim.careTeam",
                "AdvancedMD has no single profile of the rendering provider's name",
                "Add the provider's NPI and the profile's id to `profiles` of the connection.",
            )
        return prefixed("prof", profile)

    async def _all_facilities(self, calls: Calls) -> list[Tree]:
        return rows(await calls.call(requests.setup()), "facilitylist", "facility")

    async def _carrier_by_name(self, calls: Calls, payer: Mapping[str, str], expression: str) -> str:
        name = payer.get("name", "")
        found = await named(calls, actions.LOOKUP_CARRIER, "carrierlist", "carrier", name) if name else []
        carrier = replies.one_of(replies.of_name(found, name))
        if carrier is None:
            raise errors.refused(
                actions.LOOKUP_CARRIER,
                ErrorCode.PAYER_UNKNOWN,
                expression,
                "The patient is new to AdvancedMD, and it has no single carrier of the payer's name",
                "Add the payer id and the carrier's id to `carriers` of the connection, or the plan in AdvancedMD.",
            )
        return prefixed("car", carrier)

    async def _remembered(self, key: str, lifetime: timedelta, load: Callable[[], Awaitable[str]]) -> str:
        async def from_shared() -> str:
            kept = await self._shared.get(key)
            if kept is not None:
                return kept.decode()
            loaded = await load()
            await self._shared.put(key, loaded.encode(), lifetime)
            return loaded

        return await self._ids.get(key, from_shared)


async def named(calls: Calls, action: str, list_name: str, row_name: str, name: str) -> list[Tree]:
    """All rows of a lookup by name."""
    found: list[Tree] = []
    page = last = 1
    while page <= readable(action, last):
        results = await calls.call(requests.lookup(action, page, exact=requests.LOOSE, name=name))
        found += [row for row in rows(results, list_name, row_name) if row.get("@id")]
        page, last = page + 1, replies.pages(results, list_name)
    return found


def readable(action: str, pages: int) -> int:
    """The number of pages; raises when there are too many: a list that is read in part must not decide anything."""
    if pages > MAX_PAGES:
        raise errors.fault(action, errors.TOO_MANY_CODE, "")
    return pages


def _code_key(kind: CodeKind, code: str) -> str:
    return f"{kind.row_name}/{code}"
