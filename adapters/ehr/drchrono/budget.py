"""DrChrono's call budget: 500 calls an hour and fewer than ten a second for an app, kept before they are made.

Live encounters go first: what can wait (polls, backfill, write-backs) leaves `live_reserve` calls of the hour alone. A
429 that comes all the same pauses this process, so that no retry burns what is left. Source: vendor document section 3.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import Any

import httpx

from adapters.ehr.drchrono.errors import VENDOR, refusal
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.errors import AdapterError, RateLimited
from gateway.ports.context import AdapterContext

BACKGROUND = frozenset({"feed", "backfill", "write", "probe"})
"""First words of the operations that can wait."""
HOUR, NEXT_SECOND = 3600.0, 1.5
_MOST_WAIT = {True: 1.0, False: 3.0}  # of a call that can wait, of a live one: then its job waits in the queue
_LOOK_AGAIN = 60.0
_STREAK = timedelta(seconds=120)


class CallBudget:
    """The budget of one app, shared by all connections and workers that use its client id."""

    def __init__(self, settings: DrChronoSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._name = f"drchrono/{hashlib.sha256(settings.client_id.encode()).hexdigest()[:16]}"
        self._paused_until: datetime | None = None
        self._throttled_at: datetime | None = None

    async def before(self, operation: str) -> None:
        """Return when the call may be made; raises `RateLimited` when that is not soon."""
        left = self._pause_left()
        if left > 0:
            raise _limited(operation, "the hour's calls are used up", left)
        if self._settings.hourly_calls:
            await self._spend_of_hour(operation)
        if self._settings.calls_per_second:  # one by one: bursts of two neighbouring seconds would meet at DrChrono
            await self._context.pacer.spend(f"{self._name}/second", 1, 1.0 / self._settings.calls_per_second)

    def answered(self) -> None:
        """A call was answered otherwise than by 429: the hour has calls left."""
        self._throttled_at = None

    async def _spend_of_hour(self, operation: str) -> None:
        """A call of the hour, which may be far from its end: then the job waits in the queue, not here."""
        hourly, waits = self._settings.hourly_calls, operation.partition(":")[0] in BACKGROUND
        calls = max(hourly - self._settings.live_reserve, 1) if waits else hourly
        try:
            async with asyncio.timeout(_MOST_WAIT[waits]):
                await self._context.pacer.spend(f"{self._name}/hour", calls, HOUR)
        except TimeoutError:
            raise _limited(operation, "the call budget of this hour is used up", _LOOK_AGAIN) from None

    def refusal(self, operation: str, response: httpx.Response) -> AdapterError:
        """The error of an answer that is no success; a 429 tells neither its reason nor, by its document, its end."""
        unexplained = response.status_code == 429 and "retry-after" not in response.headers
        return self._throttled(operation) if unexplained else refusal(operation, response)

    def _throttled(self, operation: str) -> RateLimited:
        """The first 429 may be of the second; if all that follow a pause are 429 too, it is of the hour."""
        now, before = self._context.now(), self._throttled_at
        self._throttled_at = now
        if before is None or not timedelta(seconds=1) <= now - before <= _STREAK:
            return _limited(operation, "too many calls within one second", NEXT_SECOND)
        full = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        self._paused_until = full
        return _limited(operation, "the hour's calls are used up", (full - now).total_seconds())

    def _pause_left(self) -> float:
        until = self._paused_until
        return (until - self._context.now()).total_seconds() if until else 0.0


class BudgetedHttp(AuthorizedHttp):
    """Requests that spend the budget, and tell it when they are answered."""

    def __init__(self, budget: CallBudget, **more: Any) -> None:
        super().__init__(vendor=VENDOR, before=budget.before, **more)
        self._budget = budget

    async def send(self, operation: str, method: str, url: str, **more: Any) -> httpx.Response:
        """As the kit's, with the answer noted."""
        response = await super().send(operation, method, url, **more)
        if response.status_code != 429:
            self._budget.answered()
        return response


def _limited(operation: str, text: str, seconds: float) -> RateLimited:
    return RateLimited(VENDOR, operation, text, retry_after=seconds)
