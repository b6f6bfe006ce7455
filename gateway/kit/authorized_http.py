"""Requests with a bearer token: bounded answers, and one new token after a 401."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol, Self

import httpx

from gateway.canonical.errors import UnexpectedResponse
from gateway.kit.http import MAX_RESPONSE_BYTES, AnswerTooLarge, read_bounded, transport_errors


class Tokens(Protocol):
    """Where access tokens come from."""

    async def token(self, *, refused: str | None = None) -> str:
        """A valid access token, or "" where none is needed; `refused` is the one that was just answered with 401."""

    async def aclose(self) -> None:
        """Give up what is under way."""


async def at_once(operation: str) -> None:
    """No budget to keep."""


class AuthorizedHttp:
    """One vendor's host with the tokens of one client. `requests` counts the HTTP requests of this instance.

    `before` is awaited before each request: it keeps a call budget. `max_bytes` bounds one answer, decoded.
    """

    def __init__(
        self,
        *,
        vendor: str,
        http: httpx.AsyncClient,
        tokens: Tokens,
        max_bytes: int = MAX_RESPONSE_BYTES,
        before: Callable[[str], Awaitable[None]] = at_once,
    ) -> None:
        self.vendor = vendor
        self._http, self._tokens, self._max_bytes, self._before = http, tokens, max_bytes, before
        self.requests = 0

    def counting(self) -> Self:
        """The same with a counter of its own."""
        fresh = copy.copy(self)
        fresh.requests = 0
        return fresh

    async def send(
        self,
        operation: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request, and one more with a new token when the first is answered 401.

        Raises `VendorUnavailable` when there is no answer, `UnexpectedResponse` for one that is too large.
        """
        token = await self._tokens.token()
        response = await self._attempt(operation, method, url, token, headers, content)
        if response.status_code == 401:
            token = await self._tokens.token(refused=token)
            response = await self._attempt(operation, method, url, token, headers, content)
        return response

    @asynccontextmanager
    async def stream(
        self, operation: str, url: str, *, headers: Mapping[str, str] | None = None, authorized: bool = True
    ) -> AsyncIterator[httpx.Response]:
        """The answer to a GET as it comes, for what is too large to be held; one new token after a 401.

        Without `authorized` no token is sent: the address is not the vendor's own.
        """
        token = await self._tokens.token() if authorized else None
        with transport_errors(self.vendor, operation):
            response = await self._opened(operation, "GET", url, token, headers)
            if response.status_code == 401 and token is not None:
                await response.aclose()
                token = await self._tokens.token(refused=token)
                response = await self._opened(operation, "GET", url, token, headers)
            try:
                yield response
            finally:
                await response.aclose()

    async def _opened(  # noqa: PLR0917
        self,
        operation: str,
        method: str,
        url: str,
        token: str | None,
        headers: Mapping[str, str] | None,
        content: bytes | None = None,
    ) -> httpx.Response:
        await self._before(operation)
        self.requests += 1
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        request = self._http.build_request(method, url, headers={**(headers or {}), **bearer}, content=content)
        return await self._http.send(request, stream=True)

    async def _attempt(  # noqa: PLR0917
        self,
        operation: str,
        method: str,
        url: str,
        token: str,
        headers: Mapping[str, str] | None,
        content: bytes | None,
    ) -> httpx.Response:
        with transport_errors(self.vendor, operation):
            streamed = await self._opened(operation, method, url, token, headers, content)
            try:
                return await read_bounded(streamed, self._max_bytes)
            except AnswerTooLarge:
                text = "the EHR's answer is larger than the gateway accepts (max_response_mb)"
                raise UnexpectedResponse(self.vendor, operation, text) from None
            finally:
                await streamed.aclose()
