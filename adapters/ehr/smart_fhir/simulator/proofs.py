"""What a simulated EHR holds as proof of a signature, and what it shows before (generic_smart_fhir section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.kit.fhir_simulator.values import now_instant
from gateway.kit.simulator_http import Resource

_PROGRESS_NOTE = {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]}
_AUTHORS_SIGNATURE = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}
_AUTHOR = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "author"}]
}


@dataclass(frozen=True, slots=True)
class Proof:
    """`kind`: document, provenance or "" for none. `closed_early`: visits are finished before they are signed."""

    kind: str = ""
    closed_early: bool = False

    def before(self, encounter: Resource) -> list[Resource]:
        """What is there while the note is still open."""
        return [_note(encounter, "preliminary")] if self.kind == "document" else []

    def signed(self, encounter: Resource) -> list[Resource]:
        """What is there once the clinician has signed."""
        written = {"document": lambda: [_note(encounter, "final")], "provenance": lambda: [_signature(encounter)]}
        return written[self.kind]() if self.kind else []


def _note(encounter: Resource, state: str) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": f"note-{encounter['id']}",
        "status": "current",
        "docStatus": state,
        "type": _PROGRESS_NOTE,
        "subject": encounter["subject"],
        "context": {"encounter": [{"reference": f"Encounter/{encounter['id']}"}]},
        "content": [{"attachment": {"contentType": "text/plain", "data": "U3ludGhldGljIG5vdGUu"}}],
    }


def _signature(encounter: Resource) -> Resource:
    signer: dict[str, Any] = {"display": "The clinician"}
    return {
        "resourceType": "Provenance",
        "id": f"signature-{encounter['id']}",
        "target": [{"reference": f"Encounter/{encounter['id']}"}],
        "recorded": now_instant(),
        "agent": [{"type": _AUTHOR, "who": signer}],
        "signature": [{"type": [_AUTHORS_SIGNATURE], "when": now_instant(), "who": signer}],
    }
