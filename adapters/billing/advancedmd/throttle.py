"""AdvancedMD's free calls per minute, kept across all workers of an office key (section 4).

A call beyond the budget still works and is billed to the clinic, so the budget is hard: a call waits for its turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from adapters.billing.advancedmd.settings import AdvancedMdSettings
from gateway.ports.context import Pacer

MOUNTAIN = ZoneInfo("America/Denver")
PEAK_BEGINS, PEAK_ENDS = time(6), time(18)
_SATURDAY = 5

MINUTE_SECONDS = 60.0
WINDOW_SECONDS = 63.0
"""Three seconds more than the minute: a call arrives later than it was counted."""
LOGIN_SECONDS = 66.0


@dataclass(frozen=True, slots=True)
class Tier:
    """Free calls per minute of one class of calls, as the gateway divides them."""

    name: str
    peak: int
    off_peak: int


HIGH = Tier("high", 1, 60)
MEDIUM = Tier("medium", 6, 80)
LOW = Tier("low", 18, 80)
POSTING = Tier("posting", 6, 40)
LOGIN = Tier("login", 1, 1)
"""AdvancedMD gives the medium tier 12 calls (120 off-peak) and the low one 24 (120).

Its list does not name the action that posts charges nor that of a charge's details, which makes them low, but it counts
their siblings as medium. They have a budget of their own that is taken off both tiers: whichever is right, neither is
exceeded.
"""

TIERS: Mapping[str, Tier] = {
    "login": LOGIN,
    "getdemographic": MEDIUM,
    "getdatevisits": MEDIUM,
    "gettxhistory": MEDIUM,
    "getappts": MEDIUM,
    "getpaymentdetaildata": MEDIUM,
    "savecharges": MEDIUM,
    "updvisitwithnewcharges": MEDIUM,
    "updvisitwithquickcharges": POSTING,
    "getchargedetaildata": POSTING,
}
"""Action to its tier; `getupdated*` is high, and whatever is not named is low."""


def tier_of(action: str) -> Tier:
    """The tier of an action."""
    return TIERS.get(action, HIGH if action.startswith("getupdated") else LOW)


def is_peak(moment: datetime) -> bool:
    """Monday to Friday, 06:00 to 18:00 in Mountain time."""
    local = moment.astimezone(MOUNTAIN)
    return local.weekday() < _SATURDAY and PEAK_BEGINS <= local.time() < PEAK_ENDS


def calls_per_minute(tier: Tier, moment: datetime, share: float) -> int:
    """The gateway's share of the tier at a moment, at least one call.

    The minutes around the change count as peak: a window of the vendor's may lie on both sides of it.
    """
    around = (moment - timedelta(minutes=1), moment, moment + timedelta(minutes=1))
    free = tier.peak if any(map(is_peak, around)) else tier.off_peak
    return max(1, int(free * share))


class Throttle:
    """Waits until a call is free of charge."""

    def __init__(self, settings: AdvancedMdSettings, pacer: Pacer, now: Callable[[], datetime]) -> None:
        self._pacer, self._now = pacer, now
        self._share, self._scale = settings.budget_share, settings.throttle_scale
        # The budget belongs to the office key; its name is not shown in the database.
        office = hashlib.sha256(settings.office_key.get_secret_value().encode()).hexdigest()[:16]
        self._office = f"advancedmd/{office}"

    async def admit(self, action: str) -> None:
        """Return when one call of an action is free."""
        if not self._scale:
            return
        tier = tier_of(action)
        window = (LOGIN_SECONDS if tier is LOGIN else WINDOW_SECONDS) * self._scale
        while True:
            calls = calls_per_minute(tier, self._now(), self._share)
            await self._pacer.spend(f"{self._office}/{tier.name}", calls, window)
            if calls <= calls_per_minute(tier, self._now(), self._share):
                return  # else the peak has begun while this call waited: it needs a place in the smaller budget

    @property
    def retry_seconds(self) -> float:
        """How long to stay away after HTTP 429: about a minute, AdvancedMD sends no Retry-After."""
        return max(1.0, LOGIN_SECONDS * self._scale)
