"""What the receiver enforces, in raw HL7: none of the adapter's code is used."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from adapters.billing.medics_premier.simulator import build, connection
from adapters.billing.medics_premier.simulator.syntax import plain, read
from gateway.kit.contract_support import Simulator, simulator_running
from gateway.kit.simulator import FaultKind, SimulatorOptions

START, END = b"\x0b", b"\x1c\r"
SENDER = "CLAIMGW|LAKESIDE|MEDICSPREMIER|0001"
ADT = "\r".join(
    (
        f"MSH|^~\\&|{SENDER}|20260304101500||ADT^A04^ADT_A01|M1|P|2.5.1",
        "EVN|A04|20260304101500",
        "PID|1||MRN77^^^LAKESIDE^MR||Doe^Jane||19850615|F",
        "PV1|1|O|LOC1^^^LAKESIDE",
        "IN1|1|INS101|INS101",
    )
)
DFT = "\r".join(
    (
        f"MSH|^~\\&|{SENDER}|20260304101500||DFT^P03^DFT_P03|M2|P|2.5.1",
        "EVN|P03|20260304101500",
        "PID|1||MRN77^^^LAKESIDE^MR||Doe^Jane||19850615|F",
        "PV1|1|O|LOC1^^^LAKESIDE||||1679576722",
        "FT1|1|T-1|GW1|20260303|20260304|CG|99213^^CPT|||1|||||||||L57.0^^I10|1679576722||||||25^^CPT",
        "DG1|1||L57.0^^I10||20260303|F",
        "IN1|1|INS101|INS101",
    )
)
Send = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
def send(fresh: Any) -> Send:
    """Send messages over one connection; gives the first segment lists of the answers, or None when it broke off."""

    async def sent(*messages: str, wait: float = 1.0) -> list[Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", fresh.port)
        answers: list[Any] = []
        try:
            for message in messages:
                writer.write(START + message.encode() + END)
                async with asyncio.timeout(wait):
                    frame = await reader.readuntil(END)
                answers.append(read(frame.partition(START)[2][:-2].decode()))
        except asyncio.IncompleteReadError:
            answers.append(None)
        except TimeoutError:
            answers.append("silence")
        finally:
            writer.close()
        return answers

    return sent


def code(answer: Any) -> str:
    return str(next(part for part in answer[0] if part.name == "MSA").get(1))


def problems(answer: Any) -> list[tuple[str, str]]:
    return [(part.raw(2), part.get(3)) for part in answer[0] if part.name == "ERR"]


async def test_a_registered_patient_can_be_charged(send: Send, simulator: Simulator) -> None:
    answers = await send(ADT, DFT)
    assert [code(answer) for answer in answers] == ["AA", "AA"]
    assert answers[1][0][1].get(2) == "M2"
    ledger = simulator.ledger()
    assert ledger["claims"][0] == {
        "submission_id": "GW1",
        "vendor_id": "C000001",
        "state": "pending",
        "mrn": "MRN77",
        "lines": [
            {
                "transaction_id": "T-1",
                "type": "CG",
                "code": "99213",
                "units": "1",
                "amount": "",
                "modifiers": ["25"],
                "diagnoses": ["L57.0"],
                "provider": "1679576722",
                "place_of_service": "",
            }
        ],
        "segments": ["MSH", "EVN", "PID", "PV1", "FT1", "DG1", "IN1"],
    }
    assert ledger["patients"]["MRN77"]["family"] == "Doe"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("LAKESIDE|MEDICSPREMIER", "ELSEWHERE|MEDICSPREMIER", ("AR", "MSH^1^4", "204")),
        ("DFT^P03^DFT_P03", "ORU^R01", ("AR", "MSH^1^9", "200")),
        ("DFT^P03^DFT_P03", "DFT^P99", ("AR", "MSH^1^9", "201")),
        ("|P|2.5.1", "|X|2.5.1", ("AR", "MSH^1^11", "202")),
        ("|P|2.5.1", "|P|2.9", ("AR", "MSH^1^12", "203")),
        ("|M2|", "||", ("AE", "MSH^1^10", "101")),
        ("|M2|", f"|{'M' * 21}|", ("AE", "MSH^1^10", "102")),
        ("MRN77^^^LAKESIDE^MR", "MRN78", ("AE", "PID^1^3", "204")),
        ("Doe^Jane", "", ("AE", "PID^1^5", "101")),
        ("LOC1^^^LAKESIDE||||1679576722", "LOC9||||1679576722", ("AE", "PV1^1^3", "204")),
        ("LAKESIDE||||1679576722", "LAKESIDE||||1245319598", ("AE", "PV1^1^7", "204")),
        ("|CG|", "|XX|", ("AE", "FT1^1^6", "103")),
        ("|CG|", "||", ("AE", "FT1^1^6", "101")),
        ("|CG|99213", "|PY|CASH", ("AE", "FT1^1^7", "103")),
        ("99213^^CPT", "00000^^CPT", ("AE", "FT1^1^7", "103")),
        ("|20260303|20260304|", "|03/03/2026|20260304|", ("AE", "FT1^1^4", "102")),
        ("L57.0^^I10|1679", "nonsense^^I10|1679", ("AE", "FT1^1^19", "103")),
        ("|1679576722||||||25", "|1245319598||||||25", ("AE", "FT1^1^20", "204")),
        ("25^^CPT", "2^^CPT", ("AE", "FT1^1^26", "103")),
        ("DG1|1||L57.0", "DG1|1||nonsense", ("AE", "DG1^1^3", "103")),
        ("INS101|INS101", "INS101|INS999", ("AE", "IN1^1^3", "204")),
        ("\rIN1|1|INS101|INS101", "", ("AE", "IN1^1^1", "101")),
    ],
)
async def test_refusals(old: str, new: str, expected: tuple[str, str, str], send: Send, simulator: Simulator) -> None:
    assert old in DFT
    _, answer = await send(ADT, DFT.replace(old, new))
    assert (code(answer), *problems(answer)[0]) == expected
    assert simulator.ledger()["claims"] == []


async def test_older_versions_get_their_own_errors(send: Send) -> None:
    _, answer = await send(ADT, DFT.replace("2.5.1", "2.3.1").replace("99213^^CPT", "00000^^CPT"))
    assert answer[0][0].raw(9) == "ACK"
    assert answer[0][1].get(3).startswith("procedure 00000")
    assert answer[0][2].raw(1).startswith("FT1^1^7^103&")


async def test_commit_mode(send: Send) -> None:
    answers = await send(ADT, DFT.replace("|P|2.5.1", "|P|2.5.1|||AL|NE"))
    assert [code(answer) for answer in answers] == ["AA", "CA"]


async def test_duplicates_are_ignored_or_refused(send: Send, simulator: Simulator) -> None:
    await send(ADT, DFT)
    (answer,) = await send(DFT)
    assert code(answer) == "AA"
    simulator.client.post("/_sim/faults", json={"duplicates": "refuse"})
    (answer,) = await send(DFT)
    assert (code(answer), problems(answer)) == ("AE", [("FT1^1^2", "205")])
    ledger = simulator.ledger()
    assert (len(ledger["claims"]), ledger["ignored_duplicates"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "saved"),
    [
        (FaultKind.HTTP_500, 0),
        (FaultKind.HTTP_500_AFTER_SAVE, 1),
        (FaultKind.RESET, 0),
        (FaultKind.RESET_AFTER_SAVE, 1),
        (FaultKind.TIMEOUT, 0),
        (FaultKind.TIMEOUT_AFTER_SAVE, 1),
        (FaultKind.SAVE_AFTER_TIMEOUT, 1),
        (FaultKind.GARBAGE, 0),
        (FaultKind.UNAUTHORIZED, 0),
        (FaultKind.RATE_LIMIT, 0),
    ],
)
async def test_faults(kind: FaultKind, saved: int, send: Send, simulator: Simulator) -> None:
    await send(ADT)
    rule = {"operation": "DFT^P03", "kind": kind.value, "times": 1}
    simulator.client.post("/_sim/faults", json={"rules": [rule], "late_save_seconds": 0.05})
    (answer,) = await send(DFT, wait=0.2)
    if kind in (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE):
        assert answer is None
    elif "timeout" in kind.value:
        assert answer == "silence"
    elif kind is FaultKind.GARBAGE:
        assert answer == []
    elif kind is FaultKind.HTTP_500_AFTER_SAVE:
        assert answer[0][1].get(2) != "M2"
    else:
        assert code(answer) == "AR"
    await asyncio.sleep(0.2)
    ledger = simulator.ledger()
    assert len(ledger["claims"]) == saved
    assert ledger["faults"] == {kind.value: 1}
    assert code((await send(DFT))[0]) == "AA"


def _signed(body: bytes, secret: str = "sk-tests-<&>-90417", *, age: float = 0.0) -> dict[str, str]:
    stamp = format_datetime(datetime.now(UTC) - timedelta(seconds=age), usegmt=True)
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).hexdigest().encode()).decode()
    canonical = f"{digest},/api/v4/edi,{stamp}".encode()
    signature = hmac.new(secret.encode(), canonical, hashlib.sha256).hexdigest()
    return {
        "Request-Timestamp": stamp,
        "Content-MD5": digest,
        "APIAuth": base64.b64encode(signature.encode()).decode(),
        "Content-Type": "application/json",
    }


def _document(**changes: str) -> bytes:
    names = ("authstring", "entity", "endpoint", "secret_key", "api_url", "sending_app_name", "api_uri", "profile")
    headers = dict.fromkeys(names, "x") | {"area": "demographics", "gateway_key": "gk-tests-77120"} | changes
    patient = {"patient_number": "MRN9", "last_name": "Doe"}
    return json.dumps({"document": {"headers": headers, "data": {"patient": patient}}}).encode()


def test_the_api_queues_and_releases(simulator: Simulator) -> None:
    body = _document()
    answer = simulator.client.post("/api/v4/edi", content=body, headers=_signed(body))
    assert answer.status_code == 200
    assert answer.text.startswith('{"status" : "Incoming patient')
    assert "placed into pending processing queue. ID: 9001" in answer.text
    assert simulator.ledger()["patients"] == {}
    simulator.client.post("/_sim/advance")
    assert simulator.ledger()["patients"] == {"MRN9": {"family": "Doe"}}


@pytest.mark.parametrize(
    ("headers", "changes", "status", "words"),
    [
        ({"age": 3600.0}, {}, 403, "Stage 1 CSP Error: The time stamp"),
        ({"secret": "other"}, {}, 403, "Stage 3"),
        ({}, {"gateway_key": "other"}, 403, "Stage 4"),
        ({}, {"area": "charges"}, 400, "400"),
    ],
)
def test_the_api_refuses(
    headers: dict[str, Any], changes: dict[str, str], status: int, words: str, simulator: Simulator
) -> None:
    body = _document(**changes)
    answer = simulator.client.post("/api/v4/edi", content=body, headers=_signed(body, **headers))
    assert (answer.status_code, words in answer.text) == (status, True)
    changed = simulator.client.post("/api/v4/edi", content=body + b" ", headers=_signed(body))
    assert "Stage 2" in changed.text
    assert "Stage 1" in simulator.client.post("/api/v4/edi", content=body).text


def test_without_ports_and_folders_there_is_only_http(tmp_path: Any) -> None:
    with simulator_running(build, credentials={}) as url:
        assert httpx.get(f"{url}/_sim/ledger").json()["claims"] == []
    url = "http://127.0.0.1:9"
    by_port = connection(SimulatorOptions(base_url=url, ports=(7,), directory=tmp_path)).settings["transport"]
    by_file = connection(SimulatorOptions(base_url=url, directory=tmp_path)).settings["transport"]
    assert (by_port["kind"], by_port["port"], by_file["kind"]) == ("mllp", 7, "folder")


def test_the_simulators_own_reader() -> None:
    assert plain("a\\F\\b\\S\\c\\E\\d\\X0D0A\\e") == "a|b^c\\d\r\ne"
    assert plain("C:\\") == "C:\\"
    (message,) = read("noise\rFHS|x\rMSH|^~\\&|A\rFT1|1||a~b^c\r")
    assert (message[1].repeats(3), message[1].get(3, 2, 1), message[1].get(9)) == (["a", "b"], "c", "")
