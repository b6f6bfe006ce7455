"""How a vendor's token endpoint differs from the standard, as data (generic_smart_fhir sections 1, 2 and 8)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote_plus

from gateway.kit.fhir_simulator.scopes import Scope
from gateway.kit.simulator_http import Request, Response, plain_json

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
JWT, BASIC, POST = "private_key_jwt", "client_secret_basic", "client_secret_post"


class OAuthRefused(Exception):
    """The token request fails with an OAuth error code."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description

    @property
    def status(self) -> int:
        """401 for a client that is not who it says, else 400 (RFC 6749 section 5.2)."""
        return 401 if self.error == "invalid_client" else 400


@dataclass(frozen=True, slots=True)
class TokenRules:
    """One vendor's token endpoint; the defaults are the standard's.

    `methods` are the client authentications taken, `secret` the client's. `grammar` names the scope grammars that are
    understood (v1, v2), or `ignored`: then the scopes are those of the registration. `mixed`: both may stand in one
    request. `letters`: the only v2 permissions taken (`rs`). `refused` has an error by resource type ("*" for the
    wildcard) whose scopes may not be asked for. `errors` names the form of error bodies, `lifetime` how `expires_in`
    is written. `nightly`: the client's keys are read by night only.
    """

    methods: frozenset[str] = frozenset({JWT})
    secret: str = ""
    grammar: frozenset[str] = frozenset({"v1", "v2"})
    mixed: bool = True
    letters: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    errors: str = "oauth"
    lifetime: str = "number"
    nightly: bool = False

    @property
    def scopes_ignored(self) -> bool:
        """Whether the registration alone says what is granted."""
        return "ignored" in self.grammar

    def check(self, scopes: Iterable[Scope]) -> None:
        """Refuse scopes that this vendor does not take."""
        asked = list(scopes)
        used = {"v1" if scope.v1 else "v2" for scope in asked}
        if len(used) > 1 and not self.mixed:
            raise OAuthRefused("invalid_scope", "v1 and v2 scopes are mixed")
        if not used <= self.grammar:
            raise OAuthRefused("invalid_scope", f"only {' and '.join(sorted(self.grammar))} scopes are understood")
        for scope in asked:
            if self.letters and scope.letters != self.letters:
                raise OAuthRefused("invalid_scope", f"only .{self.letters} is understood")
            if scope.type in self.refused:
                raise OAuthRefused(self.refused[scope.type], "this scope may not be asked for")

    def refusal(self, refused: OAuthRefused) -> Response:
        """The error in the vendor's form."""
        return _ERRORS[self.errors](refused)

    def expires_in(self, seconds: int) -> dict[str, Any]:
        """The member of the answer that tells the token's life: a number, text, or nothing."""
        written: Mapping[str, dict[str, Any]] = {
            "number": {"expires_in": seconds},
            "text": {"expires_in": str(seconds)},
            "absent": {},
        }
        return written[self.lifetime]


def method_of(request: Request, form: Mapping[str, str]) -> str:
    """Which client authentication a token request uses; two at once are refused (RFC 6749 section 2.3)."""
    basic = request.headers.get("authorization", "").lower().startswith("basic ")
    used = [BASIC] * basic + [POST] * ("client_secret" in form) + [JWT] * ("client_assertion" in form)
    if len(used) > 1:
        raise OAuthRefused("invalid_request", "more than one client authentication")
    return used[0] if used else JWT


def check_secret(request: Request, form: Mapping[str, str], method: str, client_id: str, secret: str) -> None:
    """Compare a client's id and secret with those registered."""
    given_id, given = form.get("client_id", ""), form.get("client_secret", "")
    if method == BASIC:
        try:
            pair = b64decode(request.headers["authorization"].partition(" ")[2], validate=True).decode()
        except ValueError:
            raise OAuthRefused("invalid_client", "the Basic credentials cannot be read") from None
        given_id, _, given = (unquote_plus(part) for part in pair.partition(":"))
    if not secret or given_id != client_id or not compare_digest(given.encode(), secret.encode()):
        raise OAuthRefused("invalid_client", "the client id or its secret is wrong")


def _oauth(refused: OAuthRefused) -> Response:
    body = {"error": refused.error, "error_description": refused.description}
    return plain_json(body, refused.status, NO_STORE)


def _tight_lipped(refused: OAuthRefused) -> Response:
    """Epic: every mistake looks the same."""
    return plain_json({"error": "invalid_client", "error_description": None}, 400, NO_STORE)


def _with_subcode(refused: OAuthRefused) -> Response:
    """Veradigm's and Practice Fusion's kind: a message in place of OAuth's error."""
    return plain_json({"subcode": refused.error.upper(), "message": refused.description}, refused.status, NO_STORE)


def _of_a_gateway(refused: OAuthRefused) -> Response:
    """A proxy that answers before the authorization server does."""
    return plain_json({"message": "Unauthorized", "request_id": "0"}, 401, NO_STORE)


def _page(refused: OAuthRefused) -> Response:
    return Response(refused.status, b"<html><body>Access denied</body></html>", "text/html")


_ERRORS: Mapping[str, Callable[[OAuthRefused], Response]] = {
    "oauth": _oauth,
    "epic": _tight_lipped,
    "subcode": _with_subcode,
    "gateway": _of_a_gateway,
    "html": _page,
}
