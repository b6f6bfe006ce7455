"""Claim.MD: 837P files over its API, found again by their names (section 8)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from adapters.billing.x12_837p.api import Api, unreadable
from adapters.billing.x12_837p.delivery import CONTROL_NUMBER, FILE
from adapters.billing.x12_837p.errors import CLAIM_MD_WORDS, VENDOR
from adapters.billing.x12_837p.json_replies import claim_md_claims, claim_md_error, claim_md_result, dicts
from adapters.billing.x12_837p.settings import ClaimMdSettings, X12Settings
from gateway.canonical import jsonio
from gateway.canonical.errors import AdapterError, ClaimRejected, ErrorCode, OutcomeUnknown, UnexpectedResponse
from gateway.canonical.models import Evidence, InboundMessage, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.ports.context import AdapterContext, Probe

UPLOAD, LIST, RESPONSE = "upload", "uploadlist", "response"
FILE_ID = "FileID"
CURSOR = "claim_md/last_responseid"
CALLS, WINDOW_SECONDS = 100, 60.0
MOST_PAGES = 50
_MISCOUNT = "Claim.MD holds another number of claims than the batch has: compare its file with the batch"
_NAME = re.compile(r"response-\d+-(\d+)")


class ClaimMdDelivery:
    """One account. A repeated upload is a second one, so a lost answer is looked for by file name."""

    repeatable_seconds = 0.0

    def __init__(self, account: ClaimMdSettings, settings: X12Settings, context: AdapterContext) -> None:
        self._base, self._key = account.base_url, account.account_key.get_secret_value()
        self._context = context
        self._api = Api(settings.timeout_seconds)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Upload the interchange; the answer counts its claims."""
        name = payload.fields["file"]
        answer = await self._call(
            UPLOAD, {"Filename": name}, files={"File": (name, payload.body, "application/octet-stream")}
        )
        claims = claim_md_claims(answer)
        if claims is None:
            raise unreadable(UPLOAD, creates=True)
        if len(claims) != payload.fields["claims"]:
            raise OutcomeUnknown(VENDOR, UPLOAD, _MISCOUNT, code=ErrorCode.UNEXPECTED_RESPONSE)
        file_id = next((str(c["fileid"]) for c in claims if c.get("fileid")), "")
        return self._receipt(payload.submission_id, payload, file_id)

    async def find(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look through the list of uploads for the file's name; one that holds too few claims is for a person."""
        seen: set[str] = set()
        for page in range(1, MOST_PAGES + 1):
            answer = await self._call(LIST, {"Page": str(page)})
            files = {str(file.get("fileid", "")): file for file in dicts(claim_md_result(answer).get("file"))}
            for file_id, file in files.items():
                if file.get("filename") == payload.fields["file"]:
                    if str(file.get("claims", payload.fields["claims"])) != str(payload.fields["claims"]):
                        raise UnexpectedResponse(VENDOR, LIST, _MISCOUNT)
                    return self._receipt(submission_id, payload, file_id)
            if files.keys() <= seen:  # the last page, or one that is the same whatever is asked for
                break
            seen |= files.keys()
        return None

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The pages of responses behind the cursor; `discard` moves it."""
        cursor = (await self._context.shared.get(CURSOR) or b"0").decode()
        while True:
            answer = await self._call(RESPONSE, {"ResponseID": cursor})
            last = str(claim_md_result(answer).get("last_responseid", cursor))
            if not claim_md_claims(answer) or not last.isdigit() or int(last) <= int(cursor):
                return
            yield InboundMessage(f"response-{cursor}-{last}", jsonio.dumps(answer))
            cursor = last

    async def discard(self, message: InboundMessage) -> None:
        """Move the cursor behind the page, never back."""
        match = _NAME.fullmatch(message.name)
        kept = int((await self._context.shared.get(CURSOR) or b"0").decode())
        if match and int(match[1]) > kept:
            await self._context.shared.put(CURSOR, match[1].encode())

    async def probe(self) -> list[Probe]:
        """Read the list of uploads."""
        await self._call(LIST, {"Page": "1"})
        return [Probe("read Claim.MD's list of uploads", True)]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._api.aclose()

    async def _call(self, service: str, form: Mapping[str, str], **arguments: Any) -> dict[str, Any]:
        await self._context.pacer.spend("claim_md", CALLS, WINDOW_SECONDS)
        url = f"{self._base}/services/{service}/"
        data = {"AccountKey": self._key, **form}  # the key has to come first
        headers = {"Accept": "application/json"}
        answer = await self._api.call(
            service, "POST", url, creates=service == UPLOAD, data=data, headers=headers, **arguments
        )
        problem = claim_md_error(answer)
        if problem is not None:
            raise _refusal(service, *problem)
        return answer

    def _receipt(self, submission_id: str, payload: VendorPayload, file_id: str) -> SubmissionReceipt:
        evidence = Evidence(SubmissionState.RECEIVED, f"Claim.MD file {file_id}", self._context.now())
        ids = {CONTROL_NUMBER: payload.body[90:99].decode(), FILE: payload.fields["file"], FILE_ID: file_id}
        return SubmissionReceipt(submission_id, evidence, {name: value for name, value in ids.items() if value})


def _refusal(service: str, code: str, text: str) -> AdapterError:
    """An error answer, which comes with HTTP 200. Claim.MD's own text is not passed on, only judged without a code."""
    for pattern, meaning in CLAIM_MD_WORDS:
        if re.search(pattern, code or text, re.IGNORECASE):
            return meaning.error(VENDOR, service, meaning.text, code=meaning.code)
    error = ClaimRejected if service == UPLOAD else UnexpectedResponse
    return error(VENDOR, service, "Claim.MD refuses the request", code=ErrorCode.OTHER)
