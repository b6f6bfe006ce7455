"""One synthetic encounter as an EHR would give it, and a running simulator that serves it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from adapters.ehr.smart_fhir import ADAPTER
from adapters.ehr.smart_fhir.simulator import build, connection, new_credentials
from gateway.canonical import codes, jsonio
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterRecord, EncounterRef, NotificationRequest, Resource
from gateway.kit.contract_support import LocalLock, LocalValues, NoPacer, Simulator, simulator_running
from gateway.kit.simulator import SandboxConnection, SimulatorOptions
from gateway.ports.context import AdapterContext

BASE = "https://ehr.example.test/fhir"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def npi(value: str) -> list[dict[str, str]]:
    return [{"system": codes.NPI, "value": value}]


def coded(system: str, *values: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": value} for value in values]}


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


def encounter_resources() -> list[Resource]:
    """An office visit late in the evening (the next day in UTC) with two charges, billed by the EHR's own Claim."""
    return copy.deepcopy(
        [
            {
                "resourceType": "Encounter",
                "id": "enc-1",
                "meta": {"versionId": "3", "lastUpdated": "2026-03-04T03:10:00Z"},
                "status": "finished",
                "class": {"system": codes.ACT_CODE, "code": "AMB"},
                "type": [coded(codes.SNOMED, "185349003")],
                "subject": reference("Patient/pat-1"),
                "participant": [
                    {
                        "type": [coded("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "ATND")],
                        "individual": reference("Practitioner/prac-1"),
                    },
                    {
                        "type": [coded("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "REF")],
                        "individual": reference("Practitioner/prac-2"),
                    },
                ],
                "period": {"start": "2026-03-04T02:30:00Z", "end": "2026-03-04T03:00:00Z"},
                "diagnosis": [
                    {"condition": reference("Condition/con-2"), "rank": 2},
                    {"condition": reference("Condition/con-1"), "rank": 1},
                ],
                "location": [{"location": reference("Location/loc-1")}],
                "serviceProvider": reference("Organization/org-1"),
            },
            {
                "resourceType": "Patient",
                "id": "pat-1",
                "identifier": [
                    {"type": coded(codes.IDENTIFIER_TYPE, "MR"), "system": "urn:oid:1.2.36.146.5", "value": "000417"},
                    {"system": codes.SSN, "value": "999-99-9999"},
                ],
                "name": [{"use": "official", "family": "Testperson", "given": ["Avery"]}],
                "gender": "female",
                "birthDate": "1984-02-29",
                "address": [{"use": "home", "line": ["1 Sample Street"], "city": "Austin", "state": "TX"}],
            },
            {
                "resourceType": "Practitioner",
                "id": "prac-1",
                "identifier": npi("1234567893"),
                "name": [{"family": "Attending", "given": ["Robin"]}],
                "qualification": [{"code": coded(codes.TAXONOMY, "207Q00000X")}],
            },
            {
                "resourceType": "Practitioner",
                "id": "prac-2",
                "identifier": npi("1679576722"),
                "name": [{"family": "Referrer", "given": ["Sam"]}],
            },
            {"resourceType": "Organization", "id": "org-1", "name": "Sample Clinic"},
            {"resourceType": "Organization", "id": "payer-1", "name": "Sample Health Plan"},
            {"resourceType": "Organization", "id": "payer-2", "name": "Second Health Plan"},
            {"resourceType": "Location", "id": "loc-1", "status": "active", "name": "Main office"},
            _condition("con-1", "E11.9", "44054006"),
            _condition("con-2", "I10", "38341003"),
            _coverage("cov-2", 2, "payer-2", "77001"),
            _coverage("cov-1", 1, "payer-1", "000123456"),
            _procedure(),
            _claim(),
        ]
    )


def _condition(vendor_id: str, icd: str, snomed: str) -> Resource:
    return {
        "resourceType": "Condition",
        "id": vendor_id,
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "category": [coded("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")],
        "code": {
            "coding": [{"system": codes.SNOMED, "code": snomed}, {"system": codes.ICD10CM, "code": icd}],
            "text": "as the clinician wrote it",
        },
        "subject": reference("Patient/pat-1"),
        "encounter": reference("Encounter/enc-1"),
        "recordedDate": "2026-03-04T02:40:00Z",
    }


def _coverage(vendor_id: str, order: int, payer: str, member_id: str) -> Resource:
    return {
        "resourceType": "Coverage",
        "id": vendor_id,
        "status": "active",
        "subscriberId": member_id,
        "beneficiary": reference("Patient/pat-1"),
        "relationship": coded(codes.RELATIONSHIP, "self"),
        "payor": [reference(f"Organization/{payer}")],
        "class": [{"type": coded(codes.COVERAGE_CLASS, "group"), "value": "G-100"}],
        "order": order,
    }


def _procedure() -> Resource:
    return {
        "resourceType": "Procedure",
        "id": "proc-1",
        "status": "completed",
        "code": coded(codes.HCPCS, "G0108"),
        "subject": reference("Patient/pat-1"),
        "encounter": reference("Encounter/enc-1"),
        "performedDateTime": "2026-03-04T02:45:00Z",
    }


def _claim() -> Resource:
    return {
        "resourceType": "Claim",
        "id": "claim-1",
        "status": "active",
        "type": coded(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": reference("Patient/pat-1"),
        "created": "2026-03-04T03:05:00Z",
        "provider": reference("Organization/org-1"),
        "priority": coded(codes.PROCESS_PRIORITY, "normal"),
        "diagnosis": [
            {"sequence": 1, "diagnosisReference": reference("Condition/con-1")},
            {"sequence": 2, "diagnosisReference": reference("Condition/con-2")},
        ],
        "insurance": [
            {
                "sequence": 1,
                "focal": True,
                "coverage": reference("Coverage/cov-1"),
                "preAuthRef": ["PA-0042"],
            }
        ],
        "item": [
            {
                "sequence": 1,
                "diagnosisSequence": [2, 1],
                "productOrService": coded(codes.HCPCS, "G0463"),
                "modifier": [coded(codes.CPT, "25"), coded(codes.HCPCS, "GT")],
                "servicedDate": "2026-03-03",
                "locationCodeableConcept": coded(codes.POS, "22"),
                "quantity": {"value": 1},
                "unitPrice": {"value": Decimal("185.00"), "currency": "USD"},
                "net": {"value": Decimal("185.00"), "currency": "USD"},
                "encounter": [reference("Encounter/enc-1")],
            },
            {
                "sequence": 2,
                "diagnosisSequence": [1],
                "productOrService": coded("urn:oid:2.16.840.1.113883.6.285", "J1885"),
                "servicedDate": "2026-03-03",
                "quantity": {"value": 3},
                "net": {"value": Decimal("100.00"), "currency": "USD"},
                "encounter": [reference("Encounter/enc-1")],
            },
        ],
    }


@pytest.fixture
def clinic() -> ClinicFacts:
    return ClinicFacts(
        clinic_id="demo",
        name="Sample Clinic",
        timezone=ZoneInfo("America/Chicago"),
        billing_provider=BillingProvider("Sample Clinic", "1245319599", "12-3456789"),
        fee_schedule=FeeSchedule.flat({"G0108": Decimal("61.25")}),
    )


@pytest.fixture
def context(clinic: ClinicFacts) -> AdapterContext:
    return AdapterContext(clinic, "ehr1", NoPacer(), LocalLock(), LocalValues())


@pytest.fixture
def resources() -> list[Resource]:
    return encounter_resources()


@pytest.fixture
def several(resources: list[Resource]) -> list[Resource]:
    """Three visits: the test encounter, and two that hold nothing else."""
    return [*resources, *({**resources[0], "id": f"enc-{number}"} for number in (2, 3))]


@pytest.fixture
def record(resources: list[Resource]) -> EncounterRecord:
    ref = EncounterRef("enc-1", "Encounter/enc-1@3")
    return EncounterRecord(ref, BASE, resources[0], tuple(resources[1:]))


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    return new_credentials(0)


@pytest.fixture
def simulator(resources: list[Resource], credentials: dict[str, str]) -> Iterator[Simulator]:
    with (
        simulator_running(build, credentials=credentials, data=resources) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        client.post("/_sim/sign", json={"encounter_ids": ["enc-1"]}).raise_for_status()
        yield Simulator(client)


@pytest.fixture
def settings(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    """The simulator's own connection settings, with the secrets filled in."""
    url = str(simulator.client.base_url).rstrip("/")
    return filled(connection(SimulatorOptions(url, credentials=credentials)))


@pytest.fixture
async def ehr(settings: dict[str, Any], context: AdapterContext) -> Any:
    adapter = ADAPTER.open(ADAPTER.settings(**settings), context)
    yield adapter
    await adapter.aclose()


@pytest.fixture
def offline(context: AdapterContext, credentials: dict[str, str]) -> Any:
    """An adapter whose pure methods are used only: nothing listens at its address."""
    settings = ADAPTER.settings(
        base_url=BASE,
        client_id="gateway-demo",
        private_key=credentials["private_jwk"],
        algorithm="ES384",
        webhook_secret="hook-secret",
    )
    return ADAPTER.open(settings, context)


@pytest.fixture
def event(resources: list[Resource], settings: dict[str, Any]) -> NotificationRequest:
    """The R4 rest-hook notification of the encounter: PUT below the hook's address."""
    headers = {"authorization": f"Bearer {settings['webhook_secret']}", "content-type": "application/fhir+json"}
    body = jsonio.dumps(resources[0])
    return NotificationRequest("PUT", "Encounter/enc-1", headers, {}, body, "192.0.2.7")


@pytest.fixture
def make() -> SimpleNamespace:
    """The small builders of this file, for tests that change the encounter."""
    return SimpleNamespace(coded=coded, reference=reference, npi=npi)


@pytest.fixture
def playing(credentials: dict[str, str], resources: list[Resource]) -> Any:
    """A vendor's simulator: `with playing(variant, **knobs) as (simulator, settings)`."""

    @contextmanager
    def play(
        name: str, pace: float = 0.0, data: list[Resource] = resources, **knobs: str
    ) -> Iterator[tuple[Simulator, dict[str, Any]]]:
        chosen = {**credentials, "variant": name, **knobs}
        with (
            simulator_running(build, credentials=chosen, data=data, pace=pace) as url,
            httpx.Client(base_url=url, trust_env=False) as client,
        ):
            yield Simulator(client), filled(connection(SimulatorOptions(url, credentials=chosen)))

    return play


def filled(offered: SandboxConnection) -> dict[str, Any]:
    """A connection's settings with the secrets in the place of their references."""
    return {
        name: offered.secrets[value.removeprefix("env:")] if str(value).startswith("env:") else value
        for name, value in offered.settings.items()
    }
