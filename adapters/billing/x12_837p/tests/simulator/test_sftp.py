"""Files over a real SFTP server and through the folder: what is delivered, answered, refused, and lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from adapters.billing.x12_837p.simulator import CREATE_OPERATION, connection, connection_over
from adapters.billing.x12_837p.simulator.sftp import known_host
from gateway.canonical.errors import CredentialsRejected, OutcomeUnknown, PermissionMissing, VendorUnavailable
from gateway.kit.sftp_drop import SftpDrop
from gateway.kit.simulator import SimulatorOptions


def opened(simulator: Any, kind: str = "", **changes: Any) -> SftpDrop:
    """A drop that gives up soon where a fault makes the server silent."""
    timeout = 0.8 if "timeout" in kind else 5.0
    return SftpDrop("clearinghouse", timeout_seconds=timeout, **(simulator.settings("sftp") | changes))


async def read(drop: SftpDrop) -> list[str]:
    return [(await drop.get(name)).decode() for name in await drop.names()]


async def test_a_file_is_taken_when_it_gets_its_final_name(x12: Any, simulator: Any, sftp: Any) -> None:
    async with sftp.open("/inbound/a.837.part", "wb") as file:
        await file.write(x12.OFFICE.encode())
    assert simulator.ledger()["claims"] == []
    assert await sftp.listdir("/inbound") == [".", "..", "a.837.part"]
    await sftp.rename("/inbound/a.837.part", "/inbound/a.837")
    assert sorted(await sftp.listdir("/inbound")) == [".", ".."]
    (claim,) = simulator.ledger()["claims"]
    expected = {
        "submission_id": "SUB-1",
        "account_number": "GW7F3A91",
        "frequency": "1",
        "vendor_id": "CH0000001",
        "channel": "sftp",
        "batch": "BATCH101",
        "state": "received",
        "total": "265",
    }
    assert claim.items() >= expected.items()
    assert sorted(await sftp.listdir("/outbound"))[2:] == ["000001_999.999", "000002_277CA.277"]
    content = await (await sftp.open("/outbound/000001_999.999", "rb")).read()
    assert x12.only(content.decode(), "IK5") == ["IK5*A"]
    assert simulator.ledger()["calls"]["put"] == 1


async def test_through_the_kit_from_login_to_payer(x12: Any, simulator: Any) -> None:
    drop = opened(simulator)
    await drop.put("a.837", x12.TWO.encode())
    assert len(await read(drop)) == 2
    for name in await drop.names():
        await drop.remove(name)
    moved = simulator.control("advance", payer="accept", account="GW7F3A91").json()["moved"]
    assert moved == ["CH0000001"]
    simulator.control("advance", payer="reject", statuses=["A7:33:IL", "A6:21"])
    accepted, refused = await read(drop)
    assert "STC*A2>20>PR" in accepted
    assert "REF*1K*PCN" in accepted
    assert x12.only(refused, "STC")[-1].endswith("*U*265.5******A6>21")
    assert [claim["state"] for claim in simulator.ledger()["claims"]] == ["accepted", "rejected"]
    await drop.aclose()


async def test_wrong_credentials(simulator: Any) -> None:
    for changes in ({"password": "pw-wrong"}, {"user": "nobody"}, {"host_key": known_host("http://elsewhere")}):
        with pytest.raises(CredentialsRejected):
            await opened(simulator, **changes).names()


async def test_nothing_outside_the_two_directories(simulator: Any, sftp: Any) -> None:
    assert sorted(await sftp.listdir("/")) == [".", "..", "inbound", "outbound"]
    with pytest.raises(asyncssh.SFTPError):
        await sftp.stat("/../../etc/hostname")


@pytest.mark.parametrize(
    ("kind", "error", "held"),
    [
        ("reset", OutcomeUnknown, 0),
        ("reset_after_save", OutcomeUnknown, 1),
        ("timeout", OutcomeUnknown, 0),
        ("timeout_after_save", OutcomeUnknown, 1),
        ("garbage", OutcomeUnknown, 1),
        ("http_500", VendorUnavailable, 0),
        ("rate_limit", VendorUnavailable, 0),
    ],
)
async def test_a_delivery_that_fails_and_is_repeated(
    x12: Any, simulator: Any, kind: str, error: type[Exception], held: int
) -> None:
    drop = opened(simulator, kind)
    simulator.fail("put", kind)
    with pytest.raises(error):
        await drop.put("a.837", x12.OFFICE.encode())
    assert len(simulator.ledger()["claims"]) == held
    assert simulator.ledger()["faults"] == {kind: 1}
    await drop.put("a.837", x12.OFFICE.encode())
    assert len(simulator.ledger()["claims"]) == 1
    assert any("*R*025~" in text for text in await read(drop)) is (held == 1)
    await drop.aclose()


async def test_a_delivery_that_is_saved_after_all(x12: Any, simulator: Any) -> None:
    drop = opened(simulator, "save_after_timeout")
    simulator.fail("put", "save_after_timeout", late_save_seconds=0.1)
    with pytest.raises(OutcomeUnknown):
        await drop.put("a.837", x12.OFFICE.encode())
    assert simulator.ledger()["claims"] == []
    deadline = time.monotonic() + 5
    while not simulator.ledger()["claims"] and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert len(simulator.ledger()["claims"]) == 1
    await drop.aclose()


async def test_logins_and_open_sessions_can_be_refused(x12: Any, simulator: Any) -> None:
    drop = opened(simulator)
    simulator.fail("put", "unauthorized")
    with pytest.raises(CredentialsRejected):
        await drop.names()
    assert await drop.names() == []
    simulator.fail("put", "unauthorized")
    with pytest.raises(PermissionMissing):
        await drop.put("a.837", x12.OFFICE.encode())
    await drop.aclose()


@pytest.mark.parametrize("operation", ["write", "list", "get", "remove"])
@pytest.mark.parametrize("kind", ["reset", "timeout", "http_500"])
async def test_every_other_request_can_fail(x12: Any, simulator: Any, operation: str, kind: str) -> None:
    drop = opened(simulator, kind)
    await drop.put("a.837", x12.OFFICE.encode())
    (name, *_) = await drop.names()
    simulator.fail(operation, kind)
    calls: dict[str, Callable[[], Any]] = {
        "write": lambda: drop.put("b.837", b""),
        "list": drop.names,
        "get": lambda: drop.get(name),
        "remove": lambda: drop.remove(name),
    }
    with pytest.raises(VendorUnavailable):
        await calls[operation]()
    await calls[operation]()
    await drop.aclose()


async def test_answers_in_one_file_with_two_interchanges(x12: Any, simulator: Any) -> None:
    simulator.control(
        "faults", rules=[], together=True, line_breaks=True, delimiters={"component": "<", "element": "|"}
    )
    drop = opened(simulator)
    await drop.put("a.837", x12.OFFICE.encode())
    (text,) = await read(drop)
    assert text.count("ISA") == text.count("IEA") == 2
    assert "STC|A1<19<PR|" in text
    assert "IK5*A~" in text
    await drop.aclose()


async def test_a_swallowed_277ca(x12: Any, simulator: Any) -> None:
    simulator.control("faults", rules=[], swallow_277=True)
    drop = opened(simulator)
    await drop.put("a.837", x12.OFFICE.encode())
    simulator.control("advance", payer="accept")
    assert [name.split("_")[1] for name in await drop.names()] == ["999.999"]
    ledger = simulator.ledger()
    assert (ledger["swallowed"], [claim["state"] for claim in ledger["claims"]]) == (2, ["accepted"])
    await drop.aclose()


def test_control_requests_that_make_no_sense(simulator: Any) -> None:
    for body in ({"payer": "perhaps"}, {"payer": "accept", "account": "GW0"}):
        assert simulator.control("advance", **body).status_code == 400
    assert simulator.control("advance").json() == {"moved": []}


async def test_statuses_must_fit_the_verdict(x12: Any, simulator: Any) -> None:
    drop = opened(simulator)
    await drop.put("a.837", x12.OFFICE.encode())
    assert simulator.control("advance", payer="accept", statuses=["A7:33"]).status_code == 400
    assert simulator.control("advance", payer="accept", statuses=["A1:20:PR"]).json()["moved"] == ["CH0000001"]
    await drop.aclose()


def test_a_folder_is_watched(x12: Any, running: Any, tmp_path: Path) -> None:
    with running(directory=tmp_path) as simulator:
        settings = simulator.settings("folder")
        inbound, outbound = Path(settings["outgoing"]), Path(settings["incoming"])
        (inbound / "a.tmp").write_text(x12.OFFICE)
        time.sleep(0.15)
        assert list(outbound.iterdir()) == []
        (inbound / "a.tmp").rename(inbound / "a.837")
        deadline = time.monotonic() + 5
        while len(list(outbound.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sorted(f.name for f in outbound.iterdir()) == ["000001_999.999", "000002_277CA.277"]
        assert list(inbound.iterdir()) == []
        assert simulator.control("reset").json() == {}
        assert list(outbound.iterdir()) == []


async def test_think_seconds_are_waited(x12: Any, running: Any) -> None:
    with running(think_seconds=0.2) as simulator:
        drop = opened(simulator)
        begun = time.monotonic()
        await drop.put("a.837", x12.OFFICE.encode())
        assert time.monotonic() - begun >= 0.4  # to open the file, and to rename it
        await drop.aclose()


def test_the_connection_that_the_sandbox_makes(tmp_path: Path) -> None:
    options = SimulatorOptions("http://127.0.0.1:8001", ports=(2222, 2223), directory=tmp_path)
    made = connection(options)
    assert made.settings["delivery"] == "sftp"
    assert made.settings["sftp"]["port"] == 2222
    assert made.settings["sftp"]["host_key"] == known_host("http://127.0.0.1:8001")
    assert made.settings["sftp"]["password"] == "env:CLEARINGHOUSE_PASSWORD"
    assert made.secrets == {"CLEARINGHOUSE_PASSWORD": "pw-demo-sftp"}
    assert known_host("http://127.0.0.1:8001") != known_host("http://127.0.0.1:8002")
    assert connection(SimulatorOptions("http://sim", directory=tmp_path)).settings["delivery"] == "folder"
    assert connection(SimulatorOptions("http://sim")).settings["delivery"] == "stedi"
    with pytest.raises(ValueError, match="folder"):
        connection_over("folder", SimulatorOptions("http://sim"))
    assert CREATE_OPERATION == "put"
