"""The FHIR REST interactions of the simulator: read, vread, search, batch (fhir_rest sections 1 to 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

import fhirkit

from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.access import Access
from gateway.kit.fhir_simulator.export import ExportRules, Exports
from gateway.kit.fhir_simulator.refusals import Refusals
from gateway.kit.fhir_simulator.search import Query, SearchRefused, find, included, parse_query
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.simulator_http import Refused, Request, Response, parse_object, refuse

_TYPES = frozenset(fhirkit.RESOURCE_TYPES)
_MAX_SNAPSHOTS = 256


@dataclass(frozen=True, slots=True)
class Paging:
    """How many matches a page holds when the client does not say, and the largest number it may ask for."""

    default: int = 50
    maximum: int = 1000


@dataclass(slots=True)
class _Snapshot:
    """The result of a search that has more pages, so that paging is stable while the data changes."""

    query: Query
    keys: list[str]
    size: int


class FhirApi:
    """Serves the store below the FHIR base URL."""

    def __init__(
        self,
        base: str,
        store: Store,
        paging: Paging,
        *,
        patient_anchored: bool,
        rules: ExportRules | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.base, self.store, self.paging, self.patient_anchored = base, store, paging, patient_anchored
        self.exports, self.refusals = Exports(base, store, rules or ExportRules()), refusals or Refusals()
        self._snapshots: dict[str, _Snapshot] = {}
        self._searches = 0

    def handle(self, request: Request, access: Access) -> Response:
        """Answer a GET, a POST _search, a batch or an export; `request.path` is below the FHIR base."""
        refusal = self.refusals.answer(request)
        if refusal is not None:
            return refusal
        if self.exports.handles(request):
            return self.exports.handle(request, access)
        parts = request.path.strip("/").split("/")
        if parts == [""]:
            return self._batch(request, access)
        if parts[0] not in _TYPES:
            raise refuse(404, "not-supported", "there is no such resource type")
        if request.method == "POST" and parts[1:] == ["_search"]:
            return self._search(parts[0], request, [*request.pairs(), *request.form()], access)
        if request.method != "GET":
            raise refuse(405, "not-supported", "this server's data is read-only", (("Allow", "GET"),))
        if len(parts) == 1:
            return self._search(parts[0], request, request.pairs(), access)
        return self._read(parts, request, access)

    def forget_pages(self) -> int:
        """End every search that has further pages: their links then answer 410; returns how many there were."""
        known = len(self._snapshots)
        self._snapshots.clear()
        return known

    def _read(self, parts: list[str], request: Request, access: Access) -> Response:
        visible = access.require(parts[0], "r")
        if len(parts) == 4 and parts[2] == "_history":
            stored = self.store.version(parts[0], parts[1], parts[3])
        elif len(parts) == 2:
            stored = self.store.get(parts[0], parts[1])
        else:
            raise refuse(404, "not-supported", "there is no such operation")
        if stored is None or not visible(stored):
            deleted = stored is None and self.store.was_deleted(parts[0], parts[1])
            raise refuse(410, "deleted", "deleted") if deleted else refuse(404, "not-found", "not found")
        return _resource_response(stored, request.headers.get("if-none-match"))

    def _search(self, resource_type: str, request: Request, pairs: list[tuple[str, str]], access: Access) -> Response:
        visible = access.require(resource_type, "s")
        token = dict(pairs).get("_page")
        if token is not None:
            return self._next_page(resource_type, token, access)
        lenient = "handling=lenient" in request.headers.get("prefer", "").lower()
        try:
            query = parse_query(resource_type, pairs, base=self.base, lenient=lenient)
        except SearchRefused as problem:
            raise refuse(400, problem.code, problem.text) from None
        if self.patient_anchored and resource_type == "Encounter" and not query.names() & {"patient", "subject", "_id"}:
            raise refuse(400, "required", "an Encounter search needs patient or _id")
        found = [stored for stored in find(self.store, query) if visible(stored)]
        size = min(self.paging.default if query.count is None else query.count, self.paging.maximum)
        return self._first_page(query, found, size, access)

    def _first_page(self, query: Query, found: list[Stored], size: int, access: Access) -> Response:
        self_link = f"{self.base}/{query.type}?{urlencode(query.accepted)}".rstrip("?")
        links = [("self", self_link)]
        if 0 < size < len(found):
            links.append(("next", self._page_link(self._keep(query, found, size), size)))
        return self._bundle(query, found[:size], len(found), links, access)

    def _keep(self, query: Query, found: list[Stored], size: int) -> str:
        self._searches += 1
        token = f"{self._searches:08x}"
        self._snapshots[token] = _Snapshot(query, [stored.id for stored in found], size)
        if len(self._snapshots) > _MAX_SNAPSHOTS:
            self._snapshots.pop(next(iter(self._snapshots)))
        return token

    def _page_link(self, token: str, offset: int) -> str:
        return f"{self.base}/{self._snapshots[token].query.type}?_page={token}.{offset}"

    def _next_page(self, resource_type: str, page: str, access: Access) -> Response:
        token, _, start = page.partition(".")
        snapshot = self._snapshots.get(token)
        if snapshot is None or snapshot.query.type != resource_type or not start.isdecimal():
            raise refuse(410, "not-found", "this page has expired; search again")
        offset, end = int(start), int(start) + snapshot.size
        current = [self.store.get(resource_type, key) for key in snapshot.keys[offset:end]]
        links = [("self", self._page_link(token, offset))]
        if end < len(snapshot.keys):
            links.append(("next", self._page_link(token, end)))
        return self._bundle(snapshot.query, [s for s in current if s], len(snapshot.keys), links, access)

    def _bundle(
        self, query: Query, page: list[Stored], total: int, links: list[tuple[str, str]], access: Access
    ) -> Response:
        head = {"resourceType": "Bundle", "type": "searchset", "total": total}
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
        entries = [self._entry(stored, b"match") for stored in page]
        if query.includes or query.revincludes:
            entries += [self._entry(s, b"include") for s in included(self.store, query, page) if _may_see(s, access)]
        body = jsonio.dumps(head)
        if entries:
            body = b"".join((body[:-1], b',"entry":[', b",".join(entries), b"]}"))
        return Response(200, body)

    def _entry(self, stored: Stored, mode: bytes) -> bytes:
        url = f'{{"fullUrl":"{self.base}/{stored.key}","resource":'.encode()
        return b"".join((url, stored.body, b',"search":{"mode":"', mode, b'"}}'))

    def _batch(self, request: Request, access: Access) -> Response:
        if request.method != "POST":
            raise refuse(405, "not-supported", "the base takes a batch only", (("Allow", "POST"),))
        bundle = parse_object(request.body)
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "batch":
            raise refuse(400, "not-supported", "only a Bundle of type batch is accepted")
        entries = bundle.get("entry") or []
        answers = [self._batch_entry(entry, access) for entry in entries]
        return Response(200, b'{"resourceType":"Bundle","type":"batch-response","entry":[' + b",".join(answers) + b"]}")

    def _batch_entry(self, entry: Any, access: Access) -> bytes:
        """Each entry is authorized and answered on its own (SMART R130)."""
        asked = entry.get("request") if isinstance(entry, dict) else None
        try:
            answer = self.handle(_inner_request(asked, self.base), access)
        except Refused as refusal:
            answer = refusal.response
        tag = dict(answer.headers).get("ETag")
        status = {"status": str(answer.status)} | ({"etag": tag} if tag else {})
        if answer.status >= 400:
            return jsonio.dumps({"response": {**status, "outcome": jsonio.loads(answer.body)}})
        return b"".join((b'{"response":', jsonio.dumps(status), b',"resource":', answer.body, b"}"))


def _inner_request(asked: Any, base: str) -> Request:
    if not isinstance(asked, dict) or not isinstance(asked.get("url"), str):
        raise refuse(400, "required", "the entry has no request.url")
    if asked.get("method") != "GET":
        raise refuse(405, "not-supported", "only GET entries are accepted", (("Allow", "GET"),))
    path, _, query = asked["url"].removeprefix(f"{base}/").lstrip("/").partition("?")
    if not path:
        raise refuse(404, "not-supported", "the entry's request.url names no resource type")
    return Request("GET", f"/{path}", query, {})


def _resource_response(stored: Stored, if_none_match: str | None) -> Response:
    tag = f'W/"{stored.version}"'
    modified = format_datetime(datetime.fromisoformat(stored.updated), usegmt=True)
    headers = (("ETag", tag), ("Last-Modified", modified))
    if if_none_match and (if_none_match.strip() == "*" or tag in if_none_match):
        return Response(304, headers=headers)
    return Response(200, stored.body, headers=headers)


def _may_see(stored: Stored, access: Access) -> bool:
    """Includes are shown only when the token covers their type: scopes hold for them too (SMART RS7)."""
    visible = access.visible(stored.type, "rs")
    return visible is not None and visible(stored)
