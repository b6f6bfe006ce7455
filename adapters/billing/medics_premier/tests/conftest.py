"""Settings and running simulators: one that listens on a port, one that watches folders."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncssh
import httpx
import pytest

from adapters.billing.medics_premier.settings import MedicsPremierSettings
from adapters.billing.medics_premier.simulator import SITE_FIELDS, build
from adapters.billing.medics_premier.simulator.directory import PAYMENT_CODE, company_codes, location_codes
from gateway.kit.contract_support import Simulator, simulator_running
from gateway.kit.samples import directory
from gateway.kit.simulator import free_ports

GOLDEN = pathlib.Path(__file__).parent / "golden"
CREDENTIALS = {
    "sending_application": "CLAIMGW",
    "sending_facility": "LAKESIDE",
    "receiving_application": "MEDICSPREMIER",
    "receiving_facility": "0001",
    "gateway_key": "gk-tests-77120",
    "secret_key": "sk-tests-<&>-90417",
}


SFTP_PASSWORD = "pw-tests-5530"


@dataclass(frozen=True)
class Running:
    """A simulator's HTTP address, its MLLP port, and the directory that it watches."""

    url: str
    port: int
    directory: pathlib.Path

    @property
    def transport(self) -> dict[str, Any]:
        return {"kind": "mllp", "host": "127.0.0.1", "port": self.port, "tls": False}

    @property
    def folders(self) -> dict[str, Any]:
        place = self.directory / "medics_premier"
        return {"kind": "folder", "outgoing": place / "to_premier", "incoming": place / "from_premier"}


@pytest.fixture(scope="session")
def plain_settings() -> Callable[..., dict[str, Any]]:
    """Plain settings of a connection over a transport."""

    def settings(transport: dict[str, Any], **changes: Any) -> dict[str, Any]:
        data = directory()
        return {
            "transport": transport,
            **{name: value for name, value in CREDENTIALS.items() if not name.endswith("_key")},
            "locations": location_codes(data),
            "payers": {payer_id: {"company": code} for payer_id, code in company_codes(data).items()},
            "payment_code": PAYMENT_CODE,
            "field_overrides": SITE_FIELDS,
            "receiver_drops_duplicates": True,
            "timeout_seconds": 0.6,
            **changes,
        }

    return settings


@pytest.fixture(scope="session")
def settings(plain_settings: Callable[..., dict[str, Any]]) -> MedicsPremierSettings:
    """Settings for the pure parts."""
    transport = {"kind": "mllp", "host": "127.0.0.1", "port": 9, "tls": False}
    return MedicsPremierSettings.model_validate(plain_settings(transport))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A simulator of the practice that the ten samples belong to."""
    (port,) = free_ports(1)
    place = tmp_path_factory.mktemp("medics")
    started = simulator_running(build, credentials=CREDENTIALS, data=directory(), ports=(port,), directory=place)
    with started as url:
        yield Running(url, port, place)


@pytest.fixture
def fresh(running: Running) -> Running:
    """The simulator, emptied."""
    httpx.post(f"{running.url}/_sim/reset").raise_for_status()
    for name in ("outgoing", "incoming"):
        for file in pathlib.Path(running.folders[name]).iterdir():
            file.unlink()
    return running


@pytest.fixture
def simulator(fresh: Running) -> Iterator[Simulator]:
    """Its control routes."""
    with httpx.Client(base_url=fresh.url) as client:
        yield Simulator(client)


@pytest.fixture
async def sftp(fresh: Running) -> AsyncIterator[dict[str, Any]]:
    """The transport of an SFTP server over the folders that the simulator watches."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    root = fresh.directory / "medics_premier"

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("clinic", SFTP_PASSWORD)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Server,
        server_host_keys=[key],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root)),
    )
    yield {
        "kind": "sftp",
        "host": "127.0.0.1",
        "port": server.get_port(),
        "user": "clinic",
        "password": SFTP_PASSWORD,
        "host_key": key.export_public_key().decode().strip(),
        "outgoing": "/to_premier",
        "incoming": "/from_premier",
    }
    server.close()
    await server.wait_closed()
