"""The payer behind the server: its answers to claims, and how they move on (R4 ClaimResponse)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from adapters.billing.fhir_claim.simulator.refused import Resource
from adapters.billing.fhir_claim.simulator.store import Store, now, submission_of
from gateway.canonical.codes import IDENTIFIER_TYPE, THO, concept
from gateway.kit.simulator_app import ControlRefused

REJECT_REASONS = "https://codesystem.x12.org/005010/901"
ADJUDICATION = f"{THO}/adjudication"
PAID_SHARE = Decimal("0.8")
STEPS = ("queued", "partial", "complete", "paid", "denied", "error")


def answer_to(claim: Resource, reference: str, outcome: str, errors: Sequence[dict[str, Any]] = ()) -> Resource:
    """A ClaimResponse; with `errors` ({code, itemSequence?, detailSequence?}) its outcome is error."""
    identifiers = claim.get("identifier", ())
    answer: Resource = {
        "resourceType": "ClaimResponse",
        "status": "active",
        "type": claim["type"],
        "use": claim["use"],
        "patient": claim["patient"],
        "created": now(),
        "insurer": claim.get("insurer", {"display": "unknown"}),
        "requestor": claim["provider"],
        "request": {"reference": reference, "identifier": identifiers[-1]} if identifiers else {"reference": reference},
        "outcome": "error" if errors else outcome,
    }
    if errors:
        answer["error"] = [{**error, "code": concept(REJECT_REASONS, error["code"])} for error in errors]
    return answer


def advance(store: Store, body: dict[str, Any]) -> int:
    """Move claims on: `to` one of `STEPS`, `submission_id` (default: all), `errors`, `again` (a new ClaimResponse).

    Returns how many answers were changed.
    """
    step, wanted = body.get("to", "complete"), body.get("submission_id")
    if step not in STEPS:
        raise ControlRefused(f"`to` must be one of {', '.join(STEPS)}")
    claims = [claim for claim in store.all("Claim") if wanted in (None, submission_of(claim))]
    for claim in claims:
        reference = f"Claim/{claim['id']}"
        answers = [r for r in store.all("ClaimResponse") if r["request"]["reference"] == reference]
        identity = store.new_id() if body.get("again") else answers[-1]["id"]
        store.save(_moved(claim, reference, step, body.get("errors", [{"code": "33"}])), identity)
    return len(claims)


def _moved(claim: Resource, reference: str, step: str, errors: list[dict[str, Any]]) -> Resource:
    if step == "error":
        return answer_to(claim, reference, step, errors)
    outcome = step if step in ("queued", "partial") else "complete"
    answer = answer_to(claim, reference, outcome)
    if step == "queued":
        return answer
    answer["identifier"] = [{"type": concept(IDENTIFIER_TYPE, "FILL"), "value": f"PCN{claim['id']}"}]
    answer["disposition"] = "Processed."
    return {**answer, **_amounts(claim, step)} if step in ("paid", "denied") else answer


def _amounts(claim: Resource, step: str) -> Resource:
    charged = Decimal(str(claim["total"]["value"]))
    benefit = (charged * (PAID_SHARE if step == "paid" else 0)).quantize(Decimal("0.01"))
    amounts: Resource = {
        "total": [
            {"category": concept(ADJUDICATION, "submitted"), "amount": _usd(charged)},
            {"category": concept(ADJUDICATION, "benefit"), "amount": _usd(benefit)},
        ]
    }
    if step == "paid":
        amounts["payment"] = {"type": concept(f"{THO}/ex-paymenttype", "complete"), "amount": _usd(benefit)}
    return amounts


def _usd(value: Decimal) -> Resource:
    return {"value": value, "currency": "USD"}
