"""The app's signing key and the URLs that it may be used with (SMART App Launch 2.2.0, asymmetric authentication).

Source: shared standards smart_backend_services sections 2 and 3.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.canonical import jsonio
from gateway.canonical.errors import ConfigurationError

ASSERTION_SECONDS = 240  # the limit is 300 (R331): the rest is for clocks that differ
CLOCK_SKEW_SECONDS = 5
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")  # RFC 7518 sections 6.2.1 and 6.3.1


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent to a URL: https, or http on this machine; no credentials or fragment in it."""
    try:
        parts = urlsplit(url)
        valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    return secure and valid_port and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment


def safe_url(url: str) -> str:
    """The URL as it is, for a setting; raises `ValueError` when secrets may not be sent to it."""
    if not is_safe_url(url):
        raise ValueError("must be an https URL (http is for this machine only)")
    return url


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its algorithm and key id. Its repr shows no key material."""

    algorithm: str
    key_id: str
    key: RSAKey | ECKey

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid={self.key_id})"

    @classmethod
    def load(cls, text: str, algorithm: str, key_id: str = "") -> SigningKey:
        """Read PEM or JWK JSON text; without a key id the JWK's own, else the RFC 7638 thumbprint.

        Raises `ConfigurationError`, which never quotes the key.
        """
        kind: type[RSAKey] | type[ECKey] = RSAKey if algorithm.startswith("RS") else ECKey
        try:
            key = kind.import_key(_key_data(text))
            problem = _key_problem(key)
        except (JoseError, ValueError, TypeError):
            problem = f"not a {'RSA' if kind is RSAKey else 'P-384'} key in PEM or JWK form"
        if problem:
            raise ConfigurationError("private_key", f"it is {problem}.", f"Give a private key fit for {algorithm}.")
        return cls(algorithm, key_id or key.kid or key.thumbprint(), key)

    def public_jwk(self) -> dict[str, Any]:
        """The public JWK to register at the EHR or to publish; never holds private members (K10)."""
        held = self.key.as_dict(private=False)  # with whatever else somebody has put into the JWK
        public = {name: held[name] for name in _PUBLIC if name in held}
        return {**public, "kid": self.key_id, "alg": self.algorithm, "use": "sig", "key_ops": ["verify"]}

    def assertion(self, client_id: str, audience: str, now: datetime, *, dated: bool = True) -> str:
        """A fresh client assertion (section 3); each has its own jti. `dated` adds the optional `iat` and `nbf`."""
        seconds = int(now.timestamp())
        began = seconds - CLOCK_SKEW_SECONDS
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "exp": seconds + ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
            **({"iat": began, "nbf": began} if dated else {}),
        }
        header = {"alg": self.algorithm, "typ": "JWT", "kid": self.key_id}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def _key_data(text: str) -> Any:
    return jsonio.loads(text) if text.lstrip().startswith("{") else text


def _key_problem(key: RSAKey | ECKey) -> str:
    if not key.is_private:
        return "a public key"
    if isinstance(key, RSAKey):
        return "shorter than 2048 bits" if key.private_key and key.private_key.key_size < 2048 else ""
    return "" if key.curve_name == "P-384" else "not on the curve P-384"
