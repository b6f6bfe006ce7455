"""Who may call: a static token, a password, or a token of the server's own endpoint (smart_backend_services)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from adapters.billing.fhir_claim.simulator.refused import UNAUTHORIZED, refuse
from gateway.canonical import jsonio

DEFAULT_CREDENTIALS = {
    "token": "fhir-demo-token-4471",
    "user": "gateway",
    "password": "fhir-demo-password-9920",
    "client_id": "billing-gateway",
    "jwks": '{"keys":[]}',
    "scopes": "system/*.cruds",
}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS = 300
MAX_ASSERTION_SECONDS = 310
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


class OAuthRefused(Exception):
    """A token request that fails: an OAuth error code and its HTTP status."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


class Access:
    """The credentials that this server knows, and the tokens that it has issued."""

    def __init__(self, credentials: Mapping[str, str], token_url: str) -> None:
        self._known = credentials
        self.token_url = token_url
        self._issued: dict[str, tuple[float, str]] = {}
        self._used: set[str] = set()

    def check(self, header: str, kind: str, permission: str) -> None:
        """Refuse a caller who is not known (401), or whose token does not cover a type (403)."""
        known = self._known
        pair = base64.b64encode(f"{known['user']}:{known['password']}".encode()).decode()
        if known.get("open") == "true" or header in (f"Bearer {known['token']}", f"Basic {pair}"):
            return
        ends, scopes = self._issued.get(header.removeprefix("Bearer "), (0.0, ""))
        if ends < time.monotonic():
            raise UNAUTHORIZED
        if not any(_covers(scope, kind, permission) for scope in scopes.split()):
            raise refuse(403, "forbidden", "The token does not cover this.")

    def expire(self) -> None:
        """End every issued token."""
        self._issued.clear()

    def issue(self, content_type: str, body: bytes) -> dict[str, Any]:
        """A token for a signed assertion; raises `OAuthRefused`."""
        if not content_type.startswith("application/x-www-form-urlencoded"):
            raise OAuthRefused("invalid_request")
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            raise OAuthRefused("unsupported_grant_type")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthRefused("invalid_client", 401)
        self._authenticate(form.get("client_assertion", ""))
        allowed = self._known["scopes"].split()
        granted = [s for s in form.get("scope", "").split() if s in allowed or "system/*.cruds" in allowed]
        if not granted:
            raise OAuthRefused("invalid_scope")
        token = secrets.token_urlsafe(24)
        self._issued[token] = (time.monotonic() + TOKEN_SECONDS, " ".join(granted))
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": " ".join(granted),
        }

    def _authenticate(self, assertion: str) -> None:
        """Signature, issuer, audience, lifetime, and that the assertion is new (section 3, steps 1 to 5)."""
        try:
            keys = KeySet.import_key_set(jsonio.loads(self._known["jwks"]))
            claims = jwt.decode(assertion, keys, algorithms=["RS384", "ES384"]).claims
        except (JoseError, ValueError, TypeError):
            raise OAuthRefused("invalid_client", 401) from None
        client, now = self._known["client_id"], time.time()
        good = (
            claims.get("iss") == client == claims.get("sub")
            and claims.get("aud") == self.token_url
            and now < claims.get("exp", 0) <= now + MAX_ASSERTION_SECONDS
            and claims.get("jti") not in self._used
        )
        if not good:
            raise OAuthRefused("invalid_client", 401)
        self._used.add(claims["jti"])


def _covers(scope: str, kind: str, permission: str) -> bool:
    context, _, rest = scope.partition("/")
    resource, _, permissions = rest.partition(".")
    return context == "system" and resource in (kind, "*") and permission in _V1.get(permissions, permissions)
