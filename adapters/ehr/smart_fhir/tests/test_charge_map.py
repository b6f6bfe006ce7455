"""Over real HTTP: a server without charges, and a clinic whose charge map asks for a document, an order and more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical import codes
from gateway.canonical.charge_map import ChargeMap, Coding, Kind, MapLine, MapRule
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterRef, Resource

REF = EncounterRef("enc-1", "Encounter/enc-1")
CODES = {"G0101": "52.65", "G0102": "20.00", "G0103": "24.00"}


def rule(code: str, kind: Kind, coding: Coding) -> MapRule:
    return MapRule((MapLine(code),), {kind: frozenset({coding})})


@pytest.fixture
def clinic(clinic: ClinicFacts) -> ClinicFacts:
    rules = (
        rule("G0101", Kind.DOCUMENT_TYPE, ("http://loinc.org", "11488-4")),
        rule("G0102", Kind.SERVICE_REQUEST, (codes.SNOMED, "225358003")),
        rule("G0103", Kind.APPOINTMENT_TYPE, ("", "FOLLOWUP")),
    )
    fees = FeeSchedule.flat({code: Decimal(fee) for code, fee in CODES.items()})
    return replace(clinic, charge_map=ChargeMap(rules), fee_schedule=fees)


@pytest.fixture
def resources(resources: list[Resource], make: Any) -> list[Resource]:
    of_visit = {"subject": make.reference("Patient/pat-1"), "encounter": make.reference("Encounter/enc-1")}
    document = {
        "resourceType": "DocumentReference",
        "id": "doc-1",
        "status": "current",
        "docStatus": "final",
        "type": make.coded("http://loinc.org", "11488-4"),
        "subject": make.reference("Patient/pat-1"),
        "content": [{"attachment": {"contentType": "text/plain"}}],
        "context": {"encounter": [make.reference("Encounter/enc-1")]},
    }
    order = {
        "resourceType": "ServiceRequest",
        "id": "order-1",
        "status": "completed",
        "intent": "order",
        "code": make.coded(codes.SNOMED, "225358003"),
        **of_visit,
    }
    appointment = {
        "resourceType": "Appointment",
        "id": "app-1",
        "status": "fulfilled",
        "appointmentType": make.coded("http://terminology.hl7.org/CodeSystem/v2-0276", "FOLLOWUP"),
        "participant": [{"actor": make.reference("Patient/pat-1"), "status": "accepted"}],
    }
    kept = [r for r in resources if r["resourceType"] not in ("Claim", "Procedure")]
    kept[0] = {**kept[0], "appointment": [make.reference("Appointment/app-1")]}
    return [*kept, document, order, appointment]


@pytest.mark.parametrize("patient_anchored", [False, True])
async def test_what_the_map_asks_for_is_asked_for_in_the_scopes_read_and_billed(
    settings: dict[str, Any], context: Any, clinic: ClinicFacts, patient_anchored: bool
) -> None:
    ehr = ADAPTER.open(ADAPTER.settings(**{**settings, "patient_anchored": patient_anchored}), context)
    bundle = ehr.normalize(await ehr.fetch_encounter(REF))
    await ehr.aclose()
    claim = build_claim(bundle, clinic, created="2026-03-04T12:00:00Z").claim
    billed = {i["productOrService"]["coding"][0]["code"]: str(i["net"]["value"]) for i in claim["item"]}
    assert billed == CODES
