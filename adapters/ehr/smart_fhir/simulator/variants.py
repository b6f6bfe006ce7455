"""Vendors that the simulator plays, as tables of its knobs; written from the vendor document, never from the adapter.

Source: shared vendors generic_smart_fhir sections 2, 3, 4, 6, 7 and 8. What is not known of a vendor is the standard's.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.kit.fhir_simulator.manners import Manners
from gateway.kit.fhir_simulator.token_rules import TokenRules

Knobs = Mapping[str, str]

_CLINICAL = "Encounter,Condition,Procedure,Coverage,DocumentReference"
_US_CORE = (
    "Encounter,Patient,Practitioner,PractitionerRole,Organization,Location,Condition,Procedure,Coverage,RelatedPerson,"
    "ServiceRequest,DocumentReference,Appointment,Group"
)
_CLOSED = {
    # US Core to read: no Subscription, no charges, and a visit that is closed before its note is signed
    "types": _US_CORE,
    "anchored": _CLINICAL,
    "charges": "procedure",
    "proof": "document",
    "closed_early": "true",
    "mixed": "false",
}

VARIANTS: Mapping[str, Knobs] = {
    "generic": {},
    "epic": {
        **_CLOSED,
        "algorithms": "RS384",
        "grammar": "ignored",
        "errors": "epic",
        "expires_in": "3600",
        "scopes": "system/*.read",
    },
    "oracle_health": {
        **_CLOSED,
        "types": f"{_US_CORE},ChargeItem,Account",
        "charges": "charge_item",
        "client_authentication": "client_secret_basic,private_key_jwt",
        "refused_scopes": "*=invalid_scope",
        "accept": "application/fhir+json",
        "repeats": "true",
        "expires_in": "570",
    },
    "eclinicalworks": {
        **_CLOSED,
        "types": f"{_US_CORE},ChargeItem,Claim",
        "charges": "charge_item",
        "algorithms": "RS384",
        "refused_scopes": "Group=invalid_grant",
        "refused_parameters": "Encounter._lastUpdated",
        "calls_per_minute": "250",
    },
    "nextgen_enterprise": {**_CLOSED, "total": "false"},
    "nextgen_office": {**_CLOSED, "client_authentication": "private_key_jwt,client_secret_basic,client_secret_post"},
    "veradigm": {
        **_CLOSED,
        "algorithms": "RS384",
        "grammar": "v1",
        "accept": "fhirversion=4.0",
        "jwks_read": "nightly",
        "masked": "Patient.telecom",
        "scopes": "system/*.read",
        "refused_parameters": "Encounter._lastUpdated",
    },
    "canvas": {
        "types": f"{_US_CORE},Claim",
        "client_authentication": "client_secret_post",
        "grammar": "v1",
        "charges": "claim",
        "expires_in": "36000",
        "scopes": "system/*.read",
    },
    "medplum": {
        "client_authentication": "private_key_jwt,client_secret_basic,client_secret_post",
        "grammar": "ignored",
        "proof": "provenance",
        "closed_early": "true",
        "expires_in": "3600",
    },
    "hapi": {
        "client_authentication": "none",
        "proof": "provenance",
        "closed_early": "true",
        "total": "false",
    },
}
"""Knobs by vendor."""


def token_rules(knobs: Knobs) -> TokenRules:
    """The token endpoint that the knobs describe."""
    refused = dict(pair.split("=") for pair in _listed(knobs.get("refused_scopes", "")))
    return TokenRules(
        methods=_listed(knobs["client_authentication"]),
        secret=knobs.get("client_secret", ""),
        grammar=_listed(knobs["grammar"]),
        mixed=knobs.get("mixed") != "false",
        letters=knobs.get("letters", ""),
        refused=refused,
        errors=knobs["errors"],
        lifetime=knobs["lifetime"],
        nightly=knobs.get("jwks_read") == "nightly",
    )


def manners(knobs: Knobs) -> Manners:
    """The FHIR server that the knobs describe."""
    anchored = _CLINICAL if knobs.get("patient_anchored") == "true" else knobs.get("anchored", "")
    return Manners(
        accept=knobs.get("accept", ""),
        anchored=_listed(anchored),
        refused_parameters=_listed(knobs.get("refused_parameters", "")),
        types=_listed(knobs.get("types", "")),
        refusals_as_200=knobs.get("refusals_as_200") == "true",
        total=knobs.get("total") != "false",
        repeats=knobs.get("repeats") == "true",
        masked=_listed(knobs.get("masked", "")),
    )


def _listed(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))
