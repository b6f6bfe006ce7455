"""Stedi: one claim a request as JSON, answers by polling its transactions (section 6).

Stedi keeps an Idempotency-Key for 24 hours: the same submission may be repeated, and is never looked for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from adapters.billing.x12_837p.api import Api
from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.json_replies import dicts
from adapters.billing.x12_837p.medical_network import (
    REMEMBERED,
    REPORT,
    REPORTS_PATH,
    SUBMISSION,
    SUBMISSION_PATH,
    receipt_of,
)
from adapters.billing.x12_837p.settings import StediSettings, X12Settings
from gateway.canonical import jsonio
from gateway.canonical.errors import UnsupportedOperation
from gateway.canonical.models import InboundMessage, SubmissionReceipt, VendorPayload
from gateway.ports.context import AdapterContext, Probe

POLLING = "polling"
REPEATABLE_SECONDS = 23.5 * 3600  # of 24 hours, so that a slow clock does no harm
CURSOR = "stedi/transactions"
FIRST_LOOK = timedelta(days=7)
PAGE_SIZE = "500"
_NAME = re.compile(r"(?P<at>[0-9TZ:.+-]*)_(?P<id>[\w-]+)_(?P<kind>277|835)")


class StediDelivery:
    """Stedi's claims API and its list of transactions."""

    repeatable_seconds = REPEATABLE_SECONDS

    def __init__(self, account: StediSettings, settings: X12Settings, context: AdapterContext) -> None:
        self._base, self._core = f"{account.base_url}/change", account.core_url
        self._headers = {"Authorization": account.api_key.get_secret_value()}
        self._context = context
        self._api = Api(settings.timeout_seconds)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Post the claim under its submission id."""
        headers = {**self._headers, "Content-Type": payload.content_type, "Idempotency-Key": payload.submission_id}
        url = f"{self._base}/{SUBMISSION_PATH}"
        answer = await self._api.call(SUBMISSION, "POST", url, creates=True, content=payload.body, headers=headers)
        return receipt_of(answer, payload, self._context)

    async def find(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Not needed for a day, and not possible after it."""
        text = "Stedi cannot be searched for a claim; within a day it can be sent again"
        raise UnsupportedOperation(VENDOR, "find_submission", text)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The reports (277, 835) since the cursor, fetched one by one; `discard` moves the cursor."""
        at, read = await self._cursor()
        parameters: dict[str, str] | None = {"startDateTime": at, "pageSize": PAGE_SIZE}
        while parameters:
            page = await self._get(POLLING, f"{self._core}/polling/transactions", params=parameters)
            for item in dicts(page.get("items")):
                name = _message_name(item)
                if name and item["transactionId"] not in read:
                    yield InboundMessage(name, await self._report(str(item["transactionId"]), name[-3:]))
            token = page.get("nextPageToken")
            parameters = {"pageToken": str(token), "pageSize": PAGE_SIZE} if token else None

    async def discard(self, message: InboundMessage) -> None:
        """Move the cursor to the report's instant, never back, and remember the reports that were read last.

        Several reports can bear the instant of the cursor, at which the list begins again.
        """
        match = _NAME.fullmatch(message.name)
        if match is None:
            return
        at, read = await self._cursor()
        cursor = {"at": max(match["at"], at), "read": [*read, match["id"]][-REMEMBERED:]}
        await self._context.shared.put(CURSOR, jsonio.dumps(cursor))

    async def probe(self) -> list[Probe]:
        """Read the list of transactions."""
        at, _ = await self._cursor()
        await self._get(POLLING, f"{self._core}/polling/transactions", params={"startDateTime": at, "pageSize": "1"})
        return [Probe("read Stedi's transactions", True)]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._api.aclose()

    async def _get(self, operation: str, url: str, **arguments: Any) -> dict[str, Any]:
        return await self._api.call(operation, "GET", url, headers=self._headers, **arguments)

    async def _report(self, transaction_id: str, kind: str) -> bytes:
        return jsonio.dumps(await self._get(REPORT, f"{self._base}/{REPORTS_PATH}/{transaction_id}/{kind}"))

    async def _cursor(self) -> tuple[str, list[str]]:
        kept = await self._context.shared.get(CURSOR)
        if kept is None:
            return f"{self._context.now() - FIRST_LOOK:%Y-%m-%dT%H:%M:%S.000Z}", []
        cursor = jsonio.loads(kept)
        return cursor["at"], cursor["read"]


def _message_name(item: Mapping[str, Any]) -> str:
    """Name of an inbound report's message, which is all that `discard` needs; empty for any other transaction."""
    kind: Any = item
    for step in ("x12", "metadata", "transaction", "transactionSetIdentifier"):
        kind = kind.get(step) if isinstance(kind, dict) else None
    name = f"{item.get('processedAt', '')}_{item.get('transactionId', '')}_{kind}"
    return name if item.get("direction") == "INBOUND" and _NAME.fullmatch(name) else ""
