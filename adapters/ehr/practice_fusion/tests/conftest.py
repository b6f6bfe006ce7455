"""One visit as Practice Fusion would give it, its superbill, and a running simulator that serves it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.ehr.practice_fusion import ADAPTER
from adapters.ehr.practice_fusion.mapping import RECORD_NUMBERS
from adapters.ehr.practice_fusion.simulator import build, connection, new_credentials
from gateway.canonical import codes
from gateway.canonical.clinic import KnownLocation
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterRecord, EncounterRef, NotificationRequest, Resource
from gateway.kit.contract_ehr import PagedEhr
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.context import AdapterContext, utc_now

PRACTICE = "3f0c0de0-0000-4000-8000-000000000001"
BASE = f"https://api.practicefusion.com/fhir/r4/v1/{PRACTICE}"
NPI = "1999999984"


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


def visit_resources() -> list[Resource]:
    """An office visit late in the evening (the next day in UTC), as section 5 of the vendor document shows one."""
    category = "http://terminology.hl7.org/CodeSystem/condition-category"
    subject = reference("Patient/p-501")
    return copy.deepcopy(
        [
            {
                "resourceType": "Encounter",
                "id": "e-1001",
                "status": "finished",
                "class": {"system": codes.ACT_CODE, "code": "AMB"},
                "type": [{"coding": [{"system": codes.CPT, "code": "99214"}], "text": "Office visit"}],
                "subject": subject,
                "participant": [{"individual": {**reference("Practitioner/dr-9"), "display": "Avery Stone MD"}}],
                "period": {"start": "2026-03-04T02:30:00Z", "end": "2026-03-04T02:50:00Z"},
                "reasonCode": [{"text": "BP follow up"}],
                "location": [{"location": {"display": "Main Office"}}],
                "serviceProvider": reference("Organization/org-1"),
                "basedOn": [reference("ServiceRequest/sr-1")],
            },
            *(
                {
                    "resourceType": "Condition",
                    "id": vendor_id,
                    "category": [{"coding": [{"system": category, "code": "encounter-diagnosis"}]}],
                    "code": {"coding": [{"system": codes.ICD10CM, "code": code}]},
                    "subject": subject,
                    "encounter": reference("Encounter/e-1001"),
                    "recordedDate": recorded,
                }
                for vendor_id, code, recorded in (("c-2", "E11.9", "2026-03-03"), ("c-1", "I10", "2026-03-02"))
            ),
            {
                "resourceType": "Procedure",
                "id": "pr-1",
                "status": "completed",
                "code": {"coding": [{"system": codes.CPT, "code": "99214"}, {"system": codes.CPT, "code": "25"}]},
                "subject": subject,
                "encounter": reference("Encounter/e-1001"),
                "performedDateTime": "2026-03-04T02:45:00Z",
            },
            {
                "resourceType": "Coverage",
                "id": "cov-1",
                "status": "active",
                "subscriberId": "00W9900112233",
                "beneficiary": subject,
                "relationship": codes.concept(codes.RELATIONSHIP, "self"),
                "payor": [{"display": "Evergreen Health Plan"}],
                "class": [{"type": codes.concept(codes.COVERAGE_CLASS, "group"), "value": "GRP-77"}],
                "order": 1,
            },
            {
                "resourceType": "Patient",
                "id": "p-501",
                "identifier": [
                    {"system": "urn:oid:2.16.840.1.113883.4.1", "value": "999-99-9999"},
                    {"type": codes.concept(codes.IDENTIFIER_TYPE, "MR"), "system": RECORD_NUMBERS, "value": "AB123456"},
                ],
                "name": [{"family": "Testerly", "given": ["Jordan"]}],
                "gender": "female",
                "birthDate": "1971-05-14",
                "address": [{"line": ["12 Sample Way"], "city": "Tampa", "state": "FL", "postalCode": "33601"}],
            },
            practitioner("dr-9", NPI, "Stone"),
            practitioner("dr-7", "1679576722", "Reed"),
            {"resourceType": "Organization", "id": "org-1", "name": "Sample Practice"},
            {
                "resourceType": "ServiceRequest",
                "id": "sr-1",
                "status": "completed",
                "intent": "order",
                "subject": subject,
                "requester": reference("Practitioner/dr-7"),
            },
        ]
    )


def practitioner(vendor_id: str, npi: str, family: str) -> Resource:
    return {
        "resourceType": "Practitioner",
        "id": vendor_id,
        "identifier": [{"system": codes.NPI, "value": npi}],
        "name": [{"family": family, "given": ["Avery"]}],
    }


@pytest.fixture
def context() -> AdapterContext:
    """A clinic with fees, and with a place that its EHR knows by name only."""
    made = contract_context()
    fees = FeeSchedule.flat({"99214": Decimal("180.00")})
    places = {"Main Office": KnownLocation("22", "1234567893", "Main Office", {"city": "Tampa", "state": "FL"})}
    return replace(made, now=utc_now, clinic=replace(made.clinic, fee_schedule=fees, locations=places))


@pytest.fixture
def resources() -> list[Resource]:
    return visit_resources()


@pytest.fixture
def record(resources: list[Resource]) -> EncounterRecord:
    encounter, *others = resources
    return EncounterRecord(EncounterRef("e-1001", "Encounter/e-1001"), BASE, encounter, tuple(others))


@pytest.fixture(scope="session")
def registration() -> dict[str, str]:
    return new_credentials(0)


@pytest.fixture
def knobs() -> dict[str, str]:
    """Knobs of the simulator; a test module may override this."""
    return {}


@pytest.fixture
def credentials(registration: dict[str, str], knobs: dict[str, str]) -> dict[str, str]:
    return {**registration, "superbill_seconds": "", "timezone": "America/New_York", **knobs}


@contextmanager
def playing(credentials: dict[str, str], resources: list[Resource]) -> Iterator[Simulator]:
    """A practice whose visits are all signed."""
    with (
        simulator_running(build, credentials=credentials, data=resources) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        client.post("/_sim/sign", json={"all": True}).raise_for_status()
        yield Simulator(client)


def settings_for(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    """The simulator's own connection settings, with the secrets filled in."""
    offered = connection(
        SimulatorOptions(str(simulator.client.base_url).rstrip("/"), pace=0.0, credentials=credentials)
    )
    return {
        name: offered.secrets[value.removeprefix("env:")] if str(value).startswith("env:") else value
        for name, value in offered.settings.items()
    }


@pytest.fixture
def simulator(resources: list[Resource], credentials: dict[str, str]) -> Iterator[Simulator]:
    with playing(credentials, resources) as running:
        yield running


@pytest.fixture
def settings(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    return settings_for(simulator, credentials)


@pytest.fixture
async def paged(
    resources: list[Resource], credentials: dict[str, str], context: AdapterContext
) -> AsyncIterator[PagedEhr]:
    """Three visits, one row a page."""
    visits = [*resources, *({**resources[0], "id": f"e-{number}"} for number in (1002, 1003))]
    small = {**credentials, "largest_page": "1"}
    with playing(small, visits) as running:
        adapter = ADAPTER.open(ADAPTER.settings(**settings_for(running, small)), context)
        yield PagedEhr(adapter, running, frozenset({"e-1001", "e-1002", "e-1003"}))
        await adapter.aclose()


@pytest.fixture
async def open_ehr(settings: dict[str, Any], context: AdapterContext) -> Any:
    """Opens the adapter with changed settings, and closes it again."""
    opened = []

    def open_(**changes: Any) -> Any:
        adapter = ADAPTER.open(ADAPTER.settings(**{**settings, **changes}), context)
        opened.append(adapter)
        return adapter

    yield open_
    for adapter in opened:
        await adapter.aclose()


@pytest.fixture
def ehr(open_ehr: Callable[..., Any]) -> Any:
    return open_ehr()


@pytest.fixture
def event() -> NotificationRequest:
    """What nobody ever sends: this EHR has no notifications."""
    return NotificationRequest("POST", "", {"authorization": "Bearer x"}, {}, b"{}", "192.0.2.7")
