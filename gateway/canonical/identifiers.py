"""Deterministic identifiers: the same encounter always gets the same ids, so every step can be run again."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from gateway.canonical.jsonio import canonical_bytes

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def canonical_id(connection: str, vendor_id: str) -> str:
    """The gateway's id of an EHR's resource: readable where FHIR's rules for ids allow it, else a hash."""
    readable = f"{connection}.{vendor_id}"
    return readable if _FHIR_ID.fullmatch(readable) else hashlib.sha256(readable.encode()).hexdigest()[:32]


def short_hash(*parts: str, length: int) -> str:
    """Upper-case base32 of SHA-256 over the parts: `length` characters of A-Z and 2-7."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return base64.b32encode(digest).decode()[:length]


def claim_id(clinic_id: str, encounter_id: str, generation: int) -> str:
    """The id of an encounter's claim; its last number grows only when a claim already sent has to be replaced."""
    return f"{short_hash(clinic_id, encounter_id, length=16).lower()}-{generation}"


def account_number(clinic_id: str, encounter_id: str, generation: int) -> str:
    """The patient account number (CLM01, box 26): 14 characters at most, so every vendor's limit of 20 holds."""
    return f"G{short_hash(clinic_id, encounter_id, length=11)}{generation:02d}"


def submission_id(clinic_id: str, connection: str, claim: str) -> str:
    """The id of one claim's submission to one connection: 16 characters, short enough for any vendor's search field."""
    return f"GW{short_hash(clinic_id, connection, claim, length=14)}"


def lasting(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without what changes although nothing changed: when the claim was made, which version it came from."""
    return {name: value for name, value in resource.items() if name not in ("meta", "created")}


def content_hash(value: Any) -> bytes:
    """SHA-256 over canonical JSON: equal content gives an equal hash, whatever the member order."""
    return hashlib.sha256(canonical_bytes(value)).digest()
