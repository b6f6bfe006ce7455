"""Reading a practice: pages in both spellings, asynchronous lists, and what is kept in memory.

Source: vendor document section 3 (paging, async list endpoints).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from adapters.ehr.drchrono.errors import VENDOR
from gateway.canonical.models import Resource
from gateway.kit.errors import ErrorCode, UnexpectedResponse, VendorUnavailable
from gateway.kit.json_api import JsonApi

MOST_PAGES = 400
MOST_LOOKS = 120
LIST_PAGE = 1000
VERBOSE = {"verbose": "true"}
ENDED = frozenset({"Failed", "Canceled"})
_UUID = re.compile(r"[0-9A-Fa-f-]{1,64}")


async def everything(api: JsonApi, operation: str, kind: str, params: Mapping[str, Any]) -> list[Resource]:
    """All objects of a list, page by page; the page size is the vendor's choice, whatever is asked for."""
    body = await api.get(operation, kind, params)
    found = _objects(operation, body)
    visited: set[str] = set()
    for _ in range(MOST_PAGES):
        following = str(body.get("next") or "")
        if not following:
            return found
        if following in visited:
            raise UnexpectedResponse(VENDOR, operation, "the paging links go round in a circle")
        visited.add(following)
        body = await api.follow(operation, following)
        found += _objects(operation, body)
    text = "the list has more pages than are read at once; lower lookback_minutes"
    raise UnexpectedResponse(VENDOR, operation, text)


async def listed(
    api: JsonApi, operation: str, kind: str, filters: Mapping[str, Any], pause_seconds: float
) -> list[Resource]:
    """All objects of an asynchronous list: ask for it, look until it is complete, read its pages."""
    path = f"{kind}_list"
    started = await api.send_json(operation, "POST", path, dict(filters))
    asked = {"uuid": _uuid(operation, started), "page_size": LIST_PAGE}
    found: list[Resource] = []
    for page in range(1, MOST_PAGES + 1):
        body = await _complete(api, operation, path, {**asked, "page": page}, pause_seconds)
        found += _objects(operation, body)
        if page >= pages_of(body):
            return found
    raise UnexpectedResponse(VENDOR, operation, "the list has more pages than are read at once")


async def _complete(
    api: JsonApi, operation: str, path: str, params: Mapping[str, Any], pause_seconds: float
) -> dict[str, Any]:
    for _ in range(MOST_LOOKS):
        body = await api.get(operation, path, params)
        status = _member(operation, body, "status")
        if status == "Complete":
            return dict(body)
        if status != "In progress":
            told = str(status) if status in ENDED else None
            raise VendorUnavailable(VENDOR, operation, "the asynchronous list failed", vendor_code=told)
        await asyncio.sleep(pause_seconds)
    raise VendorUnavailable(VENDOR, operation, "the asynchronous list did not become complete in time")


def _uuid(operation: str, started: Any) -> str:
    """The list's id; it goes into an address, so nothing else may stand there."""
    uuid = str(_member(operation, started, "uuid"))
    if not _UUID.fullmatch(uuid):
        raise UnexpectedResponse(VENDOR, operation, "the asynchronous list has no id of the form of a UUID")
    return uuid


def _objects(operation: str, body: Any) -> list[Resource]:
    """The objects of one page; the envelope is spelt `results` or `data`."""
    found = body.get("results", body.get("data")) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(isinstance(obj, dict) for obj in found):
        raise UnexpectedResponse(VENDOR, operation, "the answer is not a page of objects")
    return list(found)


def pages_of(body: Mapping[str, Any]) -> int:
    """How many pages a list has; 1 where it does not tell in a number."""
    pagination = body.get("pagination")
    told = str(pagination.get("pages")) if isinstance(pagination, dict) else ""
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else 1


def _member(operation: str, body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise UnexpectedResponse(VENDOR, operation, f"the answer has no {name}")
    return body[name]


class Directory:
    """Doctors, their options and offices, kept for a while: one read for all who ask at the same time."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = minutes * 60, clock
        self._held: dict[tuple[str, str], tuple[float, asyncio.Task[Resource | None]]] = {}

    async def find(self, api: JsonApi, kind: str, key: str) -> Resource | None:
        """The object, or None when the practice has none of that id."""
        return await self._kept((kind, key), lambda: single(api, f"read:{kind}", f"{kind}/{key}"))

    async def options(self, api: JsonApi, doctor: str) -> Resource | None:
        """The default providers of a doctor."""

        async def read() -> Resource | None:
            found = await everything(api, "read:doctor_options", "doctor_options", {"doctor": doctor})
            own = (obj for obj in found if str(obj.get("doctor", doctor)) == doctor)
            return next(own, None)

        return await self._kept(("doctor_options", doctor), read)

    async def _kept(self, key: tuple[str, str], read: Callable[[], Any]) -> Resource | None:
        until, task = self._held.get(key, (0.0, None))
        if task is None or self._clock() >= until or _gave_nothing(task):
            task = asyncio.ensure_future(read())
            task.add_done_callback(_gave_nothing)  # every caller may have gone away before it failed
            self._held[key] = (self._clock() + self._seconds, task)
        return await asyncio.shield(task)


def _gave_nothing(task: asyncio.Task[Resource | None]) -> bool:
    """Whether a read has ended without an object: what is not there yet may come."""
    return task.done() and (task.cancelled() or task.exception() is not None or task.result() is None)


async def single(api: JsonApi, operation: str, path: str, params: Mapping[str, Any] | None = None) -> Resource | None:
    """One object, or None when the practice does not have it."""
    try:
        found = await api.get(operation, path, params)
    except UnexpectedResponse as problem:
        if problem.code is ErrorCode.NOT_FOUND:
            return None
        raise
    if not isinstance(found, dict):
        raise UnexpectedResponse(VENDOR, operation, "the answer is not an object")
    return found
