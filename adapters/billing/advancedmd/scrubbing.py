"""Texts without secrets and patient values: only members known to be harmless keep their content. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

REMOVED = "[removed]"
HARMLESS = frozenset(
    {
        "action",
        "approval",
        "billins",
        "chargecount",
        "charges",
        "class",
        "code",
        "codeset",
        "coverage",
        "diagcodes",
        "facility",
        "fee",
        "finclasscode",
        "force",
        "hipaarelationship",
        "insorder",
        "modcodes",
        "npi",
        "pos",
        "proccode",
        "profile",
        "relationship",
        "success",
        "totalfee",
        "units",
        "visit",
    }
)
_XML_ATTRIBUTE = re.compile(
    r"\b(?P<name>[\w:-]+)\s*=\s*(?P<quote>[\"'])(?:(?!(?P=quote)).)*(?:(?P=quote)|\Z)", re.DOTALL
)
_XML_TEXT = re.compile(r"(<[^<>/]*>)[^<>]*[^<>\s][^<>]*(?=<|\Z)")
_JSON_VALUE = re.compile(r'("@?#?(?P<name>\w+)"\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\Z)|-?\d[\d.eE+-]*)')
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|\b\d{1,2}/\d{1,2}/\d{4}\b"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, contents of XML and JSON members, dates and addresses removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REMOVED).replace(html.escape(secret), REMOVED)
    text = _XML_ATTRIBUTE.sub(_without_attribute, text)
    text = _XML_TEXT.sub(rf"\g<1>{REMOVED}", text)
    text = _JSON_VALUE.sub(_without_value, text)
    return _LOOSE.sub(REMOVED, text)


def _without_attribute(match: re.Match[str]) -> str:
    return match[0] if match["name"] in HARMLESS else f'{match["name"]}="{REMOVED}"'


def _without_value(match: re.Match[str]) -> str:
    return match[0] if match["name"] in HARMLESS else f'{match[1]}"{REMOVED}"'
