"""The calls of Elation's API: lists page by page, single records, the bill's PATCH, subscriptions.

Source: vendors generic_smart_fhir section 7; lists are `{next, previous, results}` of at most 100, in the order of ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from adapters.ehr.elation.errors import VENDOR
from adapters.ehr.elation.words import number_text
from gateway.canonical.models import Resource
from gateway.kit.ehr_cache import ResourceCache
from gateway.kit.errors import AdapterError, ErrorCode, UnexpectedResponse
from gateway.kit.json_api import JsonApi
from gateway.kit.together import together

PAGE = 100
MAX_PAGES = 500
PATHS: Mapping[str, str] = {
    "Bill": "bills",
    "Patient": "patients",
    "Physician": "physicians",
    "ServiceLocation": "service_locations",
    "InsuranceCompany": "insurance_companies",
}
"""Elation's types by the name that the record's objects are tagged with."""

CACHED = frozenset({"Physician", "ServiceLocation", "InsuranceCompany"})


class ElationApi:
    """One app's view of one practice. What changes seldom is kept for ten minutes."""

    def __init__(self, api: JsonApi, cache: ResourceCache | None = None) -> None:
        self._api, self._cache = api, cache or ResourceCache(types=CACHED)

    @property
    def requests(self) -> int:
        """HTTP requests of this instance so far."""
        return self._api.requests

    def counting(self) -> Self:
        """The same with a counter of its own."""
        return type(self)(self._api.counting(), self._cache)

    async def record(self, name: str, vendor_id: Any) -> Resource:
        """One record, tagged with its type; raises `UnexpectedResponse` (NOT_FOUND) when there is none."""
        operation, number = f"read:{name}", number_text(vendor_id)
        if not number:
            text = "this is not an id of Elation, which is a number"
            raise UnexpectedResponse(VENDOR, operation, text, code=ErrorCode.NOT_FOUND)
        held = self._cache.get(f"{name}/{number}")
        if held is not None:
            return held
        found = await self._api.get(operation, f"{PATHS[name]}/{number}/")
        if not isinstance(found, dict):
            raise UnexpectedResponse(VENDOR, operation, "the answer is not a JSON object")
        tagged = {**found, "id": number, "resourceType": name}
        self._cache.put(f"{name}/{number}", tagged)
        return tagged

    async def records(self, wanted: Iterable[tuple[str, Any]]) -> list[Resource]:
        """Several records, read at once, each once; those that Elation does not have are left out."""
        keys = dict.fromkeys((name, number) for name, held in wanted if (number := number_text(held)))
        found = await together(self._optional(name, number) for name, number in keys)
        return [record for record in found if record is not None]

    async def _optional(self, name: str, number: str) -> Resource | None:
        with suppress_not_found():
            return await self.record(name, number)
        return None

    async def listed(self, path: str, params: Mapping[str, Any], *, limit: int = PAGE) -> AsyncIterator[dict[str, Any]]:
        """The entries of a list, page by page as they are asked for; a circle of links ends with an error."""
        operation = f"list:{path}"
        page = await self._api.get(operation, f"{path}/", {**params, "limit": limit})
        visited: set[str] = set()
        for _ in range(MAX_PAGES):
            results = page.get("results") if isinstance(page, dict) else None
            if not isinstance(results, list):
                raise UnexpectedResponse(VENDOR, operation, "the answer is not a page of a list")
            for entry in results:
                if isinstance(entry, dict):
                    yield entry
            following = page.get("next")
            if not isinstance(following, str) or not following:
                return
            if following in visited:
                raise UnexpectedResponse(VENDOR, operation, "the paging links go round in a circle")
            visited.add(following)
            page = await self._api.follow(operation, following)
        raise UnexpectedResponse(VENDOR, operation, f"the list has more than {MAX_PAGES} pages; lower window_days")

    async def patch_bill(self, vendor_id: str, change: Mapping[str, Any]) -> None:
        """Change a bill; the same change twice leaves one."""
        await self._api.send_json("update:Bill", "PATCH", f"bills/{number_text(vendor_id)}/", change)

    async def subscribe(self, resource: str, target: str) -> dict[str, Any]:
        """Create a subscription; the API refuses a second one to the same resource and target (409)."""
        wanted = {"resource": resource, "target": target}
        made = await self._api.send_json("subscribe", "POST", "subscriptions/", wanted)
        return made if isinstance(made, dict) else {}

    async def unsubscribe(self, subscription: str) -> None:
        """Delete a subscription; one that is not there is as good as deleted."""
        with suppress_not_found():
            await self._api.send_json("unsubscribe", "DELETE", f"subscriptions/{number_text(subscription)}/", {})


@contextmanager
def suppress_not_found() -> Iterator[None]:
    """Pass over what Elation does not have, or has deleted."""
    try:
        yield
    except AdapterError as problem:
        if problem.code is not ErrorCode.NOT_FOUND:
            raise
