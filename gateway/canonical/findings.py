"""A finding: what is wrong with an element, in a sentence that a biller understands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """`error` holds the claim; `warning` lets it pass with a note."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `expression` is the FHIRPath of the element; `message` and `fix` carry no patient value."""

    edit: str
    severity: Severity
    expression: str
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as a plain JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        """The reverse of `as_json`."""
        return cls(**{**value, "severity": Severity(value["severity"])})


def error(edit: str, expression: str, message: str, fix: str = "") -> Finding:
    """A finding that holds the claim."""
    return Finding(edit, Severity.ERROR, expression, message, fix)


def warning(edit: str, expression: str, message: str, fix: str = "") -> Finding:
    """A finding that passes with a note."""
    return Finding(edit, Severity.WARNING, expression, message, fix)


def holds(findings: tuple[Finding, ...]) -> bool:
    """Whether any finding keeps the claim from being sent."""
    return any(finding.severity is Severity.ERROR for finding in findings)
