"""SMART Backend Services as a client (SMART App Launch 2.2.0): discovery, signed assertion, cached access token.

Source: shared standards smart_backend_services sections 1-5 and vendors generic_smart_fhir section 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import httpx

from gateway.canonical.errors import AdapterError, UnexpectedResponse, VendorUnavailable
from gateway.kit.http import rate_limited, transport_errors
from gateway.kit.smart_key import SigningKey, is_safe_url
from gateway.kit.tokens import AccessToken, CachedTokens, json_object, read_token, token_refusal
from gateway.ports.context import utc_now

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens come from and which document said so."""

    url: str
    source: str
    algorithms: tuple[str, ...] = ()


class SmartBackendClient(CachedTokens):
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
        refusal: Callable[[str, httpx.Response], AdapterError] = token_refusal,
    ) -> None:
        super().__init__(vendor, scopes=scopes, clock=clock)
        self._base, self._client_id, self._key = base_url.rstrip("/"), client_id, key
        self._http, self._now, self._refusal = http, now, refusal
        self._configured = TokenEndpoint(token_url, "settings") if token_url else None
        self._endpoint = self._configured

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

    async def _document(self, path: str, accept: str) -> dict[str, Any]:
        """A discovery document; an empty one when the server has none there."""
        with transport_errors(self._vendor, "discovery"):
            response = await self._http.get(f"{self._base}{path}", headers={"Accept": accept})
        if response.status_code == 429:
            raise rate_limited(self._vendor, "discovery", response)
        if response.status_code >= 500:
            raise VendorUnavailable(self._vendor, "discovery", f"HTTP {response.status_code}")
        return json_object(response) if response.status_code == 200 else {}

    async def _renew(self, refused: str | None) -> AccessToken:
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
            raise self._refusal(self._vendor, response)
        return read_token(self._vendor, response, asked_for=self.scopes, asked_at=asked_at)


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
