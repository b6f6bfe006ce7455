"""One synthetic visit in athenahealth's own words, and a running simulator that serves it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.ehr.athenahealth import ADAPTER
from adapters.ehr.athenahealth.simulator import AthenaSimulator, build, connection, new_credentials
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterRecord, EncounterRef
from gateway.kit.contract_ehr import PagedEhr
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.context import AdapterContext

BASE = "https://api.example.test/v1/195900"

VISIT: dict[str, Any] = {
    "encounter": {
        "encounterid": "62014",
        "appointmentid": "1050322",
        "encounterdate": "03/03/2026",
        "appointmentstartdate": "2026-03-03T21:30:00-05:00",
        "encountertype": "VISIT",
        "encountervisitname": "Established Patient 20",
        "status": "CLOSED",
        "closeddate": "03/03/2026",
        "departmentid": 162,
        "providerid": 86,
        "lastupdated": "03/03/2026",
    },
    "diagnoses": [
        {
            "diagnosisid": 15003,
            "ranking": 2,
            "snomedcode": 44054006,
            "icdcodes": [{"codeset": "ICD10", "code": "E119", "description": "Type 2 diabetes mellitus"}],
        },
        {
            "diagnosisid": 15002,
            "ranking": 1,
            "snomedcode": 59621000,
            "icdcodes": [
                {"codeset": "ICD9", "code": "4019"},
                {"codeset": "ICD10", "code": "I10", "description": "Essential (primary) hypertension"},
            ],
        },
    ],
    "services": [
        {
            "serviceid": "9001",
            "procedurecode": "99214,25,GT",
            "units": 1,
            "billforservice": True,
            "icd10codes": ["E11.9", "I10"],
            "ordering": 1,
        },
        {
            "serviceid": "9002",
            "procedurecode": "83036,QW",
            "units": "3",
            "billforservice": "true",
            "icd10codes": ["E119"],
            "ordering": 2,
        },
        {"serviceid": "9003", "procedurecode": "99211", "units": 1, "billforservice": "false", "ordering": 3},
    ],
    "appointment": {
        "appointmentid": "1050322",
        "patientid": "7965",
        "departmentid": "162",
        "providerid": "86",
        "renderingproviderid": 86,
        "referringproviderid": 501,
        "date": "03/03/2026",
        "starttime": "21:30",
        "appointmentstatus": "2",
        "encounterid": "62014",
        "encounterstatus": "WITHSTAFF",
        "encounterstate": "CLOSED",
        "chargeentrynotrequired": False,
        "lastmodified": "03/03/2026 10:12:44",
    },
    "accidentdata": {"appointmentid": "1050322", "relatedtoemployment": False, "relatedtoautoaccident": "false"},
    "insurances": [
        {
            "insuranceid": "64",
            "insurancepackageid": 2000,
            "insuranceidnumber": "77001",
            "sequencenumber": "2",
            "insuranceplanname": "SECOND HEALTH PLAN",
            "ircname": "Second Health Plan",
            "relationshiptoinsured": "Self",
            "relationshiptoinsuredid": "1",
        },
        {
            "insuranceid": "63",
            "insurancepackageid": "89474",
            "insuranceidnumber": "000123456",
            "policynumber": "GRP-77",
            "sequencenumber": "1",
            "insurancetype": "Commercial",
            "insuranceplanname": "EVERGREEN HEALTH PLAN (PPO)",
            "ircid": "51",
            "ircname": "Evergreen Health Plan",
            "insurancepackageaddress1": "PO BOX 100",
            "insurancepackagecity": "SPRINGFIELD",
            "insurancepackagestate": "IL",
            "insurancepackagezip": "62799",
            "relationshiptoinsuredid": "2",
            "relationshiptoinsured": "Spouse",
            "insurancepolicyholderfirstname": "CASEY",
            "insurancepolicyholderlastname": "TESTERLY",
            "insurancepolicyholderdob": "01/09/1970",
            "insurancepolicyholdersex": "M",
            "issuedate": "01/01/2026",
        },
        {"insuranceid": "65", "insurancepackageid": 0, "insuranceplanname": "*SELF PAY*", "sequencenumber": "3"},
    ],
    "patient": {
        "patientid": "7965",
        "firstname": "AVERY",
        "lastname": "TESTERLY",
        "dob": "02/29/1984",
        "sex": "F",
        "address1": "1 SAMPLE STREET",
        "city": "SPRINGFIELD",
        "state": "IL",
        "zip": "62701",
    },
    "provider": {
        "providerid": 86,
        "npi": 1999999984,
        "firstname": "Avery",
        "lastname": "Stone",
        "ansispecialtycode": "207R00000X",
        "billable": "true",
    },
    "referringprovider": {
        "referringproviderid": "501",
        "npinumber": "1679576722",
        "firstname": "Sam",
        "lastname": "Referrer",
    },
    "department": {
        "departmentid": "162",
        "name": "MAIN OFFICE",
        "address": "100 CLINIC RD",
        "city": "SPRINGFIELD",
        "state": "IL",
        "zip": "62701",
        "placeofservicetypeid": "22",
    },
    "referralauths": [
        {
            "referralauthid": "77",
            "referralauthnumber": "PA-0042",
            "referralauthtype": "PRIORAUTH",
            "insuranceidnumber": "000123456",
            "expired": "false",
            "startdate": "01/01/2026",
            "expirationdate": "06/30/2026",
        }
    ],
    "claims": [],
    "conditions": [],
}
_LISTS = {
    "diagnoses": "diagnosis",
    "services": "service",
    "insurances": "insurance",
    "referralauths": "referralauth",
    "claims": "claim",
    "conditions": "Condition",
}


def record_of(visit: dict[str, Any]) -> EncounterRecord:
    """The record that a fetch of a visit gives."""
    found: list[dict[str, Any]] = []
    for name, held in visit.items():
        if name != "encounter":
            rows = held if isinstance(held, list) else [held]
            found += [{**row, "resourceType": _LISTS.get(name, name)} for row in rows]
    encounter = {**visit["encounter"], "resourceType": "encounter", "id": visit["encounter"]["encounterid"]}
    return EncounterRecord(EncounterRef("62014", "key"), BASE, encounter, tuple(found))


def place(app: AthenaSimulator, visit: dict[str, Any]) -> None:
    """Put a visit into the simulator's practice, checked in and not yet signed."""
    held, visit = app.practice, copy.deepcopy(visit)
    encounter_id, appointment_id = visit["encounter"]["encounterid"], visit["appointment"]["appointmentid"]
    patient_id = visit["patient"]["patientid"]
    held.encounters[encounter_id] = {**visit["encounter"], "status": "OPEN"}
    held.diagnoses[encounter_id], held.services[encounter_id] = visit["diagnoses"], visit["services"]
    held.conditions[encounter_id] = visit["conditions"]
    held.appointments[appointment_id] = visit["appointment"]
    held.visit_insurances[appointment_id] = visit["insurances"]
    held.accidents[appointment_id] = visit["accidentdata"]
    held.patients[patient_id] = visit["patient"]
    held.insurances[patient_id] = []
    held.authorizations[patient_id] = visit["referralauths"]
    held.providers["86"], held.referring["501"] = visit["provider"], visit["referringprovider"]
    held.departments["162"] = visit["department"]
    app.clinicians.unsigned[encounter_id] = True


@pytest.fixture
def visit() -> dict[str, Any]:
    """The visit's objects, to be changed by a test."""
    return copy.deepcopy(VISIT)


@pytest.fixture
def recorded() -> Callable[[dict[str, Any]], EncounterRecord]:
    return record_of


@pytest.fixture
def record(visit: dict[str, Any]) -> EncounterRecord:
    return record_of(visit)


@pytest.fixture
def put() -> Callable[[AthenaSimulator, dict[str, Any]], None]:
    return place


@pytest.fixture
def context() -> AdapterContext:
    facts = contract_context("ehr1")
    clinic = replace(facts.clinic, fee_schedule=FeeSchedule.flat({"99214": Decimal("185.00")}))
    return replace(facts, clinic=clinic, now=lambda: datetime.now(UTC))


@pytest.fixture(scope="session")
def credentials() -> dict[str, str]:
    return new_credentials(0)


@pytest.fixture
def knobs() -> dict[str, str]:
    """What a test turns at the simulator."""
    return {}


@pytest.fixture
def pace() -> float:
    return 0.0


@contextmanager
def playing(credentials: dict[str, str], pace: float) -> Iterator[tuple[str, AthenaSimulator]]:
    """The address and the application of a simulator without visits."""
    kept: list[AthenaSimulator] = []

    def built(options: SimulatorOptions) -> AthenaSimulator:
        kept.append(build(options))
        return kept[0]

    with simulator_running(built, credentials=credentials, data=[], pace=pace) as url:
        yield url, kept[0]


def numbered(number: int) -> dict[str, Any]:
    """The visit once more, under numbers of its own."""
    visit = copy.deepcopy(VISIT)
    encounter_id, appointment_id = str(62014 + number), str(1050322 + number)
    for row in (visit["encounter"], visit["appointment"], visit["accidentdata"]):
        row.update(appointmentid=appointment_id)
    for row in (visit["encounter"], visit["appointment"]):
        row.update(encounterid=encounter_id)
    return visit


@pytest.fixture
async def paged(credentials: dict[str, str], context: AdapterContext) -> AsyncIterator[PagedEhr]:
    """Three visits, one row a page."""
    small = {**credentials, "largest_page": "1"}
    with playing(small, 0.0) as (url, app), httpx.Client(base_url=url, trust_env=False) as client:
        for number in range(3):
            place(app, numbered(number))
        app.feeds["appointments"].subscribe({})
        do(Simulator(client), "sign", all=True)
        adapter = ADAPTER.open(ADAPTER.settings(**settings_for(url, small)), context)
        yield PagedEhr(adapter, Simulator(client), frozenset({"62014", "62015", "62016"}))
        await adapter.aclose()


@pytest.fixture
def running(credentials: dict[str, str], knobs: dict[str, str], pace: float) -> Iterator[tuple[str, AthenaSimulator]]:
    with playing({**credentials, **knobs}, pace) as served:
        yield served


@pytest.fixture
def app(running: tuple[str, AthenaSimulator]) -> AthenaSimulator:
    return running[1]


@pytest.fixture
def control(running: tuple[str, AthenaSimulator]) -> Iterator[Simulator]:
    """The simulator with the visit in it, which nobody has signed."""
    url, app = running
    place(app, VISIT)
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield Simulator(client)


@pytest.fixture
def simulator(control: Simulator, app: AthenaSimulator) -> Simulator:
    """The simulator with the visit signed, after the feed was subscribed to."""
    app.feeds["appointments"].subscribe({})
    do(control, "sign", encounter_ids=["62014"])
    return control


def do(simulator: Simulator, name: str, **body: Any) -> Any:
    """A control route's answer."""
    answer = simulator.client.post(f"/_sim/{name}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def act() -> Callable[..., Any]:
    return do


@pytest.fixture
def settings(
    running: tuple[str, AthenaSimulator], credentials: dict[str, str], knobs: dict[str, str]
) -> dict[str, Any]:
    return settings_for(running[0], {**credentials, **knobs})


def settings_for(url: str, credentials: dict[str, str]) -> dict[str, Any]:
    """The simulator's own connection settings, with the secrets filled in."""
    offered = connection(SimulatorOptions(url, pace=0.0, credentials=credentials))
    return {
        name: offered.secrets[value.removeprefix("env:")] if str(value).startswith("env:") else value
        for name, value in offered.settings.items()
    }


@pytest.fixture
async def connect(settings: dict[str, Any], context: AdapterContext) -> Any:
    """Opens adapters that are closed after the test: `connect(push=True)`."""
    opened = []

    def connected(of: AdapterContext = context, **changes: Any) -> Any:
        adapter = ADAPTER.open(ADAPTER.settings(**{**settings, **changes}), of)
        opened.append(adapter)
        return adapter

    yield connected
    for adapter in opened:
        await adapter.aclose()


@pytest.fixture
def ehr(connect: Any, simulator: Simulator) -> Any:
    return connect()


@pytest.fixture
def offline(context: AdapterContext) -> Any:
    """An adapter whose pure methods are used only: nothing listens at its address."""
    values = {"host": "https://api.example.test", "practice_id": "195900", "client_id": "c", "client_secret": "s"}
    return ADAPTER.open(ADAPTER.settings(**values, webhook_secret="hook-secret"), context)
