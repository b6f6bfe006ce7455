"""The token endpoint: grant `client_credentials` with the client secret by HTTP Basic or in the form."""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import b64decode
from urllib.parse import unquote_plus

from adapters.ehr.elation.simulator.replies import detail
from gateway.kit.simulator_http import Refused, Request, Response, plain_json


class TokenEndpoint:
    """Issues tokens to the one app, and knows which of them are still good."""

    def __init__(self, client_id: str, secret: str, expires_in: int) -> None:
        self._client, self._expires_in = (client_id, secret), expires_in
        self._ends: dict[str, float] = {}

    def handle(self, request: Request) -> Response:
        """Answer a token request (RFC 6749 section 4.4)."""
        form = dict(request.form())
        if request.method != "POST" or not form.get("grant_type"):
            return plain_json({"error": "invalid_request"}, 400)
        given = _basic(request.headers.get("authorization", "")) or (
            form.get("client_id", ""),
            form.get("client_secret", ""),
        )
        if not all(hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, self._client, strict=True)):
            return plain_json({"error": "invalid_client"}, 401)
        if form["grant_type"] != "client_credentials":
            return plain_json({"error": "unsupported_grant_type"}, 400)
        token = secrets.token_urlsafe(24)
        self._ends[token] = time.time() + self._expires_in
        scope = form.get("scope") or "apiv2"
        body = {"access_token": token, "token_type": "Bearer", "expires_in": self._expires_in, "scope": scope}
        return plain_json(body, headers=(("Cache-Control", "no-store"),))

    def authorize(self, request: Request) -> None:
        """Refuse a call without a good token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(detail(401, "Authentication credentials were not provided."))
        if self._ends.get(token, 0.0) <= time.time():
            raise Refused(detail(401, "Invalid token."))

    def expire_all(self) -> int:
        """End every token now; how many were still good."""
        good = sum(end > time.time() for end in self._ends.values())
        self._ends.clear()
        return good


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, pair = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client, _, secret = b64decode(pair).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(client), unquote_plus(secret)
