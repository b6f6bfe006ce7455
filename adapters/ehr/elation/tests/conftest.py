"""One synthetic visit as Elation holds it, written by hand, and a running simulator that serves the same visit."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from adapters.ehr.elation import ADAPTER
from adapters.ehr.elation.adapter import ElationEhr
from adapters.ehr.elation.simulator import build, connection, new_credentials
from adapters.ehr.elation.simulator.events import Events
from gateway.canonical import codes, jsonio
from gateway.canonical.models import EncounterRecord, EncounterRef, NotificationRequest, Resource
from gateway.kit.contract_ehr import PagedEhr
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.context import AdapterContext

BASE = "https://app.elationemr.com/api/2.0"
HOOK = "http://127.0.0.1:9/hooks/contract/ehr"
BILL = "65098"

RAW: list[Resource] = [
    {
        "resourceType": "Bill",
        "id": BILL,
        "patient": 4400,
        "physician": 86,
        "practice": 65540,
        "visit_note_id": 71002,
        "visit_note_signed_date": "2026-03-04T03:12:44Z",
        "visit_note_deleted_date": None,
        "billing_status": "Unbilled",
        "billing_date": None,
        "billing_error": None,
        "ref_number": None,
        "deferred_bill": False,
        "service_date": "2026-03-04T02:30:00Z",
        "service_date_timezone": None,
        "service_location": {"id": 5, "name": "Main Office", "place_of_service": "Office", "place_of_service_code": 11},
        "rendering_provider": 86,
        "supervising_provider": None,
        "referring_provider": {"name": "Robin Refer, MD (217-555-0142)", "state": "IL", "npi": "1234567893"},
        "ordering_provider": None,
        "prior_authorization": "PA-556677",
        "cpts": [
            {"cpt": "99214", "modifiers": ["25"], "dxs": ["I10", "E11.9"], "units": "1.0", "unit_charge": "185.00"},
            {"cpt": "83036", "modifiers": ["QW"], "dxs": ["E11.9"], "units": "2.0", "unit_charge": "28.00"},
        ],
        "created_date": "2026-03-04T02:40:00Z",
        "last_modified_date": "2026-03-04T03:12:44Z",
    },
    {
        "resourceType": "Patient",
        "id": "4400",
        "first_name": "Avery",
        "middle_name": "",
        "last_name": "Testperson",
        "sex": "Female",
        "dob": "1984-02-29",
        "address": {"address_line1": "1 Sample Street", "city": "Albany", "state": "NY", "zip": "12207"},
        "phones": [{"phone": "5185550100", "phone_type": "Home"}],
        "insurances": [
            {
                "id": 9002,
                "rank": "secondary",
                "insurance_company": 302,
                "carrier": "Second Health Plan",
                "member_id": "77001",
                "relationship_to_insured": "Spouse",
                "insured_person_first_name": "Quinn",
                "insured_person_last_name": "Testperson",
                "insured_person_dob": "01/09/1982",
                "insured_person_gender": "M",
            },
            {
                "id": 9001,
                "rank": "primary",
                "insurance_company": 301,
                "carrier": "Sample Health Plan",
                "member_id": "000123456",
                "group_id": "G-100",
                "payment_program": "Commercial - Other",
                "relationship_to_insured": None,
            },
        ],
    },
    {
        "resourceType": "Physician",
        "id": "86",
        "first_name": "Robin",
        "last_name": "Attending",
        "credentials": "MD",
        "npi": "1679576722",
    },
    {"resourceType": "InsuranceCompany", "id": "301", "carrier": "Sample Health Plan", "payer_id": "SHP01"},
    {"resourceType": "InsuranceCompany", "id": "302", "carrier": "Second Health Plan", "payer_id": "SHP02"},
]


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def reference(target: str) -> dict[str, str]:
    return {"reference": target}


def named(resource_type: str, vendor_id: str, family: str, given: str, **more: Any) -> Resource:
    return {"resourceType": resource_type, "id": vendor_id, "name": [{"family": family, "given": [given]}], **more}


def visit(number: int = 1) -> list[Resource]:
    """The same visit as the neutral FHIR day from which simulators are seeded; further numbers are further visits."""
    participation = f"{codes.THO}/v3-ParticipationType"
    encounter = {
        "resourceType": "Encounter",
        "id": f"enc-{number}",
        "meta": {"lastUpdated": "2026-03-04T03:10:00Z"},
        "status": "finished",
        "subject": reference("Patient/pat-1"),
        "participant": [
            {"type": [coded(participation, "ATND")], "individual": reference("Practitioner/prac-1")},
            {"type": [coded(participation, "REF")], "individual": reference("Practitioner/prac-2")},
        ],
        "period": {"start": "2026-03-04T02:30:00+00:00"},
        "diagnosis": [{"condition": reference(f"Condition/con-{i}"), "rank": i} for i in (1, 2)],
        "location": [{"location": reference("Location/loc-1")}],
    }
    claim = {
        "resourceType": "Claim",
        "id": f"claim-{number}",
        "insurance": [{"preAuthRef": ["PA-556677"]}],
        "item": [_item(number, "99214", "25", [1, 2], 1, "185.00"), _item(number, "83036", "QW", [2], 2, "28.00")],
    }
    return [encounter, claim]


def _item(number: int, code: str, modifier: str, pointers: list[int], units: int, price: str) -> dict[str, Any]:
    return {
        "encounter": [reference(f"Encounter/enc-{number}")],
        "productOrService": coded(codes.CPT, code),
        "modifier": [coded(codes.CPT, modifier)],
        "diagnosisSequence": pointers,
        "quantity": {"value": units},
        "unitPrice": {"value": price},
    }


def shared_records() -> list[Resource]:
    """The patient with two coverages, the practitioners, the place, the payers, and the diagnoses."""
    spouse = named("RelatedPerson", "rel-1", "Testperson", "Quinn", birthDate="1982-01-09", gender="male")
    coverages = [
        _coverage(1, "payer-1", "000123456", "self", "Patient/pat-1"),
        _coverage(2, "payer-2", "77001", "spouse", "RelatedPerson/rel-1"),
    ]
    payers = [
        {"resourceType": "Organization", "id": f"payer-{i}", "name": name, "identifier": [{"value": f"SHP0{i}"}]}
        for i, name in ((1, "Sample Health Plan"), (2, "Second Health Plan"))
    ]
    conditions = [
        {"resourceType": "Condition", "id": f"con-{i}", "code": coded(codes.ICD10CM, code)}
        for i, code in ((1, "I10"), (2, "E11.9"))
    ]
    return [
        named("Patient", "pat-1", "Testperson", "Avery", birthDate="1984-02-29", gender="female"),
        named("Practitioner", "prac-1", "Attending", "Robin", identifier=_npi("1679576722")),
        named("Practitioner", "prac-2", "Refer", "Robin", identifier=_npi("1234567893")),
        {"resourceType": "Location", "id": "loc-1", "name": "Main Office", "type": [coded(codes.POS, "11")]},
        spouse,
        *coverages,
        *payers,
        *conditions,
    ]


def _npi(value: str) -> list[dict[str, str]]:
    return [{"system": codes.NPI, "value": value}]


def _coverage(order: int, payer: str, member_id: str, relationship: str, subscriber: str) -> Resource:
    return {
        "resourceType": "Coverage",
        "id": f"cov-{order}",
        "status": "active",
        "subscriberId": member_id,
        "beneficiary": reference("Patient/pat-1"),
        "subscriber": reference(subscriber),
        "relationship": coded(codes.RELATIONSHIP, relationship),
        "payor": [reference(f"Organization/{payer}")],
        "order": order,
    }


@pytest.fixture
def context() -> AdapterContext:
    return contract_context()


@pytest.fixture
def raw() -> list[Resource]:
    return copy.deepcopy(RAW)


@pytest.fixture
def record(raw: list[Resource]) -> EncounterRecord:
    return EncounterRecord(EncounterRef(BILL, f"Bill/{BILL}#1"), BASE, raw[0], tuple(raw[1:]))


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    return new_credentials(0)


@pytest.fixture
def visits() -> int:
    """How many visits the simulator serves; a test may ask for more."""
    return 1


@contextmanager
def playing(credentials: dict[str, str], visits: int) -> Iterator[Simulator]:
    """A practice with so many visits, all signed."""
    data = [*shared_records(), *(each for number in range(1, visits + 1) for each in visit(number))]
    with (
        simulator_running(build, credentials=credentials, data=data) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        client.post("/_sim/sign", json={"all": True}).raise_for_status()
        yield Simulator(client)


@pytest.fixture
def simulator(credentials: dict[str, str], visits: int) -> Iterator[Simulator]:
    with playing(credentials, visits) as running:
        yield running


@pytest.fixture
async def paged(credentials: dict[str, str], context: AdapterContext) -> AsyncIterator[PagedEhr]:
    """Three visits, one bill a page."""
    small = {**credentials, "largest_page": "1"}
    with playing(small, 3) as running:
        adapter = ElationEhr(ADAPTER.settings(**settings_for(running, small)), context)
        yield PagedEhr(adapter, running, frozenset({"65098", "65099", "65100"}))
        await adapter.aclose()


@pytest.fixture
def settings(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    return settings_for(simulator, credentials)


def settings_for(simulator: Simulator, credentials: dict[str, str]) -> dict[str, Any]:
    """The simulator's own connection settings, with the secret filled in; what was signed just now is in the window."""
    url = str(simulator.client.base_url).rstrip("/")
    offered = connection(SimulatorOptions(url, credentials=credentials))
    return {**offered.settings, "client_secret": offered.secrets["ELATION_CLIENT_SECRET"]}


@pytest.fixture
async def ehr(settings: dict[str, Any], context: AdapterContext) -> AsyncIterator[ElationEhr]:
    adapter = ElationEhr(ADAPTER.settings(**settings), context)
    await adapter.subscribe(HOOK)
    yield adapter
    await adapter.aclose()


@pytest.fixture
def offline(context: AdapterContext) -> ElationEhr:
    """An adapter whose pure methods are used only."""
    return ElationEhr(ADAPTER.settings(client_id="app", client_secret="secret"), context)


def event_body(**changed: Any) -> dict[str, Any]:
    event = {
        "event_id": 880012,
        "event_uuid": "7d0f0c2e-0000-7000-8000-000000000001",
        "application_id": "app-1",
        "resource": "bills",
        "action": "saved",
        "resource_url": f"{BASE}/bills/{BILL}/",
        "data": {"id": int(BILL), "patient": 4400, "visit_note": 71002},
    }
    return {**event, **changed}


def request_of(body: bytes, signature: str = "") -> NotificationRequest:
    headers = {"el8-ed25519-signature": signature, "content-type": "application/json"}
    return NotificationRequest("POST", "", headers, {}, body, "192.0.2.7")


@pytest.fixture
def event(credentials: dict[str, str]) -> NotificationRequest:
    """A bill's event, signed with the key of the first subscription."""
    body = jsonio.dumps(event_body())
    signer = Events(BASE, credentials["client_id"], credentials["signing_seed"])
    return request_of(body, signer.signature(501, body))
