"""A FHIR R4 client for reads: bounded, origin-bound, with one table of what each kind of refusal means.

Source: shared vendors generic_smart_fhir sections 3 (paging) and 8 (error shapes and status policy).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import Resource
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.http import temporary_failure

FHIR_JSON = "application/fhir+json"
MAX_PAGES = 50
MAX_ENTRIES = 5000
_ISSUE_ERRORS: dict[str, type[AdapterError]] = {
    "security": PermissionMissing,
    "forbidden": PermissionMissing,
    "suppressed": PermissionMissing,
    "login": CredentialsRejected,
    "expired": VendorUnavailable,
    "unknown": CredentialsRejected,
    "throttled": RateLimited,
    "transient": VendorUnavailable,
    "lock-error": VendorUnavailable,
    "no-store": VendorUnavailable,
    "timeout": VendorUnavailable,
    "incomplete": VendorUnavailable,
    "exception": VendorUnavailable,
}
"""R4 issue types of an OperationOutcome that came with HTTP 200; any other one is an `UnexpectedResponse`."""
_OTHER_ISSUES = frozenset({
    "invalid", "structure", "required", "value", "invariant", "processing", "not-supported", "duplicate",
    "multiple-matches", "not-found", "deleted", "too-long", "code-invalid", "extension", "too-costly",
    "business-rule", "conflict", "informational",
})  # fmt: skip
_UNSUPPORTED_STATUSES = frozenset({404, 405, 410, 501})


class FhirClient:
    """Reads one FHIR server. `requests` counts the HTTP requests of this instance; `accept` is the media type."""

    def __init__(self, *, base_url: str, http: AuthorizedHttp, accept: str = FHIR_JSON) -> None:
        self.vendor, self.base_url, self.http = http.vendor, base_url.rstrip("/"), http
        self._accept = accept

    @property
    def requests(self) -> int:
        """HTTP requests of this instance so far."""
        return self.http.requests

    def counting(self) -> FhirClient:
        """The same client with a counter of its own."""
        return FhirClient(base_url=self.base_url, http=self.http.counting(), accept=self._accept)

    async def read(self, reference: str) -> Resource:
        """The resource at `Type/id`; a missing one raises `UnexpectedResponse` with code `NOT_FOUND`."""
        operation = f"read:{reference.partition('/')[0]}"
        response = await self._send(operation, "GET", f"{self.base_url}/{reference}")
        if response.status_code in (404, 410):
            text = "the EHR does not have this resource"
            raise UnexpectedResponse(self.vendor, operation, text, code=ErrorCode.NOT_FOUND)
        resource = self._resource(operation, response)
        if f"{resource['resourceType']}/{resource.get('id')}" != reference:
            raise UnexpectedResponse(self.vendor, operation, "the answer is another resource than the one asked for")
        return resource

    async def search(self, resource_type: str, params: Mapping[str, Any]) -> list[Resource]:
        """All matches and included resources, each once; raises rather than give a part of them.

        A search that the server does not offer raises `UnexpectedResponse` with code `UNSUPPORTED`.
        """
        found: dict[tuple[str, object], Resource] = {}
        count = 0
        async for page in self.pages(resource_type, params):
            count += 1
            found.update({(r["resourceType"], r.get("id")): r for r in page})
            if count > MAX_PAGES or len(found) > MAX_ENTRIES:
                raise UnexpectedResponse(self.vendor, f"search:{resource_type}", "the search has too many results")
        return list(found.values())

    async def pages(self, resource_type: str, params: Mapping[str, Any]) -> AsyncGenerator[list[Resource]]:
        """The pages of a search as they come; links are followed only within this site and never twice."""
        operation = f"search:{resource_type}"
        url: str | None = f"{self.base_url}/{resource_type}?{httpx.QueryParams(dict(params))}"
        visited: set[str] = set()
        while url is not None:
            if url in visited:
                raise UnexpectedResponse(self.vendor, operation, "the EHR's paging links go round in a circle")
            visited.add(url)
            response = await self._send(operation, "GET", url)
            if len(visited) > 1 and response.status_code in (404, 410):
                raise VendorUnavailable(self.vendor, operation, "the next page of the search has expired")
            bundle = self._bundle(operation, response)
            yield self._entries(operation, bundle)
            url = self._next(operation, url, bundle)

    async def operation(self, path: str, inputs: Mapping[str, Any]) -> Resource:
        """The Bundle that an operation at `Type/id/$name` answers a GET with.

        One that the server does not offer raises `UnexpectedResponse` with code `UNSUPPORTED`.
        """
        name = f"operation:{path.partition('/')[0]}"
        query = f"?{httpx.QueryParams(dict(inputs))}" if inputs else ""
        return self._bundle(name, await self._send(name, "GET", f"{self.base_url}/{path}{query}"))

    async def resource_types(self) -> frozenset[str]:
        """The resource types that the CapabilityStatement announces."""
        response = await self._send("read:metadata", "GET", f"{self.base_url}/metadata")
        statement = self._resource("read:metadata", response)
        announced = [
            resource for mode in _objects(statement.get("rest")) for resource in _objects(mode.get("resource"))
        ]
        return frozenset(r["type"] for r in announced if isinstance(r.get("type"), str))

    async def create(self, resource: Resource) -> Resource:
        """Store a new resource; the answer carries its id, from the body or the Location header."""
        return await self._write("POST", f"{self.base_url}/{resource['resourceType']}", resource)

    async def update(self, resource: Resource) -> Resource:
        """Replace a resource that has an id."""
        return await self._write("PUT", f"{self.base_url}/{resource['resourceType']}/{resource['id']}", resource)

    async def _write(self, method: str, url: str, resource: Resource) -> Resource:
        operation = f"{'create' if method == 'POST' else 'update'}:{resource['resourceType']}"
        response = await self._send(operation, method, url, jsonio.dumps(resource))
        if response.status_code in (200, 201) and not response.content.strip():
            location = response.headers.get("location", "").partition("/_history/")[0]
            return {**resource, "id": location.rpartition("/")[2]}
        return self._resource(operation, response)

    async def _send(self, operation: str, method: str, url: str, body: bytes | None = None) -> httpx.Response:
        # no-cache: some servers (HAPI) answer a repeated search from memory, without what was signed since
        headers = {"Accept": self._accept, "Cache-Control": "no-cache"}
        if body is not None:
            headers["Content-Type"] = FHIR_JSON
        return await self.http.send(operation, method, url, headers=headers, content=body)

    def _resource(self, operation: str, response: httpx.Response) -> Resource:
        if response.status_code not in (200, 201):
            raise self.refusal(operation, response)
        try:
            body = jsonio.loads(response.content)
        except jsonio.NotJson:
            # a login or maintenance page, or an answer cut short: nothing was written, so asking again is safe
            raise VendorUnavailable(self.vendor, operation, "the EHR's answer is not JSON") from None
        if not isinstance(body, dict) or not isinstance(body.get("resourceType"), str):
            raise UnexpectedResponse(self.vendor, operation, "the EHR's answer is not a FHIR resource")
        if body["resourceType"] == "OperationOutcome":
            self._raise_issues(operation, body)
            raise UnexpectedResponse(self.vendor, operation, "the EHR answers with an OperationOutcome")
        return body

    def _bundle(self, operation: str, response: httpx.Response) -> Resource:
        if response.status_code in _UNSUPPORTED_STATUSES or (
            response.status_code == 400 and self._says_unsupported(response)
        ):
            text = "the EHR does not offer this"
            raise UnexpectedResponse(self.vendor, operation, text, code=ErrorCode.UNSUPPORTED)
        bundle = self._resource(operation, response)
        if bundle["resourceType"] != "Bundle":
            raise UnexpectedResponse(self.vendor, operation, "the EHR answers with something else than a Bundle")
        return bundle

    @staticmethod
    def _says_unsupported(response: httpx.Response) -> bool:
        """A FHIR server's own refusal of a well-formed search; a 400 in any other form may be a passing fault."""
        try:
            body = jsonio.loads(response.content)
        except jsonio.NotJson:
            return False
        return isinstance(body, dict) and body.get("resourceType") == "OperationOutcome"

    def _entries(self, operation: str, bundle: Resource) -> list[Resource]:
        entries = bundle.get("entry", [])
        if not isinstance(entries, list):
            raise UnexpectedResponse(self.vendor, operation, "Bundle.entry is not a list")
        kept = []
        for entry in entries:
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                raise UnexpectedResponse(self.vendor, operation, "a Bundle entry holds no resource")
            if resource["resourceType"] == "OperationOutcome":
                self._raise_issues(operation, resource)
            else:
                kept.append(resource)
        return kept

    def _raise_issues(self, operation: str, outcome: Resource) -> None:
        """Raise for the first error in an OperationOutcome; warnings among matches are passed over."""
        for issue in _objects(outcome.get("issue")):
            if issue.get("severity") in ("error", "fatal"):
                meaning = issue_code(issue)
                failure = _ISSUE_ERRORS.get(meaning, UnexpectedResponse)
                special = ErrorCode.UNSUPPORTED if meaning == "not-supported" else None
                raise failure(self.vendor, operation, "the EHR refuses the request", code=special, vendor_code=meaning)

    def refusal(self, operation: str, response: httpx.Response) -> AdapterError:
        """What an answer's status means, for one that is no success (vendor document section 8)."""
        if temporary := temporary_failure(self.vendor, operation, response):
            return temporary
        status = response.status_code
        failures: dict[int, tuple[type[AdapterError], str]] = {
            401: (CredentialsRejected, "the EHR does not accept a token that it has just issued"),
            403: (PermissionMissing, "the EHR denies access; check the scopes and the tenant of this client"),
            406: (UnexpectedResponse, "the EHR does not offer FHIR JSON here"),
        }
        failure, text = failures.get(status, (UnexpectedResponse, f"HTTP {status}"))
        return failure(self.vendor, operation, text, vendor_code=str(status))

    def _next(self, operation: str, current: str, bundle: Resource) -> str | None:
        for link in _objects(bundle.get("link")):
            if link.get("relation") == "next" and isinstance(link.get("url"), str):
                return self.own_url(operation, current, link["url"])
        return None

    def own_url(self, operation: str, current: str, link: str) -> str:
        """The link on the configured origin: the token never goes elsewhere (R267)."""
        try:
            base, target = urlsplit(self.base_url), urlsplit(urljoin(current, link))
            url = str(httpx.URL(urlunsplit((base.scheme, base.netloc, target.path, target.query, ""))))
            own = target.hostname == base.hostname or (
                _aliases(base.hostname or "", target.hostname or "") and f"{target.path}/".startswith(f"{base.path}/")
            )
        except (ValueError, httpx.InvalidURL):
            own = False
        if not own:
            text = "a link leads to another site; set base_url to the address that the EHR itself uses"
            raise UnexpectedResponse(self.vendor, operation, text)
        return url


def issue_code(issue: Mapping[str, Any]) -> str:
    """An issue's type; one that R4 does not have is "invalid": it could be any text."""
    code = issue.get("code")
    return code if isinstance(code, str) and (code in _ISSUE_ERRORS or code in _OTHER_ISSUES) else "invalid"


def _aliases(host: str, other: str) -> bool:
    """Two hosts of one domain of three or more labels (fhir-a.ehr.example, fhir-b.ehr.example): one service's names."""
    parent, other_parent = host.partition(".")[2], other.partition(".")[2]
    return parent == other_parent and "." in parent and not parent.replace(".", "").isdigit()


def _objects(value: Any) -> list[dict[str, Any]]:
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []
