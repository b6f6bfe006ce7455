"""Who may call, and what it costs: login in two posts, the account's lock, tokens, and the free calls of each tier."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from adapters.billing.advancedmd.simulator.codec import Tree

DEFAULT_CREDENTIALS = {"username": "APIUSER", "password": "pw-demo-<&>-7", "office_key": "990001", "app_name": "FHIRGW"}
LOCK_AFTER = 3
_ZONE = ZoneInfo("America/Denver")
_MEDIUM = frozenset(
    {
        "getdemographic",
        "getdatevisits",
        "gettxhistory",
        "getappts",
        "savecharges",
        "updvisitwithnewcharges",
        "getpaymentdetaildata",
    }
)
_FREE = {"high": (1, 60), "medium": (12, 120), "low": (24, 120)}


class Refused(Exception):
    """A fault: its code and its description."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description


def tier_of(action: str) -> str:
    """The tier that AdvancedMD's list gives an action; what it does not name is low."""
    if action.startswith("getupdated"):
        return "high"
    return "medium" if action in _MEDIUM else "low"


@dataclass
class Gate:
    """One account. `pace` scales the minutes of the budgets and of the login; 0 takes them away."""

    credentials: dict[str, str]
    pace: float
    at: datetime | None = None  # the account's clock, when it is set by hand
    excess: Counter[str] = field(default_factory=Counter)
    bad_logins: int = 0
    locked: bool = False
    tokens: set[str] = field(default_factory=set)
    _last_login: float | None = None
    _called: dict[str, deque[float]] = field(default_factory=dict)

    def is_peak(self) -> bool:
        """Monday to Friday, 06:00 to 18:00 Mountain time."""
        local = (self.at or datetime.now(UTC)).astimezone(_ZONE)
        return local.weekday() < 5 and 6 <= local.hour < 18

    def login_too_soon(self) -> bool:
        """Whether a login within a minute of the last one is refused with HTTP 429."""
        now, last = time.monotonic(), self._last_login
        if last is not None and now - last < 60 * self.pace:
            return True
        self._last_login = now
        return False

    def check_login(self, message: Tree) -> None:
        """Raise Refused unless the credentials are right; several bad logins lock the account."""
        known = DEFAULT_CREDENTIALS | self.credentials
        given = {"username": "@username", "password": "@psw", "office_key": "@officecode", "app_name": "@appname"}
        for attribute in ("@username", "@psw", "@officecode", "@appname", "@msgtime"):
            if not message.get(attribute):
                raise Refused("2048", f"Missing attribute {attribute[1:]}")
        if self.locked:
            raise Refused("-2147220474", "Account locked")
        if any(message[attribute] != known[name] for name, attribute in given.items()):
            self.bad_logins += 1
            self.locked = self.bad_logins >= LOCK_AFTER
            raise Refused("1024", "Invalid user name or password")
        self.bad_logins = 0

    def new_token(self) -> str:
        """A session's token."""
        token = (DEFAULT_CREDENTIALS | self.credentials)["office_key"] + secrets.token_hex(40)
        self.tokens.add(token)
        return token

    def check_token(self, token: str) -> None:
        """Raise Refused unless the session is alive."""
        if token not in self.tokens:
            raise Refused("1025", "Session has timed out")

    def count(self, action: str) -> None:
        """Count a call against the free ones of its tier; more of them still work and are billed."""
        if not self.pace:
            return
        tier, now = tier_of(action), time.monotonic()
        called = self._called.setdefault(tier, deque())
        while called and now - called[0] >= 60 * self.pace:
            called.popleft()
        called.append(now)
        peak, off_peak = _FREE[tier]
        if len(called) > (peak if self.is_peak() else off_peak):
            self.excess[tier] += 1
