"""`FileDrop` over SFTP; failures come as the error tree, as `gateway.kit.file_drop` says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    VendorUnavailable,
)
from gateway.kit.file_drop import ABSENT, MAX_FILE_BYTES, ZEROS, bounded, is_temporary, temporary_name

if TYPE_CHECKING:
    import asyncssh

_KEEPALIVE_SECONDS = 30
_UNREADABLE = "the configured private key or host key cannot be read"
_REFUSED = "the SFTP server does not accept the user with this password or key"
_OTHER_KEY = "the SFTP server shows another host key than the configured one: ask the vendor before changing it"
_DIRECTORY = 2  # FILEXFER_TYPE_DIRECTORY


@dataclass(frozen=True, slots=True)
class _Link:
    """One SSH connection and the SFTP client over it."""

    connection: asyncssh.SSHClientConnection
    client: asyncssh.SFTPClient


class SftpDrop:
    """Two directories of an SFTP server, over one connection that is opened anew when it was lost.

    `host_key` is the server's public key as in known_hosts ("ssh-ed25519 AAAA..."): another key is refused.
    """

    def __init__(
        self, vendor: str, *, host: str, port: int, user: str, host_key: str, outgoing: str, incoming: str,
        password: str = "", private_key: str = "", timeout_seconds: float = 30.0,
    ) -> None:  # fmt: skip
        self._vendor, self._host, self._port, self._user = vendor, host, port, user
        self._host_key, self._password, self._private_key = host_key, password, private_key
        self._outgoing, self._incoming = PurePosixPath(outgoing), PurePosixPath(incoming)
        self._timeout = timeout_seconds
        self._link: _Link | None = None
        self._opening = asyncio.Lock()

    async def put(self, name: str, content: bytes) -> None:
        """See `FileDrop.put`."""
        temporary, final = str(self._outgoing / temporary_name(name)), str(self._outgoing / name)
        async with self._session("put") as client, client.open(temporary, "wb") as file:
            await file.write(content)
        async with self._session("put", may_have_saved=True) as client:
            await _rename(client, temporary, final)

    async def delivered(self, name: str) -> bool:
        """See `FileDrop.delivered`."""
        async with self._session("list") as client:
            return await client.exists(str(self._outgoing / name))

    async def names(self) -> list[str]:
        """See `FileDrop.names`."""
        async with self._session("list") as client:
            entries = [e async for e in client.scandir(str(self._incoming))]
        files = [(e.attrs.mtime or 0, str(e.filename)) for e in entries if e.attrs.type != _DIRECTORY]
        return [name for _, name in sorted(files) if not is_temporary(name)]

    async def get(self, name: str) -> bytes:
        """See `FileDrop.get`."""
        async with self._session("get") as client, client.open(str(self._incoming / name), "rb") as file:
            content: bytes = await file.read(MAX_FILE_BYTES + 1)
        return bounded(self._vendor, content)

    async def remove(self, name: str) -> None:
        """See `FileDrop.remove`."""
        import asyncssh  # noqa: PLC0415

        async with self._session("remove") as client:
            with suppress(asyncssh.SFTPNoSuchFile):
                await client.remove(str(self._incoming / name))

    async def shred(self, name: str) -> None:
        """See `FileDrop.shred`."""
        import asyncssh  # noqa: PLC0415

        path = str(self._incoming / name)
        async with self._session("shred") as client:
            with suppress(asyncssh.SFTPNoSuchFile):
                async with client.open(path, "r+b") as file:
                    size, written = (await client.stat(path)).size or 0, 0
                    while written < size:
                        written += await file.write(ZEROS[: size - written], written)
                await client.remove(path)

    async def aclose(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.connection.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(link.connection.wait_closed(), self._timeout)

    @asynccontextmanager
    async def _session(self, operation: str, *, may_have_saved: bool = False) -> AsyncIterator[asyncssh.SFTPClient]:
        import asyncssh  # noqa: PLC0415  (only connections over SFTP pay for it)

        link = await self._opened(operation)
        lost: type[AdapterError] = OutcomeUnknown if may_have_saved else VendorUnavailable
        # A cancelled call would still wait for the server to close its file: only the end of the connection frees it.
        alarm = asyncio.get_running_loop().call_later(self._timeout, link.connection.abort)
        try:
            yield link.client
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPBadMessage, asyncssh.DisconnectError, OSError):
            self._forget(link)
            raise lost(self._vendor, operation, "the SFTP connection broke off", code=ErrorCode.TIMEOUT) from None
        except asyncssh.SFTPPermissionDenied:
            raise PermissionMissing(self._vendor, operation, "the directory may not be used") from None
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise VendorUnavailable(self._vendor, operation, ABSENT, code=ErrorCode.NOT_FOUND) from None
        except asyncssh.SFTPNoConnection:  # known before the request left
            self._forget(link)
            raise VendorUnavailable(self._vendor, operation, "the SFTP connection is gone") from None
        except asyncssh.Error:
            raise VendorUnavailable(self._vendor, operation, "the SFTP server refused the request") from None
        finally:
            alarm.cancel()

    async def _opened(self, operation: str) -> _Link:
        async with self._opening:
            if self._link is None or self._link.connection.is_closed():
                self._link = await self._open(operation)
            return self._link

    async def _open(self, operation: str) -> _Link:
        import asyncssh  # noqa: PLC0415

        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connect()
                try:
                    return _Link(connection, await connection.start_sftp_client())
                except BaseException:
                    connection.abort()
                    raise
        except asyncssh.KeyImportError:
            raise CredentialsRejected(self._vendor, operation, _UNREADABLE) from None
        except asyncssh.PermissionDenied:
            raise CredentialsRejected(self._vendor, operation, _REFUSED) from None
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
            raise CredentialsRejected(self._vendor, operation, _OTHER_KEY) from None
        except (asyncssh.Error, OSError, TimeoutError):
            raise VendorUnavailable(self._vendor, operation, "no SFTP connection could be made") from None

    async def _connect(self) -> asyncssh.SSHClientConnection:
        import asyncssh  # noqa: PLC0415

        keys = [asyncssh.import_private_key(self._private_key)] if self._private_key else None
        known: tuple[list[asyncssh.SSHKey], ...] = ([asyncssh.import_public_key(self._host_key)], [], [])
        return await asyncssh.connect(
            self._host, self._port, username=self._user, password=self._password or None, client_keys=keys,
            known_hosts=known, keepalive_interval=_KEEPALIVE_SECONDS, config=None, agent_path=None,
        )  # fmt: skip

    def _forget(self, link: _Link) -> None:
        """Drop the connection that failed; another call may have opened a new one already."""
        link.connection.abort()
        if self._link is link:
            self._link = None


async def _rename(client: asyncssh.SFTPClient, temporary: str, final: str) -> None:
    """Rename over what is there, also on servers that only know the plain rename."""
    import asyncssh  # noqa: PLC0415

    try:
        await client.posix_rename(temporary, final)
    except asyncssh.SFTPOpUnsupported:
        if await client.exists(final):
            await client.remove(final)
        await client.rename(temporary, final)
