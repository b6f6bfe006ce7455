"""Errors as FHIR OperationOutcomes, in one table."""

from __future__ import annotations

from typing import Any

from gateway.canonical.errors import (
    GatewayError,
    NotificationMalformed,
    NotificationRejected,
    NotificationUnknown,
    StoreError,
    UnknownConnection,
    UnsupportedOperation,
)

_STATUS: tuple[tuple[type[GatewayError], int, str], ...] = (
    (NotificationRejected, 401, "login"),
    (NotificationMalformed, 400, "invalid"),
    (NotificationUnknown, 404, "not-found"),
    (UnknownConnection, 404, "not-found"),
    (UnsupportedOperation, 405, "not-supported"),
    (StoreError, 503, "transient"),
)


def status_of(error: GatewayError) -> tuple[int, str]:
    """HTTP status and OperationOutcome.issue.code of an error."""
    return next(((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "exception"))


def outcome(code: str, diagnostics: str, severity: str = "error") -> dict[str, Any]:
    """An OperationOutcome of one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
