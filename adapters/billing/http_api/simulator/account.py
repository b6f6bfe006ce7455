"""Acme's claims: saving, finding, moving on."""

from __future__ import annotations

import copy
from typing import Any

from adapters.billing.http_api.simulator.gate import Reply
from adapters.billing.http_api.simulator.validation import wrong_of
from gateway.canonical import jsonio
from gateway.kit.simulator import SimulatorOptions

STATES = ("received", "posted", "sent_to_payer", "paid")

Json = dict[str, Any]


class Account:
    """One practice's claims at Acme; `options.data` is its directory (see `gateway.kit.samples`)."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._directory: Json = options.data or {}
        self._unique = options.credentials.get("unique_reference") == "true"
        self._claims: dict[str, Json] = {}
        self._keys: dict[str, Json] = {}

    def create(self, headers: dict[str, str], body: bytes) -> Reply:
        """POST /v1/claims."""
        if not headers.get("content-type", "").startswith("application/json"):
            return 415, {"errors": [{"code": "NOT_JSON"}]}, {}
        try:
            claim = jsonio.loads(body)
        except jsonio.NotJson:
            return 400, {"errors": [{"code": "NOT_JSON"}]}, {}
        key = headers.get("idempotency-key", "")
        if key in self._keys:
            return 200, _shown(self._keys[key]), {}
        wrong = wrong_of(claim, self._directory, set(self._claims))
        if wrong:
            return 422, {"errors": [{"code": code, "field": field} for code, field in wrong]}, {}
        if self._unique and any(saved["reference"] == claim["reference"] for saved in self._claims.values()):
            return 409, {"errors": [{"code": "DUPLICATE_REFERENCE", "field": "reference"}]}, {}
        saved = self._save(claim)
        if key:
            self._keys[key] = saved
        return 201, _shown(saved), {}

    def search(self, reference: str) -> Reply:
        """GET /v1/claims?reference=R: oldest first."""
        found = [_shown(saved) for saved in self._claims.values() if saved["reference"] == reference]
        return 200, {"claims": found}, {}

    def get(self, claim_id: str) -> Reply:
        """GET /v1/claims/{id}."""
        saved = self._claims.get(claim_id)
        return (200, _shown(saved), {}) if saved else (404, {"errors": [{"code": "NOT_FOUND"}]}, {})

    def advance(self, body: Json) -> list[str] | None:
        """Move one claim, or all, to `to` or one state on; None when there is no such claim or state."""
        chosen = [body["id"]] if "id" in body else list(self._claims)
        wanted = body.get("to")
        if any(claim_id not in self._claims for claim_id in chosen) or wanted not in (None, "rejected", *STATES):
            return None
        for claim_id in chosen:
            saved = self._claims[claim_id]
            if wanted == "rejected":
                saved["errors"] = [{"code": body.get("code", "DX_INVALID"), "field": body.get("field", "diagnoses[0]")}]
            if wanted is not None:
                saved["status"] = wanted
            elif saved["status"] in STATES[:-1]:
                saved["status"] = STATES[STATES.index(saved["status"]) + 1]
        return chosen

    def ledger(self) -> Json:
        """Everything that is saved, oldest first."""
        claims = [{"submission_id": c["reference"], "vendor_id": c["id"], **c} for c in self._claims.values()]
        return {"claims": copy.deepcopy(claims)}

    def _save(self, claim: Json) -> Json:
        saved = {**claim, "id": f"ACM-{len(self._claims) + 1:06d}", "status": "received", "errors": []}
        self._claims[saved["id"]] = saved
        return saved


def _shown(saved: Json) -> Json:
    return {name: saved[name] for name in ("id", "reference", "status", "errors")}
