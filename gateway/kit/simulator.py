"""What simulators share: fault injection and the control routes under `/_sim/`.

A simulator is an ASGI app made by its `build(options)`, and `connection(options)` tells how a clinic connects to it. A
billing simulator names the call that saves a claim in `CREATE_OPERATION`. It enforces what the vendor enforces, keeps
a ledger of what it holds, and can be told to fail. It is written from the vendor's documents, never from the adapter.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class FaultKind(StrEnum):
    """How a call fails. `*_after_save` happen when the vendor has already saved: the dangerous ones."""

    HTTP_500 = "http_500"
    HTTP_500_AFTER_SAVE = "http_500_after_save"
    RESET = "reset"
    RESET_AFTER_SAVE = "reset_after_save"
    TIMEOUT = "timeout"
    TIMEOUT_AFTER_SAVE = "timeout_after_save"
    SAVE_AFTER_TIMEOUT = "save_after_timeout"
    RATE_LIMIT = "rate_limit"
    GARBAGE = "garbage"
    UNAUTHORIZED = "unauthorized"


@dataclass(slots=True)
class FaultRule:
    """Fail calls of an operation ("*" for any): each with `probability`, or the next `times` calls."""

    operation: str
    kind: FaultKind
    probability: float = 1.0
    times: int | None = None


@dataclass
class Faults:
    """The seeded fault source of one simulator."""

    seed: int = 0
    rules: list[FaultRule] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def pick(self, operation: str) -> FaultKind | None:
        """The fault of this call, or None."""
        for rule in self.rules:
            if rule.operation not in (operation, "*") or rule.times == 0:
                continue
            if self._random.random() < rule.probability:
                if rule.times is not None:
                    rule.times -= 1
                self.injected[rule.kind.value] = self.injected.get(rule.kind.value, 0) + 1
                return rule.kind
        return None

    def configure(self, body: dict[str, Any]) -> None:
        """Replace the rules from the JSON of `POST /_sim/faults`: {"seed"?, "rules": [{operation, kind, ...}]}."""
        self.rules = [FaultRule(**{**rule, "kind": FaultKind(rule["kind"])}) for rule in body.get("rules", [])]
        if "seed" in body:
            self._random = random.Random(int(body["seed"]))


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How the sandbox starts a simulator. `pace` scales the vendor's rate gaps: 1.0 is the vendor's own, 0 is none.

    `data` is whatever the vendor's simulator serves: a list of FHIR resources for an EHR, directory rows for billing.
    `think_seconds` is waited before each answer. `ports` are free ports of the same host for what does not speak HTTP
    (MLLP, SFTP); such a simulator opens them in its ASGI lifespan. `directory` is a folder of its own for files.
    `hook_url` is the gateway's hook, for EHRs whose webhooks are set up on a page of theirs and not over the API.
    """

    base_url: str
    seed: int = 0
    pace: float = 1.0
    think_seconds: float = 0.0
    credentials: dict[str, str] = field(default_factory=dict)
    data: Any = None
    ports: tuple[int, ...] = ()
    directory: Path | None = None
    hook_url: str = ""


@dataclass(frozen=True, slots=True)
class SandboxConnection:
    """How a clinic connects to a simulator: the `settings` of its connection in gateway.yaml, whose secrets are
    `env:NAME` references, the `secrets` to put in the environment under those names, and what the `clinic` itself must
    be told beside its connections."""

    settings: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    clinic: dict[str, Any] = field(default_factory=dict)


class ConnectionReset(Exception):
    """Raised inside a simulator to close the connection without an answer."""


def free_ports(count: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """Ports of this machine that nobody uses at this moment."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind((host, 0))
        return tuple(each.getsockname()[1] for each in opened)
