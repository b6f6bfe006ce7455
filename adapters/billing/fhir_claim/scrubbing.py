"""Texts without secrets and patient values: only JSON members known to be harmless keep their content. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.canonical import jsonio

REMOVED = "[removed]"
HARMLESS = frozenset(
    {
        "currency",
        "detailSequence",
        "diagnosisSequence",
        "expression",
        "focal",
        "fullUrl",
        "itemSequence",
        "lastUpdated",
        "method",
        "outcome",
        "profile",
        "relation",
        "resourceType",
        "sequence",
        "severity",
        "status",
        "system",
        "type",
        "use",
        "versionId",
    }
)
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*)(?:"(?P<name>\s*:)?|\Z)'  # a string; with a colon behind it, a member's name
    r"|(?<=[:\[,\s])(?P<number>-?\d[\d.eE+\-]*)(?=\s*[,\]}])"
)
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
    r"|(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{8,})"  # credentials of any connection
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, contents of JSON members, dates and telephone numbers removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for written in (secret, jsonio.dumps(secret).decode()[1:-1]):
            text = text.replace(written, REMOVED)
    return _LOOSE.sub(REMOVED, _without_values(text))


def _without_values(text: str) -> str:
    """Strings and numbers go, except under a harmless name; the elements of a list belong to the list's name."""
    member = ""

    def kept(token: re.Match[str]) -> str:
        nonlocal member
        if token["name"]:
            member = token["text"]
            return token[0]
        return token[0] if member in HARMLESS else f'"{REMOVED}"'

    return _TOKEN.sub(kept, text)
