"""The ADS JSON API v4 as its public client knows it (vendor document section 3): checks, texts, the pending queue."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from adapters.billing.medics_premier.simulator.receiver import Receiver

PATH = "/api/v4/edi"
WINDOW_SECONDS = 15 * 60
_STAGES = {
    1: "The time stamp provided is not within the server's allowable request processing boundaries.",
    2: "The content digest does not match the content.",
    3: "The request signature is not valid.",
    4: "The gateway key is not valid.",
}
_HEADERS = frozenset(
    {
        "authstring",
        "area",
        "entity",
        "endpoint",
        "gateway_key",
        "secret_key",
        "api_url",
        "sending_app_name",
        "api_uri",
        "profile",
    }
)


@dataclass
class Api:
    """The endpoint. Answers (status, JSON text)."""

    receiver: Receiver
    credentials: dict[str, str]
    calls: int = 0

    def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """One call."""
        self.calls += 1
        stage = self._refused(headers, body)
        if stage:
            message = {"error": f"Stage {stage} CSP Error: {_STAGES[stage]}"}
            return 403, json.dumps({"message": message, "status": "403 Forbidden"})
        document = json.loads(body)["document"]
        if set(document["headers"]) != _HEADERS or document["headers"]["area"] != "demographics":
            return 400, json.dumps({"status": "400 Bad Request"})
        if document["headers"]["gateway_key"] != self.credentials["gateway_key"]:
            return 403, json.dumps(
                {"message": {"error": f"Stage 4 CSP Error: {_STAGES[4]}"}, "status": "403 Forbidden"}
            )
        return 200, self._queued(document["data"])

    def _refused(self, headers: Mapping[str, str], body: bytes) -> int:
        stamp, digest = headers.get("request-timestamp", ""), headers.get("content-md5", "")
        try:
            age = abs((datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds())
        except ValueError:
            return 1
        if age > WINDOW_SECONDS:
            return 1
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if digest != base64.b64encode(md5.encode()).decode():
            return 2
        canonical = f"{digest},{PATH},{stamp}".encode()
        wanted = hmac.new(self.credentials["secret_key"].encode(), canonical, hashlib.sha256).hexdigest()
        return 0 if headers.get("apiauth", "") == base64.b64encode(wanted.encode()).decode() else 3

    def _queued(self, data: dict[str, Any]) -> str:
        number = 9000 + len(self.receiver.queue) + 1
        self.receiver.queue.append({"id": str(number), "state": "pending", **data})
        return (
            '{"status" : "Incoming patient demographics transfer received and placed into pending processing queue. '
            f'ID: {number}"}}'
        )
