"""Writes a visit's charges in the EHR's way: as a draft professional Claim, or as ChargeItems.

Which one depends on the EHR (vendor document `generic_smart_fhir`, section 7); one clinic day has both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.sandbox.day_plan import Line, Visit
from gateway.sandbox.day_practice import EHR_IDENTIFIERS, Practice
from gateway.sandbox.day_records import (
    condition_id,
    coverage_id,
    diagnosis_concept,
    instant,
    location_id,
    patient_reference,
    practitioner_reference,
    referral_reference,
)

_INCIDENT = codes.ACT_CODE
_MEMBER_ROLE = f"{codes.THO}/claimcareteamrole"


def charge_records(visit: Visit, practice: Practice) -> list[Resource]:
    """The draft Claim of a visit, or its ChargeItems."""
    if visit.charged_as == "Claim":
        return [_claim(visit, practice)]
    return [_charge_item(visit, i, line) for i, line in enumerate(visit.lines, start=1)]


def _money(amount: Decimal) -> dict[str, Any]:
    return {"value": amount, "currency": "USD"}


def _claim(visit: Visit, practice: Practice) -> Resource:
    day = visit.start.date().isoformat()
    resource: Resource = {
        "resourceType": "Claim",
        "id": f"clm-{visit.key}",
        "identifier": [{"system": f"{EHR_IDENTIFIERS}/superbill", "value": f"SB{visit.key}"}],
        "status": "draft",
        "type": codes.concept(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": patient_reference(visit.file),
        "billablePeriod": {"start": day, "end": day},
        "created": instant(visit.signed, utc=visit.written_in_utc),
        "provider": {"reference": f"Organization/{practice.organization.id}"},
        "priority": codes.concept(codes.PROCESS_PRIORITY, "normal"),
        "facility": {"reference": f"Location/{location_id(visit)}"},
        "careTeam": _care_team(visit),
        "diagnosis": [_diagnosis(visit, rank) for rank in range(1, len(visit.diagnoses) + 1)],
        "insurance": _insurance(visit),
        "item": [_item(visit, i, line) for i, line in enumerate(visit.lines, start=1)],
        "total": _money(sum((line.unit_price * line.quantity for line in visit.lines), Decimal("0.00"))),
    }
    return {**resource, **_circumstances(visit)}


def _circumstances(visit: Visit) -> dict[str, Any]:
    """The referral, and the accident of a workers' compensation case."""
    found: dict[str, Any] = {}
    if visit.referrer:
        found["referral"] = referral_reference(visit)
    if visit.file.payer_kind == "workers":
        found["accident"] = {"date": visit.start.date().isoformat(), "type": codes.concept(_INCIDENT, "WPA")}
    return found


def _care_team(visit: Visit) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = [
        {
            "provider": practitioner_reference(visit, "rendering", visit.provider),
            "responsible": True,
            "role": codes.concept(codes.CARE_TEAM_ROLE, "rendering"),
            "qualification": codes.concept(codes.TAXONOMY, visit.provider.taxonomy),
        }
    ]
    if visit.referrer:
        referrer = practitioner_reference(visit, "referring", visit.referrer)
        members.append({"provider": referrer, "role": codes.concept(codes.CARE_TEAM_ROLE, "referring")})
    if visit.provider.supervisor:
        supervisor = {"reference": f"Practitioner/{visit.provider.supervisor}"}
        members.append({"provider": supervisor, "role": codes.concept(_MEMBER_ROLE, "supervisor")})
    return [{"sequence": i, **member} for i, member in enumerate(members, start=1)]


def _diagnosis(visit: Visit, rank: int) -> dict[str, Any]:
    """A diagnosis by its code, or by reference to the Condition that has it."""
    if visit.diagnoses_by_reference:
        return {"sequence": rank, "diagnosisReference": {"reference": f"Condition/{condition_id(visit, rank)}"}}
    return {"sequence": rank, "diagnosisCodeableConcept": diagnosis_concept(visit.diagnoses[rank - 1])}


def _insurance(visit: Visit) -> list[dict[str, Any]]:
    """The coverages to bill; R4 demands one, so an EHR names the patient as the payer when there is none."""
    insurances = sorted(visit.file.insurances, key=lambda insurance: insurance.order)
    if not insurances:
        return [{"sequence": 1, "focal": True, "coverage": {"display": "Self-pay"}}]
    entries: list[dict[str, Any]] = [
        {
            "sequence": i,
            "focal": i == 1,
            "coverage": {"reference": f"Coverage/{coverage_id(visit.file, insurance)}"},
        }
        for i, insurance in enumerate(insurances, start=1)
    ]
    if visit.authorization:
        entries[0]["preAuthRef"] = [visit.authorization]
    return entries


def _item(visit: Visit, sequence: int, line: Line) -> dict[str, Any]:
    item: dict[str, Any] = {
        "sequence": sequence,
        "careTeamSequence": [1],
        "diagnosisSequence": list(line.pointers),
        "productOrService": codes.concept(line.system, line.code),
        "modifier": [codes.concept(codes.procedure_modifier_system(m), m) for m in line.modifiers],
        "servicedDate": visit.start.date().isoformat(),
        "locationCodeableConcept": codes.concept(codes.POS, visit.place_of_service),
        "quantity": {"value": line.quantity},
        "unitPrice": _money(line.unit_price),
        "net": _money(line.unit_price * line.quantity),
        "encounter": [{"reference": f"Encounter/{visit.encounter_id}"}],
    }
    return {element: value for element, value in item.items() if value != []}


def _charge_item(visit: Visit, sequence: int, line: Line) -> Resource:
    """A billable ChargeItem. R4 has no element for modifiers, so they are further codings of the code; R4 defines
    `priceOverride` as the total price of the charge, not the price of one unit."""
    modifiers = [{"system": codes.procedure_modifier_system(m), "code": m} for m in line.modifiers]
    return {
        "resourceType": "ChargeItem",
        "id": f"ci-{visit.key}-{sequence}",
        "status": "billable",
        "code": {"coding": [{"system": line.system, "code": line.code}, *modifiers]},
        "subject": patient_reference(visit.file),
        "context": {"reference": f"Encounter/{visit.encounter_id}"},
        "occurrenceDateTime": instant(visit.start, utc=visit.written_in_utc),
        "performer": [{"actor": practitioner_reference(visit, "rendering", visit.provider)}],
        "quantity": {"value": line.quantity},
        "priceOverride": _money(line.unit_price * line.quantity),
        "reason": [diagnosis_concept(visit.diagnoses[pointer - 1]) for pointer in line.pointers],
    }
