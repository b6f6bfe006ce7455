"""What the HTTP deliveries share: one request, its answer as JSON, and the error that any other answer means."""

from __future__ import annotations

from typing import Any

import httpx

from adapters.billing.x12_837p.errors import API_CODES, API_STATUSES, VENDOR
from adapters.billing.x12_837p.json_replies import edit_findings
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    ErrorCode,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import open_client, rate_limited, transport_errors


class Api:
    """A pooled client; `creates` marks the one request whose lost answer leaves the outcome open."""

    def __init__(self, timeout_seconds: float) -> None:
        self._client = open_client(timeout_seconds=timeout_seconds)

    async def call(
        self, operation: str, method: str, url: str, *, creates: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """The JSON object of a successful answer; raises what any other answer means."""
        with transport_errors(VENDOR, operation, may_have_saved=creates):
            response = await self._client.request(method, url, **arguments)
        document = _document(response)
        if response.status_code >= 400:
            raise refusal(operation, response, document or {}, creates=creates)
        if document is None:
            raise unreadable(operation, creates=creates)
        return document

    async def aclose(self) -> None:
        """Close the network client."""
        await self._client.aclose()


def _document(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = jsonio.loads(response.content)
    except jsonio.NotJson:
        return None
    return found if isinstance(found, dict) else None


def refusal(operation: str, response: httpx.Response, document: dict[str, Any], *, creates: bool) -> AdapterError:
    """The error of an answer that is none of success: by the vendor's code first, then by the HTTP status."""
    code = str(document.get("code") or document.get("error") or "")
    meaning = API_CODES.get(code) or API_STATUSES.get(response.status_code)
    if meaning is None:
        text = f"the vendor answered HTTP {response.status_code}"
        return (OutcomeUnknown if creates else VendorUnavailable)(VENDOR, operation, text, code=ErrorCode.UNAVAILABLE)
    if meaning.error is RateLimited:
        return rate_limited(VENDOR, operation, response)
    error = meaning.error if creates else meaning.reading or meaning.error
    findings = edit_findings(document) if error is ClaimRejected else ()
    vendor_code = code if code in API_CODES else str(response.status_code)
    return error(VENDOR, operation, meaning.text, code=meaning.code, vendor_code=vendor_code, findings=findings)


def unreadable(operation: str, *, creates: bool) -> AdapterError:
    """The error of an answer that nobody can read."""
    error = OutcomeUnknown if creates else UnexpectedResponse
    return error(VENDOR, operation, "the answer is not what this operation answers", code=ErrorCode.UNEXPECTED_RESPONSE)
