"""Stedi's and Optum's JSON answers and reports, and Claim.MD's responses (sections 6 to 8). Pure.

Members are looked for tolerantly, because no complete description of the answers is public; what is missing lowers the
state that is proved, and never invents one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from adapters.billing.x12_837p.errors import CLAIM_MD_FIELDS, VENDOR
from adapters.billing.x12_837p.findings import code_word, note, status_finding
from adapters.billing.x12_837p.statuses import CLEARINGHOUSE_CLAIM_NUMBER, Status, standing, told
from gateway.canonical.errors import UnexpectedResponse
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimOutcome, Evidence, SubmissionState

_STATUS = re.compile(r"([A-Z]\d):(\d{1,3})(?::(\w{2}))?")
_EDIT_FIX = "Look the code up in the clearinghouse's list of edits, and correct the element."
_LETTERS: Mapping[str, SubmissionState] = {
    "A": SubmissionState.RECEIVED,
    "F": SubmissionState.RECEIVED,
    "D": SubmissionState.ACCEPTED,
    "P": SubmissionState.ACCEPTED,
    "R": SubmissionState.REJECTED,
}
"""Claim.MD's status letters (section 8); an unknown one proves no more than that the claim was sent."""
_DENIED = note("claimmd-denied", "The payer denied the claim.", "Read the remittance for the reason.")


def outcomes(document: Any, seen_at: datetime) -> list[ClaimOutcome]:
    """The outcomes of a JSON message; raises `UnexpectedResponse` when it is none that is known."""
    if isinstance(document, dict):
        if "transactions" in document:
            return list(_report_outcomes(document, seen_at))
        claims = claim_md_claims(document)
        if claims is not None:
            return [_claim_md_outcome(claim, seen_at) for claim in claims]
    raise UnexpectedResponse(VENDOR, "parse_outcome", "the message is JSON, but no report that the gateway knows")


# --- Stedi and Optum ---------------------------------------------------------------------------------------------


def edit_findings(document: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of an answer's `errors` and `editResponses`: their codes and places, never their values or texts."""
    found = [_edit(entry) for entry in dicts(document.get("errors"))]
    found += [_edit(entry) for entry in dicts(document.get("editResponses"))]
    return tuple(dict.fromkeys(found))


def _edit(entry: Mapping[str, Any]) -> Finding:
    status = status_in(entry.get("location"))
    if status is not None:
        return status
    code = code_word(entry.get("code") or entry.get("segment"), "other")
    member = str(entry.get("field") or entry.get("location") or "").rpartition(".")[2]
    where = _JSON_PLACES.get(member, "Claim")
    return error(f"edit-{code}", where, "The clearinghouse's edits refuse this element.", _EDIT_FIX)


_JSON_PLACES: Mapping[str, str] = {
    "memberId": "Claim.insurance.coverage.subscriberId",
    "tradingPartnerServiceId": "Claim.insurance.coverage.payor",
    "npi": "Claim.careTeam.provider",
    "employerId": "Claim.provider",
    "postalCode": "Claim.patient.address.postalCode",
    "dateOfBirth": "Claim.patient.birthDate",
    "diagnosisCode": "Claim.diagnosis",
    "procedureCode": "Claim.item.productOrService",
    "procedureModifiers": "Claim.item.modifier",
    "claimChargeAmount": "Claim.total",
    "serviceDate": "Claim.item.serviced",
    "claimControlNumber": "Claim.related.reference.value",
    "claimFilingCode": "Claim.insurance.coverage.type",
    "diagnosisCodePointers": "Claim.item.diagnosisSequence",
}


def submission_ids(document: Mapping[str, Any]) -> dict[str, str]:
    """The vendor's identifiers of an accepted claim, by our names; empty when the answer holds none."""
    reference = document.get("claimReference")
    reference = reference if isinstance(reference, dict) else {}
    found = {
        "CorrelationID": reference.get("correlationId"),
        "RhClaimNumber": reference.get("rhclaimNumber"),
        "ControlNumber": document.get("controlNumber"),
    }
    return {name: str(value) for name, value in found.items() if value}


def _report_outcomes(document: Mapping[str, Any], seen_at: datetime) -> Iterator[ClaimOutcome]:
    """A 277 as JSON; an 835 has no payers and gives nothing."""
    for transaction in dicts(document.get("transactions")):
        for payer in dicts(transaction.get("payers")):
            by_payer = payer.get("entityIdentifierCode") == "PR" or bool(payer.get("payerIdentification"))
            for claim in _claim_statuses(payer):
                yield from _claim_outcome(claim, by_payer, seen_at)


def _claim_statuses(payer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for transaction in dicts(payer.get("claimStatusTransactions")):
        for detail in dicts(transaction.get("claimStatusDetails")):
            for patient in dicts(detail.get("patientClaimStatusDetails")):
                for claim in dicts(patient.get("claims")):
                    if isinstance(claim.get("claimStatus"), dict):
                        yield claim["claimStatus"]


def _claim_outcome(claim: Mapping[str, Any], by_payer: bool, seen_at: datetime) -> Iterator[ClaimOutcome]:
    statuses = [
        Status(
            str(status.get("healthCareClaimStatusCategoryCode", "")),
            str(status.get("statusCode", "")),
            str(status.get("entityIdentifierCode", "")),
        )
        for group in dicts(claim.get("informationClaimStatuses"))
        for status in dicts(group.get("informationStatuses"))
    ]
    account = str(claim.get("patientAccountNumber") or "")
    if not account or not statuses:
        return
    state, findings = standing(statuses, by_payer=by_payer)
    evidence = Evidence(state, f"277CA {'payer' if by_payer else 'clearinghouse'} {told(statuses)}", seen_at)
    ids = {
        PAYER_CLAIM_CONTROL_NUMBER: claim.get("tradingPartnerClaimNumber"),
        CLEARINGHOUSE_CLAIM_NUMBER: claim.get("clearinghouseTraceNumber"),
    }
    vendor_ids = {name: str(value) for name, value in ids.items() if value}
    yield ClaimOutcome("", evidence, findings, account_number=account, vendor_ids=vendor_ids)


# --- Claim.MD ----------------------------------------------------------------------------------------------------


def claim_md_result(document: Any) -> Mapping[str, Any]:
    """The answer without its frame: some services wrap it in `result`."""
    if not isinstance(document, dict):
        return {}
    inner = document.get("result")
    return inner if isinstance(inner, dict) else document


def claim_md_claims(document: Any) -> list[Mapping[str, Any]] | None:
    """The claims of an upload's or a response's answer, or None when it is neither."""
    result = claim_md_result(document)
    if "claim" not in result and "last_responseid" not in result:
        return None
    return list(dicts(result.get("claim")))


def claim_md_error(document: Any) -> tuple[str, str] | None:
    """(code, text) of an error answer, which comes with HTTP 200; the text is only for matching."""
    entry = claim_md_result(document).get("error")
    if entry is None:
        return None
    first = next(dicts(entry), {})
    return str(first.get("error_code", "")), str(first.get("error_mesg", ""))


def _claim_md_outcome(claim: Mapping[str, Any], seen_at: datetime) -> ClaimOutcome:
    letter = str(claim.get("status", ""))
    state = _LETTERS.get(letter, SubmissionState.SENT)
    evidence = Evidence(
        state, f"Claim.MD claim {code_word(claim.get('claimid'), longest=40)} {code_word(letter)}", seen_at
    )
    findings: tuple[Finding, ...] = ()
    if state is SubmissionState.REJECTED:
        messages = [m for m in dicts(claim.get("messages")) if str(m.get("status", letter)) == letter]
        findings = tuple(dict.fromkeys(_claim_md_finding(m) for m in messages)) or (_claim_md_finding({}),)
    elif letter == "D":
        findings = (_DENIED,)
    ids = {CLEARINGHOUSE_CLAIM_NUMBER: claim.get("claimid"), PAYER_CLAIM_CONTROL_NUMBER: claim.get("sender_icn")}
    return ClaimOutcome(
        str(claim.get("remote_claimid") or ""),
        evidence,
        findings,
        account_number=str(claim.get("pcn") or ""),
        vendor_ids={name: str(value) for name, value in ids.items() if value},
    )


def _claim_md_finding(message: Mapping[str, Any]) -> Finding:
    status = status_in(message.get("mesgid"))
    if status is not None:
        return status
    name = str(message.get("fields") or "").split(",")[0].strip().rstrip("0123456789").rstrip("_")
    where = CLAIM_MD_FIELDS.get(name, "Claim")
    return error(
        f"claimmd-{code_word(message.get('mesgid'), 'R')}",
        where,
        "Claim.MD or the payer refuses this claim.",
        _EDIT_FIX,
    )


def status_in(text: Any) -> Finding | None:
    """The finding of a claim status that is written like an STC01 ("A7:164:IL"), as some edits give it."""
    match = _STATUS.fullmatch(str(text or ""))
    return status_finding(match[1], match[2], match[3] or "") if match else None


def dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, or the single object where XML turned JSON gives one."""
    entries = value if isinstance(value, list) else [value]
    yield from (entry for entry in entries if isinstance(entry, dict))
