"""The folder watcher: takes message files, puts acknowledgment files (vendor document section 4.1)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from adapters.billing.medics_premier.simulator.mllp import Listener
from adapters.billing.medics_premier.simulator.syntax import read

WATCH_SECONDS = 0.02


def incoming(directory: Path) -> Path:
    """Where the gateway puts its messages."""
    return directory / "medics_premier" / "to_premier"


def outgoing(directory: Path) -> Path:
    """Where acknowledgments appear."""
    return directory / "medics_premier" / "from_premier"


@dataclass
class Watcher:
    """Watches one folder; complete files are those without a temporary name."""

    listener: Listener
    directory: Path
    _task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Make the folders and begin to watch."""
        incoming(self.directory).mkdir(parents=True, exist_ok=True)
        outgoing(self.directory).mkdir(parents=True, exist_ok=True)
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            for file in sorted(incoming(self.directory).glob("*.hl7")):
                self._take(file)
            await asyncio.sleep(WATCH_SECONDS)

    def _take(self, file: Path) -> None:
        answers = ""
        for message in read(file.read_bytes().decode("utf-8", "replace")):
            self.listener.calls[f"{message[0].get(9)}^{message[0].get(9, 2)}"] += 1
            answers += self.listener.receiver.take(message)
        partial = outgoing(self.directory) / f"{file.stem}.ack.tmp"
        partial.write_text(answers, newline="")
        partial.replace(partial.with_suffix(""))
        file.unlink()
