"""The ADS JSON API v4, area demographics: the patient before the charges (vendor document section 3).

ADS answers "placed into pending processing queue": the data waits for ADS's own processing. There is no idempotency
key, so what was queued once is remembered and not queued again while it stays the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from adapters.billing.medics_premier.errors import VENDOR
from adapters.billing.medics_premier.settings import ApiV4
from adapters.billing.medics_premier.signing import signed_headers
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import open_client, rate_limited, transport_errors
from gateway.ports.context import AdapterContext

OPERATION = "demographics"
REMEMBERED = timedelta(days=30)
_QUEUED = re.compile(r"placed into pending processing queue\. ID:\s*(\w+)")
_STAGE = re.compile(r"Stage (\d+) CSP Error")


class DemographicsApi:
    """The client of one clinic."""

    def __init__(self, settings: ApiV4, context: AdapterContext, timeout_seconds: float) -> None:
        self._settings, self._context = settings, context
        self._client = open_client(timeout_seconds=timeout_seconds)
        self._secret = settings.secret_key.get_secret_value()

    async def register(self, data: str) -> tuple[str, int]:
        """Put the patient's data (the member `data` as JSON) into ADS's queue once: the queue's id, and calls made."""
        key = f"demographics:{hmac.new(self._secret.encode(), data.encode(), hashlib.sha256).hexdigest()}"
        known = await self._context.shared.get(key)
        if known is not None:
            return known.decode(), 0
        queue_id = await self._post(data)
        await self._context.shared.put(key, queue_id.encode(), REMEMBERED)
        return queue_id, 1

    async def _post(self, data: str) -> str:
        settings = self._settings
        path = urlsplit(settings.url).path
        body = self._document(data, path)
        headers = signed_headers(
            body,
            path,
            self._secret,
            self._context.now(),
            user_agent=settings.user_agent,
            style=settings.digest_style,
        )
        with transport_errors(VENDOR, OPERATION):
            response = await self._client.post(settings.url, content=body, headers=headers)
        return _queue_id(response)

    def _document(self, data: str, path: str) -> bytes:
        settings = self._settings
        headers = {
            "authstring": settings.authstring.get_secret_value(),
            "area": OPERATION,
            "entity": settings.entity,
            "endpoint": settings.endpoint,
            "gateway_key": settings.gateway_key.get_secret_value(),
            "secret_key": self._secret,
            "api_url": settings.url,
            "sending_app_name": settings.user_agent,
            "api_uri": path,
            "profile": settings.profile,
        }
        return jsonio.dumps({"document": {"headers": headers, "data": jsonio.loads(data)}})

    async def aclose(self) -> None:
        """Close the network client."""
        await self._client.aclose()


def _queue_id(response: httpx.Response) -> str:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise rate_limited(VENDOR, OPERATION, response)
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise _refused(response)
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise VendorUnavailable(VENDOR, OPERATION, "the ADS API had an internal error")
    if response.status_code >= httpx.codes.BAD_REQUEST:
        raise ClaimRejected(VENDOR, OPERATION, "the ADS API refused the patient's data", code=ErrorCode.PATIENT_INVALID)
    queued = _QUEUED.search(response.text)
    if queued is None:
        raise UnexpectedResponse(VENDOR, OPERATION, "the ADS API did not say that the patient is in its queue")
    return queued[1]


def _refused(response: httpx.Response) -> CredentialsRejected:
    """403: stage 1 is the timestamp, so this machine's clock; other stages are the keys. Both need a person."""
    stage = _STAGE.search(response.text)
    is_clock = stage is not None and "time stamp" in response.text
    text = "the ADS API does not accept the gateway key, the secret key or the signature"
    if is_clock:
        text = "the ADS API finds the request's time out of bounds: set this machine's clock"
    return CredentialsRejected(VENDOR, OPERATION, text, vendor_code=f"stage {stage[1]}" if stage else None)
