"""The ways to prove who sends a request, and the headers of those that need no call. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.billing.http_api.problems import Problem, refuse

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SIGNED = frozenset({"method", "path", "timestamp", "body", "body_sha256", "key_id"})
_SENT = frozenset({"signature", "timestamp", "key_id", "body_sha256"})


class AuthKind(StrEnum):
    """The ways that a description can name."""

    NONE = "none"
    API_KEY = "api_key"
    BASIC = "basic"
    OAUTH2 = "oauth2"
    HMAC = "hmac"


SECRETS: Mapping[AuthKind, tuple[str, ...]] = {
    AuthKind.NONE: (),
    AuthKind.API_KEY: ("api_key",),
    AuthKind.BASIC: ("user", "password"),
    AuthKind.OAUTH2: ("client_id", "client_secret"),
    AuthKind.HMAC: ("key_id", "signing_key"),
}
"""The secret settings that each way needs."""

_KEYS: Mapping[AuthKind, tuple[frozenset[str], frozenset[str]]] = {
    AuthKind.NONE: (frozenset(), frozenset()),
    AuthKind.API_KEY: (frozenset({"header"}), frozenset({"prefix"})),
    AuthKind.BASIC: (frozenset(), frozenset()),
    AuthKind.OAUTH2: (frozenset(), frozenset({"token_path", "scope", "client_auth"})),
    AuthKind.HMAC: (frozenset({"string", "headers"}), frozenset({"algorithm", "encoding", "timestamp"})),
}


def header_problem(name: str, value: str = "") -> str:
    """What is wrong with a header, or ""."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        return f"`{name}` is no name of a header; use letters, digits and hyphens"
    return "" if value.isascii() and (value.isprintable() or not value) else "holds characters that no header can carry"


def auth_problems(kind: AuthKind, given: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the keys beside `kind`."""
    needed, optional = _KEYS[kind]
    found = [Problem((key,), f"is missing; `kind: {kind}` needs it") for key in sorted(needed - given.keys())]
    surplus = given.keys() - needed - optional - {"kind"}
    found += [Problem((key,), f"does not belong to `kind: {kind}`; remove it") for key in sorted(surplus)]
    found += [Problem(("header",), p) for p in [header_problem(str(given.get("header", "X")))] if p]
    if kind is AuthKind.HMAC:
        found += _template_problems(given)
    if not str(given.get("token_path", "/")).startswith("/"):
        found.append(Problem(("token_path",), "begins with /: it is a path below the base URL"))
    return found


def _template_problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    unknown = set(_PLACEHOLDER.findall(str(given.get("string", "")))) - _SIGNED
    if unknown:
        yield Problem(("string",), f"does not know {{{min(unknown)}}}; known are {', '.join(sorted(_SIGNED))}")
    headers = given.get("headers", {})
    for name, template in headers.items():
        if header_problem(name):
            yield Problem(("headers", name), header_problem(name))
        wrong = set(_PLACEHOLDER.findall(template)) - _SENT
        if wrong:
            yield Problem(("headers", name), f"does not know {{{min(wrong)}}}; known are {', '.join(sorted(_SENT))}")
    if headers and not any("{signature}" in template for template in headers.values()):
        yield Problem(("headers",), "send no {signature}; add the header that holds it")


def basic(user: str, password: str) -> str:
    """The value of `Authorization` for HTTP basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Auth(BaseModel):
    """How a request proves who sends it; the secrets themselves stand in gateway.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: AuthKind = Field(description="none, api_key, basic, oauth2 (client credentials) or hmac.")
    header: str = Field(default="", description="api_key: the header that holds the key.")
    prefix: str = Field(default="", description="api_key: what stands before the key, e.g. `Bearer `.")
    token_path: str = Field(
        default="", description="oauth2: path of the token endpoint below the base URL; not with `token_url`."
    )
    scope: str = Field(default="", description="oauth2: the scope to ask for.")
    client_auth: Literal["basic", "body"] = Field(
        default="basic", description="oauth2: where the client's id and secret go in the token request."
    )
    algorithm: Literal["sha256", "sha1", "sha512"] = Field(default="sha256", description="hmac: the hash.")
    string: str = Field(
        default="",
        description="hmac: what is signed, from {method}, {path}, {timestamp}, {body}, {body_sha256}, {key_id}.",
    )
    encoding: Literal["hex", "base64"] = Field(default="hex", description="hmac: how the signature is written.")
    timestamp: Literal["unix", "iso"] = Field(default="unix", description="hmac: how {timestamp} is written.")
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="hmac: headers to send, from {signature}, {timestamp}, {key_id}, {body_sha256}.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Auth:
        refuse(auth_problems(self.kind, self.model_dump(exclude_defaults=True)))
        return self


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests; `auth` is the description's `auth`."""

    auth: Auth
    key_id: str
    key: str

    def headers(self, method: str, path: str, body: bytes, now: datetime) -> dict[str, str]:
        """The headers of one signed request; `path` is with its query."""
        stamp = str(int(now.timestamp())) if self.auth.timestamp == "unix" else now.strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {
            "method": method,
            "path": path,
            "timestamp": stamp,
            "key_id": self.key_id,
            "body": body.decode(),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
        digest = hmac.new(self.key.encode(), _filled(self.auth.string, values).encode(), self.auth.algorithm).digest()
        values["signature"] = digest.hex() if self.auth.encoding == "hex" else base64.b64encode(digest).decode()
        return {name: _filled(template, values) for name, template in self.auth.headers.items()}


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)
