"""Texts without secrets and patient values: only segments and fields known to be harmless keep their content. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.kit.encoders import hl7

REMOVED = "[removed]"
_HARMLESS_FIELDS = {"FT1": frozenset({1, 2, 3, 6, 7, 10, 11, 12, 25, 26}), "DG1": frozenset({1, 3, 6, 15})}
_HARMLESS_SEGMENTS = frozenset({"MSH", "MSA", "EVN", "FHS", "BHS", "BTS", "FTS"})
_SEGMENT = re.compile(r"\b(?P<name>[A-Z][A-Z0-9]{2})\|(?P<rest>[^\r\n\x1c]*)")
_JSON_VALUE = re.compile(r'("(?P<name>\w+)"\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\Z)|-?\d[\d.eE+-]*)')
_HARMLESS_MEMBERS = frozenset({"area", "entity", "api_url", "api_uri", "sending_app_name", "profile", "status"})
_LOOSE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+)?\b"  # dates
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # mail addresses
    r"|\b\d{3}-\d{2}-\d{4}\b"  # social security numbers
    r"|\(?\b\d{3}\)?[ .-]?\d{3}[ .-]\d{4}\b"  # telephone numbers
)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets, contents of patient segments and JSON members, dates and addresses removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REMOVED).replace(hl7.escaped(secret), REMOVED)
    text = _SEGMENT.sub(_without_values, text)
    text = _JSON_VALUE.sub(_without_value, text)
    return _LOOSE.sub(REMOVED, text)


def _without_values(match: re.Match[str]) -> str:
    name = match["name"]
    if name in _HARMLESS_SEGMENTS:
        return match[0] if name != "MSA" else "|".join(match[0].split("|")[:3])
    fields = match["rest"].split("|")
    if name == "ERR":
        return "|".join([name, *_codes_alone(fields)])
    kept = _HARMLESS_FIELDS.get(name, frozenset())
    if not kept:
        return f"{name}|{REMOVED}"
    return "|".join([name, *(f if not f or n in kept else REMOVED for n, f in enumerate(fields, start=1))])


def _codes_alone(fields: list[str]) -> list[str]:
    """ERR-1 without its texts, the place, the code without its text, the severity; then the receiver's own texts."""
    old, place, code, severity = [*fields, "", "", "", ""][:4]
    return [re.sub(r"&[^~]*", "", old), place, code.split("^")[0], severity[:1]]


def _without_value(match: re.Match[str]) -> str:
    return match[0] if match["name"] in _HARMLESS_MEMBERS else f'{match[1]}"{REMOVED}"'
