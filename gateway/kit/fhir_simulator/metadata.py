"""What the simulator says about itself: SMART discovery and the CapabilityStatement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.kit.fhir_simulator.parameters import LISTED, Parameter, parameters_of
from gateway.kit.fhir_simulator.scopes import Scope
from gateway.kit.simulator_http import Resource

SB = "http://hl7.org/fhir/uv/subscriptions-backport"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition"
_SEARCH_TYPES = {"instant": "date"}


def smart_configuration(token_url: str, algorithms: Iterable[str], scopes: Iterable[Scope]) -> dict[str, Any]:
    """The `.well-known/smart-configuration` of a backend-services-only server (SMART 2.2.0, section 1)."""
    return {
        "token_endpoint": token_url,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": sorted(algorithms),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": [str(scope) for scope in scopes],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def capability_statement(base: str, token_url: str, topics: Iterable[str], held: Iterable[str]) -> Resource:
    """The CapabilityStatement; `held` names the types with data, `topics` the canonical URLs on offer."""
    types = sorted({*LISTED, *held})
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2025-01-01",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "software": {"name": "SMART FHIR simulator"},
        "implementation": {"description": "A sandbox EHR with synthetic data", "url": base},
        "instantiates": [f"{SB}/CapabilityStatement/backport-subscription-server-r4"],
        "rest": [
            {
                "mode": "server",
                "security": _security(token_url),
                "resource": [_resource(name, topics) for name in types],
                "interaction": [{"code": "batch"}],
            }
        ],
    }


def _security(token_url: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "extension": [{"url": _OAUTH_URIS, "extension": [{"url": "token", "valueUri": token_url}]}],
        "service": [{"coding": [{"system": system, "code": "SMART-on-FHIR"}]}],
    }


def _resource(name: str, topics: Iterable[str]) -> dict[str, Any]:
    parameters = parameters_of(name)
    described: dict[str, Any] = {
        "type": name,
        "interaction": [{"code": code} for code in ("read", "vread", "search-type")],
        "versioning": "versioned",
        "searchInclude": [f"{name}:{p.name}" for p in parameters.values() if p.kind == "reference"],
        "searchParam": [_search_param(parameter) for parameter in parameters.values()],
    }
    if name in ("Patient", "Group"):
        described["operation"] = [{"name": "export", "definition": f"{_BULK}/{name.lower()}-export"}]
    return _subscription(described, topics) if name == "Subscription" else described


def _search_param(parameter: Parameter) -> dict[str, str]:
    return {"name": parameter.name, "type": _SEARCH_TYPES.get(parameter.kind, parameter.kind)}


def _subscription(described: dict[str, Any], topics: Iterable[str]) -> dict[str, Any]:
    extension = f"{SB}/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
    operations = {"status": "backport-subscription-status", "events": "backport-subscription-events"}
    described["extension"] = [{"url": extension, "valueCanonical": topic} for topic in topics]
    described["supportedProfile"] = [f"{SB}/StructureDefinition/backport-subscription"]
    described["interaction"] += [{"code": code} for code in ("create", "update", "delete")]
    described["operation"] = [
        {"name": name, "definition": f"{SB}/OperationDefinition/{definition}"}
        for name, definition in operations.items()
    ]
    return described
