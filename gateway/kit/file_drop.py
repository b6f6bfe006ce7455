"""Files exchanged with a vendor through two directories, on this machine or by SFTP.

Uploads appear whole or not at all: a temporary name of their own, then a rename. Failures come as the error tree:
before the rename, or when the rename was refused, nothing was delivered (`VendorUnavailable`); a rename whose answer is
lost is `OutcomeUnknown`. No error tells a file's name or content.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from gateway.canonical.errors import (
    AdapterError,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)

TEMPORARY_SUFFIX = ".part"
MAX_FILE_BYTES = 64 * 1024 * 1024
ZEROS = bytes(64 * 1024)
ABSENT = "the directory or file is not there: check the configured directories"


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

    async def shred(self, name: str) -> None:
        """Overwrite one of the vendor's files with zeros where it lies, then take it away; see docs/how-to/superbills.

        What the disk below keeps of the former blocks (SSDs, copy-on-write file systems, backups) is out of reach.
        """

    async def aclose(self) -> None:
        """Close the connection."""


def temporary_name(name: str) -> str:
    """A name for the time of writing; two writers of one file never share it."""
    return f"{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


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
        temporary = self._outgoing / temporary_name(name)
        try:
            with self._errors("put"), temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with self._errors("put", OutcomeUnknown):
                temporary.replace(self._outgoing / name)
                _sync_folder(self._outgoing)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    async def delivered(self, name: str) -> bool:
        """See `FileDrop.delivered`."""
        with self._errors("list"):
            return await asyncio.to_thread((self._outgoing / name).exists)

    async def names(self) -> list[str]:
        """See `FileDrop.names`."""
        return await asyncio.to_thread(self._names)

    def _names(self) -> list[str]:
        aged: list[tuple[float, str]] = []
        with self._errors("list"):
            for file in self._incoming.iterdir():
                with suppress(FileNotFoundError):  # taken away meanwhile
                    if file.is_file() and not file.is_symlink() and not is_temporary(file.name):
                        aged.append((file.stat().st_mtime, file.name))
        return [name for _, name in sorted(aged)]

    async def get(self, name: str) -> bytes:
        """See `FileDrop.get`."""
        with self._errors("get"):
            return bounded(self._vendor, await asyncio.to_thread(self._read, name))

    def _read(self, name: str) -> bytes:
        """Never through a link: whoever may write in the folder could have any file of this machine read."""
        descriptor = os.open(self._incoming / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)

    async def remove(self, name: str) -> None:
        """See `FileDrop.remove`."""
        with self._errors("remove"):
            await asyncio.to_thread((self._incoming / name).unlink, missing_ok=True)

    async def shred(self, name: str) -> None:
        """See `FileDrop.shred`."""
        await asyncio.to_thread(self._shred, name)

    def _shred(self, name: str) -> None:
        path = self._incoming / name
        with self._errors("shred"):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return  # shredded before, by a worker that died afterwards
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                _overwrite(file)
            path.unlink(missing_ok=True)
            _sync_folder(self._incoming)

    async def aclose(self) -> None:
        """Nothing to close."""

    @contextmanager
    def _errors(self, operation: str, lost: type[AdapterError] = VendorUnavailable) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise PermissionMissing(self._vendor, operation, "the folder's permissions must be corrected") from None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise VendorUnavailable(self._vendor, operation, ABSENT, code=ErrorCode.NOT_FOUND) from None
        except OSError as problem:
            raise lost(self._vendor, operation, f"the folder cannot be used ({problem.strerror})") from None


def bounded(vendor: str, content: bytes) -> bytes:
    """The content; raises `UnexpectedResponse` when it is larger than a file may be."""
    if len(content) > MAX_FILE_BYTES:
        raise UnexpectedResponse(vendor, "get", "the vendor's file is larger than 64 MiB")
    return content


def _overwrite(file: RawIOBase) -> None:
    left = os.fstat(file.fileno()).st_size
    while left > 0:
        left -= file.write(ZEROS[:left]) or 0
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:  # makes a rename durable
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
