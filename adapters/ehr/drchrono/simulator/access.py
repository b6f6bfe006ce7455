"""Who may call: the consent page, the token endpoint, scopes, the user's permissions, and the two throttles.

Source: vendor document sections 2 (OAuth, two gates) and 3 (rate limits).
"""

from __future__ import annotations

import html
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from adapters.ehr.drchrono.simulator.store import Clock
from gateway.kit.simulator_http import Refused, Request, Response, plain_json

TOKEN_SECONDS = 172_800
CODE_SECONDS = 60
ALL_SCOPES = (
    "user:read user:write calendar:read calendar:write patients:read patients:write patients:summary:read billing:read "
    "billing:write clinical:read clinical:write settings:read settings:write"
)
SCOPES: Mapping[str, str] = {
    "users": "user",
    "doctors": "user",
    "doctor_options": "settings",
    "offices": "settings",
    "appointments": "calendar",
    "patients": "patients",
    "patient_authorizations": "patients",
    "line_items": "billing",
    "line_item_deletions": "billing",
    "claim_billing_notes": "billing",
    "clinical_notes": "clinical",
}
PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "line_items": ("billing", "show_billing_tab"),
    "line_item_deletions": ("billing", "show_billing_tab"),
    "claim_billing_notes": ("billing", "show_billing_tab"),
    "clinical_notes": ("clinical_notes",),
    "appointments": ("scheduling", "clinical_notes"),
    "patients": ("manage_patients",),
    "patient_authorizations": ("manage_patients",),
}
ALL_PERMISSIONS = tuple(dict.fromkeys(name for names in PERMISSIONS.values() for name in names))
_CONSENT_PAGE = """<!doctype html><html><title>Authorize</title><body><h1>{client} asks for access</h1>
<p>{scope}</p><form method="post" action="/o/authorize/?{query}">
<button name="allow" value="1">Authorize</button><button name="deny" value="1">Cancel</button></form></body></html>"""


def detail(status: int, text: str) -> Refused:
    """A refusal in the words of the REST framework."""
    return Refused(plain_json({"detail": text}, status))


@dataclass(slots=True)
class Throttle:
    """500 calls a clock hour and fewer than 10 in a second, both divided by `pace`; none at pace 0. A bare 429."""

    clock: Clock
    pace: float
    hourly: int = 500
    hour: int = 0
    calls: int = 0
    recent: deque[float] = field(default_factory=deque)

    def check(self) -> None:
        """Count a call; raises the 429."""
        if not self.pace:
            return
        now = self.clock.now()
        if self.hour != int(now // 3600):
            self.hour, self.calls = int(now // 3600), 0
        while self.recent and self.recent[0] <= now - 1:
            self.recent.popleft()
        self.calls += 1
        self.recent.append(now)
        if self.calls > self.hourly / self.pace or len(self.recent) >= 10 / self.pace:
            raise Refused(Response(429, b"", "text/html"))


@dataclass(slots=True)
class _Grant:
    scope: str
    redirect_uri: str = ""
    ends_at: float = 0.0


class Authorization:
    """The `/o/` routes and the bearer tokens they gave."""

    def __init__(self, clock: Clock, client_id: str, client_secret: str, refresh_token: str) -> None:
        self.clock, self._client = clock, (client_id, client_secret)
        self._codes: dict[str, _Grant] = {}
        self._tokens: dict[str, _Grant] = {}
        self._refreshes: dict[str, _Grant] = {}
        self.permissions = set(ALL_PERMISSIONS)
        self.granted = 0
        if refresh_token:
            self._refreshes[refresh_token] = _Grant(ALL_SCOPES)

    def handle(self, request: Request) -> Response:
        """Answer a request below /o/."""
        match (request.method, request.path.rstrip("/")):
            case ("GET", "/o/authorize"):
                return self._page(dict(request.pairs()))
            case ("POST", "/o/authorize"):
                return self._decided(dict(request.pairs()), dict(request.form()))
            case ("POST", "/o/token"):
                return self._token(dict(request.form()))
        raise detail(404, "Not found.")

    def expire_all(self) -> int:
        """All access tokens end; refresh tokens stay."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def revoke(self) -> None:
        """The user takes the consent back."""
        self._tokens.clear()
        self._refreshes.clear()

    def check(self, request: Request, kind: str) -> None:
        """Raise 401 without a token that is good, 403 without its scope or the user's permission."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self._tokens.get(token) if scheme == "Bearer" else None
        if grant is None or grant.ends_at <= self.clock.now():
            raise detail(401, "Invalid authentication credentials were not accepted.")
        wanted = f"{SCOPES[kind]}:{'read' if request.method == 'GET' else 'write'}"
        if kind.endswith("_list"):
            wanted = f"{SCOPES[kind]}:read"
        if wanted not in grant.scope.split() or not self.permissions.issuperset(PERMISSIONS.get(kind, ())):
            raise detail(403, "You do not have permission to perform this action.")

    def _page(self, asked: Mapping[str, str]) -> Response:
        self._known(asked)
        scope = asked.get("scope") or ALL_SCOPES
        page = _CONSENT_PAGE.format(
            client=html.escape(asked["client_id"]), scope=html.escape(scope), query=html.escape(urlencode(asked))
        )
        return Response(200, page.encode(), "text/html; charset=utf-8")

    def _decided(self, asked: Mapping[str, str], form: Mapping[str, str]) -> Response:
        self._known(asked)
        answer = {"state": asked["state"]} if "state" in asked else {}
        if "allow" in form:
            code = secrets.token_urlsafe(20)
            ends_at = self.clock.now() + CODE_SECONDS
            self._codes[code] = _Grant(asked.get("scope") or ALL_SCOPES, asked["redirect_uri"], ends_at)
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        return Response(302, headers=(("Location", f"{asked['redirect_uri']}?{urlencode(answer)}"),))

    def _known(self, asked: Mapping[str, str]) -> None:
        address = urlsplit(asked.get("redirect_uri", ""))
        registered = address.hostname in ("127.0.0.1", "localhost") and address.path == "/callback"
        if asked.get("response_type") != "code" or asked.get("client_id") != self._client[0] or not registered:
            raise Refused(Response(400, b"<h1>Error: invalid_request</h1>", "text/html"))

    def _token(self, form: Mapping[str, str]) -> Response:
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return plain_json({"error": "invalid_client"}, 401)
        match form.get("grant_type"):
            case "authorization_code":
                grant = self._codes.pop(form.get("code", ""), None)
                if grant and (grant.redirect_uri != form.get("redirect_uri") or grant.ends_at <= self.clock.now()):
                    grant = None
            case "refresh_token":
                grant = self._refreshes.pop(form.get("refresh_token", ""), None)
            case _:
                return plain_json({"error": "unsupported_grant_type"}, 400)
        return self._issued(grant) if grant else plain_json({"error": "invalid_grant"}, 400)

    def _issued(self, grant: _Grant) -> Response:
        access, refresh = f"dc-at-{secrets.token_hex(16)}", f"dc-rt-{secrets.token_hex(16)}"
        self._tokens[access] = _Grant(grant.scope, ends_at=self.clock.now() + TOKEN_SECONDS)
        self._refreshes[refresh] = _Grant(grant.scope)
        self.granted += 1
        tokens = {"access_token": access, "refresh_token": refresh}
        return plain_json({**tokens, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": grant.scope})
