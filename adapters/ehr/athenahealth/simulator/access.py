"""Tokens, and the limits of calls per second and day (vendor document sections 2 and 3)."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from adapters.ehr.athenahealth.simulator.words import Clock, refuse
from gateway.kit.simulator_http import Refused, Request, Response, plain_json

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS = 3600
SCOPES = (
    "athena/service/Athenanet.MDP.*",
    "system/Encounter.read",
    "system/Condition.read",
    "system/SubscriptionTopic.read",
    "system/Subscription.read",
    "system/Subscription.write",
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a bearer token allows."""

    client_id: str
    scopes: frozenset[str]
    until: datetime


@dataclass
class Access:
    """The token endpoint and the limits. Limits of 0 are none; `jwks` are the keys of clients that sign."""

    clock: Clock
    token_url: str
    secrets: Mapping[str, str]
    jwks: Any
    allowed: frozenset[str]
    tokens_per_minute: int
    calls_per_second: float
    calls_per_day: int
    grants: dict[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._asked: list[datetime] = []
        self._called: list[datetime] = []
        self._today: tuple[str, int] = ("", 0)
        self._seen_assertions: set[str] = set()

    def token(self, request: Request) -> Response:
        """`POST /oauth2/v1/token`."""
        headers = self._count_token_call()
        form = dict(request.form())
        client_id = self._client(request, form)
        if form.get("grant_type") != "client_credentials":
            raise _oauth_error(400, "unsupported_grant_type", headers)
        asked = frozenset(form.get("scope", "").split())
        if not asked or not asked <= self.allowed:
            raise _oauth_error(400, "invalid_scope", headers)
        value = f"athena-at-{secrets.token_hex(8)}"
        self.grants[value] = Grant(client_id, asked, self.clock.now() + timedelta(seconds=TOKEN_SECONDS))
        body = {"access_token": value, "expires_in": str(TOKEN_SECONDS), "token_type": "Bearer"}
        return plain_json({**body, "scope": " ".join(sorted(asked))}, headers=headers)

    def bearer(self, request: Request) -> Grant:
        """Whose call it is; raises 401 without a good token."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise Refused(Response(401, b"<h1>Developer Inactive</h1>", "text/xml"))
        grant = self.grants.get(value)
        if grant is None or grant.until <= self.clock.now():
            raise refuse(401, "The access token is invalid or has expired.")
        return grant

    def count_call(self) -> tuple[tuple[str, str], ...]:
        """Count one API call against the limits; the headers that every answer carries."""
        now = self.clock.now()
        if self.calls_per_second:
            self._called = [at for at in self._called if (now - at).total_seconds() < 1.0]
            if len(self._called) >= self.calls_per_second:
                raise _throttled((("Retry-After", "1"),))
            self._called.append(now)
        day = now.date().isoformat()
        used = (self._today[1] if self._today[0] == day else 0) + 1
        limit = self.calls_per_day or 500_000
        self._today = (day, used)
        left = (("X-RateLimit-Limit", str(limit)), ("X-RateLimit-Remaining", str(max(0, limit - used))))
        if self.calls_per_day and used > self.calls_per_day:
            raise _throttled(left)
        return (*left, ("X-Request-Id", secrets.token_hex(8)))

    def _count_token_call(self) -> tuple[tuple[str, str], ...]:
        if not self.tokens_per_minute:
            return ()
        now = self.clock.now()
        self._asked = [at for at in self._asked if at.replace(second=0, microsecond=0) == _minute(now)]
        self._asked.append(now)
        left = self.tokens_per_minute - len(self._asked)
        headers = (
            ("X-RateLimit-Limit", str(self.tokens_per_minute)),
            ("X-RateLimit-Remaining", str(max(0, left))),
        )
        if left < 0:
            raise _throttled(headers)
        return headers

    def _client(self, request: Request, form: Mapping[str, str]) -> str:
        """HTTP Basic or a signed assertion; a secret in the body is not accepted for this grant."""
        if form.get("client_assertion_type") == ASSERTION_TYPE:
            return self._signer(form.get("client_assertion", ""))
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            client_id, _, secret = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            client_id = secret = ""
        known = self.secrets.get(unquote_plus(client_id))
        if scheme.lower() != "basic" or known is None or not secrets.compare_digest(known, unquote_plus(secret)):
            raise _oauth_error(401, "invalid_client")
        return unquote_plus(client_id)

    def _signer(self, assertion: str) -> str:
        try:
            token = jwt.decode(assertion, KeySet.import_key_set(self.jwks), algorithms=["RS384", "ES384"])
        except (JoseError, ValueError):
            raise _oauth_error(401, "invalid_client") from None
        claims, now = token.claims, self.clock.now().timestamp()
        good = claims.get("aud") == self.token_url and claims.get("iss") == claims.get("sub") in self.secrets
        fresh = now - 5 < float(claims.get("exp", 0)) <= now + 300 and claims.get("jti") not in self._seen_assertions
        if not (good and fresh):
            raise _oauth_error(401, "invalid_client")
        self._seen_assertions.add(claims["jti"])
        return str(claims["sub"])


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _throttled(headers: tuple[tuple[str, str], ...]) -> Refused:
    return Refused(Response(429, b'{"error":"Rate limit exceeded."}', "application/json", headers))


def _oauth_error(status: int, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Refused:
    return Refused(plain_json({"error": code, "error_description": "The request was refused."}, status, headers))
