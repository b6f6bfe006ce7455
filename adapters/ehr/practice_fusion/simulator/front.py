"""What stands before the facade: the API gateway's own words, its rate limit, and the token endpoint's refusals.

Source: vendors practice_fusion sections 1 (Kong), 2 (token errors) and 8 (429 without headers).
"""

from __future__ import annotations

import secrets

import fhirkit

from adapters.ehr.practice_fusion.simulator.practice import SCOPED
from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.token_rules import TokenRules
from gateway.kit.simulator_http import Response, plain_json

NOT_GRANTED = "practice has not granted access to system application"
NO_SCOPE = "client does not have permissions to requested scope"
TOKEN_RULES = TokenRules(
    grammar=frozenset({"v2"}),
    letters="rs",
    refused=dict.fromkeys({*fhirkit.RESOURCE_TYPES, "*"} - {*SCOPED}, "invalid_scope"),
)
"""Only `.rs`, and only of the types that have a scope."""


def unrouted() -> Response:
    """Kong's 404 for a path that leads nowhere."""
    return _kong(404, "no Route matched with those values")


def _kong(status: int, message: str) -> Response:
    return plain_json({"message": message, "request_id": secrets.token_hex(16)}, status)


def too_many() -> Response:
    """429 that says nothing of when to come back."""
    return _kong(429, "API rate limit exceeded")


def unauthorized(message: str) -> Response:
    """A refusal of the token endpoint, in its own form."""
    return plain_json({"subcode": "Unauthorized", "message": message}, 401)


def token_answer(response: Response) -> Response:
    """The standard endpoint's answer in the facade's form: a message in place of OAuth's error."""
    if response.status < 400:
        return response
    refused = jsonio.loads(response.body)
    scope = refused.get("error") == "invalid_scope"
    return unauthorized(NO_SCOPE if scope else str(refused.get("error_description", "the request is not accepted")))
