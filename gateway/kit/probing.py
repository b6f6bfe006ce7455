"""What `gateway check` says of an attempt that failed: the error, and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.canonical.errors import AdapterError
from gateway.ports.context import Probe


@dataclass(frozen=True, slots=True)
class Remedies:
    """A vendor's remedies by error; `otherwise` is for every other one."""

    by_error: Mapping[type[AdapterError], str]
    otherwise: str

    def of(self, problem: AdapterError) -> str:
        """What to do about an error."""
        return self.by_error.get(type(problem), self.otherwise)

    def failed(self, what: str, problem: AdapterError) -> Probe:
        """The line of an attempt that failed."""
        return Probe(what, ok=False, detail=f"{problem.code.value}: {problem.text}", remedy=self.of(problem))

    async def tried(self, what: str, attempt: Callable[[], Awaitable[Probe]]) -> Probe:
        """The line of an attempt, whether it succeeds or fails."""
        try:
            return await attempt()
        except AdapterError as problem:
            return self.failed(what, problem)
