"""The server's refusals: an OperationOutcome with its status (fhir_rest section 5)."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]


class Refused(Exception):
    """Raised anywhere below a route to answer at once with an OperationOutcome."""

    def __init__(self, status: int, *issues: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.headers = status, headers or {}
        self.outcome: Resource = {"resourceType": "OperationOutcome", "issue": list(issues)}


def issue(code: str, diagnostics: str, expression: str = "") -> dict[str, Any]:
    """One error issue; `code` is an R4 issue-type."""
    found: dict[str, Any] = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return {**found, "expression": [expression]} if expression else found


def refuse(status: int, code: str, diagnostics: str, expression: str = "") -> Refused:
    """The exception of a single issue."""
    return Refused(status, issue(code, diagnostics, expression))


UNAUTHORIZED = Refused(
    401, issue("login", "Sign in first."), headers={"www-authenticate": 'Bearer error="invalid_token"'}
)
THROTTLED = Refused(429, issue("throttled", "Too many requests."), headers={"retry-after": "1"})
BROKEN = Refused(500, issue("exception", "The server failed."))
