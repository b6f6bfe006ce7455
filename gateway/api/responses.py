"""Answers of the API as FHIR JSON."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from gateway.api.outcomes import outcome, status_of
from gateway.canonical.errors import GatewayError
from gateway.canonical.jsonio import dumps

FHIR_JSON = "application/fhir+json"


def fhir_response(resource: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A FHIR resource as an HTTP response."""
    return Response(dumps(resource), status_code=status, media_type=FHIR_JSON, headers=headers)


def refusal(error: GatewayError) -> Response:
    """An error as an HTTP response; a store that is away asks to come back."""
    status, code = status_of(error)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "POST, PUT"}, 503: {"Retry-After": "2"}}.get(status)
    return fhir_response(outcome(code, str(error)), status, headers)
