"""Submissions as JSON or as X12 in JSON: what Stedi's and Optum's APIs have in common (sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adapters.billing.x12_837p.simulator.account import Event
from adapters.billing.x12_837p.simulator.json_claims import MemberError, claim_of, member_errors
from gateway.canonical import jsonio

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

Json = dict[str, Any]
Answered = tuple[int, Json]
"""HTTP status and body."""

Submit = Callable[[Any], Answered]
"""What takes a request's JSON."""

_REMEDY = "Please Correct and Resubmit"
_TEXTS = {
    "MISSING": "A required member is missing.",
    "INVALID": "The value {value!r} of {field} is not valid.",
}


def parsed(raw: bytes) -> Any:
    """The JSON of a request; what is none is None."""
    try:
        return jsonio.loads(raw)
    except ValueError:
        return None


def submit_json(simulator: Simulator, channel: str, body: Any, submission_id: str) -> Answered:
    """Check, edit and keep one claim."""
    if not isinstance(body, dict):
        return 400, {"code": "INVALID_REQUEST", "message": "The request body is not a JSON object."}
    errors = member_errors(body)
    if errors:
        return 400, refusal(body, [_member(error) for error in errors])
    payer = simulator.account.payers.get(body["tradingPartnerServiceId"], "")
    claim = claim_of(body, payer, submission_id)
    number = str(body.get("controlNumber") or "") or f"{len(simulator.account.entries) + 1:09}"
    (event,) = simulator.account.receive([claim], channel, number)
    if not event.entry.saved:
        return 400, refusal(body, _edits(event))
    return 200, _accepted(simulator, event, number, (claim.billing.name, body["submitter"]["submitterIdentification"]))


def validate_json(simulator: Simulator, body: Any) -> Answered:
    """Only the check of the form; nothing is kept."""
    errors = member_errors(body) if isinstance(body, dict) else [MemberError("", "INVALID")]
    if errors:
        return 400, refusal(body if isinstance(body, dict) else {}, [_member(error) for error in errors])
    return 200, {"status": "SUCCESS", "claimReference": {}, "meta": _meta(simulator)}


def submit_x12(simulator: Simulator, channel: str, body: Any) -> Answered:
    """Take the interchange of `x12`; the syntax and the edits are those of files."""
    text = body.get("x12") if isinstance(body, dict) else None
    if not isinstance(text, str) or not text:
        return 400, {"code": "INVALID_REQUEST", "message": "The member x12 is missing."}
    answers, events = simulator.intake.take(text, channel)
    refused = [event for event in events if not event.entry.saved]
    if not events or refused:
        reasons = [error for event in refused for error in _edits(event)]
        syntax = {"code": "INVALID_X12", "description": "".join(a.text for a in answers), "followupAction": _REMEDY}
        return 400, refusal({}, reasons or [syntax])
    entry = events[0].entry
    report = "".join(a.text for a in answers if a.kind == "277ca")
    return 200, _success(simulator, events[0], entry.batch, report)


def refusal(body: Json, errors: list[Json]) -> Json:
    """The body of a refusal."""
    information = body.get("claimInformation")
    account = information.get("patientControlNumber", "") if isinstance(information, dict) else ""
    return {
        "status": "ERROR",
        "httpStatusCode": "400 BAD_REQUEST",
        "claimReference": {"patientControlNumber": account},
        "errors": errors,
    }


def _member(error: MemberError) -> Json:
    text = _TEXTS[error.code].format(value=error.value, field=error.field)
    shown = {"code": error.code, "field": error.field, "value": error.value, "location": error.field}
    return {**shown, "description": text, "followupAction": _REMEDY}


def _edits(event: Event) -> list[Json]:
    """What the edits found, with the vendor's habit of quoting the patient."""
    person = event.entry.claim.patient
    return [
        {
            "code": status.code,
            "description": f"Claim of {person.family}, {person.given} failed edit {':'.join(status.parts())}",
            "field": "claimInformation",
            "value": event.entry.claim.member_id,
            "location": ":".join(status.parts()),
            "followupAction": _REMEDY,
        }
        for status in event.statuses
    ]


def _accepted(simulator: Simulator, event: Event, number: str, submitter: tuple[str, str]) -> Json:
    answers = simulator.intake.reports([event], submitter)
    return _success(simulator, event, number, "".join(answer.text for answer in answers))


def _success(simulator: Simulator, event: Event, number: str, report: str) -> Json:
    claim = event.entry.claim
    return {
        "status": "SUCCESS",
        "httpStatusCode": "200 OK",
        "controlNumber": number,
        "tradingPartnerServiceId": claim.payer_id,
        "payer": {"payerId": claim.payer_id, "payerName": claim.payer_name},
        "claimReference": {
            "correlationId": event.entry.vendor_id,
            "rhclaimNumber": event.entry.vendor_id,
            "patientControlNumber": claim.account,
            "payerId": claim.payer_id,
            "formatVersion": "5010",
            "timeOfResponse": f"{simulator.now():%Y-%m-%dT%H:%M:%SZ}",
            "serviceLines": [{"lineItemControlNumber": line.control} for line in claim.lines],
        },
        "meta": _meta(simulator),
        "x12": report,
    }


def _meta(simulator: Simulator) -> Json:
    return {"traceId": f"trace-{sum(simulator.calls.values()):06}"}
