"""MLLP, the transport of HL7 v2: a client that keeps one connection and one message outstanding.

A frame is 0x0B, the message, 0x1C 0x0D. Failures come as the error tree: a connection that could not be made is
`VendorUnavailable`; once the message has left, no acknowledgment, one for another message, one that nobody can read or
a connection that broke off are `OutcomeUnknown` where the message may have been saved, else `VendorUnavailable`. After
any of them the connection is closed, so that a late acknowledgment never answers the next message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from gateway.canonical.errors import AdapterError, CredentialsRejected, ErrorCode, OutcomeUnknown, VendorUnavailable
from gateway.kit.encoders import hl7

START = b"\x0b"
END = b"\x1c\r"
MAX_FRAME_BYTES = 1024 * 1024
_REMEMBERED = 64


class _Unreadable(Exception):
    """An answer that settles nothing; the text holds none of it."""


def tls_context(
    ca_file: Path | None = None, certificate_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """TLS 1.2 or later that verifies the receiver, by the system's authorities or those of a file (PEM).

    `certificate_file` and `key_file` are the client's own. Raises `OSError` for a file that cannot be used.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context


def framed(message: bytes) -> bytes:
    """The message in its frame."""
    return START + message + END


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float
    answered: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def usable(self, idle_seconds: float) -> bool:
        """Whether it may carry another message: a receiver closes idle connections without a word."""
        lost = self.reader.at_eof() or self.writer.is_closing()
        return not lost and time.monotonic() - self.used_at < idle_seconds


class MllpClient:
    """A connection to one receiver, opened when needed. `encoding` is Python's name of the character set.

    `timeout_seconds` is the longest wait for an acknowledgment; a connection unused for `idle_seconds` is opened anew.
    """

    def __init__(
        self,
        vendor: str,
        host: str,
        port: int,
        *,
        timeout_seconds: float = 30.0,
        connect_seconds: float = 5.0,
        idle_seconds: float = 30.0,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        encoding: str = "utf-8",
    ) -> None:
        self._vendor, self._host, self._port = vendor, host, port
        self._timeout, self._connect_seconds, self._idle_seconds = timeout_seconds, connect_seconds, idle_seconds
        self._tls, self._server_name, self._encoding = tls, server_name, encoding
        self._connection: _Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def exchange(
        self, message: str, control_id: str, operation: str, *, may_have_saved: bool = False
    ) -> hl7.Acknowledgment:
        """Send one message and wait for its acknowledgment, matched by MSA-2 with `control_id`."""
        content = framed(message.encode(self._encoding))
        lost: type[AdapterError] = OutcomeUnknown if may_have_saved else VendorUnavailable
        async with self._one_at_a_time:
            connection = await self._connected(operation)
            finished = False
            try:
                async with asyncio.timeout(self._timeout):
                    connection.writer.write(content)
                    await connection.writer.drain()
                    answer = await self._answer(connection, control_id)
                finished = True
                return answer
            except TimeoutError:
                raise lost(self._vendor, operation, "no acknowledgment came in time", code=ErrorCode.TIMEOUT) from None
            except (OSError, EOFError):
                text = "the connection broke off before the acknowledgment"
                raise lost(self._vendor, operation, text, code=ErrorCode.TIMEOUT) from None
            except _Unreadable as problem:
                code = ErrorCode.UNEXPECTED_RESPONSE
                raise lost(self._vendor, operation, str(problem), code=code) from None
            finally:
                if not finished:
                    self._forget()

    async def connect(self) -> None:
        """Open the connection without sending anything; raises like `exchange`."""
        async with self._one_at_a_time:
            await self._connected("connect")

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await connection.writer.wait_closed()

    async def _answer(self, connection: _Connection, control_id: str) -> hl7.Acknowledgment:
        while True:
            found = _read(await self._frame(connection.reader), self._encoding)
            matching = next((answer for answer in found if answer.control_id == control_id), None)
            if matching is not None:
                connection.used_at = time.monotonic()
                connection.answered.append(control_id)
                return matching
            if any(answer.control_id not in connection.answered for answer in found):
                raise _Unreadable("the acknowledgment is for another message")
            # otherwise a second acknowledgment of an earlier message, as enhanced mode gives: read on

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        """The content of the next frame; what lies between frames is noise and skipped."""
        while True:
            try:
                data = await reader.readuntil(END)
            except asyncio.LimitOverrunError:
                raise _Unreadable("the acknowledgment is longer than any can be") from None
            _, start, content = data[: -len(END)].rpartition(START)
            if start:
                return content

    async def _connected(self, operation: str) -> _Connection:
        if self._connection is not None and not self._connection.usable(self._idle_seconds):
            self._forget()
        if self._connection is None:
            self._connection = await self._open(operation)
        return self._connection

    async def _open(self, operation: str) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                reader, writer = await asyncio.open_connection(
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=(self._server_name or self._host) if self._tls else None,
                    limit=MAX_FRAME_BYTES,
                )
        except ssl.SSLCertVerificationError:
            text = "the receiver's certificate cannot be verified: ask the vendor before trusting another one"
            raise CredentialsRejected(self._vendor, operation, text) from None
        except (OSError, TimeoutError):
            raise VendorUnavailable(self._vendor, operation, "no connection to the receiver could be made") from None
        return _Connection(reader, writer, time.monotonic())

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.writer.transport.abort()


def _read(content: bytes, encoding: str) -> list[hl7.Acknowledgment]:
    try:
        found = hl7.acknowledgments(content.decode(encoding, errors="replace"))
    except hl7.NotHl7:
        found = []
    if not found:
        raise _Unreadable("the answer is not an HL7 acknowledgment")
    return found
