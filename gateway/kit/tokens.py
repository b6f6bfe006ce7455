"""Access tokens: one for all callers, renewed once at a time, and what a token endpoint's refusal means."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import asks_to_wait, rate_limited
from gateway.kit.smart_scopes import is_covered

log = logging.getLogger(__name__)

TokenRefusal = Callable[[str, httpx.Response], AdapterError]
"""Reads a token endpoint's refusal: the vendor's name and its answer give the error."""

DEFAULT_TOKEN_SECONDS = 300.0
MAX_METADATA_BYTES = 8 * 1024 * 1024

_TOKEN_ERRORS: Mapping[str, tuple[type[AdapterError], str]] = {
    "invalid_client": (CredentialsRejected, "the client id or its key is not accepted"),
    "unauthorized_client": (CredentialsRejected, "the client may not use this grant"),
    "invalid_grant": (CredentialsRejected, "the grant is not accepted"),
    "unsupported_grant_type": (CredentialsRejected, "the server does not offer this grant"),
    "invalid_request": (CredentialsRejected, "the token request is not accepted"),
    "invalid_scope": (PermissionMissing, "the scopes asked for are not granted to this client"),
    "access_denied": (PermissionMissing, "the server denies access to this client"),
    "temporarily_unavailable": (VendorUnavailable, "the token endpoint is overloaded"),
    "server_error": (VendorUnavailable, "the token endpoint failed"),
}


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A granted token; `renew_at` is on the client's monotonic clock. Its repr shows no token."""

    value: str
    scopes: frozenset[str]
    renew_at: float

    def __repr__(self) -> str:
        return "AccessToken(...)"


class CachedTokens(ABC):
    """Gives one token to all callers until it is about to end. Inherit and add `_renew`."""

    def __init__(self, vendor: str, *, scopes: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._vendor, self._clock = vendor, clock
        self.scopes = tuple(scopes)
        self._token: AccessToken | None = None
        self._renewal: asyncio.Task[AccessToken] | None = None

    async def token(self, *, refused: str | None = None) -> str:
        """A valid access token. `refused` is the token that the vendor answered 401 to: it is not given again."""
        token = self._token
        if token is not None and token.value != refused and self._clock() < token.renew_at:
            return token.value
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renewed(refused))
            self._renewal.add_done_callback(_seen)
        return (await asyncio.shield(self._renewal)).value

    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that were asked for and not granted with the present token."""
        if self._token is None:
            return ()
        granted = self._token.scopes
        return tuple(scope for scope in self.scopes if not is_covered(scope, granted))

    async def aclose(self) -> None:
        """Give up a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()

    async def _renewed(self, refused: str | None) -> AccessToken:
        before = self._token
        self._token = token = await self._renew(refused)
        if (before is None or before.scopes != token.scopes) and (missing := self.missing_scopes()):
            log.warning("%s grants less than was asked for: without %s", self._vendor, " ".join(missing))
        return token

    @abstractmethod
    async def _renew(self, refused: str | None) -> AccessToken:
        """Ask for a token; raises an `AdapterError`."""


def read_token(vendor: str, response: httpx.Response, *, asked_for: Iterable[str], asked_at: float) -> AccessToken:
    """The token of a successful answer (RFC 6749 section 5.1); renewed a tenth of its life early, 60 s at most."""
    body = json_object(response)
    value, kind = body.get("access_token"), body.get("token_type", "bearer")
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise VendorUnavailable(vendor, "token", "the token endpoint's answer holds no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise UnexpectedResponse(vendor, "token", "the token is not a bearer token")
    scope = body.get("scope")
    granted = frozenset(scope.split() if isinstance(scope, str) else asked_for)
    seconds = _lifetime(body.get("expires_in"))
    return AccessToken(value, granted, asked_at + seconds - min(60.0, seconds / 10))


def token_refusal(vendor: str, response: httpx.Response) -> AdapterError:
    """What a token endpoint's refusal means: its OAuth error where it names one, else its status."""
    status, code = response.status_code, json_object(response).get("error")
    if asks_to_wait(response):
        return rate_limited(vendor, "token", response)
    if isinstance(code, str) and code in _TOKEN_ERRORS:
        failure, text = _TOKEN_ERRORS[code]
        return failure(vendor, "token", text, vendor_code=code)
    if status >= 500 or status == 408:
        return VendorUnavailable(vendor, "token", f"HTTP {status}")
    by_status = {400: CredentialsRejected, 401: CredentialsRejected, 403: PermissionMissing}
    return by_status.get(status, UnexpectedResponse)(vendor, "token", f"HTTP {status}")


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer, or an empty one."""
    if len(response.content) > MAX_METADATA_BYTES:
        return {}
    try:
        body = jsonio.loads(response.content)
    except jsonio.NotJson:
        return {}
    return body if isinstance(body, dict) else {}


def _lifetime(expires_in: Any) -> float:
    """Seconds; some servers send none, or text, where the standard asks for a number."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_TOKEN_SECONDS
    return seconds if 0 < seconds < 7 * 86400 else DEFAULT_TOKEN_SECONDS


def _seen(renewal: asyncio.Task[AccessToken]) -> None:
    if not renewal.cancelled():
        renewal.exception()  # every caller may have gone away before it failed
