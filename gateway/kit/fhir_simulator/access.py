"""Who may do what: bearer tokens, scopes, content negotiation and the request rate (SMART 2.2.0, section 6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.kit.fhir_simulator.scopes import Scope, narrowing
from gateway.kit.fhir_simulator.search import SearchRefused, parse_query
from gateway.kit.fhir_simulator.store import Stored
from gateway.kit.fhir_simulator.token import TokenEndpoint
from gateway.kit.simulator_http import Refused, Request, Response, outcome, refuse, unauthorized

Visible = Callable[[Stored], bool]
_JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json", "application/fhir json", "text/json"})
_JSON_MEDIA = frozenset({"*/*", "application/*", "application/json", "application/fhir+json", "text/json"})


@dataclass(frozen=True, slots=True)
class Access:
    """What the token of one request allows."""

    scopes: tuple[Scope, ...]
    base: str

    def visible(self, resource_type: str, letters: str) -> Visible | None:
        """Which resources of a type any of the interactions may show; None when no scope covers them at all."""
        found = [narrowing(self.scopes, resource_type, letter) for letter in letters]
        covered = [queries for queries in found if queries is not None]
        if not covered:
            return None
        if [] in covered:
            return lambda stored: True
        return self._any_of(resource_type, [query for queries in covered for query in queries])

    def require(self, resource_type: str, letter: str) -> Visible:
        """The same, refusing with 403 insufficient_scope when no scope covers the interaction."""
        visible = self.visible(resource_type, letter)
        if visible is None:
            challenge = ("WWW-Authenticate", 'Bearer error="insufficient_scope"')
            text = f"the token's scopes do not cover this interaction on {resource_type}"
            raise refuse(403, "forbidden", text, (challenge,))
        return visible

    def _any_of(self, resource_type: str, queries: Iterable[list[tuple[str, str]]]) -> Visible:
        try:
            parsed = [parse_query(resource_type, query, base=self.base) for query in queries]
        except SearchRefused as problem:
            raise refuse(403, "forbidden", f"the scope's query cannot be applied: {problem.text}") from None
        return lambda stored: any(query.holds(stored) for query in parsed)


def authorize(request: Request, tokens: TokenEndpoint, base: str) -> Access:
    """The access of a request's bearer token; 401 when it is missing, unknown or has ended."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(unauthorized("login", "a bearer token is needed"))
    grant = tokens.grant_of(token.strip())
    if grant is None:
        raise Refused(unauthorized("unknown", "the token is not known"))
    if grant.expires_at <= time.time():
        raise Refused(unauthorized("expired", "the token has expired"))
    return Access(grant.scopes, base)


def check_acceptable(request: Request) -> None:
    """406 unless the client takes FHIR 4.0 JSON; `_format` wins over Accept (R4 http, content negotiation)."""
    wanted = dict(request.pairs()).get("_format") if "_format" in request.query else None
    if wanted is not None:
        acceptable = wanted.partition(";")[0].strip().lower() in _JSON_FORMATS
    else:
        wanted_media = request.headers.get("accept", "*/*").lower().split(",")
        acceptable = any(map(_takes_json, wanted_media))
        if "/Binary/export/" in request.path:
            acceptable = acceptable or any("ndjson" in media for media in wanted_media)
    if not acceptable:
        raise Refused(outcome(406, "not-supported", "only application/fhir+json of FHIR 4.0 is served"))


def _takes_json(media_range: str) -> bool:
    media, *parameters = (part.strip() for part in media_range.split(";"))
    versions = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("fhirversion=")]
    return media in _JSON_MEDIA and all(version in ("4.0", "4.0.1") for version in versions)


def _throttled() -> Response:
    return outcome(429, "throttled", "too many requests", (("Retry-After", "1"),))


class RateLimit:
    """A bucket of one second's requests; unlimited when the rate is 0. `refusal` is the answer to one too many."""

    def __init__(self, per_second: float, refusal: Callable[[], Response] = _throttled) -> None:
        self._rate, self._refusal = per_second, refusal
        self._left = max(per_second, 1.0)
        self._filled_at = time.monotonic()

    def check(self) -> None:
        """Refuse the request when the second's are used up."""
        if not self._rate:
            return
        now = time.monotonic()
        self._left = min(max(self._rate, 1.0), self._left + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._left < 1.0:
            raise Refused(self._refusal())
        self._left -= 1.0
