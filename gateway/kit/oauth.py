"""OAuth 2.0 where SMART's signed assertion is not offered: a client secret, or a person's consent once and for all.

Tokens that all workers share lie in Postgres, sealed with the client secret.
Source: RFC 6749 sections 2.3, 4.1, 4.4 and 6.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeGuard
from urllib.parse import quote_plus

import httpx

from gateway.canonical import jsonio
from gateway.canonical.errors import AdapterError, CredentialsRejected
from gateway.kit.http import transport_errors
from gateway.kit.sealing import seal, unseal
from gateway.kit.tokens import AccessToken, CachedTokens, TokenRefusal, json_object, read_token, token_refusal
from gateway.ports.context import AdapterContext

_PURPOSE = "oauth-tokens"


class SecretPlace(StrEnum):
    """Where the client secret goes (RFC 6749 section 2.3.1)."""

    BASIC = "basic"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A registered client at one token endpoint; `refusal` reads its errors. Its repr shows no secret."""

    vendor: str
    token_url: str
    client_id: str
    secret: str
    place: SecretPlace = SecretPlace.BASIC
    refusal: TokenRefusal = token_refusal

    def __repr__(self) -> str:
        return f"OAuthClient({self.vendor})"

    async def ask(self, http: httpx.AsyncClient, form: Mapping[str, str]) -> httpx.Response:
        """Send a token request; raises what the refusal means."""
        headers = {"Accept": "application/json"}
        if self.place is SecretPlace.BASIC:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        else:
            form = {**form, "client_id": self.client_id, "client_secret": self.secret}
        with transport_errors(self.vendor, "token"):
            response = await http.post(self.token_url, data=dict(form), headers=headers)
        if response.status_code not in (200, 201):
            raise self.refusal(self.vendor, response)
        return response


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """What lies sealed in the shared values: the tokens, and when to renew them (UTC), a minute before they end."""

    access_token: str
    renew_at: datetime
    scopes: tuple[str, ...]
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "SharedTokens(...)"

    def lasts(self, now: datetime) -> bool:
        """Whether the access token is good for a while yet."""
        return bool(self.access_token) and now < self.renew_at


class _SealedTokens(CachedTokens):
    """Tokens that all workers of a connection share: one of them renews, under a lock, and the others read."""

    key = "oauth"
    purpose = _PURPOSE
    """What the tokens are sealed for: those of another purpose are as good as none."""

    def __init__(
        self,
        client: OAuthClient,
        context: AdapterContext,
        http: httpx.AsyncClient,
        *,
        scopes: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(client.vendor, scopes=scopes, clock=clock)
        self._client, self._context, self._http = client, context, http

    async def _renew(self, refused: str | None) -> AccessToken:
        held = await self.read()
        if not self._serves(held, refused):
            async with self._context.lock(self._lock_key):
                held = await self.read()  # another worker may just have done it
                if not self._serves(held, refused):
                    held = await self._ask(held)
        left = (held.renew_at - self._context.now()).total_seconds()
        return AccessToken(held.access_token, frozenset(held.scopes), self._clock() + max(left, 0.0))

    def _serves(self, held: SharedTokens | None, refused: str | None) -> TypeGuard[SharedTokens]:
        return held is not None and held.access_token != refused and held.lasts(self._context.now())

    async def read(self) -> SharedTokens | None:
        """The tokens as they lie in Postgres, or None when there are none that this secret opens."""
        sealed = await self._context.shared.get(self.key)
        opened = unseal(sealed, self._client.secret, self.purpose) if sealed else None
        if opened is None:
            return None
        kept = jsonio.loads(opened)
        return SharedTokens(
            kept["access_token"],
            datetime.fromisoformat(kept["renew_at"]),
            tuple(kept["scopes"]),
            kept["refresh_token"],
        )

    async def keep(self, tokens: SharedTokens) -> None:
        """Put tokens in the place of the former ones."""
        values: dict[str, Any] = {
            "access_token": tokens.access_token,
            "renew_at": tokens.renew_at.isoformat(),
            "scopes": list(tokens.scopes),
            "refresh_token": tokens.refresh_token,
        }
        await self._context.shared.put(self.key, seal(jsonio.dumps(values), self._client.secret, self.purpose))

    @property
    def _lock_key(self) -> str:
        return f"oauth/{self._context.clinic.clinic_id}/{self._context.connection}"

    async def _ask(self, held: SharedTokens | None) -> SharedTokens:
        raise NotImplementedError

    def _read(self, response: httpx.Response, refresh_token: str = "") -> SharedTokens:
        token = read_token(self._vendor, response, asked_for=self.scopes, asked_at=0.0)
        given = json_object(response).get("refresh_token")
        refresh = given if isinstance(given, str) and given else refresh_token
        renew_at = self._context.now() + timedelta(seconds=token.renew_at)
        return SharedTokens(token.value, renew_at, tuple(sorted(token.scopes)), refresh)


class ClientSecretTokens(_SealedTokens):
    """Grant `client_credentials` with a client secret.

    A token that was given to another client, elsewhere or for other scopes is not used: the settings have changed.
    """

    def __init__(self, client: OAuthClient, context: AdapterContext, http: httpx.AsyncClient, **more: Any) -> None:
        super().__init__(client, context, http, **more)
        self.purpose = " ".join((_PURPOSE, client.client_id, client.token_url, *sorted(self.scopes)))

    async def _ask(self, held: SharedTokens | None) -> SharedTokens:
        form = {"grant_type": "client_credentials", **({"scope": " ".join(self.scopes)} if self.scopes else {})}
        tokens = self._read(await self._client.ask(self._http, form))
        await self.keep(tokens)
        return tokens


class ConsentTokens(_SealedTokens):
    """Grant `authorization_code`: a person consents once, then each refresh token is used once and replaced.

    The new pair is in Postgres before anybody uses it. A refresh whose answer was lost leaves the old token, which the
    vendor may take as used up: then `CredentialsRejected` asks for the consent again.
    """

    async def accept(self, code: str, redirect_uri: str) -> SharedTokens:
        """Exchange the code of a consent, at once: it lives for moments."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        tokens = self._read(await self._client.ask(self._http, form))
        async with self._context.lock(self._lock_key):
            await self.keep(tokens)
        return tokens

    async def _ask(self, held: SharedTokens | None) -> SharedTokens:
        if held is None or not held.refresh_token:
            raise self._consent_needed()
        form = {"grant_type": "refresh_token", "refresh_token": held.refresh_token}
        try:
            response = await self._client.ask(self._http, form)
        except CredentialsRejected as problem:
            raise self._consent_needed() if problem.vendor_code == "invalid_grant" else problem from None
        tokens = self._read(response, held.refresh_token)
        await self.keep(tokens)
        return tokens

    def _consent_needed(self) -> AdapterError:
        text = "nobody has given consent, or it has ended; run `gateway connect` for this connection"
        return CredentialsRejected(self._vendor, "token", text)
