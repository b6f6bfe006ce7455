"""Texts without secrets and patient values: a described vendor's members are not known, so no value is kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

REMOVED = "[removed]"
_JSON_VALUE = re.compile(r'((?:^|[:\[,])\s*)("(?:[^"\\]|\\.)*(?:"|\Z)(?!\s*:)|-?\d[\d.eE+-]*)')
_XML_TEXT = re.compile(r"(<[^<>]*>)([^<>]*[^<>\s][^<>]*)(?=<|\Z)")
_XML_ATTRIBUTE = re.compile(r"""(\s[\w:.-]+=)("[^"<>]*"|'[^'<>]*')""")
_FORM_VALUE = re.compile(r"((?:^|[&?\s])[^=&\s<>\"]+=)([^&\s\"<>]+)")
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|\b\d{1,2}/\d{1,2}/\d{4}\b"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, the values of JSON, XML and forms, dates and addresses removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for written in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(written, REMOVED)
    text = _JSON_VALUE.sub(rf'\1"{REMOVED}"', text)
    text = _XML_ATTRIBUTE.sub(rf'\1"{REMOVED}"', text)
    text = _XML_TEXT.sub(rf"\1{REMOVED}", text)
    text = _FORM_VALUE.sub(rf"\1{REMOVED}", text)
    return _LOOSE.sub(REMOVED, text)
