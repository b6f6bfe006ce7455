"""The simulator over real HTTP, and short ways to call it and to read what it answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from lxml import etree

from adapters.billing.kareo_tebra.simulator import PATH, build
from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY
from adapters.billing.kareo_tebra.simulator.parser import SOAP
from adapters.billing.kareo_tebra.simulator.schema import SLASH
from gateway.kit.simulator import FaultKind, SimulatorOptions

HEADER = (
    "<RequestHeader><CustomerKey>ck-demo</CustomerKey><Password>pw-demo</Password>"
    "<User>api@example.test</User></RequestHeader>"
)
POLICY = (
    "<CompanyID>301</CompanyID><PlanID>401</PlanID><PolicyNumber>XYZ100200</PolicyNumber><Precedence>1</Precedence>"
)
PATIENT = (
    "<Patient><AddressLine1>5 Elm Road</AddressLine1><Cases><PatientCaseCreateReq><CaseName>Office visit</CaseName>"
    "<PayerScenario>Insurance</PayerScenario><Policies><InsurancePolicyCreateReq>" + POLICY
    + "</InsurancePolicyCreateReq></Policies></PatientCaseCreateReq></Cases><City>Springfield</City>"
    "<DateofBirth>1980-02-29T00:00:00</DateofBirth><FirstName>Testina</FirstName><Gender>Female</Gender>"
    "<LastName>Sample</LastName><Practice><PracticeID>4</PracticeID></Practice><State>IL</State>"
    "<ZipCode>62701</ZipCode></Patient>"
)  # fmt: skip
LINE = (
    "<DiagnosisCode1>L57.0</DiagnosisCode1><DiagnosisCode2>D22.5</DiagnosisCode2>"
    "<EncounterProcedureExternalID>gw-1-1</EncounterProcedureExternalID><ProcedureCode>17000</ProcedureCode>"
    "<ProcedureModifier1>59</ProcedureModifier1><ServiceStartDate>2026-03-03T00:00:00</ServiceStartDate>"
    "<UnitCharge>145.00</UnitCharge><Units>2</Units>"
)
ENCOUNTER = (
    "<BatchNumber>gw-1</BatchNumber><Case><CaseID>9001</CaseID></Case><EncounterStatus>Draft</EncounterStatus>"
    "<ExternalID>gw-1</ExternalID><Patient><PatientID>4001</PatientID></Patient>"
    "<PlaceOfService><PlaceOfServiceCode>11</PlaceOfServiceCode></PlaceOfService>"
    "<PostDate>2026-03-04T00:00:00</PostDate><Practice><PracticeID>4</PracticeID></Practice>"
    "<RenderingProvider><ProviderID>11</ProviderID></RenderingProvider>"
    f"<ServiceLines><ServiceLineReq>{LINE}</ServiceLineReq></ServiceLines>"
    "<ServiceLocation><LocationID>13</LocationID></ServiceLocation>"
    "<ServiceStartDate>2026-03-03T00:00:00</ServiceStartDate>"
)
DIRECTORY = {
    **DEFAULT_DIRECTORY,
    "providers": [
        *DEFAULT_DIRECTORY["providers"],
        {"npi": "1999999984", "family": "Gone", "given": "Long", "active": "false"},
        {"npi": "1234567893", "family": "Else", "given": "Where", "practice_id": "5"},
    ],
    "locations": [
        *DEFAULT_DIRECTORY["locations"],
        {"name": "Elsewhere", "npi": "1234567893", "place_of_service": "11", "practice_id": "5"},
    ],
}


class Reply:
    """An element of an answer; a fault keeps only its text."""

    def __init__(self, element: Any) -> None:
        self._element = element
        self.fault: str | None = element.findtext("faultstring")

    def text(self, name: str) -> str | None:
        """The text of the first element of this name."""
        found = self._element.find(f".//{{{SLASH}}}{name}")
        return None if found is None else found.text

    def rows(self, name: str) -> list[Reply]:
        """All elements of this name."""
        return [Reply(found) for found in self._element.iter(f"{{{SLASH}}}{name}")]

    def filled(self, name: str, key: str = "ID") -> list[Reply]:
        """The rows that are no placeholder."""
        return [row for row in self.rows(name) if row.text(key)]

    def texts(self) -> list[str | None]:
        """The texts of the children."""
        return [child.text for child in self._element]

    def errors(self) -> dict[str, str]:
        """The tag that holds each `<err>` of a refusal -> its text."""
        assert self.text("IsError") == "true"
        echo = etree.fromstring(self.text("ErrorMessage") or "")
        return {error.getparent().tag: error.text for error in echo.iter("err")}


class Sandbox:
    """One running simulator, a client of it, and requests that it accepts."""

    HEADER, PATIENT, ENCOUNTER, LINE, DIRECTORY = HEADER, PATIENT, ENCOUNTER, LINE, DIRECTORY

    def __init__(self, base_url: str, client: httpx.AsyncClient) -> None:
        self.base_url = base_url
        self.client = client

    @staticmethod
    def message(operation: str, members: str, parameter: str = "request", header: str = HEADER) -> str:
        """The envelope of a call."""
        body = f'<{operation} xmlns="{SLASH}"><{parameter}>{header}{members}</{parameter}></{operation}>'
        return f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{body}</e:Body></e:Envelope>'

    @staticmethod
    def without(members: str, name: str) -> str:
        """Members without the first element of a name."""
        changed = re.sub(rf"<{name}>.*?</{name}>", "", members, count=1)
        assert changed != members
        return changed

    async def post(self, operation: str, content: str, **headers: str) -> httpx.Response:
        """Send an envelope as it is."""
        sent = {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{SLASH}KareoServices/{operation}"'}
        return await self.client.post(PATH, content=content.encode(), headers=sent | headers)

    async def post_encounter(self, client: httpx.AsyncClient, **options: Any) -> httpx.Response:
        """Send the encounter with another client."""
        content = self.message("CreateEncounter", f"<Encounter>{ENCOUNTER}</Encounter>").encode()
        headers = {"content-type": "text/xml", "soapaction": f'"{SLASH}KareoServices/CreateEncounter"'}
        return await client.post(f"{self.base_url}{PATH}", content=content, headers=headers, **options)

    async def call(self, operation: str, members: str, parameter: str = "request", header: str = HEADER) -> Reply:
        """The `<Op>Result` element, or the fault, of a call."""
        reply = await self.post(operation, self.message(operation, members, parameter, header))
        assert reply.headers["content-type"].startswith("text/xml")
        first = etree.fromstring(reply.content)[0][0]
        is_fault = first.tag == f"{{{SOAP}}}Fault"
        assert reply.status_code == (500 if is_fault else 200)
        return Reply(first if is_fault else first[0])

    async def patient(self) -> None:
        """Create the patient, who gets the ids that the encounter names."""
        result = await self.call("CreatePatient", PATIENT)
        assert (result.text("PatientID"), result.text("CaseID")) == ("4001", "9001")

    async def encounter(self, members: str = ENCOUNTER) -> Reply:
        """Create an encounter."""
        return await self.call("CreateEncounter", f"<Encounter>{members}</Encounter>")

    async def charges(self, criteria: str) -> list[Reply]:
        """The rows of GetCharges, placeholders too."""
        return (await self.call("GetCharges", f"<Fields/><Filter>{criteria}</Filter>")).rows("ChargeData")

    async def ledger(self) -> Any:
        """What the simulator holds."""
        return (await self.client.get("/_sim/ledger")).json()

    async def fail(self, kind: FaultKind, operation: str = "CreateEncounter", **extra: Any) -> None:
        """Let the next call of an operation fail."""
        body = {"rules": [{"operation": operation, "kind": kind.value, "times": 1}], **extra}
        assert (await self.client.post("/_sim/faults", json=body)).status_code == 200


@contextmanager
def served(**options: Any) -> Iterator[str]:
    """A simulator under uvicorn in a thread of its own; its base URL."""
    config = uvicorn.Config(lambda *_: None, port=0, log_level="critical", lifespan="off")
    socket = config.bind_socket()
    base_url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    config.app = build(SimulatorOptions(base_url=base_url, **({"pace": 0.0, "data": DIRECTORY} | options)))
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    yield base_url
    server.should_exit = True
    thread.join(timeout=5)


@asynccontextmanager
async def _running(**options: Any) -> AsyncIterator[Sandbox]:
    with served(**options) as base_url:
        async with httpx.AsyncClient(base_url=base_url, timeout=5) as client:
            yield Sandbox(base_url, client)


@pytest.fixture
def running() -> Callable[..., AbstractAsyncContextManager[Sandbox]]:
    """Starts a simulator with options of its own."""
    return _running


@pytest.fixture(scope="package")
def simulator_url() -> Iterator[str]:
    """The simulator that the tests share, one after the other."""
    with served() as base_url:
        yield base_url


@pytest.fixture
async def sandbox(simulator_url: str) -> AsyncIterator[Sandbox]:
    """The shared simulator, empty."""
    async with httpx.AsyncClient(base_url=simulator_url, timeout=5) as client:
        await client.post("/_sim/reset")
        yield Sandbox(simulator_url, client)
