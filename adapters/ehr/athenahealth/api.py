"""The v1 API as it is: arrays of one, bare or wrapped lists, failures that come with HTTP 200 (section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from adapters.ehr.athenahealth.errors import failed
from adapters.ehr.athenahealth.values import LAST, rank
from gateway.canonical.errors import ErrorCode, PermissionMissing, UnexpectedResponse
from gateway.kit.json_api import JsonApi

Row = dict[str, Any]
MAX_PAGES = 50


class AthenaApi:
    """One practice's v1 API over `JsonApi`, whose base is `{host}/v1/{practiceid}`."""

    def __init__(self, api: JsonApi) -> None:
        self._api = api
        self.base_url, self.vendor = api.base_url, api.vendor

    @property
    def requests(self) -> int:
        """HTTP requests of this instance so far."""
        return self._api.requests

    def counting(self) -> Self:
        """The same with a counter of its own."""
        return type(self)(self._api.counting())

    async def one(self, operation: str, path: str, params: Mapping[str, Any] | None = None) -> Row:
        """The object at a path, which most reads by id wrap in an array; `UnexpectedResponse` for any other shape."""
        answer = self._succeeded(operation, await self._get(operation, path, params))
        found = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
        if not isinstance(found, dict):
            raise UnexpectedResponse(self.vendor, operation, "the answer is not one object")
        return found

    async def rows(self, operation: str, path: str, name: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Every row of a list over all its pages; a list may come bare, or under `name` with a `next` link."""
        answer = await self._get(operation, path, params)
        found = self._rows(operation, answer, name)
        visited: set[str] = set()
        while isinstance(answer, dict) and (link := answer.get("next")):
            if not isinstance(link, str) or link in visited or len(visited) >= MAX_PAGES:
                raise UnexpectedResponse(self.vendor, operation, "the paging links do not come to an end")
            visited.add(link)
            answer = await self._api.follow(operation, link)
            found += self._rows(operation, answer, name)
        return found

    async def at_most_one(self, operation: str, path: str) -> list[Row]:
        """As `one`; none when the record does not exist, or the array is empty."""
        try:
            answer = self._succeeded(operation, await self._get(operation, path, None))
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.NOT_FOUND:
                raise
            return []
        found = answer if isinstance(answer, list) else [answer]
        if len(found) > 1 or not all(isinstance(row, dict) for row in found):
            raise UnexpectedResponse(self.vendor, operation, "the answer is not one object")
        return found

    async def optional(
        self, operation: str, path: str, name: str, params: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """As `rows`; none when the record does not exist."""
        try:
            return await self.rows(operation, path, name, params)
        except UnexpectedResponse as problem:
            if problem.code is not ErrorCode.NOT_FOUND:
                raise
            return []

    async def send(self, operation: str, method: str, path: str, form: Mapping[str, str]) -> Any:
        """Write a form; a failure that comes with HTTP 200 raises like any other."""
        return self._succeeded(operation, await self._api.send_form(operation, method, path, form))

    async def _get(self, operation: str, path: str, params: Mapping[str, Any] | None) -> Any:
        """A read; a 403 is asked about once more, as athenahealth refuses now and then for nothing."""
        try:
            return await self._api.get(operation, path, params)
        except PermissionMissing as problem:
            if problem.vendor_code != "403":
                raise
            return await self._api.get(operation, path, params)

    def _rows(self, operation: str, answer: Any, name: str) -> list[Row]:
        """The list; an empty one may be left out, but one under another name is not taken for it."""
        answer = self._succeeded(operation, answer)
        rows = answer.get(name) if isinstance(answer, dict) else answer
        if rows is None and isinstance(answer, dict) and not _holds_something(answer):
            return []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UnexpectedResponse(self.vendor, operation, f"the answer holds no list of {name}")
        return rows

    def _succeeded(self, operation: str, answer: Any) -> Any:
        if failed(answer):
            raise UnexpectedResponse(self.vendor, operation, "athenahealth answers that the request failed")
        return answer


def _holds_something(answer: Row) -> bool:
    return rank(answer.get("totalcount")) < LAST or any(isinstance(held, list) and held for held in answer.values())
