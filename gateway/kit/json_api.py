"""A vendor's own JSON API, read and written with bearer tokens. What a refusal means is the vendor's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.http import temporary_failure
from gateway.kit.links import joined

Refusal = Callable[[str, httpx.Response], AdapterError]


class JsonApi:
    """One account of one vendor. `refusal(operation, response)` gives the error for an answer that is no success."""

    def __init__(
        self, base_url: str, http: AuthorizedHttp, refusal: Refusal, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self.base_url, self._http, self._refusal = base_url.rstrip("/"), http, refusal
        self._headers = {"Accept": "application/json", **(headers or {})}

    @property
    def vendor(self) -> str:
        """The vendor's name in error texts."""
        return self._http.vendor

    @property
    def requests(self) -> int:
        """HTTP requests of this instance so far."""
        return self._http.requests

    def counting(self) -> Self:
        """The same with a counter of its own."""
        return type(self)(self.base_url, self._http.counting(), self._refusal, headers=self._headers)

    async def get(self, operation: str, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON at a path below the base, numbers with decimals as `Decimal`."""
        query = f"?{httpx.QueryParams(dict(params))}" if params else ""
        return await self.follow(operation, f"{self.base_url}/{path.lstrip('/')}{query}")

    async def follow(self, operation: str, url: str) -> Any:
        """The JSON at a paging link, which may be relative; links to another site are refused, not followed."""
        absolute = joined(f"{self.base_url}/", url)
        if urlsplit(absolute)[:2] != urlsplit(self.base_url)[:2]:
            raise UnexpectedResponse(self.vendor, operation, "a paging link leads to another site")
        return self._json(operation, await self._http.send(operation, "GET", absolute, headers=self._headers))

    async def send_json(self, operation: str, method: str, path: str, body: Any) -> Any:
        """Write a JSON body; the JSON answer, or None for an empty one."""
        return await self._write(operation, method, path, jsonio.dumps(body), "application/json")

    async def send_form(self, operation: str, method: str, path: str, form: Mapping[str, str]) -> Any:
        """Write a form; the JSON answer, or None for an empty one."""
        body = str(httpx.QueryParams(dict(form))).encode()
        return await self._write(operation, method, path, body, "application/x-www-form-urlencoded")

    async def _write(self, operation: str, method: str, path: str, body: bytes, media: str) -> Any:
        headers = {**self._headers, "Content-Type": media}
        url = f"{self.base_url}/{path.lstrip('/')}"
        response = await self._http.send(operation, method, url, headers=headers, content=body)
        return None if response.is_success and not response.content.strip() else self._json(operation, response)

    def _json(self, operation: str, response: httpx.Response) -> Any:
        if not response.is_success:
            raise self._refusal(operation, response)
        try:
            return jsonio.loads(response.content)
        except jsonio.NotJson:
            # a login or maintenance page, or an answer cut short: asking again is safe
            raise VendorUnavailable(self.vendor, operation, "the EHR's answer is not JSON") from None


def by_status(vendor: str, operation: str, response: httpx.Response) -> AdapterError:
    """What an HTTP status means where a vendor's own table says nothing else."""
    if temporary := temporary_failure(vendor, operation, response):
        return temporary
    status = response.status_code
    if status in (404, 410):
        text = "the EHR does not have this record"
        return UnexpectedResponse(vendor, operation, text, code=ErrorCode.NOT_FOUND, vendor_code=str(status))
    failures: dict[int, tuple[type[AdapterError], str]] = {
        401: (CredentialsRejected, "the EHR does not accept a token that it has just issued"),
        402: (PermissionMissing, "the EHR denies access to this app"),
        403: (PermissionMissing, "the EHR denies access; check the app's scopes and its user's permissions"),
    }
    failure, text = failures.get(status, (UnexpectedResponse, f"HTTP {status}"))
    return failure(vendor, operation, text, vendor_code=str(status))
