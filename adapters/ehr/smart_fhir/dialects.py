"""How each vendor's SMART on FHIR differs: defaults of the connection's settings, nothing else.

A dialect is a table of settings; what a connection sets itself wins. The README's table is printed from here. Source:
shared vendors generic_smart_fhir sections 2, 3, 4, 6 and 7; what is not confirmed there stands in `unconfirmed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DialectName(StrEnum):
    """The vendors whose differences are known; `generic` has none."""

    GENERIC = "generic"
    EPIC = "epic"
    ORACLE_HEALTH = "oracle_health"
    ECLINICALWORKS = "eclinicalworks"
    NEXTGEN_ENTERPRISE = "nextgen_enterprise"
    NEXTGEN_OFFICE = "nextgen_office"
    VERADIGM = "veradigm"
    CANVAS = "canvas"
    MEDPLUM = "medplum"
    HAPI = "hapi"


@dataclass(frozen=True, slots=True)
class VendorDialect:
    """One vendor: its name for people, the settings that it changes, and those of them that nobody has confirmed."""

    title: str
    settings: Mapping[str, Any]
    unconfirmed: frozenset[str] = field(default_factory=frozenset)


_NO_CHARGES = ("charge_map", "procedure")
_CLOSED = {
    # most vendors: no search without a patient, no push, no charges, and a note that is signed after the visit closes
    "patient_anchored": True,
    "subscription": "none",
    "charge_sources": _NO_CHARGES,
    "signoff": "document",
    "settle_seconds": 300.0,
}

DIALECTS: Mapping[DialectName, VendorDialect] = {
    DialectName.GENERIC: VendorDialect("Any US Core server", {}),
    DialectName.EPIC: VendorDialect(
        "Epic",
        {**_CLOSED, "scope_style": "none"},
        frozenset({"signoff", "settle_seconds"}),
    ),
    DialectName.ORACLE_HEALTH: VendorDialect(
        "Oracle Health (Cerner)",
        {
            **_CLOSED,
            "client_authentication": "client_secret_basic",
            "forbidden_scopes": ("*",),
            "charge_sources": ("charge_item", *_NO_CHARGES),
        },
        frozenset({"signoff", "settle_seconds"}),
    ),
    DialectName.ECLINICALWORKS: VendorDialect(
        "eClinicalWorks",
        {
            **_CLOSED,
            "forbidden_scopes": ("Group",),
            "calls_per_minute": 250,
            "charge_sources": ("charge_item", *_NO_CHARGES),
        },
        frozenset({"patient_anchored", "settle_seconds"}),
    ),
    DialectName.NEXTGEN_ENTERPRISE: VendorDialect(
        "NextGen Enterprise",
        _CLOSED,
        frozenset({"patient_anchored", "charge_sources", "settle_seconds"}),
    ),
    DialectName.NEXTGEN_OFFICE: VendorDialect(
        "NextGen Office",
        {**_CLOSED, "scopes": ("system/*.rs",), "bulk_post": True},
        frozenset({"patient_anchored", "charge_sources", "settle_seconds"}),
    ),
    DialectName.VERADIGM: VendorDialect(
        "Veradigm EHR (Allscripts)",
        {
            **_CLOSED,
            "scopes": ("system/*.read",),
            "scope_style": "v1",
            "accept": "application/fhir+json; fhirVersion=4.0",
        },
        frozenset({"settle_seconds"}),
    ),
    DialectName.CANVAS: VendorDialect(
        "Canvas Medical",
        {
            "client_authentication": "client_secret_post",
            "scopes": ("system/*.read",),
            "scope_style": "v1",
            "subscription": "none",
            "charge_sources": ("claim", *_NO_CHARGES),
            "settle_seconds": 300.0,
        },
        frozenset({"settle_seconds"}),
    ),
    DialectName.MEDPLUM: VendorDialect(
        "Medplum",
        {"scope_style": "none", "webhook_signature": "hmac_sha256", "signoff": "provenance"},
    ),
    DialectName.HAPI: VendorDialect(
        "HAPI FHIR without an authorization server",
        {"client_authentication": "none", "scope_style": "none", "signoff": "provenance"},
        frozenset({"client_authentication", "signoff"}),
    ),
}


def dialect_table() -> str:
    """The README's table: every setting that a dialect changes; those with a question mark are not confirmed."""
    lines = ["| `dialect` | Vendor | Settings that it changes |", "|---|---|---|"]
    for name, dialect in DIALECTS.items():
        cells = [
            f"`{setting}` {_in_words(value)}{' (?)' if setting in dialect.unconfirmed else ''}"
            for setting, value in sorted(dialect.settings.items())
        ]
        lines.append(f"| `{name}` | {dialect.title} | {'; '.join(cells) or 'none'} |")
    return "\n".join(lines)


def summary(name: DialectName, settings: object) -> str:
    """What `gateway check` says: what the dialect has chosen, and what the connection has set otherwise."""
    chosen = sorted(DIALECTS[name].settings.items())
    kept = [f"{setting} {_in_words(value)}" for setting, value in chosen if getattr(settings, setting) == value]
    changed = [setting for setting, value in chosen if getattr(settings, setting) != value]
    return f"{name}: {', '.join(kept) or 'changes no setting'}" + (
        f"; set otherwise: {', '.join(changed)}" if changed else ""
    )


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
