"""What athenahealth's refusals mean (vendor document sections 1-3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx

from gateway.canonical.errors import (
    AdapterError,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
)
from gateway.kit.http import retry_after_seconds
from gateway.kit.json_api import by_status
from gateway.kit.tokens import json_object, token_refusal

VENDOR = "athenahealth"
NOT_ROUTED = b"Service not registered with API gateway"
_FIELD = re.compile(r"\w{1,40}")
_FALSE = frozenset({"false", "0", "n", "no"})


def refusal(operation: str, response: httpx.Response) -> AdapterError:
    """The error for an answer that is no success; quotes nothing of it but names of fields."""
    status = response.status_code
    if status == 404 and NOT_ROUTED in response.content:
        text = "athenahealth's API has no such path: check host and practice_id of this connection"
        return PermissionMissing(VENDOR, operation, text, vendor_code="not_routed")
    if status == 429:
        text = "the limit of calls of this app is reached"
        return RateLimited(VENDOR, operation, text, retry_after=_pause(response))
    if status in (400, 409):
        return _bad_request(operation, response)
    return by_status(VENDOR, operation, response)


def token_refused(vendor: str, response: httpx.Response) -> AdapterError:
    """What the token endpoint's refusal means; a call over its limit is blocked for the rest of the clock's minute."""
    problem = token_refusal(vendor, response)
    if isinstance(problem, RateLimited):
        pause = max(problem.retry_after or 0.0, 60.0 - datetime.now(UTC).second)
        return RateLimited(vendor, "token", problem.text, retry_after=pause)
    return problem


def failed(answer: Any) -> bool:
    """Whether an answer with HTTP 200 says that it failed; `success` is a boolean or its text."""
    if not isinstance(answer, dict) or "success" not in answer:
        return False
    success = answer["success"]
    return success is False or (isinstance(success, str) and success.strip().lower() in _FALSE)


def _bad_request(operation: str, response: httpx.Response) -> AdapterError:
    body = json_object(response)
    listed = [body.get(member) for member in ("missingfields", "invalidfields")]
    names = [name for held in listed if isinstance(held, list) for name in held]
    named = [name for name in names if isinstance(name, str) and _FIELD.fullmatch(name)]
    about = f" because of {', '.join(named)}" if named else ""
    code = ErrorCode.MISSING_ELEMENT if named else None
    text = f"athenahealth refuses the request{about}"
    return UnexpectedResponse(VENDOR, operation, text, code=code, vendor_code=str(response.status_code))


def _pause(response: httpx.Response) -> float:
    """Seconds: as told; until midnight GMT, or an hour if that is sooner, when the day's calls are used up."""
    if "retry-after" not in response.headers and response.headers.get("x-ratelimit-remaining") == "0":
        now = datetime.now(UTC)
        left = 86400 - (now.hour * 3600 + now.minute * 60 + now.second)
        return float(min(left, 3600))
    return retry_after_seconds(response)
