"""The FHIR R4 side: read-only searches with athenahealth's required parameters and its quirks (section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ehr.athenahealth.simulator.practice import Practice
from adapters.ehr.athenahealth.simulator.words import read_mdy
from gateway.kit.simulator_http import Refused, Request, Response, fhir, outcome

REQUIRED = {"Encounter": ("_id", "patient"), "Condition": ("_id", "patient", "encounter")}
"""At least one of these must be sent."""
DEFAULT_COUNT = 10


class FhirApi:
    """Searches of one practice; `base` is the FHIR base URL."""

    def __init__(self, base: str, practice: Practice) -> None:
        self._base, self._practice = base, practice

    def search(self, request: Request, resource_type: str) -> Response:
        """`GET /fhir/r4/{type}`; a wrong or missing `ah-practice` is told inside a 200."""
        query = dict(request.pairs())
        if query.get("ah-practice") != f"Organization/a-1.Practice-{self._practice.id}":
            return fhir(_told_inside("ah-practice does not name a practice of this app"))
        if not any(name in query for name in REQUIRED[resource_type]):
            raise Refused(outcome(400, "required", f"one of {', '.join(REQUIRED[resource_type])} is required"))
        found = self._conditions(query) if resource_type == "Condition" else self._encounters(query)
        return fhir(self._bundle(resource_type, found, query))

    def metadata(self) -> Response:
        """`GET /fhir/r4/metadata`, which needs no token: no Claim, no ChargeItem."""
        types = ["Patient", "Encounter", "Condition", "Coverage", "Procedure", "Practitioner", "Subscription"]
        rest = [{"mode": "server", "resource": [{"type": name} for name in types]}]
        return fhir(
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2026-08-01",
                "kind": "instance",
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "rest": rest,
            }
        )

    def _conditions(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        encounter = query.get("encounter", "").removeprefix("Encounter/")
        own = encounter.removeprefix(f"a-{self._practice.id}.encounter-")
        held = self._practice.conditions
        found = held.get(own, []) if "encounter" in query else [c for rows in held.values() for c in rows]
        return [c for c in found if query.get("_id") in (None, c["id"])]

    def _encounters(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        prefix = f"a-{self._practice.id}.encounter-"
        patient = query.get("patient", "").removeprefix("Patient/").removeprefix(f"a-{self._practice.id}.E-")
        held = self._practice.encounters
        ids = [query["_id"].removeprefix(prefix)] if "_id" in query else list(held)
        return [
            self._encounter(encounter_id)
            for encounter_id in ids
            if encounter_id in held and patient in ("", self._practice.appointment_of(encounter_id)["patientid"])
        ]

    def _encounter(self, encounter_id: str) -> dict[str, Any]:
        """No top-level period: only the participant has one."""
        row = self._practice.encounters[encounter_id]
        practice = self._practice.id
        return {
            "resourceType": "Encounter",
            "id": f"a-{practice}.encounter-{encounter_id}",
            "status": "finished" if row["status"] == "CLOSED" else "arrived",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "participant": [{"period": {"start": read_mdy(row["encounterdate"]).isoformat()}}],
        }

    def _bundle(self, resource_type: str, found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
        """One page, and an opaque cursor to the next."""
        count = min(int(query.get("_count", DEFAULT_COUNT)), 100)
        start = int(query.get("cursor", "0"), 16)
        page = found[start : start + count]
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": [],
            "entry": [{"resource": resource, "search": {"mode": "match"}} for resource in page],
        }
        if start + count < len(found):
            kept = "&".join(f"{name}={value}" for name, value in query.items() if name != "cursor")
            url = f"{self._base}/{resource_type}?{kept}&cursor={start + count:x}"
            bundle["link"] = [{"relation": "next", "url": url}]
        return bundle


def _told_inside(text: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": "invalid", "diagnostics": text}
    entry = {"resource": {"resourceType": "OperationOutcome", "issue": [issue]}, "search": {"mode": "outcome"}}
    return {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": [entry]}
