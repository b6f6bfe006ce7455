"""Hand-written claims, and simulators over real HTTP and SFTP."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest
from pyx12.params import params
from pyx12.x12n_document import x12n_document

from adapters.billing.x12_837p.simulator import build, connection_over
from adapters.billing.x12_837p.simulator.account import DEFAULT_CREDENTIALS, DEFAULT_DIRECTORY, Account
from adapters.billing.x12_837p.simulator.intake import Intake
from gateway.kit.contract_support import simulator_running
from gateway.kit.simulator import SimulatorOptions, free_ports

DIRECTORY = {
    **DEFAULT_DIRECTORY,
    "payers": [*DEFAULT_DIRECTORY["payers"], {"payer_id": "87726", "name": "Harbor Mutual"}],
    "claims_on_file": ["PCN70001"],
}
ISA = "ISA*00*          *00*          *ZZ*GWSUBMIT       *ZZ*CLRHOUSE       *260304*1412*^*00501*000000101*0*T*:~"
HEAD = (
    "GS*HC*GWSUBMIT*CLRHOUSE*20260304*1412*101*X*005010X222A1~ST*837*0001*005010X222A1~"
    "BHT*0019*00*BATCH101*20260304*1412*CH~NM1*41*2*LAKESIDE DERMATOLOGY*****46*GWSUBMIT~"
    "PER*IC*BILLING DESK*TE*8135550100~NM1*40*2*CLRHOUSE*****46*CLRHOUSE~HL*1**20*1~PRV*BI*PXC*207N00000X~"
    "NM1*85*2*LAKESIDE DERMATOLOGY*****XX*1234567893~N3*100 CLINIC WAY~N4*TAMPA*FL*336010001~REF*EI*123456789~"
)
SUBSCRIBER = (
    "HL*2*1*22*0~SBR*P*18*GRP100******CI~NM1*IL*1*DOE*JANE****MI*XYZ123456789~N3*1 MAIN ST~N4*TAMPA*FL*33601~"
    "DMG*D8*19850615*F~NM1*PR*2*SAMPLE HEALTH PLAN*****PI*60054~"
)
CLAIM = (
    "CLM*GW7F3A91*265***11:B:1*Y*A*Y*Y~REF*D9*SUB-1~HI*ABK:L570*ABF:D485~NM1*82*1*SMITH*ALAN****XX*1679576722~"
    "PRV*PE*PXC*207N00000X~LX*1~SV1*HC:99213:25*120*UN*1***1:2~DTP*472*D8*20260303~REF*6R*GW7F3A91L1~LX*2~"
    "SV1*HC:17000*145*UN*1***1~DTP*472*D8*20260303~REF*6R*GW7F3A91L2~"
)
CHILD = (
    "HL*3*1*22*1~SBR*P**GRP100******CI~NM1*IL*1*ROE*MARK****MI*XYZ555~NM1*PR*2*HARBOR MUTUAL*****PI*87726~"
    "HL*4*3*23*0~PAT*19~NM1*QC*1*ROE*TESS~N3*2 MAIN ST~N4*TAMPA*FL*33601~DMG*D8*20180201*F~"
    + CLAIM.replace("GW7F3A91", "GW7F3A92")
    .replace("SUB-1", "SUB-2")
    .replace("*265*", "*265.5*")
    .replace("145*", "145.5*")
)
TAIL = "SE*0*0001~GE*1*101~IEA*1*000000101~"
OFFICE = ISA + HEAD + SUBSCRIBER + CLAIM + TAIL
TWO = ISA + HEAD + SUBSCRIBER + CLAIM + CHILD + TAIL
OTHER_PAYER = (
    "SBR*S*18*******MB~AMT*D*20~OI***Y***Y~NM1*IL*1*DOE*JANE****MI*1EG4TE5MK73~NM1*PR*2*MEDICARE PART B*****PI*00621~"
)


class Samples:
    """The hand-written files and what can be made of them."""

    ISA, HEAD, SUBSCRIBER, CLAIM, CHILD, TAIL = ISA, HEAD, SUBSCRIBER, CLAIM, CHILD, TAIL
    OFFICE, TWO, OTHER_PAYER, DIRECTORY = OFFICE, TWO, OTHER_PAYER, DIRECTORY

    @staticmethod
    def edited(text: str, *changes: tuple[str, str], number: str = "101", count: bool = True) -> str:
        """A file with replacements (first occurrence each), another control number, and its SE01 counted again."""
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        text = text.replace("000000101", f"{number:0>9}").replace("*101~", f"*{number}~")
        text = text.replace("*101*X*", f"*{number}*X*")
        if count:
            inside = re.search(r"ST\*837.*?~SE\*", text, re.DOTALL)
            assert inside
            text = re.sub(r"~SE\*\d+\*", f"~SE*{inside[0].count('~') + 1}*", text)
        return text

    @staticmethod
    def segments(text: str) -> list[str]:
        """The segments of an answer after its ISA."""
        return [segment.strip() for segment in text[106:].split(text[105]) if segment.strip()]

    @classmethod
    def only(cls, text: str, *ids: str) -> list[str]:
        """The segments of these ids."""
        return [s for s in cls.segments(text) if s.split(text[3])[0] in ids]

    @staticmethod
    def referee(text: str) -> str:
        """What pyx12 says against a file; empty when it is valid."""
        acknowledgment = io.StringIO()
        valid = x12n_document(params(), io.StringIO(text), acknowledgment, None, None)
        return "" if valid else acknowledgment.getvalue() or "invalid"


Samples.OFFICE, Samples.TWO = Samples.edited(OFFICE), Samples.edited(TWO)


class Desk:
    """The clearinghouse's EDI desk without a network."""

    def __init__(self) -> None:
        self.account = Account(DIRECTORY, DEFAULT_CREDENTIALS, lambda: datetime(2026, 3, 5, 8, 1, tzinfo=UTC))
        self.intake = Intake(self.account)

    def take(self, text: str) -> dict[str, str]:
        """The answers to a file by kind."""
        answers, _ = self.intake.take(text)
        return {answer.kind: answer.text for answer in answers}

    def statuses(self, text: str) -> list[str]:
        """STC01, STC10 and STC11 of the claims in the 277CA that answers a file."""
        report = self.take(text)["277ca"]
        found = [segment.split("*") for segment in Samples.segments(report) if segment.startswith(("STC", "HL"))]
        claims = [found[i + 1] for i, segment in enumerate(found) if segment[0] == "HL" and segment[3] == "PT"]
        return [part.replace(">", ":") for stc in claims for part in (stc[1], *stc[10:12])]


@pytest.fixture(scope="session")
def x12() -> type[Samples]:
    """Hand-written files."""
    return Samples


@pytest.fixture
def desk() -> Desk:
    """An EDI desk with a fresh account."""
    return Desk()


class Running:
    """A simulator that runs, and ways to reach it."""

    def __init__(self, url: str, ports: tuple[int, ...], directory: Path | None) -> None:
        self.url, self.directory = url, directory
        self.options = SimulatorOptions(url, ports=ports, directory=directory)
        self.client = httpx.Client(base_url=url, timeout=5)

    def settings(self, delivery: str) -> dict[str, Any]:
        """The plain settings of one channel, secrets filled in."""
        offered = connection_over(delivery, self.options)
        return {
            name: offered.secrets[value[4:]] if str(value).startswith("env:") else value
            for name, value in offered.settings[delivery].items()
        }

    def ledger(self) -> Any:
        """What the simulator holds."""
        return self.client.get("/_sim/ledger").json()

    def control(self, route: str, **body: Any) -> httpx.Response:
        """POST to a control route."""
        return self.client.post(f"/_sim/{route}", json=body)

    def fail(self, operation: str, kind: str, **extra: Any) -> None:
        """Let the next call of an operation fail."""
        rule = {"operation": operation, "kind": kind, "times": 1}
        assert self.control("faults", rules=[rule], **extra).status_code == 200


@contextmanager
def _running(directory: Path | None = None, think_seconds: float = 0.0, pace: float = 0.0) -> Iterator[Running]:
    ports = free_ports(1)

    def thinking(options: SimulatorOptions) -> Any:
        return build(replace(options, think_seconds=think_seconds))

    with simulator_running(
        thinking, credentials={}, data=DIRECTORY, pace=pace, ports=ports, directory=directory
    ) as url:
        yield Running(url, ports, directory)


@pytest.fixture
def running() -> Callable[..., AbstractContextManager[Running]]:
    """Starts a simulator with options of its own."""
    return _running


@pytest.fixture(scope="package")
def shared_simulator() -> Iterator[Running]:
    """The simulator that the tests share, one after the other."""
    with _running() as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Running) -> Running:
    """The shared simulator, empty."""
    assert shared_simulator.control("reset").status_code == 200
    return shared_simulator


@pytest.fixture
async def sftp(simulator: Running) -> AsyncIterator[asyncssh.SFTPClient]:
    """A session at the simulator's SFTP server."""
    settings = simulator.settings("sftp")
    known = ([asyncssh.import_public_key(settings["host_key"])], [], [])
    async with (
        asyncssh.connect(
            settings["host"],
            settings["port"],
            username=settings["user"],
            password=settings["password"],
            known_hosts=known,
            client_keys=None,
            config=None,
        ) as connection,
        connection.start_sftp_client() as client,
    ):
        yield client


@pytest.fixture
def claim_json() -> dict[str, Any]:
    """The claim of the office visit as JSON."""

    def line(number: int, code: str, charge: str, pointers: list[str]) -> dict[str, Any]:
        service = {
            "procedureIdentifier": "HC",
            "procedureCode": code,
            "lineItemChargeAmount": charge,
            "measurementUnit": "UN",
            "serviceUnitCount": "1",
            "compositeDiagnosisCodePointers": {"diagnosisCodePointers": pointers},
        }
        control = f"GW7F3A91L{number}"
        return {"serviceDate": "20260303", "providerControlNumber": control, "professionalService": service}

    tampa = {"city": "TAMPA", "state": "FL"}
    return {
        "tradingPartnerServiceId": "60054",
        "tradingPartnerName": "SAMPLE HEALTH PLAN",
        "usageIndicator": "T",
        "submitter": {
            "organizationName": "LAKESIDE DERMATOLOGY",
            "submitterIdentification": "GWSUBMIT",
            "contactInformation": {"name": "BILLING DESK", "phoneNumber": "8135550100"},
        },
        "receiver": {"organizationName": "CLRHOUSE"},
        "billing": {
            "providerType": "BillingProvider",
            "npi": "1234567893",
            "organizationName": "LAKESIDE DERMATOLOGY",
            "taxonomyCode": "207N00000X",
            "employerId": "123456789",
            "address": {"address1": "100 CLINIC WAY", "postalCode": "336010001", **tampa},
        },
        "subscriber": {
            "memberId": "XYZ123456789",
            "firstName": "JANE",
            "lastName": "DOE",
            "gender": "F",
            "dateOfBirth": "19850615",
            "address": {"address1": "1 MAIN ST", "postalCode": "33601", **tampa},
            "groupNumber": "GRP100",
            "paymentResponsibilityLevelCode": "P",
        },
        "rendering": {"npi": "1679576722", "lastName": "SMITH", "firstName": "ALAN", "taxonomyCode": "207N00000X"},
        "claimInformation": {
            "claimFilingCode": "CI",
            "patientControlNumber": "GW7F3A91",
            "claimChargeAmount": "265",
            "placeOfServiceCode": "11",
            "claimFrequencyCode": "1",
            "signatureIndicator": "Y",
            "planParticipationCode": "A",
            "benefitsAssignmentCertificationIndicator": "Y",
            "releaseInformationCode": "Y",
            "healthCareCodeInformation": [
                {"diagnosisTypeCode": "ABK", "diagnosisCode": "L570"},
                {"diagnosisTypeCode": "ABF", "diagnosisCode": "D485"},
            ],
            "serviceLines": [line(1, "99213", "120", ["1", "2"]), line(2, "17000", "145", ["1"])],
        },
    }
