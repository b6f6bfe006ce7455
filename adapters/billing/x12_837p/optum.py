"""Optum: Stedi's JSON behind OAuth 2, without any idempotency and without a search (section 7).

A submission whose answer is lost is therefore never repeated: it is for a person, who looks in Optum's reports.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from adapters.billing.x12_837p.api import Api, unreadable
from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.medical_network import (
    REMEMBERED,
    REPORT,
    REPORTS_PATH,
    SUBMISSION,
    SUBMISSION_PATH,
    receipt_of,
)
from adapters.billing.x12_837p.settings import OptumSettings, X12Settings
from gateway.canonical import jsonio
from gateway.canonical.errors import CredentialsRejected, UnexpectedResponse, UnsupportedOperation
from gateway.canonical.models import InboundMessage, SubmissionReceipt, VendorPayload
from gateway.ports.context import AdapterContext, Probe

TOKEN, LIST = "token", "reports"
READ = "optum/reports"
_TOKEN_MARGIN_SECONDS = 60.0
_REPORT_NAME = re.compile(r"[\w.-]{1,100}")


class OptumDelivery:
    """Optum's claims API and its reports."""

    repeatable_seconds = 0.0

    def __init__(self, account: OptumSettings, settings: X12Settings, context: AdapterContext) -> None:
        self._base, self._context = account.base_url, context
        self._form = {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret.get_secret_value(),
        }
        self._api = Api(settings.timeout_seconds)
        self._token, self._expires = "", 0.0
        self._asking = asyncio.Lock()

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Post the claim."""
        answer = await self._authorized(
            SUBMISSION,
            "POST",
            SUBMISSION_PATH,
            creates=True,
            content=payload.body,
            headers={"Content-Type": payload.content_type},
        )
        return receipt_of(answer, payload, self._context)

    async def find(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Optum has no search by the submitter's ids."""
        text = "Optum cannot be searched for a claim: look in its reports"
        raise UnsupportedOperation(VENDOR, "find_submission", text)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The 277 reports that were not read yet; a report that has no 277 is none of claims."""
        read = await self._read()
        listed = await self._authorized(LIST, "GET", REPORTS_PATH)
        for name in listed.get("reports") or ():
            if name in read or not _REPORT_NAME.fullmatch(str(name)):
                continue
            try:
                report = await self._authorized(REPORT, "GET", f"{REPORTS_PATH}/{name}/277")
            except UnexpectedResponse:
                continue
            yield InboundMessage(str(name), jsonio.dumps(report))

    async def discard(self, message: InboundMessage) -> None:
        """Remember that the report was read."""
        read = [*await self._read(), message.name][-REMEMBERED:]
        await self._context.shared.put(READ, jsonio.dumps(read))

    async def probe(self) -> list[Probe]:
        """Get a token, and the list of reports."""
        self._token = ""
        await self._authorized(LIST, "GET", REPORTS_PATH)
        return [Probe("sign in to Optum and list its reports", True)]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._api.aclose()

    async def _read(self) -> list[str]:
        kept = await self._context.shared.get(READ)
        return [] if kept is None else list(jsonio.loads(kept))

    async def _authorized(self, operation: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """A call with the token; one that is refused because it is old has done nothing, and is renewed once."""
        fresh = not self._token
        try:
            return await self._send(operation, method, path, **arguments)
        except CredentialsRejected:
            self._token = ""
            if fresh:
                raise
        return await self._send(operation, method, path, **arguments)

    async def _send(self, operation: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        headers = {**arguments.pop("headers", {}), "Authorization": f"Bearer {await self._bearer()}"}
        return await self._api.call(operation, method, f"{self._base}/{path}", headers=headers, **arguments)

    async def _bearer(self) -> str:
        async with self._asking:
            if not self._token or time.monotonic() >= self._expires:
                answer = await self._api.call(TOKEN, "POST", f"{self._base}/apip/auth/v2/token", data=self._form)
                if not isinstance(answer.get("access_token"), str):
                    raise unreadable(TOKEN, creates=False)
                self._token = answer["access_token"]
                self._expires = time.monotonic() + float(answer.get("expires_in", 0)) - _TOKEN_MARGIN_SECONDS
            return self._token
