"""Calls to the FHIR server: one that creates a claim, and reads that can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from adapters.billing.fhir_claim import replies
from adapters.billing.fhir_claim.authorization import Authorization
from adapters.billing.fhir_claim.errors import VENDOR
from adapters.billing.fhir_claim.payload import CONTENT_TYPE, SUBMIT
from adapters.billing.fhir_claim.replies import Accepted, Answer
from adapters.billing.fhir_claim.rows import SUBMISSION_IDENTIFIER
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from gateway.canonical.models import Resource, VendorPayload
from gateway.kit.http import open_client, rate_limited, transport_errors
from gateway.ports.context import AdapterContext

_UNAVAILABLE = httpx.codes.SERVICE_UNAVAILABLE


class FhirServer:
    """One server with one connection's credentials."""

    def __init__(self, settings: FhirClaimSettings, context: AdapterContext) -> None:
        self.base_url = settings.base_url
        self._conditional = settings.conditional_create
        self._http = open_client(timeout_seconds=settings.timeout_seconds)
        self.authorization = Authorization(settings, context, self._http)

    async def create(self, payload: VendorPayload, calls: Calls) -> Accepted:
        """The one call that creates the claim; only its loss leaves the outcome unknown."""
        operation = str(payload.fields["operation"])
        url = f"{self.base_url}/{SUBMIT}" if operation == SUBMIT else self.base_url
        headers = {"Content-Type": payload.content_type, "Accept": CONTENT_TYPE}
        if self._conditional and operation == SUBMIT:
            headers["If-None-Exist"] = f"identifier={SUBMISSION_IDENTIFIER}|{payload.submission_id}"
        request = _Request(operation, "POST", url, headers, payload.body)
        response = await self._send(request, calls)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise rate_limited(VENDOR, operation, response)
        return replies.read_submission(operation, self._answer(response))

    async def read(
        self, operation: str, path: str, calls: Calls, parameters: Mapping[str, str] | None = None
    ) -> Resource:
        """The resource at a path of the server, or the Bundle of a search. Changes nothing at the server."""
        query = f"?{httpx.QueryParams(dict(parameters))}" if parameters else ""
        # no-cache: some servers (HAPI) answer a repeated search from memory, without a claim saved since
        headers = {"Accept": CONTENT_TYPE, "Cache-Control": "no-cache"}
        response = await self._send(_Request(operation, "GET", f"{self.base_url}/{path}{query}", headers), calls)
        throttled = response.status_code == _UNAVAILABLE and "retry-after" in response.headers
        if throttled or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise rate_limited(VENDOR, operation, response)
        return replies.read_resource(operation, self._answer(response))

    async def aclose(self) -> None:
        """Close the network client."""
        await self.authorization.aclose()
        await self._http.aclose()

    async def _send(self, request: _Request, calls: Calls) -> httpx.Response:
        """One request; and one more with a new token when SMART's first is answered 401, which did nothing."""
        shown = await self.authorization.headers()
        response = await self._attempt(request, shown, calls)
        if response.status_code == httpx.codes.UNAUTHORIZED and self.authorization.smart is not None:
            shown = await self.authorization.headers(refused=shown["Authorization"])
            response = await self._attempt(request, shown, calls)
        return response

    async def _attempt(self, request: _Request, shown: Mapping[str, str], calls: Calls) -> httpx.Response:
        headers = {**request.headers, **shown}
        made = self._http.build_request(request.method, request.url, headers=headers, content=request.body)
        calls.count += 1
        with transport_errors(VENDOR, request.operation, may_have_saved=request.body is not None):
            return await self._http.send(made)

    def _answer(self, response: httpx.Response) -> Answer:
        location = response.headers.get("location") or response.headers.get("content-location", "")
        return Answer(response.status_code, response.content, self.base_url, location)


@dataclass(slots=True)
class Calls:
    """The FHIR requests made for one purpose, counted when they are made; a token's own request is not one."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
