"""Texts without secrets and patient values. Pure.

Elements of X12 have no names that would tell which are harmless: of a segment only its name stays (all of it only for
envelopes and acknowledgments), of JSON only the members' names, and a loose text loses its dates and addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REMOVED = "[removed]"
_SEGMENT = re.compile(r"\b([A-Z][A-Z0-9]{1,2})((?:\*[^*~\r\n]*)+)(~|\Z|(?=[\r\n]))")
_KEPT = frozenset({"ST", "SE", "GS", "GE", "ISA", "IEA", "TA1", "AK1", "AK2", "AK9", "IK5", "HL", "LX", "BHT"})
_JSON_VALUE = re.compile(r'("\w+"\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\Z)|-?\d[\d.eE+-]*)')
_JSON_ITEM = re.compile(r'(?<=[\[,])\s*"(?:[^"\\]|\\.)*"(?=\s*[,\]])')
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|\b(?:19|20)\d{6}\b"
    r"|\b\d{1,2}/\d{1,2}/\d{4}\b"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, elements of X12, values of JSON, dates and addresses removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    text = _SEGMENT.sub(_without_elements, text)
    text = _JSON_VALUE.sub(lambda match: f'{match[1]}"{REMOVED}"', text)
    text = _JSON_ITEM.sub(f'"{REMOVED}"', text)
    return _LOOSE.sub(REMOVED, text)


def _without_elements(match: re.Match[str]) -> str:
    return match[0] if match[1] in _KEPT else f"{match[1]}*{REMOVED}{match[3]}"
