"""A client of FHIR Bulk Data exports: one at a time, resumed after a restart, read line by line.

The status address of the running export lies in the shared values of the connection, so that whoever asks next goes on
with it: some servers refuse a second one (eClinicalWorks). While it runs every question ends in `RateLimited` with the
seconds that the server asked to wait; nobody sleeps. Source: shared standards fhir_rest section 6 (Bulk Data 2.0.0);
vendors generic_smart_fhir section 5, practice_fusion section 7.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import Resource
from gateway.kit.ehr_client import FHIR_JSON, FhirClient, issue_code
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_lines import lines
from gateway.kit.http import retry_after_seconds
from gateway.kit.links import joined, may_follow
from gateway.ports.context import AdapterContext

log = logging.getLogger(__name__)

ABANDONED_AFTER = timedelta(hours=1)
"""How long after it could have been asked for; reading its files may take as long."""
MAX_REDIRECTS = 3
_RUNNING, _FINISHED = "bulk-export", "bulk-finished"
_REFUSED = frozenset({400, 404, 405, 410, 422, 501})
_GONE = frozenset({400, 404, 409, 410, 422})
_PASSING = frozenset({"transient", "throttled", "timeout", "lock-error", "no-store", "incomplete"})
"""Issue types of an OperationOutcome that say that only this question failed, not the export."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is asked for: resource types changed after `since`. One `purpose` has one export at a time."""

    purpose: str
    types: tuple[str, ...]
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A finished export. `files` are (type, address); all that changed until `transaction_time` is in them."""

    status_url: str
    transaction_time: datetime
    requires_token: bool
    files: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]


class BulkExporter:
    """The exports of one connection; of one `group`, or with "" of all patients."""

    def __init__(
        self, client: FhirClient, context: AdapterContext, *, group: str = "", by_post: bool = False, max_line: int
    ) -> None:
        self._client, self._context, self._by_post, self._max_line = client, context, by_post, max_line
        self._kick_off_url = f"{client.base_url}/{f'Group/{group}' if group else 'Patient'}/$export"

    async def manifest(self, export: Export) -> Manifest:
        """The finished export of this purpose, begun now unless it runs already; `RateLimited` until it is finished."""
        async with self._context.lock(f"{_RUNNING} {self._context.clinic.clinic_id} {self._context.connection}"):
            running = await self._running()
            if running is not None and running["purpose"] != export.purpose:
                await self._make_room(running)
                running = None
            return await self._ask(running or await self._begin(export))

    async def finish(self, export: Export, manifest: Manifest) -> None:
        """Let the server delete the files; one that cannot is no failure of ours."""
        await self._delete(manifest.status_url)
        finished = self._context.now().isoformat().encode()
        await self._context.shared.put(f"{_FINISHED} {export.purpose}", finished)

    async def finished_at(self, purpose: str) -> datetime | None:
        """When the last export of this purpose was read to its end."""
        kept = await self._context.shared.get(f"{_FINISHED} {purpose}")
        return datetime.fromisoformat(kept.decode()) if kept else None

    async def try_out(self, types: tuple[str, ...]) -> None:
        """Kick an export off and cancel it again, unless one is running; raises what the server refuses."""
        if await self._running() is None:
            response = await self._kick_off(Export("probe", types, self._context.now()))
            await self._delete(self._status_url(response))

    async def resources(
        self, manifest: Manifest, *types: str, start: tuple[int, int] = (0, 0)
    ) -> AsyncIterator[tuple[tuple[int, int], Resource]]:
        """The resources of some types with their places, from the place `start` on; one line is held at a time."""
        for number, (resource_type, url) in enumerate(manifest.files):
            if resource_type in types and number >= start[0]:
                skipped = start[1] if number == start[0] else 0
                async for line, resource in self._file(url, resource_type, manifest.requires_token):
                    if line >= skipped:
                        yield (number, line), resource

    async def incomplete(self, manifest: Manifest) -> bool:
        """Whether the server reports that something is missing in this export."""
        missing = False
        for url in manifest.errors:
            async for _, outcome in self._file(url, "OperationOutcome", manifest.requires_token):
                issues = outcome.get("issue")
                found = [i for i in issues if isinstance(i, dict)] if isinstance(issues, list) else []
                serious = [issue_code(i) for i in found if i.get("severity") in ("error", "fatal")]
                missing = missing or any(code != "not-supported" for code in serious)
                log.warning("bulk export", extra={"connection": self._context.connection, "issues": serious})
        return missing

    async def _running(self) -> dict[str, str] | None:
        kept = await self._context.shared.get(_RUNNING)
        return jsonio.loads(kept) if kept else None

    async def _make_room(self, running: Mapping[str, str]) -> None:
        """Take the place of an export that nobody has asked for in a long time; wait for any other one."""
        if self._context.now() - datetime.fromisoformat(running["not_before"]) < ABANDONED_AFTER:
            raise self._wait(60.0, "another export of this connection is running")
        await self._delete(running["status_url"])

    async def _begin(self, export: Export) -> dict[str, str]:
        response = await self._kick_off(export)
        begun = {"purpose": export.purpose, "status_url": self._status_url(response)}
        return await self._keep(begun, retry_after_seconds(response, 0.0))

    async def _kick_off(self, export: Export) -> httpx.Response:
        """Of Encounters alone where the server refuses one of the other types."""
        try:
            return await self._kick_off_once(export)
        except AdapterError as refusal:
            if export.types == ("Encounter",) or not _is_refusal(refusal):
                raise
            return await self._kick_off_once(replace(export, types=("Encounter",)))

    async def _kick_off_once(self, export: Export) -> httpx.Response:
        parameters = {"_type": ",".join(export.types)}
        if export.since is not None:
            parameters["_since"] = export.since.astimezone(UTC).isoformat(timespec="milliseconds")
        headers = {"Accept": FHIR_JSON, "Prefer": "respond-async"}
        if self._by_post:
            headers["Content-Type"] = FHIR_JSON
            body = jsonio.dumps(_as_resource(parameters))
            response = await self._client.http.send("export", "POST", self._kick_off_url, headers=headers, content=body)
        else:
            url = f"{self._kick_off_url}?{httpx.QueryParams(parameters)}"
            response = await self._client.http.send("export", "GET", url, headers=headers)
        if response.status_code in _REFUSED:
            text = f"the EHR does not offer this export (HTTP {response.status_code})"
            raise UnexpectedResponse(self._client.vendor, "export", text, code=ErrorCode.UNSUPPORTED)
        if response.status_code != 202:
            raise self._client.refusal("export", response)
        return response

    def _status_url(self, response: httpx.Response) -> str:
        location = response.headers.get("content-location", "")
        if not location:
            raise UnexpectedResponse(self._client.vendor, "export", "the EHR names no address of the export")
        return self._client.own_url("export", self._kick_off_url, location)

    async def _ask(self, running: dict[str, str]) -> Manifest:
        early = datetime.fromisoformat(running["not_before"]) - self._context.now()
        if early > timedelta(0):
            raise self._wait(early.total_seconds())
        url = running["status_url"]
        response = await self._client.http.send("export status", "GET", url, headers={"Accept": "application/json"})
        if response.status_code in (202, 429):
            seconds = retry_after_seconds(response, 5.0)
            await self._keep(running, seconds)
            raise self._wait(seconds)
        if response.status_code == 200:
            return self._manifest(url, response)
        if response.status_code in _GONE or _says_failed(response):
            await self._delete(url)  # it is begun anew
            text = f"the EHR has given up this export (HTTP {response.status_code})"
            raise VendorUnavailable(self._client.vendor, "export status", text)
        raise self._client.refusal("export status", response)

    def _manifest(self, url: str, response: httpx.Response) -> Manifest:
        try:
            body = jsonio.loads(response.content)
            made_at = parsed_instant(body["transactionTime"])
            files = tuple((str(f["type"]), joined(url, f["url"])) for f in body["output"])
            errors = tuple(joined(url, f["url"]) for f in body.get("error") or ())
            needs_token = body["requiresAccessToken"]
        except (jsonio.NotJson, KeyError, TypeError):
            made_at, files, errors, needs_token = None, (), (), None
        if made_at is None or not isinstance(needs_token, bool):
            raise VendorUnavailable(self._client.vendor, "export status", "the answer is no export manifest")
        return Manifest(url, made_at, needs_token, files, errors)

    async def _file(self, url: str, resource_type: str, needs_token: bool) -> AsyncIterator[tuple[int, Resource]]:
        operation, headers = f"export:{resource_type}", {"Accept": "application/fhir+ndjson"}
        for _ in range(MAX_REDIRECTS):
            if needs_token:
                url = self._client.own_url(operation, url, url)
            elif not may_follow(url, self._client.base_url):
                raise UnexpectedResponse(self._client.vendor, operation, "a file of the export is not behind https")
            async with self._client.http.stream(operation, url, headers=headers, authorized=needs_token) as response:
                if not response.has_redirect_location:
                    if response.status_code != 200:
                        raise self._failed(operation, response)
                    async for number, line in lines(response.aiter_bytes(), self._max_line, self._client.vendor):
                        yield number, self._resource(operation, line)
                    return
                url = joined(url, response.headers["location"])  # often a storage's signed address
                needs_token = needs_token and _origin(url) == _origin(self._client.base_url)
        raise UnexpectedResponse(self._client.vendor, operation, "a file of the export is redirected without end")

    def _failed(self, operation: str, response: httpx.Response) -> AdapterError:
        if response.status_code in (404, 410):
            return VendorUnavailable(self._client.vendor, operation, "a file of the export has expired")
        return self._client.refusal(operation, response)

    def _resource(self, operation: str, line: bytes) -> Resource:
        try:
            resource = jsonio.loads(line)
        except jsonio.NotJson:
            raise VendorUnavailable(self._client.vendor, operation, "a line of the export is not JSON") from None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise UnexpectedResponse(self._client.vendor, operation, "a line of the export is not a FHIR resource")
        return resource

    async def _keep(self, running: Mapping[str, str], wait_seconds: float) -> dict[str, str]:
        not_before = self._context.now() + timedelta(seconds=wait_seconds)
        kept = {**running, "not_before": not_before.isoformat()}
        await self._context.shared.put(_RUNNING, jsonio.dumps(kept), timedelta(days=2))
        return kept

    async def _delete(self, status_url: str) -> None:
        await self._context.shared.drop(_RUNNING)
        try:
            await self._client.http.send("export delete", "DELETE", status_url, headers={"Accept": FHIR_JSON})
        except AdapterError as problem:
            log.info("export not deleted", extra={"error": str(problem)})

    def _wait(self, seconds: float, text: str = "the EHR is still making the export") -> RateLimited:
        return RateLimited(self._client.vendor, "export", text, retry_after=max(seconds, 0.01))


def _is_refusal(failure: AdapterError) -> bool:
    return isinstance(failure, PermissionMissing) or failure.code is ErrorCode.UNSUPPORTED


def _as_resource(parameters: Mapping[str, str]) -> Resource:
    """The kick-off's parameters for servers that take them in the body (NextGen Office)."""
    kinds = {"_type": "valueString", "_since": "valueInstant"}
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, kinds[name]: value} for name, value in parameters.items()],
    }


def _says_failed(response: httpx.Response) -> bool:
    try:
        body: Any = jsonio.loads(response.content)
    except jsonio.NotJson:
        return False
    issues = body.get("issue") if isinstance(body, dict) and body.get("resourceType") == "OperationOutcome" else None
    codes = {issue.get("code") for issue in issues if isinstance(issue, dict)} if isinstance(issues, list) else set()
    return response.status_code >= 500 and bool(codes) and not codes & _PASSING


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
