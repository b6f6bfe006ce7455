"""The token endpoint: SMART Backend Services with asymmetric client authentication (SMART 2.2.0, sections 3 to 5)."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.scopes import InvalidScope, Scope, granted, parse_scopes
from gateway.kit.fhir_simulator.token_rules import JWT, NO_STORE, OAuthRefused, TokenRules, check_secret, method_of
from gateway.kit.simulator_http import Request, Response, plain_json

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LIFETIME_SECONDS = 300
SKEW_SECONDS = 10
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
_KEYS: dict[str, type[RSAKey] | type[ECKey]] = {"RSA": RSAKey, "EC": ECKey}
STANDARD = TokenRules()
_REQUIRED = ("grant_type", "scope", "client_assertion_type", "client_assertion")


@dataclass(frozen=True, slots=True)
class Client:
    """A registered backend service: its public keys (JWKS), and the scopes that it may have."""

    client_id: str
    jwks: dict[str, Any]
    allowed: tuple[Scope, ...]
    jwks_url: str = ""


@dataclass(slots=True)
class Grant:
    """An issued token: its scopes and when it ends (epoch seconds)."""

    scopes: tuple[Scope, ...]
    expires_at: float


class TokenEndpoint:
    """Issues and remembers access tokens of one registered client."""

    def __init__(
        self,
        url: str,
        client: Client,
        algorithms: frozenset[str],
        expires_in: int,
        rules: TokenRules = STANDARD,
    ) -> None:
        self.url, self.client, self.algorithms, self.expires_in = url, client, algorithms, expires_in
        self.rules, self._published = rules, client.jwks
        self._grants: dict[str, Grant] = {}
        self._used: dict[tuple[str, str], int] = {}

    def handle(self, request: Request) -> Response:
        """Answer a token request."""
        if request.method != "POST":
            return plain_json({"error": "invalid_request"}, 405, (("Allow", "POST"), *NO_STORE))
        try:
            return self._issue(request, self._parameters(request))
        except OAuthRefused as refusal:
            return self.rules.refusal(refusal)

    def publish(self, jwks: dict[str, Any]) -> int:
        """The client publishes other keys; a vendor that reads them nightly knows them after `read_keys` only.

        Returns how many keys are known now.
        """
        self._published = jwks
        return len(self.client.jwks["keys"]) if self.rules.nightly else self.read_keys()

    def read_keys(self) -> int:
        """Read the client's published keys; returns how many there are."""
        self.client = replace(self.client, jwks=self._published)
        return len(self.client.jwks["keys"])

    def grant_of(self, token: str) -> Grant | None:
        """What was granted under a token, expired or not; None when it was never issued."""
        return self._grants.get(token)

    def expire_all(self) -> int:
        """End every token now; returns how many were still good."""
        now = time.time()
        live = [grant for grant in self._grants.values() if grant.expires_at > now]
        for grant in live:
            grant.expires_at = now
        return len(live)

    def _parameters(self, request: Request) -> dict[str, str]:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/x-www-form-urlencoded":
            raise OAuthRefused("invalid_request", "the body must be application/x-www-form-urlencoded")
        pairs = request.form()
        repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if repeated:
            raise OAuthRefused("invalid_request", "a parameter is repeated")
        form = dict(pairs)
        unneeded = {"scope"} if self.rules.scopes_ignored else set()
        if method_of(request, form) != JWT:
            unneeded |= {"client_assertion_type", "client_assertion"}
        missing = [name for name in _REQUIRED if name not in form and name not in unneeded]
        if missing:
            error = "invalid_scope" if missing == ["scope"] else "invalid_request"
            raise OAuthRefused(error, f"missing: {', '.join(missing)}")
        return form

    def _issue(self, request: Request, form: dict[str, str]) -> Response:
        if form["grant_type"] != "client_credentials":
            raise OAuthRefused("unsupported_grant_type", "only client_credentials is supported")
        self._identify(request, form)
        scopes = self._granted(form.get("scope", ""))
        token = secrets.token_urlsafe(32)
        self._grants[token] = Grant(scopes, time.time() + self.expires_in)
        body = {"access_token": token, "token_type": "bearer", **self.rules.expires_in(self.expires_in)}
        return plain_json({**body, "scope": " ".join(map(str, scopes))}, headers=NO_STORE)

    def _granted(self, asked: str) -> tuple[Scope, ...]:
        if self.rules.scopes_ignored:
            return self.client.allowed
        try:
            wanted = parse_scopes(asked)
        except InvalidScope as problem:
            raise OAuthRefused("invalid_scope", str(problem)) from None
        self.rules.check(wanted)
        scopes = tuple(granted(wanted, self.client.allowed))
        if not scopes:
            raise OAuthRefused("invalid_scope", "nothing of the scope is pre-authorized for this client")
        return scopes

    def _identify(self, request: Request, form: dict[str, str]) -> None:
        method = method_of(request, form)
        if method not in self.rules.methods:
            raise OAuthRefused("invalid_client", f"{method} is not accepted")
        if method != JWT:
            check_secret(request, form, method, self.client.client_id, self.rules.secret)
            return
        if form["client_assertion_type"] != ASSERTION_TYPE:
            raise OAuthRefused("invalid_client", "client_assertion_type is not jwt-bearer")
        self._authenticate(form["client_assertion"], form.get("client_id"))

    def _authenticate(self, assertion: str, client_id: str | None) -> None:
        """The verification steps of section 3, in their order; each failure is invalid_client."""
        header, claims = _unverified(assertion)
        issuer = claims.get("iss")
        _check(issuer == self.client.client_id and claims.get("sub") == issuer, "iss and sub must be the client_id")
        _check(client_id in (None, issuer), "client_id is not the assertion's issuer")
        _check("jku" not in header or header["jku"] == self.client.jwks_url, "jku is not the registered JWKS URL")
        _check(header.get("typ") == "JWT", "typ must be JWT")
        _check("crit" not in header, "critical header extensions are not understood")
        algorithm = header.get("alg")
        _check(isinstance(algorithm, str) and algorithm in self.algorithms, "alg is not accepted")
        _verify(assertion, self._key(header.get("kid"), str(algorithm)), str(algorithm))
        self._check_claims(str(issuer), claims)

    def _key(self, kid: Any, algorithm: str) -> RSAKey | ECKey:
        kty = _KEY_TYPES.get(algorithm[:2])
        keys = [key for key in self.client.jwks.get("keys", []) if key.get("kid") == kid and key.get("kty") == kty]
        _check(kid is not None and len(keys) == 1, "kid must name exactly one registered key that fits alg")
        return _KEYS[str(kty)].import_key(keys[0])

    def _check_claims(self, issuer: str, claims: dict[str, Any]) -> None:
        now, expiry, audience = time.time(), claims.get("exp"), claims.get("aud")
        _check(audience == self.url or (isinstance(audience, list) and self.url in audience), "aud is not this URL")
        _check(isinstance(expiry, int) and not isinstance(expiry, bool), "exp must be an integer")
        assert isinstance(expiry, int)
        _check(expiry > now, "the assertion has expired")
        _check(expiry <= now + MAX_LIFETIME_SECONDS + SKEW_SECONDS, "exp is more than five minutes ahead")
        for name in ("nbf", "iat"):
            moment = claims.get(name, 0)
            _check(isinstance(moment, int) and moment <= now + SKEW_SECONDS, f"{name} lies in the future")
        nonce = claims.get("jti")
        _check(isinstance(nonce, str) and bool(nonce), "jti is missing")
        self._use_once(issuer, str(nonce), expiry, now)

    def _use_once(self, issuer: str, nonce: str, expiry: int, now: float) -> None:
        self._used = {used: end for used, end in self._used.items() if end > now - SKEW_SECONDS}
        _check((issuer, nonce) not in self._used, "jti was used before")
        self._used[issuer, nonce] = expiry


def _check(holds: bool, description: str) -> None:
    if not holds:
        raise OAuthRefused("invalid_client", description)


def _unverified(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        token = jws.extract_compact(assertion.encode())
        claims = jsonio.loads(token.payload)
    except (JoseError, ValueError):
        raise OAuthRefused("invalid_client", "the assertion is not a JWT") from None
    if not isinstance(claims, dict):
        raise OAuthRefused("invalid_client", "the assertion has no claims")
    return token.headers(), claims


def _verify(assertion: str, key: RSAKey | ECKey, algorithm: str) -> None:
    try:
        jws.deserialize_compact(assertion, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise OAuthRefused("invalid_client", "the signature does not verify") from None
