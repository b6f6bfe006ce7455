"""Who may call Acme, and how often."""

from __future__ import annotations

import base64
import binascii
import time
from collections import deque
from urllib.parse import parse_qs, unquote_plus

from gateway.kit.simulator import SimulatorOptions

DEFAULT_CREDENTIALS = {"client_id": "acme-demo-client", "client_secret": "acme-demo-secret"}
SCOPE = "claims.write"
CALLS_PER_SECOND = 20
TOKEN_SECONDS = 600

Reply = tuple[int, object, dict[str, str]]


class Gate:
    """Tokens and the budget of calls. `options.pace` scales the second; 0 takes the budget away."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._credentials = DEFAULT_CREDENTIALS | options.credentials
        self._window = options.pace
        self._calls: deque[float] = deque()
        self._tokens: dict[str, tuple[float, str]] = {}
        self._given = 0
        self.throttled = 0

    def token(self, headers: dict[str, str], body: bytes) -> Reply:
        """POST /oauth/token."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}, {}
        given = _basic(headers.get("authorization", "")) or (form.get("client_id"), form.get("client_secret"))
        if given != (self._credentials["client_id"], self._credentials["client_secret"]):
            return 401, {"error": "invalid_client"}, {"www-authenticate": "Basic"}
        self._given += 1
        token = f"acme-token-{self._given}"
        self._tokens[token] = (time.monotonic() + TOKEN_SECONDS, form.get("scope", ""))
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}, {}

    def refusal(self, headers: dict[str, str]) -> Reply | None:
        """The answer to a call that may not pass, or None."""
        until, scope = self._tokens.get(headers.get("authorization", "").removeprefix("Bearer "), (0.0, ""))
        if until < time.monotonic():
            return 401, {"errors": [{"code": "TOKEN_UNKNOWN"}]}, {}
        if scope != SCOPE:
            return 403, {"errors": [{"code": "SCOPE_MISSING"}]}, {}
        return self._throttle()

    def forget_tokens(self) -> None:
        """Revoke every token."""
        self._tokens.clear()

    def _throttle(self) -> Reply | None:
        moment = time.monotonic()
        while self._calls and self._calls[0] <= moment - self._window:
            self._calls.popleft()
        if self._window and len(self._calls) >= CALLS_PER_SECOND:
            self.throttled += 1
            return 429, {"errors": [{"code": "RATE_LIMIT"}]}, {"retry-after": "1"}
        self._calls.append(moment)
        return None


def _basic(value: str) -> tuple[str, str] | None:
    """User and password of a basic Authorization header; both are form-encoded (RFC 6749 section 2.3.1)."""
    try:
        user, colon, password = base64.b64decode(value.removeprefix("Basic "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(user), unquote_plus(password)) if colon else None
