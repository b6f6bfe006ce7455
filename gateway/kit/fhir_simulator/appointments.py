"""The appointments that the visits of a clinic day had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.kit.simulator_http import Resource


def appointments(resources: Iterable[Resource]) -> Iterator[Resource]:
    """One fulfilled Appointment for each Encounter that has a patient and a beginning."""
    for encounter in resources:
        period, patient = encounter.get("period"), encounter.get("subject")
        if encounter["resourceType"] != "Encounter" or not isinstance(patient, dict) or not isinstance(period, dict):
            continue
        start = period.get("start")
        if not start:
            continue
        yield {
            "resourceType": "Appointment",
            "id": f"appt-{encounter['id']}"[:64],
            "status": "fulfilled",
            "start": start,
            "end": period.get("end", start),
            "participant": [{"actor": {"reference": patient.get("reference")}, "status": "accepted"}],
        }
