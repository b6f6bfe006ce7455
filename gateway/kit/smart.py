"""SMART Backend Services as a client (SMART App Launch 2.2.0): discovery, signed assertion, cached access token.

Source: shared standards smart_backend_services sections 1-5 and vendors generic_smart_fhir sections 1 and 2.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx

from gateway.canonical.errors import AdapterError, UnexpectedResponse, VendorUnavailable
from gateway.kit.authorized_http import at_once
from gateway.kit.http import rate_limited, transport_errors
from gateway.kit.links import joined, may_follow
from gateway.kit.oauth import ClientSecretTokens, OAuthClient, SharedTokens
from gateway.kit.smart_key import SigningKey
from gateway.kit.tokens import AccessToken, CachedTokens, TokenRefusal, json_object, read_token, token_refusal
from gateway.ports.context import AdapterContext, utc_now

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens come from, which document said so, and what it says of the client's authentication."""

    url: str
    source: str
    algorithms: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


class Discovery:
    """The token endpoint of one FHIR server: the configured one, else the one that the server's documents name."""

    def __init__(self, *, vendor: str, base_url: str, http: httpx.AsyncClient, token_url: str | None = None) -> None:
        self._vendor, self._base, self._http = vendor, base_url.rstrip("/"), http
        self._configured = TokenEndpoint(token_url, "settings") if token_url else None
        self._endpoint = self._configured

    async def endpoint(self) -> TokenEndpoint:
        """The endpoint, kept until it stops answering as one."""
        if self._endpoint is None:
            self._endpoint = await self.discover()
        return self._endpoint

    def forget(self) -> None:
        """Ask the documents again the next time: the endpoint may have moved. A configured one stays."""
        self._endpoint = self._configured

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
        absolute = joined(f"{self._base}/", url)
        if not may_follow(absolute, self._base):
            raise UnexpectedResponse(self._vendor, "discovery", "the token endpoint is not an https URL")
        return TokenEndpoint(
            absolute,
            source,
            _texts(document.get("token_endpoint_auth_signing_alg_values_supported")),
            _texts(document.get("token_endpoint_auth_methods_supported")),
        )

    async def _document(self, path: str, accept: str) -> dict[str, Any]:
        """A discovery document; an empty one when the server has none there."""
        with transport_errors(self._vendor, "discovery"):
            response = await self._http.get(f"{self._base}{path}", headers={"Accept": accept})
        if response.status_code == 429:
            raise rate_limited(self._vendor, "discovery", response)
        if response.status_code >= 500:
            raise VendorUnavailable(self._vendor, "discovery", f"HTTP {response.status_code}")
        return json_object(response) if response.status_code == 200 else {}


class SmartBackendClient(CachedTokens):
    """One client id at one authorization server; concurrent callers share one token and one renewal.

    Without scopes the request names none: the app's registration fixes them (Epic). `before` keeps a call budget that
    token requests count against; `refusal` reads error bodies that are not OAuth's; `dated` sends `iat` and `nbf`.
    """

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
        refusal: TokenRefusal = token_refusal,
        before: Callable[[str], Awaitable[None]] = at_once,
        dated: bool = True,
    ) -> None:
        super().__init__(vendor, scopes=scopes, clock=clock)
        self.discovery = Discovery(vendor=vendor, base_url=base_url, http=http, token_url=token_url)
        self._client_id, self._key, self._dated = client_id, key, dated
        self._http, self._now, self._refusal, self._before = http, now, refusal, before

    async def _renew(self, refused: str | None) -> AccessToken:
        endpoint = await self.discovery.endpoint()
        assertion = self._key.assertion(self._client_id, endpoint.url, self._now(), dated=self._dated)
        form = {
            "grant_type": "client_credentials",
            **({"scope": " ".join(self.scopes)} if self.scopes else {}),
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        await self._before("token")
        asked_at = self._clock()
        with transport_errors(self._vendor, "token"):
            response = await self._http.post(endpoint.url, data=form, headers={"Accept": "application/json"})
        if response.status_code not in (200, 201):
            self.discovery.forget()
            raise self._refusal(self._vendor, response)
        return read_token(self._vendor, response, asked_for=self.scopes, asked_at=asked_at)


class SmartSecretTokens(ClientSecretTokens):
    """A client with a secret at a SMART server: all workers share one token, whose endpoint is found as for a key."""

    def __init__(
        self,
        client: OAuthClient,
        context: AdapterContext,
        http: httpx.AsyncClient,
        *,
        scopes: Iterable[str],
        discovery: Discovery,
        before: Callable[[str], Awaitable[None]] = at_once,
    ) -> None:
        super().__init__(client, context, http, scopes=scopes)
        self.discovery, self._before = discovery, before

    async def _ask(self, held: SharedTokens | None) -> SharedTokens:
        endpoint = await self.discovery.endpoint()
        self._client = replace(self._client, token_url=endpoint.url)
        await self._before("token")
        try:
            return await super()._ask(held)
        except AdapterError:
            self.discovery.forget()
            raise


class NoTokens:
    """For a server that asks for none: requests then carry no Authorization header."""

    async def token(self, *, refused: str | None = None) -> str:
        """No token."""
        return ""

    async def aclose(self) -> None:
        """Nothing to give up."""


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


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
