"""Compares three ledgers: what the EHR signed, what the gateway says, what the billing system holds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"submitted", "held", "withdrawn"})


def is_settled(row: dict[str, Any] | None, signed_at: float) -> bool:
    """Whether the gateway is done with an encounter as it was signed, not only as it was before."""
    return bool(row and row["state"] in TERMINAL and not row["pending"] and row["updated_at"] >= signed_at)


def settled(rows: Sequence[dict[str, Any]], signed: Sequence[dict[str, Any]]) -> int:
    """How many of the signed encounters (of the EHR's ledger) the gateway is done with (rows of report.sql)."""
    by_ehr_id = {row["ehr_encounter_id"]: row for row in rows}
    return sum(is_settled(by_ehr_id.get(entry["encounter_id"]), entry["signed_at"]) for entry in signed)


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The three ledgers and the worklist, as read at one moment."""

    signed: Sequence[dict[str, Any]]  # of the EHR simulator: encounter_id, signed_at, notified_at
    encounters: Sequence[dict[str, Any]]  # of the gateway, rows of report.sql
    claims: Sequence[dict[str, Any]]  # of the billing simulator: submission_id
    holds: Sequence[dict[str, Any]]
    ehr_calls: int
    billing_calls: int
    audit_events: int
    dropped: int = 0


def report(ledgers: Ledgers) -> dict[str, Any]:
    """The demo's result as one JSON object; latencies in milliseconds from the notification to the recorded receipt."""
    by_ehr_id = {row["ehr_encounter_id"]: row for row in ledgers.encounters}
    held = {row["ehr_encounter_id"] for row in ledgers.holds}
    at_vendor = Counter(claim["submission_id"] for claim in ledgers.claims)
    signed = {row["encounter_id"]: row for row in ledgers.signed}
    submitted = [e for e in signed if _confirmed(by_ehr_id.get(e), at_vendor)]
    lost = [e for e in signed if e not in held and not _confirmed(by_ehr_id.get(e), at_vendor)]
    known = {row["submission_id"] for row in ledgers.encounters}
    count = len(signed)
    return {
        "encounters": count,
        "submitted": len(submitted),
        "held": len(held & signed.keys()),
        "rejected": sum(row["submission_state"] == "rejected" for row in ledgers.encounters),
        "lost": len(lost),
        "duplicates": sum(n - 1 for n in at_vendor.values()) + sum(s not in known for s in at_vendor),
        "latency_ms": _percentiles([_latency(signed[e], by_ehr_id[e]) for e in submitted]),
        "audit_events": ledgers.audit_events,
        "billing_claims": len(ledgers.claims),
        "dropped": ledgers.dropped,
        "calls_per_encounter": {
            "ehr": round(ledgers.ehr_calls / count, 2) if count else 0,
            "billing": round(ledgers.billing_calls / len(submitted), 2) if submitted else 0,
        },
        "findings": [
            {"encounter": row["ehr_encounter_id"], **finding.as_json()}
            for row in ledgers.holds
            for finding in row["findings"]
        ],
    }


def _confirmed(row: dict[str, Any] | None, at_vendor: Counter[str]) -> bool:
    return bool(row and row["confirmed_at"] is not None and row["submission_id"] in at_vendor)


def _latency(signed: dict[str, Any], row: dict[str, Any]) -> float:
    return float((row["confirmed_at"] - (signed["notified_at"] or signed["signed_at"])) * 1000)


def _percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {name: round(values[0], 1) if values else 0.0 for name in ("p50", "p95", "p99")}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}
