"""FHIR R4 AuditEvents of the gateway's steps, in the shapes of IHE BALP (standards: audit section 2 and 4).

An AuditEvent names resources by reference only; it never copies clinical content or a patient's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.canonical.codes import THO
from gateway.canonical.models import Resource

DCM = "http://dicom.nema.org/resources/ontology/DCM"
BALP_TYPES = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
GATEWAY_STEPS = "https://fhir-billing-gateway.org/fhir/CodeSystem/step"


class Outcome(StrEnum):
    """AuditEvent.outcome codes."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


class Step(StrEnum):
    """What the gateway did; the AuditEvent's own subtype beside the standard one."""

    NOTIFICATION_RECEIVED = "notification-received"
    NOTIFICATION_REJECTED = "notification-rejected"
    POLLED = "polled"
    BACKFILLED = "backfilled"
    ENCOUNTER_FETCHED = "encounter-fetched"
    ENCOUNTER_NORMALIZED = "encounter-normalized"
    ENCOUNTER_UNCHANGED = "encounter-unchanged"
    CLAIM_CHECKED = "claim-checked"
    CLAIM_HELD = "claim-held"
    ENCOUNTER_WITHDRAWN = "encounter-withdrawn"
    CLAIM_ROUTED = "claim-routed"
    CLAIM_BATCHED = "claim-batched"
    DISCLOSURE_INTENDED = "disclosure-intended"
    DISCLOSURE_CONFIRMED = "disclosure-confirmed"
    DISCLOSURE_FAILED = "disclosure-failed"
    DISCLOSURE_UNCERTAIN = "disclosure-uncertain"
    SUBMISSION_LOOKED_UP = "submission-looked-up"
    MESSAGE_RECEIVED = "message-received"
    OUTCOME_LEARNED = "outcome-learned"
    RETRY_SCHEDULED = "retry-scheduled"
    DEAD_LETTERED = "dead-lettered"
    CONNECTION_STOPPED = "connection-stopped"
    CONNECTION_RESUMED = "connection-resumed"
    RECHECK_REQUESTED = "recheck-requested"
    SUBSCRIBED = "subscribed"
    SUBSCRIPTION_CHECKED = "subscription-checked"
    EVENTS_RECOVERED = "events-recovered"
    UNSUBSCRIBED = "unsubscribed"
    SUPERBILLS_TAKEN = "superbills-taken"
    SUPERBILLS_REFUSED = "superbills-refused"
    SUPERBILL_LOOKED_UP = "superbill-looked-up"
    EHR_TOLD = "ehr-told"


@dataclass(frozen=True, slots=True)
class _Shape:
    type: tuple[str, str]
    subtype: tuple[str, str]
    action: str


_REST = (f"{THO}/audit-event-type", "rest")
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_LIFECYCLE = f"{THO}/iso-21089-lifecycle"
_EXPORT = (DCM, "110106")
_IMPORT = (DCM, "110107")
_APPLICATION = (DCM, "110100")

_DISCLOSE = _Shape(_EXPORT, (_LIFECYCLE, "disclose"), "R")
_SHAPES: dict[Step, _Shape] = {
    Step.NOTIFICATION_RECEIVED: _Shape(_REST, (_INTERACTION, "create"), "C"),
    Step.NOTIFICATION_REJECTED: _Shape((DCM, "110113"), (_INTERACTION, "create"), "C"),
    Step.POLLED: _Shape(_REST, (_INTERACTION, "search-type"), "E"),
    Step.BACKFILLED: _Shape(_REST, (_INTERACTION, "search-type"), "E"),
    Step.ENCOUNTER_FETCHED: _Shape(_REST, (_INTERACTION, "read"), "R"),
    Step.ENCOUNTER_NORMALIZED: _Shape(_REST, (_INTERACTION, "create"), "C"),
    Step.ENCOUNTER_UNCHANGED: _Shape(_REST, (_INTERACTION, "read"), "R"),
    Step.DISCLOSURE_INTENDED: _DISCLOSE,
    Step.DISCLOSURE_CONFIRMED: _DISCLOSE,
    Step.DISCLOSURE_FAILED: _DISCLOSE,
    Step.DISCLOSURE_UNCERTAIN: _DISCLOSE,
    Step.ENCOUNTER_WITHDRAWN: _Shape(_REST, (_INTERACTION, "read"), "R"),
    Step.MESSAGE_RECEIVED: _Shape(_REST, (_INTERACTION, "read"), "R"),
    Step.OUTCOME_LEARNED: _Shape(_REST, (_INTERACTION, "update"), "U"),
    Step.SUBSCRIBED: _Shape(_REST, (_INTERACTION, "create"), "C"),
    Step.SUBSCRIPTION_CHECKED: _Shape(_REST, (_INTERACTION, "read"), "R"),
    Step.EVENTS_RECOVERED: _Shape(_REST, (_INTERACTION, "operation"), "E"),
    Step.UNSUBSCRIBED: _Shape(_REST, (_INTERACTION, "update"), "U"),
    Step.SUPERBILLS_TAKEN: _Shape(_IMPORT, (_INTERACTION, "create"), "C"),
    Step.SUPERBILLS_REFUSED: _Shape(_IMPORT, (_INTERACTION, "create"), "C"),
    Step.SUPERBILL_LOOKED_UP: _Shape(_REST, (_INTERACTION, "search-type"), "E"),
    Step.EHR_TOLD: _Shape(_REST, (_INTERACTION, "update"), "U"),
    Step.SUBMISSION_LOOKED_UP: _Shape(_REST, (_INTERACTION, "search-type"), "E"),
}
_DEFAULT = _Shape(_APPLICATION, (_LIFECYCLE, "transform"), "E")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event to be kept in the transaction of the step it tells of.

    `entities` are references such as "Encounter/x"; `patient` is "Patient/x" when known; `transaction` is the trace id;
    `source` and `target` name connections (or a network address for who called us).
    """

    step: Step
    recorded: datetime
    clinic_id: str
    transaction: str
    source: str = "gateway"
    target: str = "gateway"
    network_address: str = ""
    encounter_id: str | None = None
    patient: str | None = None
    entities: tuple[str, ...] = ()
    outcome: Outcome = Outcome.SUCCESS
    error_code: str = ""

    def resource(self) -> Resource:
        """The AuditEvent as a FHIR R4 resource (without an id: the store gives it)."""
        shape = _SHAPES.get(self.step, _DEFAULT)
        event: Resource = {
            "resourceType": "AuditEvent",
            "type": _coding(*shape.type),
            "subtype": [_coding(*shape.subtype), _coding(GATEWAY_STEPS, self.step.value)],
            "action": shape.action,
            "recorded": self.recorded.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "outcome": self.outcome.value,
            "agent": [self._agent("110153", self.source, True), self._agent("110152", self.target, False)],
            "source": {
                "site": self.clinic_id,
                "observer": {"display": "fhir-billing-gateway"},
                "type": [_coding(f"{THO}/security-source-type", "4")],
            },
            "entity": self._entities(),
        }
        if self.error_code:
            event["outcomeDesc"] = self.error_code
        return event

    def _agent(self, code: str, who: str, caller: bool) -> dict[str, Any]:
        agent: dict[str, Any] = {
            "type": {"coding": [_coding(DCM, code)]},
            "who": {"display": who},
            "requestor": who == "gateway" if self.network_address == "" else caller,
        }
        if caller and self.network_address:
            agent["network"] = {"address": self.network_address, "type": "2"}
        return agent

    def _entities(self) -> list[dict[str, Any]]:
        entities = [_entity(reference, kind="2", role="4") for reference in self.entities]
        if self.patient:
            entities.append(_entity(self.patient, kind="1", role="1"))
        transaction = {"what": {"identifier": {"value": self.transaction}}, "type": _coding(BALP_TYPES, "XrequestId")}
        return [*entities, transaction]


def _entity(reference: str, *, kind: str, role: str) -> dict[str, Any]:
    return {
        "what": {"reference": reference},
        "type": _coding(f"{THO}/audit-entity-type", kind),
        "role": _coding(f"{THO}/object-role", role),
    }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}
