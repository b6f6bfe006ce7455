"""What Elation's refusals mean. Their bodies (`{"detail": ...}`) are not passed on: they may quote values."""

from __future__ import annotations

import httpx

from gateway.kit.errors import AdapterError, RateLimited
from gateway.kit.http import retry_after_seconds
from gateway.kit.json_api import by_status

VENDOR = "elation"
PAUSE_SECONDS = 15.0
"""Elation throttles without saying for how long (vendors generic_smart_fhir section 3)."""

GONE = "410"
"""The vendor code of a record that was deleted; 404 is one that never was, or that this app may not see."""


def refusal(operation: str, response: httpx.Response) -> AdapterError:
    """The error for an answer that is no success."""
    if response.status_code == 429:
        seconds = retry_after_seconds(response, default=PAUSE_SECONDS)
        return RateLimited(VENDOR, operation, "Elation asks to come back later", retry_after=seconds)
    return by_status(VENDOR, operation, response)
