"""The MLLP listener: frames in, acknowledgments out, and everything that can go wrong in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field

from adapters.billing.medics_premier.simulator.receiver import Message, Receiver
from adapters.billing.medics_premier.simulator.syntax import Problem, read
from gateway.kit.simulator import FaultKind, Faults

START, END = b"\x0b", b"\x1c\r"
_GARBAGE = b"<!DOCTYPE html><html><body>Interface engine is restarting</body></html>"
_SAVED_FIRST = (FaultKind.RESET_AFTER_SAVE, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.HTTP_500_AFTER_SAVE)
_RESETS = (FaultKind.RESET, FaultKind.RESET_AFTER_SAVE)
_TIMEOUTS = (FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER_SAVE, FaultKind.SAVE_AFTER_TIMEOUT)


@dataclass
class Manner:
    """How answers are written: in pieces, with noise between frames, with a second message in the frame, or late."""

    split_frames: bool = False
    noise: bool = False
    double: bool = False
    delay_seconds: float = 0.0


@dataclass
class Listener:
    """One port. `think_seconds` is waited before each answer, `late_save_seconds` before a SAVE_AFTER_TIMEOUT."""

    receiver: Receiver
    faults: Faults
    think_seconds: float = 0.0
    late_save_seconds: float = 0.5
    manner: Manner = field(default_factory=Manner)
    calls: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, host: str, port: int) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=4 * 1024 * 1024)

    async def close(self) -> None:
        """Stop listening and break off what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    continue
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One frame; False ends the connection."""
        data = await reader.readuntil(END)
        content = data[: -len(END)].rpartition(START)[2].decode("utf-8", "replace")
        for message in read(content):
            operation = f"{message[0].get(9)}^{message[0].get(9, 2)}"
            self.calls[operation] += 1
            kind = self.faults.pick(operation)
            if not await self._respond(message, kind, reader, writer):
                return False
        return True

    async def _respond(
        self, message: Message, kind: FaultKind | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if kind in _SAVED_FIRST:
            self.receiver.take(message)
        if kind in _RESETS:
            return False
        if kind in _TIMEOUTS:
            while await reader.read(1024):  # until the client gives up
                continue
            if kind is FaultKind.SAVE_AFTER_TIMEOUT:
                await asyncio.sleep(self.late_save_seconds)
                self.receiver.take(message)
            return False
        await asyncio.sleep(self.think_seconds + self.manner.delay_seconds)
        await self._write(writer, self._answer(message, kind))
        return True

    def _answer(self, message: Message, kind: FaultKind | None) -> bytes:
        header = message[0]
        if kind is FaultKind.GARBAGE:
            return _GARBAGE
        if kind is FaultKind.UNAUTHORIZED:
            return self.receiver.refuse_sender(header).encode()
        if kind is FaultKind.HTTP_500_AFTER_SAVE:  # its like in MLLP: the acknowledgment of another message
            return self.receiver.answer(header, "AA", control_id="SOMEBODYELSE-1").encode()
        if kind in (FaultKind.HTTP_500, FaultKind.RATE_LIMIT):
            code = "207" if kind is FaultKind.HTTP_500 else "206"
            return self.receiver.answer(header, "AR", [Problem("MSH", 1, 10, code)]).encode()
        return self.receiver.take(message).encode()

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        if self.manner.double:
            answer += self._other_message()
        frame = START + answer + END
        if self.manner.noise:
            frame = b"\r\n\x00noise" + frame
        pieces = [frame[i : i + 7] for i in range(0, len(frame), 7)] if self.manner.split_frames else [frame]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if self.manner.split_frames:
                await asyncio.sleep(0.001)

    def _other_message(self) -> bytes:
        """A scheduling message of the PM itself in the same frame: nothing that was asked for."""
        return b"MSH|^~\\&|MEDICSPREMIER|0001|CLAIMGW|LAKESIDE|20260304||SIU^S12|S1|P|2.5.1\rSCH|1\r"
