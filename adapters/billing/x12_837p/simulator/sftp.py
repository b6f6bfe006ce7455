"""The SFTP server in front of the two directories; the rename into /inbound is what delivers a claim file.

Operations for faults: `put` (that rename), `write` and `get` (opening a file), `list`, `remove`, and `login`, which
also refuses when `put` or `*` shall fail with UNAUTHORIZED (an open session is denied the request instead). An SFTP
server has no HTTP statuses: HTTP_500 and RATE_LIMIT are its general failure, and GARBAGE a broken connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.kit.simulator import FaultKind

if TYPE_CHECKING:
    from adapters.billing.x12_837p.simulator.core import Simulator

_LOST = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE, FaultKind.GARBAGE)
_SILENT = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)
_SAVED_FIRST = (
    FaultKind.RESET_AFTER_SAVE,
    FaultKind.TIMEOUT_AFTER_SAVE,
    FaultKind.HTTP_500_AFTER_SAVE,
    FaultKind.GARBAGE,
)


@lru_cache(maxsize=16)
def host_key(base_url: str) -> asyncssh.SSHKey:
    """The server's key: always the same one for a simulator's address, so that every process knows it."""
    secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"host key {base_url}".encode()).digest())
    return asyncssh.import_private_key(secret.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def known_host(base_url: str) -> str:
    """The public key as in known_hosts."""
    return host_key(base_url).export_public_key().decode().strip()


async def serve_sftp(simulator: Simulator, host: str, port: int) -> asyncssh.SSHAcceptor:
    """Listen; the files lie under the simulator's boxes."""
    return await asyncssh.listen(
        host,
        port,
        server_host_keys=[host_key(simulator.options.base_url)],
        server_factory=lambda: _Login(simulator),
        sftp_factory=lambda channel: _Files(simulator, channel),
        allow_scp=False,
    )


class _Login(asyncssh.SSHServer):
    """Password authentication of the one account."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._simulator.connections.add(conn)
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._simulator.connections.discard(self._connection)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        simulator = self._simulator
        simulator.calls["login"] += 1
        if simulator.refuses_logins():
            return False
        return (username, password) == (simulator.credentials["user"], simulator.credentials["password"])


class _Files(asyncssh.SFTPServer):
    """The directories of the account, with faults."""

    def __init__(self, simulator: Simulator, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel, chroot=os.fsencode(simulator.boxes.root))
        self._simulator = simulator

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        operation = "write" if pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND) else "get"
        await self._fail_maybe(operation)
        return super().open(path, pflags, attrs)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await self._fail_maybe("list")
        async for entry in super().scandir(path):
            yield entry

    async def remove(self, path: bytes) -> None:
        await self._fail_maybe("remove")
        super().remove(path)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._renamed(oldpath, newpath, super().posix_rename)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._renamed(oldpath, newpath, super().rename)

    async def _renamed(self, old: bytes, new: bytes, rename: Callable[[bytes, bytes], Any]) -> None:
        simulator = self._simulator
        if Path(os.fsdecode(self.map_path(new))).parent != simulator.boxes.inbound:
            rename(old, new)
            return

        def deliver() -> None:
            rename(old, new)
            simulator.pick_up()

        await self._fail_maybe("put", deliver)
        deliver()

    async def _fail_maybe(self, operation: str, deliver: Callable[[], None] | None = None) -> None:
        """Do what a fault rule says, or return."""
        simulator = self._simulator
        simulator.calls[operation] += 1
        await asyncio.sleep(simulator.options.think_seconds)
        kind = simulator.faults.pick(operation)
        if kind is None:
            return
        if deliver and kind in _SAVED_FIRST:
            deliver()
        if kind in _SILENT:
            await self._silence(deliver if kind is FaultKind.SAVE_AFTER_TIMEOUT else None)
        if kind in _LOST or kind in _SILENT:
            self.connection.abort()
            raise asyncssh.SFTPConnectionLost("gone")
        if kind is FaultKind.UNAUTHORIZED:
            raise asyncssh.SFTPPermissionDenied("access denied")
        raise asyncssh.SFTPFailure("try again later")

    async def _silence(self, late: Callable[[], None] | None) -> None:
        """Say nothing until the client is gone; then, perhaps, deliver after all."""
        await self.connection.wait_closed()
        if late:
            await asyncio.sleep(self._simulator.late_save_seconds)
            late()
