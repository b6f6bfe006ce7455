"""What a ClaimResponse proves about a claim (R4 ClaimResponse; remittance-outcome). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.billing.fhir_claim.errors import ADJUDICATION_ERRORS, EDIT, UNKNOWN_ERROR, code_at
from adapters.billing.fhir_claim.refusals import finding_of, plain_code, plain_expression
from gateway.canonical.errors import ErrorCode
from gateway.canonical.findings import Finding, Severity, warning
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, Resource, SubmissionState
from gateway.canonical.tolerant import first, objects, text
from gateway.kit.ehr_references import is_vendor_id, local_reference

_WORDS = {
    "queued": SubmissionState.RECEIVED,
    "partial": SubmissionState.RECEIVED,
    "complete": SubmissionState.ACCEPTED,
    "error": SubmissionState.REJECTED,
}
"""`ClaimResponse.outcome`; an unknown word proves no more than that the server answered."""
_PAYER_NUMBER_TYPES = frozenset({"FILL", "uc"})  # v2-0203 filler id; C4BBIdentifierType unique claim id
_OWN_SYSTEMS = "urn:fhir-billing-gateway:"
_PAID_CATEGORY = "benefit"
_ERROR_PATH = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-errorPath"
_MAX_NUMBER = 80

_PARTIAL = warning(
    f"{EDIT}-partial",
    "Claim",
    "The payer has processed this claim in part.",
    "Look at the claim in the billing system; the answer is asked for again.",
)
_NOT_IN_FORCE = warning(
    f"{EDIT}-response-status",
    "Claim",
    "The payer's answer is not in force: it was withdrawn, or is a draft.",
    "Wait for another answer, or ask the payer.",
)
_ANOTHER_USE = warning(
    f"{EDIT}-response-use",
    "Claim.use",
    "The payer answered as if this were a request for authorization, not a claim.",
    "Ask the billing system's operator.",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a claim stands: its state, the words that prove it (no PHI), ids that the server gave, what to tell."""

    state: SubmissionState
    reference: str
    vendor_ids: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    code: ErrorCode = ErrorCode.OTHER
    vendor_codes: tuple[str, ...] = ()


def standing(response: Resource, base_url: str) -> Standing | None:
    """What a ClaimResponse proves; None when it has neither an id nor a refusal, and so proves nothing."""
    identity = str(response.get("id", ""))
    word = str(response.get("outcome", ""))
    state = _WORDS.get(word, SubmissionState.RECEIVED)
    ids = _vendor_ids(response, identity, base_url)
    if not ids.keys() & {"Claim", "ClaimResponse"} and state is not SubmissionState.REJECTED:
        return None
    doubts = _doubts(response)
    if doubts:
        state = SubmissionState.RECEIVED
    elif state is SubmissionState.ACCEPTED and _says_what_is_paid(response):
        state = SubmissionState.ADJUDICATED
    errors = _errors(response)
    rejected = state is SubmissionState.REJECTED
    findings = tuple(e.finding if rejected else _as_warning(e.finding) for e in errors)
    if word == "partial":
        findings = (_PARTIAL, *findings)
    if rejected and not findings:
        findings = (finding_of(UNKNOWN_ERROR, "", "Claim"),)
    named = f"ClaimResponse/{ids['ClaimResponse']}" if "ClaimResponse" in ids else "ClaimResponse"
    return Standing(
        state,
        f"{named} {word if word in _WORDS else 'of unknown outcome'}",
        ids,
        tuple(dict.fromkeys((*doubts, *findings))),
        errors[0].code if errors else ErrorCode.OTHER,
        tuple(e.vendor_code for e in errors),
    )


def _doubts(response: Resource) -> tuple[Finding, ...]:
    """Why an answer proves less than its outcome says; a refusal is one whatever it thought to refuse."""
    doubts = []
    if response.get("status", "active") != "active":
        doubts.append(_NOT_IN_FORCE)
    if response.get("use", "claim") != "claim" and response.get("outcome") != "error":
        doubts.append(_ANOTHER_USE)
    return tuple(doubts)


def _says_what_is_paid(response: Resource) -> bool:
    """Whether a payment, or the benefit of the whole claim, is stated; a sum of the lines alone is none."""
    benefits = (total for _, total in objects(response, "total") if _code(total, "category") == _PAID_CATEGORY)
    return any("value" in first(paid, "amount") for paid in (first(response, "payment"), *benefits))


def _vendor_ids(response: Resource, identity: str, base_url: str) -> dict[str, str]:
    claim = local_reference(first(response, "request").get("reference"), base_url) or ""
    found = {
        "Claim": claim.removeprefix("Claim/") if claim.startswith("Claim/") else "",
        "ClaimResponse": identity if is_vendor_id(identity) else "",
        "PreAuthRef": _number(response.get("preAuthRef")),
        PAYER_CLAIM_CONTROL_NUMBER: _payer_number(response),
    }
    return {name: value for name, value in found.items() if value}


def _payer_number(response: Resource) -> str:
    """The payer's number of the claim: an identifier typed as such, else the first that is not the gateway's own."""
    identifiers = [identifier for _, identifier in objects(response, "identifier")]
    typed = [i for i in identifiers if _code(i, "type") in _PAYER_NUMBER_TYPES]
    others = [i for i in identifiers if not str(i.get("system", "")).startswith(_OWN_SYSTEMS)]
    return next((number for i in (*typed, *others) if (number := _number(i.get("value")))), "")


def _number(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _MAX_NUMBER else ""


@dataclass(frozen=True, slots=True)
class _Refused:
    finding: Finding
    code: ErrorCode
    vendor_code: str


def _errors(response: Resource) -> list[_Refused]:
    return [_refused(error) for _, error in objects(response, "error")]


def _refused(error: Mapping[str, Any]) -> _Refused:
    code = plain_code(_code(error, "code"))
    meaning, where = ADJUDICATION_ERRORS.get(code, UNKNOWN_ERROR), _place(error)
    return _Refused(finding_of(meaning, code, where), code_at(meaning, where), code)


def _place(error: Mapping[str, Any]) -> str:
    """The element by its sequence numbers (item 2, detail 1 is `Claim.item[1].detail[0]`), else by PAS's errorPath."""
    path = "Claim"
    for name, member in (("itemSequence", "item"), ("detailSequence", "detail"), ("subDetailSequence", "subDetail")):
        sequence = error.get(name)
        if not isinstance(sequence, int) or sequence < 1:
            break
        path += f".{member}[{sequence - 1}]"
    if path != "Claim":
        return path
    named = (e.get("valueString") for _, e in objects(error, "extension") if e.get("url") == _ERROR_PATH)
    return plain_expression(next(named, None))


def _as_warning(finding: Finding) -> Finding:
    return Finding(finding.edit, Severity.WARNING, finding.expression, finding.message, finding.fix)


def _code(parent: object, name: str) -> str:
    """The first code of a CodeableConcept member, or an empty text."""
    return next((code for _, coding in objects(first(parent, name), "coding") if (code := text(coding, "code"))), "")
