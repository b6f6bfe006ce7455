"""The demo's child processes: real `gateway` commands, which die with the demo."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1


class Child:
    """One `gateway` process that can be killed and started again."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._arguments, self._log_path, self.environment = arguments, log, {**os.environ, **environment}
        self._log: IO[bytes] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Process id, 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start it (again); output goes to its log file."""
        self._log = self._log or self._log_path.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self.environment,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self.starts += 1

    def kill(self) -> None:
        """kill -9."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        return await self._process.wait() if self._process else 0

    async def stop(self, seconds: float = 15.0) -> None:
        """SIGTERM, and kill -9 when that does not help."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), seconds)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._log:
            self._log.close()
            self._log = None

    def last_words(self, characters: int = 2000) -> str:
        """The end of its log, for the message when it does not start."""
        return self._log_path.read_bytes()[-characters:].decode(errors="replace") if self._log_path.exists() else ""

    def peak_memory_mb(self) -> float | None:
        """The greatest resident memory so far in MB (Linux only)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "")
        return round(int(line.split()[1]) / 1024, 1) if line else None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
