"""Calls to the described API: pace, prove, send. One pooled client per connection."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from adapters.billing.http_api.authentication import AuthKind, Signer, basic
from adapters.billing.http_api.settings import HttpApiSettings
from adapters.billing.http_api.tokens import TokenSource
from gateway.canonical.errors import ErrorCode, OutcomeUnknown, UnexpectedResponse
from gateway.kit.http import open_client, retry_after_seconds, transport_errors
from gateway.ports.context import AdapterContext

SUBMIT = "submit"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the vendor; `calls` were made for it, `retry_after` is in seconds when the vendor gave it."""

    status: int
    body: bytes
    retry_after: float | None
    calls: int


@dataclass(frozen=True, slots=True)
class _Sent:
    operation: str
    method: str
    path: str
    body: bytes
    headers: dict[str, str]


class ApiService:
    """The API with one connection's credentials and pace."""

    def __init__(self, settings: HttpApiSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._auth, self._vendor = settings.description.auth, settings.description.vendor
        self._client = open_client(timeout_seconds=settings.timeout_seconds)
        self._prefix = httpx.URL(settings.base_url).path.rstrip("/")
        self._tokens = TokenSource(settings, context, self._client)

    async def call(
        self, operation: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request. A token that the vendor no longer takes is replaced once: HTTP 401 has surely saved nothing."""
        if self._settings.gap_seconds:
            await self._context.pacer.wait(operation, self._settings.gap_seconds)
        sent = _Sent(operation, method, path, body, headers or {})
        token = await self._tokens.token() if self._auth.kind is AuthKind.OAUTH2 else ""
        response, calls = await self._send(sent, token), 1
        if response.status_code == httpx.codes.UNAUTHORIZED and token:
            token = await self._tokens.token(refused=token)
            response, calls = await self._send(sent, token), 2
        wait = None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or "retry-after" in response.headers:
            wait = retry_after_seconds(response)
        return Answer(response.status_code, response.content, wait, calls)

    async def _send(self, sent: _Sent, token: str) -> httpx.Response:
        proof = self._proof(sent.method, sent.path, sent.body, token)
        headers = {**self._settings.description.submit.headers, **proof, **sent.headers}
        creates = sent.operation == SUBMIT
        try:
            with transport_errors(self._vendor, sent.operation, may_have_saved=creates):
                url = self._settings.base_url + sent.path
                return await self._client.request(sent.method, url, content=sent.body or None, headers=headers)
        except httpx.DecodingError:  # a broken content encoding is an answer, not a transport failure, to httpx
            failure = OutcomeUnknown if creates else UnexpectedResponse
            text = "the answer cannot be decoded"
            raise failure(self._vendor, sent.operation, text, code=ErrorCode.UNEXPECTED_RESPONSE) from None

    def _proof(self, method: str, path: str, body: bytes, token: str) -> dict[str, str]:
        settings, kind = self._settings, self._auth.kind
        if kind is AuthKind.API_KEY:
            return {self._auth.header: self._auth.prefix + settings.secret("api_key")}
        if kind is AuthKind.BASIC:
            return {"Authorization": basic(settings.secret("user"), settings.secret("password"))}
        if kind is AuthKind.OAUTH2:
            return {"Authorization": f"Bearer {token}"}
        if kind is AuthKind.HMAC:
            signer = Signer(self._auth, settings.secret("key_id"), settings.secret("signing_key"))
            return signer.headers(method, self._prefix + path, body, self._context.now())
        return {}

    async def aclose(self) -> None:
        """Close the network client."""
        await self._client.aclose()
