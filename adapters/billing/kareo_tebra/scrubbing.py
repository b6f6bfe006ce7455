"""Texts without secrets and patient values: only members known to be harmless keep their content. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.kit.encoders import soap

REMOVED = "[removed]"
HARMLESS = frozenset(
    {
        "Active",
        "Authenticated",
        "Authorized",
        "BatchNumber",
        "CaseID",
        "CustomerKeyValid",
        "DiagnosisCode1",
        "DiagnosisCode2",
        "DiagnosisCode3",
        "DiagnosisCode4",
        "EncounterID",
        "EncounterStatus",
        "IncludeUnapprovedCharges",
        "IsError",
        "LocationID",
        "PayerScenario",
        "PaymentMethod",
        "PlaceOfServiceCode",
        "PracticeID",
        "Precedence",
        "ProcedureCode",
        "ProcedureModifier1",
        "ProcedureModifier2",
        "ProcedureModifier3",
        "ProcedureModifier4",
        "ProviderID",
        "SecurityResultSuccess",
        "Status",
        "UnitCharge",
        "Units",
        "faultcode",
        "place_of_service",
    }
)
_XML_TEXT = re.compile(r"(<(?P<end>/?)(?:\w+:)?(?P<name>\w+)[^<>]*>)(?P<text>[^<>]*[^<>\s][^<>]*)(?=<|\Z)")
_JSON_VALUE = re.compile(r'("(?P<name>\w+)"\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\Z)|-?\d[\d.eE+-]*)')
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|\b\d{1,2}/\d{1,2}/\d{4}\b"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, contents of SOAP and JSON members, dates and addresses removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REMOVED).replace(soap.escaped(secret), REMOVED)
    text = _XML_TEXT.sub(_without_text, soap.unescaped(text))
    text = _JSON_VALUE.sub(_without_value, text)
    return _LOOSE.sub(REMOVED, text)


def _without_text(match: re.Match[str]) -> str:
    harmless = not match["end"] and match["name"] in HARMLESS
    return match[0] if harmless else match[1] + REMOVED


def _without_value(match: re.Match[str]) -> str:
    return match[0] if match["name"] in HARMLESS else f'{match[1]}"{REMOVED}"'
