"""What the sandbox's clinic is made of, as JSON: its practice, names, visits and fees. All of it is invented."""

from __future__ import annotations

from importlib import resources
from typing import Any

from gateway.canonical import jsonio


def load(name: str) -> Any:
    """The parsed content of `<name>.json` of this folder, new on each call."""
    return jsonio.loads(resources.files(__name__).joinpath(f"{name}.json").read_bytes())
