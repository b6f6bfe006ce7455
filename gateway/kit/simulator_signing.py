"""The sign-offs of a simulated EHR, as its ledger lists them, and how its webhooks are delivered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp


@dataclass(slots=True)
class Signing:
    """One sign-off in the ledger. Times are epoch seconds; `notified_at` is the first attempt to send, ever."""

    encounter_id: str
    version: int
    signed_at: float
    notified_at: float | None = None
    delivered_at: float | None = None
    attempts: int = 0

    def attempted(self) -> None:
        """Count an attempt that starts now."""
        self.attempts += 1
        if self.notified_at is None:
            self.notified_at = time.time()

    def delivered(self) -> None:
        """Note the first success."""
        if self.delivered_at is None:
            self.delivered_at = time.time()


class WebhookSender:
    """Sends webhooks over one pooled client; a 2xx answer alone is a success, redirects are failures."""

    def __init__(self, timeout_seconds: float = 5.0) -> None:
        self._timeout = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """One attempt; whether it was acknowledged in time."""
        answer = await self._request("POST", url, headers, body)
        return answer is not None and 200 <= answer[0] < 300

    async def get(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Status and body of a GET, as for a challenge; None when there is no answer."""
        return await self._request("GET", url, headers, None)

    async def aclose(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes] | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        try:
            async with self._session.request(
                method, url, data=body, headers=dict(headers), allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
