"""OAuth2 client credentials (RFC 6749 section 4.4): one token for all workers of a connection, sealed in Postgres."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote_plus

import httpx

from adapters.billing.http_api.authentication import basic
from adapters.billing.http_api.settings import HttpApiSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    CredentialsRejected,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import rate_limited, transport_errors
from gateway.kit.sealing import seal, unseal
from gateway.ports.context import AdapterContext

_KEY = "oauth2-token"
_PURPOSE = "http-api-token"
_EARLY_SECONDS = 30
_DEFAULT_LIFETIME_SECONDS = 300
_REFUSALS = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})


class TokenSource:
    """Gives the bearer token; asks for one when there is none, or when the last one was refused."""

    def __init__(self, settings: HttpApiSettings, context: AdapterContext, client: httpx.AsyncClient) -> None:
        self._settings, self._context, self._client = settings, context, client
        self._vendor = settings.description.vendor
        self._token, self._until = "", context.now()

    async def token(self, refused: str = "") -> str:
        """A token other than `refused`."""
        if self._token and self._token != refused and self._context.now() < self._until:
            return self._token
        if await self._shared(refused):
            return self._token
        async with self._context.lock(f"http_api/{self._context.clinic.clinic_id}/{self._context.connection}/token"):
            if not await self._shared(refused):
                await self._ask()
        return self._token

    async def _shared(self, refused: str) -> bool:
        """Whether another worker has left a token that still works."""
        sealed = await self._context.shared.get(_KEY)
        opened = unseal(sealed, self._settings.secret("client_secret"), _PURPOSE) if sealed else None
        if opened is None:
            return False
        until, _, token = opened.decode().partition(" ")
        moment = datetime.fromisoformat(until)
        if token == refused or moment <= self._context.now():
            return False
        self._token, self._until = token, moment
        return True

    async def _ask(self) -> None:
        auth = self._settings.description.auth
        form = {"grant_type": "client_credentials", **({"scope": auth.scope} if auth.scope else {})}
        client_id, secret = self._settings.secret("client_id"), self._settings.secret("client_secret")
        headers = {"Accept": "application/json"}
        if auth.client_auth == "basic":
            headers["Authorization"] = basic(quote_plus(client_id), quote_plus(secret))
        else:
            form |= {"client_id": client_id, "client_secret": secret}
        try:
            with transport_errors(self._vendor, "token"):
                response = await self._client.post(self._settings.token_address, data=form, headers=headers)
        except httpx.DecodingError:
            raise self._unreadable() from None
        token, seconds = self._read(response)
        lifetime = timedelta(seconds=max(seconds - _EARLY_SECONDS, seconds / 2))
        self._token, self._until = token, self._context.now() + lifetime
        value = f"{self._until.isoformat()} {token}".encode()
        await self._context.shared.put(_KEY, seal(value, secret, _PURPOSE), lifetime)

    def _read(self, response: httpx.Response) -> tuple[str, float]:
        """The token and its lifetime in seconds."""
        self._refuse(response)
        try:
            answer = jsonio.loads(response.content)
            token, seconds = answer["access_token"], float(answer.get("expires_in", _DEFAULT_LIFETIME_SECONDS))
        except (jsonio.NotJson, KeyError, TypeError, ValueError, AttributeError):
            raise self._unreadable() from None
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise self._unreadable()
        return token, max(seconds, 1.0)

    def _refuse(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or (status == 503 and "retry-after" in response.headers):
            raise rate_limited(self._vendor, "token", response)
        if status >= 500:
            raise VendorUnavailable(self._vendor, "token", f"the token endpoint answered HTTP {status}")
        if status == 401 or (status == 400 and _error(response) in _REFUSALS):
            raise CredentialsRejected(self._vendor, "token", "the client's id or secret is not accepted")
        if status == 403 or (status == 400 and _error(response) == "invalid_scope"):
            raise PermissionMissing(self._vendor, "token", "the client may not have the scope")
        if status != 200:
            raise UnexpectedResponse(self._vendor, "token", f"the token endpoint answered HTTP {status}")

    def _unreadable(self) -> UnexpectedResponse:
        return UnexpectedResponse(self._vendor, "token", "the answer is no token")


def _error(response: httpx.Response) -> str:
    try:
        answer = jsonio.loads(response.content)
    except jsonio.NotJson:
        return ""
    return str(answer.get("error", "")) if isinstance(answer, dict) else ""
