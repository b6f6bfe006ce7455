"""The clinicians of the practice: an encounter shows as in-progress until it is closed, and signing leaves a proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.canonical.models import Resource
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.fhir_simulator.values import now_instant
from gateway.kit.simulator_http import refuse
from gateway.kit.simulator_signing import Signing

Signed = Callable[[str], object]
"""Told of each encounter that was signed for the first time."""


class SignOff:
    """Holds back the status of finished encounters until they are signed, and keeps the ledger of signings."""

    def __init__(self, store: Store, proof: str, signed: Signed) -> None:
        self.store, self.proof, self._signed = store, proof, signed
        self.signings: list[Signing] = []
        self._open: dict[str, Any] = {}

    @property
    def unsigned(self) -> int:
        """How many encounters wait for their signature."""
        return len(self._open)

    def admit(self, resources: Iterable[Resource]) -> None:
        """Store resources; an encounter that is finished is served as in-progress until it is signed."""
        for resource in resources:
            if resource["resourceType"] == "Encounter":
                self._open[resource["id"]] = resource.get("status")
                finished = resource.get("status") == "finished"
                resource = {**resource, "status": "in-progress"} if finished else resource  # noqa: PLW2901
            self.store.put(resource)

    def sign(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Sign what the body names: {"count": n} the next in order of arrival, {"encounter_ids": [...]}, {"all"}."""
        if "encounter_ids" in body:
            chosen = [self.known(encounter_id).id for encounter_id in body["encounter_ids"]]
        else:
            waiting = list(self._open)
            chosen = waiting if body.get("all") else waiting[: int(body.get("count", 1))]
        return [self._sign(encounter_id) for encounter_id in chosen]

    def close(self, encounter_id: str) -> dict[str, Any]:
        """Finished, and nobody has signed."""
        encounter = self.known(encounter_id)
        self.store.put({**encounter.resource, "status": "finished"})
        return {"encounter_id": encounter.id}

    def touch(self, encounter_id: str) -> dict[str, Any]:
        """A late edit: a new version, and with it a new `meta.lastUpdated`; the superbill is made anew."""
        return self._sign(encounter_id)

    def withdraw(self, encounter_id: str) -> dict[str, Any]:
        """Mark an encounter as entered in error."""
        encounter = self.known(encounter_id)
        self._open.pop(encounter.id, None)
        return self._record(self.store.put({**encounter.resource, "status": "entered-in-error"}))

    def known(self, encounter_id: str) -> Stored:
        """The encounter; refused when there is none of that id."""
        stored = self.store.get("Encounter", str(encounter_id))
        if stored is None:
            raise refuse(404, "not-found", "there is no such encounter")
        return stored

    def _sign(self, encounter_id: str) -> dict[str, Any]:
        own = self._open.pop(encounter_id, None)
        encounter = self.known(encounter_id)
        make = _PROOFS.get(self.proof)
        if make is not None:
            self.store.put(make(encounter.resource))
        stored = self.store.put({**encounter.resource, "status": own} if own else encounter.resource)
        self._signed(encounter_id)
        return self._record(stored)

    def _record(self, stored: Stored) -> dict[str, Any]:
        signing = Signing(stored.id, stored.version, time.time())
        self.signings.append(signing)
        return {"encounter_id": signing.encounter_id, "signed_at": signing.signed_at}


def _document(encounter: Resource) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": f"note-{encounter['id']}",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
        "subject": encounter.get("subject", {}),
        "content": [{"attachment": {"contentType": "text/plain", "data": "c3ludGhldGlj"}}],
        "context": {"encounter": [{"reference": f"Encounter/{encounter['id']}"}]},
    }


def _provenance(encounter: Resource) -> Resource:
    who = next((p["individual"] for p in encounter.get("participant", ())), {"display": "clinician"})
    return {
        "resourceType": "Provenance",
        "id": f"signed-{encounter['id']}",
        "target": [{"reference": f"Encounter/{encounter['id']}"}],
        "recorded": now_instant(),
        "agent": [{"type": {"coding": [{"code": "author"}]}, "who": who}],
        "signature": [
            {
                "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
                "when": now_instant(),
                "who": who,
            }
        ],
    }


_PROOFS: Mapping[str, Callable[[Resource], Resource]] = {"document": _document, "provenance": _provenance}
