"""The demo's own directory and the files it hands over; nothing outside it is touched."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.canonical.errors import ConfigurationError

_MARK = ".gateway-demo"
KEPT = Path("demo.json")


@dataclass(frozen=True, slots=True)
class DemoDirectory:
    """A directory that belongs to one demo at a time."""

    path: Path

    @property
    def configuration(self) -> Path:
        """The generated gateway.yaml."""
        return self.path / "gateway.yaml"

    def make(self) -> None:
        """Begin with an empty directory; one that is not a demo's is never touched."""
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / _MARK).exists():
            raise ConfigurationError(str(self.path), "is not empty and not a demo's.", "Name another with --directory.")
        self.remove()
        self.path.mkdir(parents=True)
        (self.path / _MARK).touch()

    def remove(self) -> None:
        """Leave nothing behind."""
        if (self.path / _MARK).exists():
            shutil.rmtree(self.path, ignore_errors=True)

    async def urls(self) -> dict[str, str] | None:
        """The simulators' addresses once they are there: ehr, billing, gateway."""
        file = self.path / "sandbox.json"
        return dict(json.loads(file.read_text())) if file.exists() else None

    def secrets(self) -> dict[str, str]:
        """The variables of sandbox.env, read as a shell would."""
        words = shlex.split((self.path / "sandbox.env").read_text())
        return dict(word.split("=", 1) for word in words if "=" in word)


def write_kept(content: dict[str, Any]) -> None:
    """demo.json, readable by its owner only: it holds credentials, if only a demo's."""
    KEPT.touch(mode=0o600)
    KEPT.chmod(0o600)  # one that was there already
    KEPT.write_text(json.dumps(content, indent=2) + "\n")


def remove_kept() -> None:
    """Remove demo.json again."""
    KEPT.unlink(missing_ok=True)
