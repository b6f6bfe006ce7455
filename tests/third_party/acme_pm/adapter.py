"""The link to Acme PM: one POST a claim, looked for by its reference after a lost answer."""

from __future__ import annotations

import re
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from acme_pm.payload import build
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle, Evidence, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.kit.billing_base import BillingBase
from gateway.kit.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.http import open_client, rate_limited, transport_errors
from gateway.ports.context import AdapterContext, Probe


class AcmeSettings(BaseModel):
    """The connection's settings in gateway.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="Address of the API.")
    key: SecretStr = Field(description="API key of the practice.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="Longest wait for one answer, in seconds.")


class AcmePm(BillingBase):
    """One clinic's link to Acme PM."""

    vendor = "acme_pm"

    def __init__(self, settings: AcmeSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._http = open_client(timeout_seconds=settings.timeout_seconds)

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """One POST."""
        answer = await self._call("POST", "/claims", payload.body, saves=True)
        return self._receipt(payload.submission_id, str(answer["id"]))

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """By reference."""
        found = (await self._call("GET", f"/claims?reference={submission_id}"))["claims"]
        return self._receipt(submission_id, str(found[0]["id"])) if found else None

    def scrub(self, text: str) -> str:
        """Everything in quotation marks and the key are removed."""
        text = text.replace(self._settings.key.get_secret_value(), "[removed]")
        return re.sub(r'"(?:[^"\\]|\\.)*"', '"[removed]"', text)

    async def probe(self) -> list[Probe]:
        """Ask for nothing in particular."""
        try:
            await self._call("GET", "/claims?reference=none")
        except AdapterError as problem:
            return [Probe("call Acme PM", False, problem.text, "Check the address and the key.")]
        return [Probe("call Acme PM", True)]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: bytes | None = None, *, saves: bool = False) -> dict[str, Any]:
        operation = f"{method} /claims"
        headers = {"x-api-key": self._settings.key.get_secret_value()}
        with transport_errors(self.vendor, operation, may_have_saved=saves):
            response = await self._http.request(method, self._settings.url + path, content=body, headers=headers)
        self._refuse(operation, response, saves)
        try:
            answer: dict[str, Any] = jsonio.loads(response.content)
            return answer
        except jsonio.NotJson:
            lost = OutcomeUnknown if saves else UnexpectedResponse
            raise lost(self.vendor, operation, "the answer cannot be read") from None

    def _refuse(self, operation: str, response: httpx.Response, saves: bool) -> None:
        if response.status_code == 401:
            raise CredentialsRejected(self.vendor, operation, "the key is not accepted")
        if response.status_code == 429:
            raise rate_limited(self.vendor, operation, response)
        if response.status_code == 422:
            raise ClaimRejected(self.vendor, operation, "Acme refuses the claim", code=ErrorCode.OTHER)
        if response.status_code >= 500:
            lost = OutcomeUnknown if saves else VendorUnavailable
            raise lost(self.vendor, operation, "Acme failed", code=ErrorCode.UNAVAILABLE)

    def _receipt(self, submission_id: str, claim_id: str) -> SubmissionReceipt:
        evidence = Evidence(SubmissionState.RECEIVED, f"claim {claim_id}", self._context.now())
        return SubmissionReceipt(submission_id, evidence, {"id": claim_id})
