"""An OperationOutcome that refuses a claim: its issues as findings, in our own words (fhir_rest section 5). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.billing.fhir_claim.errors import EDIT, ISSUES, UNKNOWN_ISSUE, VENDOR, Meaning, code_at
from gateway.canonical.errors import AdapterError, ClaimRejected
from gateway.canonical.findings import Finding, error
from gateway.canonical.models import Resource

_COMMENT = re.compile(r"/\*.*?\*/\.?")  # HAPI writes Bundle.entry[0].resource/*Claim/1*/.item: it may quote an id
_ENTRY = re.compile(
    r"^(?:Parameters\.parameter\[0\]\.resource\.)?(?:Bundle\.)?entry\[(?P<index>\d+)\]\."
    r"(?:resource\.)?(?:ofType\((?P<type>\w+)\)\.)?"
)
_PLAIN = re.compile(r"[A-Z][A-Za-z]{2,40}(?:\[\d{1,3}\])?(?:\.[a-z][A-Za-z]{1,40}(?:\[(?:x|\d{1,3})\])?){0,12}")
_CODE = re.compile(r"[a-z][a-z\-]{1,29}|(?=[A-Za-z.\-]*\d)[A-Za-z0-9.\-]{1,6}")  # FHIR's words, or short with a digit


def plain_expression(expression: Any) -> str:
    """A FHIRPath that names elements only, with the claim's own entry of the Bundle as `Claim`; else `Claim`.

    Anything with a function, a string or a comment may hold a value of the patient and is not passed on.
    """
    if not isinstance(expression, str):
        return "Claim"
    found = _ENTRY.sub(_root, _COMMENT.sub(".", expression)).rstrip(".")
    return found if _PLAIN.fullmatch(found) else "Claim"


def _root(entry: re.Match[str]) -> str:
    """What an entry of the Bundle holds: the type that is named, else the claim, which comes first (index 0)."""
    if entry["type"]:
        return f"{entry['type']}."
    of_claim = entry["index"] == "0" and not entry.string[entry.end() :][:1].isupper()
    return "Claim." if of_claim else ""


def plain_code(code: Any) -> str:
    """A vendor's code that is one by its form, else an empty text: a name written in its place is not passed on."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def refused_issues(outcome: Resource | None, *, within: str) -> list[Mapping[str, Any]]:
    """The error and fatal issues of an OperationOutcome whose expression begins with `within`; else none."""
    if outcome is None or outcome.get("resourceType") != "OperationOutcome":
        return []
    issues = outcome.get("issue")
    found = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    return [
        issue
        for issue in found
        if issue.get("severity") in ("fatal", "error", None) and (not within or _where(issue).startswith(f"{within}."))
    ]


def refusal_of(operation: str, status: int, outcome: Resource | None) -> AdapterError:
    """The error of a 4xx answer: the first issue that is no mere refusal of content decides about retry."""
    issues = refused_issues(outcome, within="")
    known = [(plain_code(issue.get("code")), _where(issue)) for issue in issues]
    for code, _ in known:
        meaning = ISSUES.get(code, UNKNOWN_ISSUE)
        if meaning.error is not ClaimRejected:
            return meaning.error(VENDOR, operation, meaning.text, code=meaning.code, vendor_code=code)
    first = ISSUES.get(known[0][0], UNKNOWN_ISSUE) if known else UNKNOWN_ISSUE
    return ClaimRejected(
        VENDOR,
        operation,
        f"the server refused the claim with HTTP {status}",
        code=code_at(first, known[0][1] if known else "Claim"),
        vendor_code=",".join(dict.fromkeys(code for code, _ in known if code)) or None,
        findings=tuple(dict.fromkeys(finding_of(ISSUES.get(c, UNKNOWN_ISSUE), c, at) for c, at in known)),
    )


def finding_of(meaning: Meaning, code: str, expression: str) -> Finding:
    """A meaning at an element, as a biller reads it."""
    sentence = f"{meaning.text[:1].upper()}{meaning.text[1:]}."
    return error(f"{EDIT}-{code or 'refused'}", expression, sentence, meaning.fix)


def _where(issue: Mapping[str, Any]) -> str:
    expressions = issue.get("expression")
    return plain_expression(expressions[0] if isinstance(expressions, list) and expressions else None)
