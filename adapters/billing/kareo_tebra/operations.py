"""The operations that the adapter uses: names, minimum gaps and the SOAP request around their members."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.kit.encoders import soap

CREATE_ENCOUNTER = "CreateEncounter"
CREATE_PATIENT = "CreatePatient"
GET_CHARGES = "GetCharges"
GET_ENCOUNTER_DETAILS = "GetEncounterDetails"
GET_PATIENT = "GetPatient"
GET_PATIENTS = "GetPatients"
GET_PRACTICES = "GetPractices"
GET_PROVIDERS = "GetProviders"
GET_SERVICE_LOCATIONS = "GetServiceLocations"
GET_THROTTLES = "GetThrottles"
UPDATE_ENCOUNTER_STATUS = "UpdateEncounterStatus"
UPDATE_PATIENT = "UpdatePatient"

CLAIM_WRITES = frozenset({CREATE_ENCOUNTER, UPDATE_ENCOUNTER_STATUS})
"""The calls whose lost answer leaves open what became of a claim."""

WRITES = CLAIM_WRITES | {CREATE_PATIENT, UPDATE_PATIENT}
"""The calls that save something."""

GAPS_MS: Mapping[str, int] = MappingProxyType(
    {
        CREATE_ENCOUNTER: 500,
        CREATE_PATIENT: 500,
        GET_CHARGES: 1000,
        GET_ENCOUNTER_DETAILS: 500,
        GET_PATIENT: 250,
        GET_PATIENTS: 1000,
        GET_PRACTICES: 500,
        GET_PROVIDERS: 500,
        GET_SERVICE_LOCATIONS: 500,
        GET_THROTTLES: 5000,
        UPDATE_ENCOUNTER_STATUS: 500,
        UPDATE_PATIENT: 1000,
    }
)
"""Milliseconds between two calls of an operation, per customer key (vendor document section 3.1)."""

GAP_MARGIN = 1.25
"""A gap of exactly the stated length still trips the throttle (section 3.1)."""

SCHEMA = "http://www.kareo.com/api/schemas/"
SCHEMA_NO_SLASH = "http://www.kareo.com/api/schemas"
_NAMESPACES = {"k": SCHEMA, "n": SCHEMA_NO_SLASH}
_MEMBER_PREFIX = {GET_SERVICE_LOCATIONS: "n"}  # section 2: its members alone live in the namespace without the slash
_PARAMETER = {UPDATE_PATIENT: "UpdatePatientReq"}  # section 2: of all parameters this one alone is not named `request`


def action_headers(operation: str) -> dict[str, str]:
    """HTTP headers of an operation; without the contract segment in SOAPAction the service faults (section 2)."""
    return {
        "content-type": "text/xml; charset=utf-8",
        "soapaction": f'"{SCHEMA}KareoServices/{operation}"',
    }


def request_header(customer_key: str, password: str, user: str) -> str:
    """The `RequestHeader` element; its members in this very order, or authorization fails (section 2)."""
    header = {"CustomerKey": customer_key, "Password": password, "User": user}
    return f"<k:RequestHeader>{soap.members(header, 'k')}</k:RequestHeader>"


def request(operation: str, header: str, contract: Mapping[str, soap.Value]) -> bytes:
    """The whole SOAP request: `header` (a base-class member) first, then the operation's members in order."""
    inner = soap.members(contract, _MEMBER_PREFIX.get(operation, "k"))
    name = _PARAMETER.get(operation, "request")
    return soap.envelope(f"<k:{operation}><k:{name}>{header}{inner}</k:{name}></k:{operation}>", _NAMESPACES)
