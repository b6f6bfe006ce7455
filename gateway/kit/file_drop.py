"""Files exchanged with a vendor through two directories, on this machine or by SFTP.

Uploads appear whole or not at all: a temporary name, then a rename. Failures come as the error tree: before the rename
nothing was delivered (`VendorUnavailable`); a rename whose answer is lost is `OutcomeUnknown`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)

if TYPE_CHECKING:
    import asyncssh

TEMPORARY_SUFFIX = ".part"
MAX_FILE_BYTES = 64 * 1024 * 1024


class FileDrop(Protocol):
    """Two directories of a vendor: `outgoing` takes our files, `incoming` holds the vendor's."""

    async def put(self, name: str, content: bytes) -> None:
        """Deliver a file; one of that name is replaced."""

    async def delivered(self, name: str) -> bool:
        """Whether a file of that name still lies in `outgoing`."""

    async def names(self) -> list[str]:
        """The vendor's complete files, oldest first."""

    async def get(self, name: str) -> bytes:
        """The content of one of the vendor's files."""

    async def remove(self, name: str) -> None:
        """Take one of the vendor's files away; one that is gone already is no error."""

    async def aclose(self) -> None:
        """Close the connection."""


def is_temporary(name: str) -> bool:
    """Whether a file is still being written, by us or by a vendor's usual habits."""
    return name.startswith(".") or name.endswith((TEMPORARY_SUFFIX, ".tmp", ".filepart"))


class FolderDrop:
    """Two folders of this machine, e.g. a share that the vendor's agent watches."""

    def __init__(self, vendor: str, outgoing: Path, incoming: Path) -> None:
        self._vendor, self._outgoing, self._incoming = vendor, outgoing, incoming

    async def put(self, name: str, content: bytes) -> None:
        """See `FileDrop.put`."""
        await asyncio.to_thread(self._put, name, content)

    def _put(self, name: str, content: bytes) -> None:
        temporary = self._outgoing / f"{name}{TEMPORARY_SUFFIX}"
        with self._errors("put"):
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._outgoing / name)

    async def delivered(self, name: str) -> bool:
        """See `FileDrop.delivered`."""
        with self._errors("list"):
            return await asyncio.to_thread((self._outgoing / name).exists)

    async def names(self) -> list[str]:
        """See `FileDrop.names`."""
        return await asyncio.to_thread(self._names)

    def _names(self) -> list[str]:
        with self._errors("list"):
            files = [f for f in self._incoming.iterdir() if f.is_file() and not is_temporary(f.name)]
            return [file.name for file in sorted(files, key=lambda file: (file.stat().st_mtime, file.name))]

    async def get(self, name: str) -> bytes:
        """See `FileDrop.get`."""
        with self._errors("get"):
            return await asyncio.to_thread((self._incoming / name).read_bytes)

    async def remove(self, name: str) -> None:
        """See `FileDrop.remove`."""
        with self._errors("remove"):
            await asyncio.to_thread((self._incoming / name).unlink, missing_ok=True)

    async def aclose(self) -> None:
        """Nothing to close."""

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            text = "the folder may not be written or read: correct its permissions"
            raise PermissionMissing(self._vendor, operation, text) from None
        except OSError as problem:
            text = f"the folder cannot be used ({problem.strerror})"
            raise VendorUnavailable(self._vendor, operation, text) from None


class SftpDrop:
    """Two directories of an SFTP server, over one connection that is opened anew when it was lost.

    `host_key` is the server's public key as in known_hosts ("ssh-ed25519 AAAA..."): another key is refused.
    """

    def __init__(
        self,
        vendor: str,
        *,
        host: str,
        port: int,
        user: str,
        host_key: str,
        outgoing: str,
        incoming: str,
        password: str = "",
        private_key: str = "",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._vendor, self._host, self._port, self._user = vendor, host, port, user
        self._host_key, self._password, self._private_key = host_key, password, private_key
        self._outgoing, self._incoming = PurePosixPath(outgoing), PurePosixPath(incoming)
        self._timeout = timeout_seconds
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        self._opening = asyncio.Lock()

    async def put(self, name: str, content: bytes) -> None:
        """See `FileDrop.put`."""
        temporary = str(self._outgoing / f"{name}{TEMPORARY_SUFFIX}")
        async with self._session("put") as client, client.open(temporary, "wb") as file:
            await file.write(content)
        async with self._session("put", may_have_saved=True) as client:
            await client.posix_rename(temporary, str(self._outgoing / name))

    async def delivered(self, name: str) -> bool:
        """See `FileDrop.delivered`."""
        async with self._session("list") as client:
            return await client.exists(str(self._outgoing / name))

    async def names(self) -> list[str]:
        """See `FileDrop.names`."""
        async with self._session("list") as client:
            entries = [e async for e in client.scandir(str(self._incoming))]
        files = [(e.attrs.mtime or 0, str(e.filename)) for e in entries if e.attrs.type != _directory_type()]
        return [name for _, name in sorted(files) if not is_temporary(name)]

    async def get(self, name: str) -> bytes:
        """See `FileDrop.get`."""
        async with self._session("get") as client, client.open(str(self._incoming / name), "rb") as file:
            content: bytes = await file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UnexpectedResponse(self._vendor, "get", "the vendor's file is larger than 64 MiB")
        return content

    async def remove(self, name: str) -> None:
        """See `FileDrop.remove`."""
        async with self._session("remove") as client:
            if await client.exists(str(self._incoming / name)):
                await client.remove(str(self._incoming / name))

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.close()
            await connection.wait_closed()

    @asynccontextmanager
    async def _session(self, operation: str, *, may_have_saved: bool = False) -> AsyncIterator[asyncssh.SFTPClient]:
        import asyncssh  # noqa: PLC0415  (only connections over SFTP pay for it)

        client = await self._opened(operation)
        lost: type[AdapterError] = OutcomeUnknown if may_have_saved else VendorUnavailable
        try:
            async with asyncio.timeout(self._timeout):
                yield client
        except asyncssh.SFTPPermissionDenied:
            raise PermissionMissing(self._vendor, operation, "the directory may not be used") from None
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            text = "the directory or file is not there: check the configured directories"
            raise VendorUnavailable(self._vendor, operation, text, code=ErrorCode.NOT_FOUND) from None
        except (asyncssh.Error, OSError, TimeoutError):
            self._forget()
            raise lost(self._vendor, operation, "the SFTP connection broke off", code=ErrorCode.TIMEOUT) from None

    async def _opened(self, operation: str) -> asyncssh.SFTPClient:
        async with self._opening:
            if self._client is None:
                self._connection, self._client = await self._open(operation)
            return self._client

    async def _open(self, operation: str) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        import asyncssh  # noqa: PLC0415

        keys = [asyncssh.import_private_key(self._private_key)] if self._private_key else None
        known = asyncssh.import_known_hosts(
            f"[{self._host}]:{self._port} {self._host_key}\n{self._host} {self._host_key}\n"
        )
        try:
            async with asyncio.timeout(self._timeout):
                connection = await asyncssh.connect(
                    self._host,
                    self._port,
                    username=self._user,
                    password=self._password or None,
                    client_keys=keys,
                    known_hosts=known,
                    config=None,
                    agent_path=None,
                )
                return connection, await connection.start_sftp_client()
        except asyncssh.PermissionDenied:
            text = "the SFTP server does not accept the user with this password or key"
            raise CredentialsRejected(self._vendor, operation, text) from None
        except asyncssh.HostKeyNotVerifiable:
            text = "the SFTP server shows another host key than the configured one: ask the vendor before changing it"
            raise CredentialsRejected(self._vendor, operation, text) from None
        except (asyncssh.Error, OSError, TimeoutError):
            raise VendorUnavailable(self._vendor, operation, "no SFTP connection could be made") from None

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._client = None


def _directory_type() -> int:
    import asyncssh  # noqa: PLC0415

    return asyncssh.FILEXFER_TYPE_DIRECTORY
