"""The two directories: claims come into /inbound, answers wait in /outbound."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from adapters.billing.x12_837p.simulator.intake import Answer

_UNFINISHED = (".part", ".tmp", ".filepart")
_NAMES = {"ta1": "TA1.txt", "999": "999.999", "277ca": "277CA.277"}


class Boxes:
    """A folder with both directories. `together` writes all answers to one file's claims as a single file."""

    def __init__(self, root: Path) -> None:
        self.root, self.inbound, self.outbound = root, root / "inbound", root / "outbound"
        self.together = False
        self._numbers = count(1)
        for folder in (self.inbound, self.outbound):
            folder.mkdir(parents=True, exist_ok=True)

    def arrived(self) -> list[tuple[str, str]]:
        """Name and text of each file under its final name, oldest first; they are gone from /inbound then."""
        taken = []
        files = [f for f in self.inbound.iterdir() if f.is_file() and not _unfinished(f.name)]
        for file in sorted(files, key=lambda f: (f.stat().st_mtime, f.name)):
            taken.append((file.name, file.read_bytes().decode("ascii", errors="replace")))
            file.unlink()
        return taken

    def deliver(self, answers: list[Answer]) -> None:
        """Write answers to /outbound, each whole or not at all."""
        if self.together and len(answers) > 1:
            self._write("EDI.txt", "".join(answer.text for answer in answers))
            return
        for answer in answers:
            self._write(_NAMES[answer.kind], answer.text)

    def _write(self, ending: str, text: str) -> None:
        final = self.outbound / f"{next(self._numbers):06}_{ending}"
        partial = final.with_name(f"{final.name}.part")
        partial.write_bytes(text.encode("ascii", errors="replace"))
        partial.replace(final)

    def clear(self) -> None:
        """Remove every file."""
        for folder in (self.inbound, self.outbound):
            for file in folder.iterdir():
                file.unlink()


def _unfinished(name: str) -> bool:
    return name.startswith(".") or name.endswith(_UNFINISHED)
