"""SMART Backend Services as a client (SMART App Launch 2.2.0): discovery, signed assertion, cached access token.

Source: shared standards smart_backend_services sections 1-5 and vendors generic_smart_fhir section 1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import rate_limited, transport_errors
from gateway.kit.smart_key import SigningKey, is_safe_url
from gateway.ports.context import utc_now

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
DEFAULT_TOKEN_SECONDS = 300.0
MAX_METADATA_BYTES = 8 * 1024 * 1024

_TOKEN_ERRORS: dict[str, tuple[type[AdapterError], str]] = {
    "invalid_client": (CredentialsRejected, "the client id or its key is not accepted"),
    "unauthorized_client": (CredentialsRejected, "the client may not use client_credentials"),
    "invalid_grant": (CredentialsRejected, "the assertion is not accepted"),
    "unsupported_grant_type": (CredentialsRejected, "the server does not offer client_credentials"),
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


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens come from and which document said so."""

    url: str
    source: str
    algorithms: tuple[str, ...] = ()


class SmartBackendClient:
    """One client id at one authorization server; concurrent callers share one token and one renewal."""

    def __init__(
        self,
        *,
        vendor: str,
        base_url: str,
        client_id: str,
        key: SigningKey,
        scopes: Iterable[str],
        http: httpx.AsyncClient,
        token_url: str | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vendor, self._base, self._client_id, self._key = vendor, base_url.rstrip("/"), client_id, key
        self.scopes = tuple(scopes)
        self._http, self._now, self._clock = http, now, clock
        self._configured = TokenEndpoint(token_url, "settings") if token_url else None
        self._endpoint = self._configured
        self._token: AccessToken | None = None
        self._renewal: asyncio.Task[AccessToken] | None = None

    async def token(self, *, refused: str | None = None) -> str:
        """A valid access token. `refused` is the token that the EHR answered 401 to: it is not given again."""
        token = self._token
        if token is not None and token.value != refused and self._clock() < token.renew_at:
            return token.value
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(_seen)
        return (await asyncio.shield(self._renewal)).value

    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that were asked for and not granted with the present token."""
        if self._token is None:
            return ()
        granted = self._token.scopes
        return tuple(scope for scope in self.scopes if not scope_is_covered(scope, granted))

    async def endpoint(self) -> TokenEndpoint:
        """The token endpoint: the configured one, else by discovery, kept until it stops answering as one."""
        if self._endpoint is None:
            self._endpoint = await self.discover()
        return self._endpoint

    async def discover(self) -> TokenEndpoint:
        """Ask smart-configuration, then the CapabilityStatement (SMART 1.0 servers).

        Raises `VendorUnavailable` when neither names a token endpoint: it may be a maintenance page.
        """
        document = await self._document("/.well-known/smart-configuration", "application/json")
        url = document.get("token_endpoint")
        source = "smart-configuration"
        if not isinstance(url, str):
            statement = await self._document("/metadata", "application/fhir+json")
            url, source = _oauth_uri(statement), "CapabilityStatement"
        if url is None:
            text = "no token endpoint could be discovered; set token_url if the EHR publishes none"
            raise VendorUnavailable(self._vendor, "discovery", text)
        absolute = urljoin(f"{self._base}/", url)
        if not is_safe_url(absolute):
            raise UnexpectedResponse(self._vendor, "discovery", "the token endpoint is not an https URL")
        algorithms = document.get("token_endpoint_auth_signing_alg_values_supported")
        known = tuple(a for a in algorithms if isinstance(a, str)) if isinstance(algorithms, list) else ()
        return TokenEndpoint(absolute, source, known)

    async def aclose(self) -> None:
        """Give up a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()

    async def _document(self, path: str, accept: str) -> dict[str, Any]:
        """A discovery document; an empty one when the server has none there."""
        with transport_errors(self._vendor, "discovery"):
            response = await self._http.get(f"{self._base}{path}", headers={"Accept": accept})
        if response.status_code == 429:
            raise rate_limited(self._vendor, "discovery", response)
        if response.status_code >= 500:
            raise VendorUnavailable(self._vendor, "discovery", f"HTTP {response.status_code}")
        return _json_object(response) if response.status_code == 200 else {}

    async def _renew(self) -> AccessToken:
        endpoint = await self.endpoint()
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(self.scopes),
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._key.assertion(self._client_id, endpoint.url, self._now()),
        }
        asked_at = self._clock()
        with transport_errors(self._vendor, "token"):
            response = await self._http.post(endpoint.url, data=form, headers={"Accept": "application/json"})
        if response.status_code not in (200, 201):
            self._endpoint = self._configured  # ask discovery again: the endpoint may have moved
            raise self._refusal(response)
        self._token = self._read_token(response, asked_at)
        return self._token

    def _read_token(self, response: httpx.Response, asked_at: float) -> AccessToken:
        body = _json_object(response)
        value, kind = body.get("access_token"), body.get("token_type", "bearer")
        if not isinstance(value, str) or not value.isprintable() or not value:
            raise VendorUnavailable(self._vendor, "token", "the token endpoint's answer holds no token")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise UnexpectedResponse(self._vendor, "token", "the token is not a bearer token")
        scope = body.get("scope")
        granted = frozenset(scope.split() if isinstance(scope, str) else self.scopes)  # RFC 6749 section 5.1
        seconds = _lifetime(body.get("expires_in"))
        return AccessToken(value, granted, asked_at + seconds - min(30.0, seconds / 10))

    def _refusal(self, response: httpx.Response) -> AdapterError:
        status, code = response.status_code, _json_object(response).get("error")
        if status == 429 or (status == 503 and "retry-after" in response.headers):
            return rate_limited(self._vendor, "token", response)
        if isinstance(code, str) and code in _TOKEN_ERRORS:
            failure, text = _TOKEN_ERRORS[code]
            return failure(self._vendor, "token", text, vendor_code=code)
        if status >= 500 or status == 408:
            return VendorUnavailable(self._vendor, "token", f"HTTP {status}")
        by_status = {400: CredentialsRejected, 401: CredentialsRejected, 403: PermissionMissing}
        return by_status.get(status, UnexpectedResponse)(self._vendor, "token", f"HTTP {status}")


def scope_is_covered(wanted: str, granted: Iterable[str]) -> bool:
    """Whether granted scopes together allow what `wanted` asks (grammar of section 7; v1 read as its v2 meaning)."""
    held = set(granted)
    if wanted in held:
        return True
    context, resource, permissions = _scope_parts(wanted.partition("?")[0])
    left = set(permissions)
    for scope in held:
        granted_context, granted_resource, granted_permissions = _scope_parts(scope)
        if granted_context == context and granted_resource in (resource, "*"):
            left -= set(granted_permissions)
    return bool(resource) and not left


_V1_PERMISSIONS = {"read": "rs", "write": "cud", "*": "cruds"}


def _scope_parts(scope: str) -> tuple[str, str, str]:
    """Context, resource type and v2 permissions; none of a narrowed scope (`?...`), which grants nothing for sure."""
    if "?" in scope:
        return "", "", ""
    context, _, rest = scope.partition("/")
    resource, _, permissions = rest.rpartition(".")
    return context, resource, _V1_PERMISSIONS.get(permissions, permissions)


def _lifetime(expires_in: Any) -> float:
    """Seconds; some servers send none, or text, where the standard asks for a number."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return DEFAULT_TOKEN_SECONDS
    return seconds if 0 < seconds < 7 * 86400 else DEFAULT_TOKEN_SECONDS


def _json_object(response: httpx.Response) -> dict[str, Any]:
    if len(response.content) > MAX_METADATA_BYTES:
        return {}
    try:
        body = jsonio.loads(response.content)
    except jsonio.NotJson:
        return {}
    return body if isinstance(body, dict) else {}


def _oauth_uri(statement: dict[str, Any]) -> str | None:
    """The token endpoint in CapabilityStatement.rest.security (the SMART 1.0 extension, row D8)."""
    for rest in _objects(statement.get("rest")):
        security = rest.get("security")
        for extension in _objects(security.get("extension") if isinstance(security, dict) else None):
            if extension.get("url") != OAUTH_URIS:
                continue
            for part in _objects(extension.get("extension")):
                if part.get("url") == "token" and isinstance(part.get("valueUri"), str):
                    return str(part["valueUri"])
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _seen(renewal: asyncio.Task[AccessToken]) -> None:
    if not renewal.cancelled():
        renewal.exception()  # every caller may have gone away before it failed
