"""What Stedi and Optum share: the answer to a submission (sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.billing.x12_837p.api import unreadable
from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.json_replies import edit_findings, submission_ids
from adapters.billing.x12_837p.replies import parse
from gateway.canonical.errors import ClaimRejected, UnexpectedResponse
from gateway.canonical.findings import Finding
from gateway.canonical.models import Evidence, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.ports.context import AdapterContext

SUBMISSION, REPORT = "submission", "report"
SUBMISSION_PATH = "medicalnetwork/professionalclaims/v3/submission"
REPORTS_PATH = "medicalnetwork/reports/v2"
REMEMBERED = 1000
"""So many ids of reports that were read are kept."""


def receipt_of(answer: Mapping[str, Any], payload: VendorPayload, context: AdapterContext) -> SubmissionReceipt:
    """The receipt of an accepted claim; raises when the answer refuses it or names no claim.

    Stedi's answer may hold its own 277CA: a refusal in there counts as one of the whole request. Edits beside a
    success are hints: the claim is on its way.
    """
    findings = _acknowledged(answer, context)
    if answer.get("status") != "SUCCESS":
        findings += edit_findings(answer)
    if findings:
        text = "the clearinghouse's edits refuse the claim"
        raise ClaimRejected(VENDOR, SUBMISSION, text, findings=findings)
    ids = submission_ids(answer)
    if not ids:
        raise unreadable(SUBMISSION, creates=True)
    evidence = Evidence(SubmissionState.RECEIVED, f"claim {next(iter(ids.values()))}", context.now())
    return SubmissionReceipt(payload.submission_id, evidence, ids)


def _acknowledged(answer: Mapping[str, Any], context: AdapterContext) -> tuple[Finding, ...]:
    inside = answer.get("x12")
    if not isinstance(inside, str) or not inside.strip():
        return ()
    try:
        outcomes = parse(inside.encode(), context.now())
    except UnexpectedResponse:  # it is only an extra: the answer itself has told that the claim was taken
        return ()
    return tuple(f for o in outcomes if o.evidence.state is SubmissionState.REJECTED for f in o.findings)
