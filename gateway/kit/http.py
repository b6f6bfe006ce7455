"""The one HTTP client factory: pooled, bounded, with transport failures translated into the error tree."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from math import isfinite
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gateway.canonical.errors import AdapterError, ErrorCode, OutcomeUnknown, RateLimited, VendorUnavailable

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
ACCEPTED_CODINGS = "gzip, deflate"
_CODINGS = frozenset({"", "identity", "gzip", "deflate"})


def open_client(
    *,
    timeout_seconds: float = 30.0,
    connect_seconds: float = 5.0,
    max_connections: int = 16,
    headers: dict[str, str] | None = None,
) -> httpx.AsyncClient:
    """One pooled client per vendor host. Certificates are always verified; redirects are never followed.

    No answer is larger than `MAX_RESPONSE_BYTES`, decoded, unless it is streamed.
    """
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    return _BoundedClient(
        transport=AiohttpTransport(verify=trusted_authorities(), limits=limits),
        timeout=httpx.Timeout(timeout_seconds, connect=connect_seconds),
        headers={"Accept-Encoding": ACCEPTED_CODINGS, **(headers or {})},
        follow_redirects=False,
    )


class AnswerTooLarge(httpx.DecodingError):
    """An answer is larger, decoded, than the gateway accepts."""


class _BoundedClient(httpx.AsyncClient):
    """Reads no answer further than its bound, and none that is coded twice: a few kilobytes of it can be terabytes."""

    async def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        response = await super().send(request, stream=True, **more)
        try:
            if response.headers.get("content-encoding", "").strip().lower() not in _CODINGS:
                raise httpx.DecodingError("the answer is coded in a way that was not asked for")
            if stream:
                return response
            read = await read_bounded(response, MAX_RESPONSE_BYTES)
        except BaseException:
            await response.aclose()
            raise
        await response.aclose()
        return read


async def read_bounded(response: httpx.Response, most: int) -> httpx.Response:
    """A streamed answer, read and decoded; raises `AnswerTooLarge` as soon as it has more than `most` bytes."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > most:
            raise AnswerTooLarge("the answer is larger than is accepted")
    # the body is decoded by now: its encoding and length headers no longer describe it
    plain = [(k, v) for k, v in response.headers.multi_items() if k not in ("content-encoding", "content-length")]
    return httpx.Response(response.status_code, headers=plain, content=bytes(content), request=response.request)


@cache
def trusted_authorities() -> ssl.SSLContext:
    """One for all clients: reading the authorities' certificates takes longer than everything else about a client."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def transport_errors(vendor: str, operation: str, *, may_have_saved: bool = False) -> Iterator[None]:
    """Translate httpx's failures; `may_have_saved` marks the one request that creates the claim.

    A connection that was never made surely saved nothing, whatever the request was.
    """
    try:
        yield
    except (httpx.TransportError, httpx.DecodingError) as problem:
        if _never_connected(problem):
            raise VendorUnavailable(vendor, operation, "no connection to the vendor could be made") from None
        kind = "timed out" if isinstance(problem, httpx.TimeoutException) else "broke off"
        failure: type[AdapterError] = OutcomeUnknown if may_have_saved else VendorUnavailable
        raise failure(vendor, operation, f"the vendor's answer {kind}", code=ErrorCode.TIMEOUT) from None


def _never_connected(problem: Exception) -> bool:
    """Whether the request surely never left.

    The transport calls every broken connection a ConnectTimeout, also one that broke after the request was sent: only
    the exception behind it tells them apart.
    """
    behind = problem.__cause__
    if isinstance(behind, aiohttp.ClientError):
        return isinstance(behind, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    return isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


def retry_after_seconds(response: httpx.Response, default: float = 1.0, ceiling: float = 3600.0) -> float:
    """The `Retry-After` header in seconds (both forms of RFC 9110 section 10.2.3), bounded."""
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            seconds = default
    return min(max(seconds, 0.0), ceiling) if isfinite(seconds) else default


def asks_to_wait(response: httpx.Response) -> bool:
    """HTTP 429, or 503 that says for how long (RFC 6585 section 4, RFC 9110 section 15.6.4)."""
    return response.status_code == 429 or (response.status_code == 503 and "retry-after" in response.headers)


def temporary_failure(vendor: str, operation: str, response: httpx.Response) -> AdapterError | None:
    """The error of an answer that says nothing of the request itself: the same one may succeed later. Else None."""
    if asks_to_wait(response):
        return rate_limited(vendor, operation, response)
    if response.status_code >= 500 or response.status_code in (408, 425):
        return VendorUnavailable(vendor, operation, f"HTTP {response.status_code}")
    return None


def rate_limited(vendor: str, operation: str, response: httpx.Response) -> RateLimited:
    """The error for HTTP 429 (and 503 with Retry-After)."""
    return RateLimited(
        vendor, operation, "the vendor asks to come back later", retry_after=retry_after_seconds(response)
    )
