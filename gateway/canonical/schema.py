"""FHIR R4 structure: every issue of `fhirkit` as a finding in our own words.

The words are ours because fhirkit quotes the offending value ('"..." is not a valid date'), and a value of a patient
must not reach a log. Only element names and type names of the FHIR specification pass through.
"""

from __future__ import annotations

import re
from typing import Any

import fhirkit

from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import Finding, error

EDIT = "r4-schema"

_KINDS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), message, fix)
    for pattern, message, fix in (
        (r"required element missing", "An element that FHIR R4 requires is missing.", "Supply the element."),
        (r"unknown element", "FHIR R4 has no such element here.", "Remove the element or correct its name."),
        (
            r"expected (a string|an object|an array|a number|a whole number|true or false|a single value), found.*",
            "FHIR R4 expects {0} here.",
            "Correct the type of the element.",
        ),
        (
            r"an empty \w+ is not allowed.*",
            "The element is empty; FHIR R4 leaves an element out instead.",
            "Fill the element or leave it out.",
        ),
        (
            r"null .*",
            "The element is null; FHIR R4 leaves an element out instead.",
            "Fill the element or leave it out.",
        ),
        (
            r"only one type may be given.*",
            "The element is given in several types; only one is allowed.",
            "Keep one of them.",
        ),
        (r"has \d+ entries but .*", "The element and its extensions do not line up.", "Give both the same length."),
        (
            r"a resource needs a resourceType",
            "This is no FHIR resource: it has no resource type.",
            "Send a FHIR R4 resource.",
        ),
        (r".*is not a FHIR R4 resource type.*", "FHIR R4 has no such resource type.", "Send a FHIR R4 resource."),
        (r".*is outside the 32-bit range.*", "The number is too large for FHIR R4.", "Correct the number."),
        (r".*is not a positiveInt \(1 or more\)", "The number must be 1 or more.", "Correct the number."),
        (r".*is not an unsignedInt \(0 or more\)", "The number must be 0 or more.", "Correct the number."),
        (
            r".*is not a (?:valid|FHIR) (base64Binary|canonical|code|date|dateTime|decimal|id|instant|integer|"
            r"markdown|oid|string|time|uri|url|uuid)",
            "The value has not the form of a FHIR R4 {0}.",
            "Correct the value.",
        ),
    )
)


def check(resource: Any) -> list[Finding]:
    """Every structural issue of a resource; one finding about the whole when it cannot be read at all."""
    try:
        issues: list[Any] = fhirkit.validate(resource)
    except (ValueError, TypeError):  # not JSON: NaN, a date object, a number as a key, or nested beyond all sense
        return [error(EDIT, "Resource", "This cannot be read as a FHIR resource.", "Send a FHIR R4 resource as JSON.")]
    return [_finding(issue.path, issue.message) for issue in issues]


def readable(findings: list[Finding]) -> bool:
    """Whether the resource could be read, so that the other checks make sense."""
    return not any(finding.expression == "Resource" for finding in findings)


def _finding(path: str, message: str) -> Finding:
    for pattern, sentence, fix in _KINDS:
        match = pattern.fullmatch(message)
        if match:
            return error(EDIT, expression_of(path), sentence.format(*match.groups()), fix)
    return error(EDIT, expression_of(path), "The element is not valid FHIR R4.", "Correct the element.")
