"""Claim.MD's services (section 8): form fields in, XML or JSON out, errors with HTTP 200."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from lxml import etree
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.billing.x12_837p.simulator.account import Event
from adapters.billing.x12_837p.simulator.endpoint import Endpoint, Manners, answer
from adapters.billing.x12_837p.simulator.forms import fields_of
from adapters.billing.x12_837p.simulator.reports import events_of

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

VENDOR = "claim_md"
RECEIVER = "CLAIMMD"
_MOST_CLAIMS = 2000
_PAGE = 20_000
Result = dict[str, Any]
"""Members are attributes, lists of dictionaries are child elements."""
Service = Callable[[Mapping[str, str]], Awaitable[Result]]


def _error(code: str, text: str) -> Result:
    return {"error": {"error_code": code, "error_mesg": text}}


MANNERS = Manners(
    throttled=lambda: answer(_error("TOO_MANY_REQUESTS", "Too many requests"), 429),
    unauthorized=lambda: answer(_error("INVALID_ACCOUNTKEY", "Invalid Account Key")),
    broken=lambda: Response("<html><body>Internal Server Error</body></html>", 500, media_type="text/html"),
    most=100,
    window=60.0,
)


class ClaimMd:
    """The services over one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """All services."""
        services: dict[str, Service] = {
            "upload": self.upload,
            "response": self.response,
            "uploadlist": self.uploadlist,
        }
        return [self._route(name, service) for name, service in services.items()]

    def _route(self, name: str, service: Service) -> Route:
        async def called(request: Request) -> Response:
            fields = fields_of(request.headers.get("content-type", ""), await request.body())
            result = self._refusal(fields)
            if result is None:
                await asyncio.sleep(self._simulator.options.think_seconds)
                result = await service(fields)
            return _written(result, as_json="application/json" in request.headers.get("accept", ""))

        return Route(f"/services/{name}/", Endpoint(self._simulator, VENDOR, name, called, MANNERS), methods=["POST"])

    def _refusal(self, fields: Mapping[str, str]) -> Result | None:
        if next(iter(fields), "") != "AccountKey":
            return _error("MISSING_ACCOUNTKEY", "AccountKey must be the first field")
        if fields["AccountKey"] != self._simulator.credentials["claim_md_account_key"]:
            return _error("INVALID_ACCOUNTKEY", "Invalid Account Key")
        return None

    async def upload(self, fields: Mapping[str, str]) -> Result:
        """A file of claims: each that the file holds is in the reply; a repeated file is taken again."""
        simulator = self._simulator
        text, name = fields.get("File", ""), fields.get("Filename", "")
        if not text:
            return _error("MISSING_FILE", "File is missing")
        if text.count("CLM*") > _MOST_CLAIMS:
            return _error("TOO_MANY_CLAIMS", "A file has at most 2000 claims")
        answers, events = simulator.intake.take(text, VENDOR)
        if not events:
            shown = answers[-1].text if answers else "not X12"
            return _error("INVALID_FILE", f"The file could not be read: {shown}")
        file_id = str(70001 + len(simulator.uploads))
        day = f"{simulator.now():%Y-%m-%d}"
        simulator.uploads.append({"fileid": file_id, "filename": name, "uploaddate": day, "claims": str(len(events))})
        for event in events:
            event.entry.batch = file_id
        return {"claim": [_row(event) for event in events]}

    async def response(self, fields: Mapping[str, str]) -> Result:
        """What was told after a cursor; 0 is the beginning."""
        cursor = fields.get("ResponseID", "")
        if not cursor.isdigit():
            return _error("MISSING_RESPONSEID", "ResponseID is missing")
        told = [event for event in events_of(self._simulator.account, VENDOR) if event.number > int(cursor)][:_PAGE]
        last = str(told[-1].number) if told else cursor
        return {"last_responseid": last, "claim": [_row(event) for event in told]}

    async def uploadlist(self, fields: Mapping[str, str]) -> Result:
        """The uploaded files of a day, or all."""
        day = fields.get("UploadDate", "")
        return {"file": [upload for upload in self._simulator.uploads if day in ("", upload["uploaddate"])]}


def _row(event: Event) -> Result:
    entry, claim = event.entry, event.entry.claim
    rejected = any(status.rejects for status in event.statuses)
    word = "R" if rejected else "A"
    return {
        "claimid": entry.vendor_id,
        "fileid": entry.batch,
        "pcn": claim.account,
        "remote_claimid": claim.submission_id,
        "batchid": entry.batch,
        "bill_npi": claim.billing.npi,
        "payerid": claim.payer_id,
        "ins_number": claim.member_id,
        "fdos": claim.lines[0].first_day,
        "total_charge": str(claim.total),
        "status": word,
        "sender_name": claim.payer_name if event.level == "payer" else "Claim.MD",
        "sender_icn": entry.payer_control if event.level == "payer" else "",
        "messages": [
            {
                "status": word,
                "fields": "",
                "mesgid": ":".join(status.parts()),
                "message": f"{claim.patient.family}, {claim.patient.given}: {':'.join(status.parts())}",
                "responseid": str(event.number),
            }
            for status in event.statuses
        ],
    }


def _written(result: Result, *, as_json: bool) -> Response:
    if as_json:
        return answer(result)
    return Response(etree.tostring(_element("result", result)), media_type="text/xml")


def _element(name: str, members: Mapping[str, Any]) -> Any:
    element = etree.Element(name)
    for key, value in members.items():
        if isinstance(value, str):
            element.set(key, value)
        else:
            rows = value if isinstance(value, list) else [value]
            element.extend([_element(key, row) for row in rows])
    return element
