"""`gateway check`: what the server announces, and whether it lets this connection in."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.billing.fhir_claim.rows import SUBMISSION_IDENTIFIER
from adapters.billing.fhir_claim.server import Calls, FhirServer
from adapters.billing.fhir_claim.settings import FhirClaimSettings, Mode
from gateway.canonical.errors import AdapterError, CredentialsRejected, PermissionMissing
from gateway.canonical.models import Resource
from gateway.canonical.tolerant import objects
from gateway.ports.context import Probe

_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check auth and its settings, and that the server knows this client.",
    PermissionMissing: "Give the client the right to read and create claims.",
}
_SEARCH = {"identifier": f"{SUBMISSION_IDENTIFIER}|gateway-check"}


async def probe(server: FhirServer, settings: FhirClaimSettings) -> list[Probe]:
    """Read the CapabilityStatement, then search for a claim that cannot exist: only that needs the credentials."""
    calls = Calls()
    try:
        statement = await server.read("metadata", "metadata", calls)
        lines = [_version(statement), _taken(statement, settings.mode), _searchable(statement)]
        await server.read("search Claim", "Claim", calls, _SEARCH)
    except AdapterError as problem:
        remedy = _REMEDIES.get(type(problem), "Check base_url and the network, then try again.")
        return [Probe(f"call {problem.operation}", False, problem.text, remedy)]
    return [*lines, Probe("sign in and search claims", True), *_scopes(server)]


def _version(statement: Resource) -> Probe:
    version = statement.get("fhirVersion")
    fits = isinstance(version, str) and version.startswith("4.")
    return Probe(
        "FHIR version",
        fits,
        "R4" if fits else "the server does not announce FHIR R4",
        "" if fits else "Give the base_url of the server's R4 interface.",
    )


def _taken(statement: Resource, mode: Mode) -> Probe:
    if mode is Mode.SUBMIT:
        known = any(
            o.get("name") in ("submit", "$submit") for c in _claims(statement) for _, o in objects(c, "operation")
        )
        remedy = "Set mode: transaction, unless the server is known to offer it all the same."
        return Probe("Claim/$submit", known, "announced" if known else "not announced", "" if known else remedy)
    rests = (rest for _, rest in objects(statement, "rest"))
    known = any(i.get("code") == "transaction" for rest in rests for _, i in objects(rest, "interaction"))
    remedy = "Set mode: submit if the server offers Claim/$submit."
    return Probe("transaction", known, "announced" if known else "not announced", "" if known else remedy)


def _searchable(statement: Resource) -> Probe:
    found = any(p.get("name") == "identifier" for c in _claims(statement) for _, p in objects(c, "searchParam"))
    return Probe(
        "search of claims by identifier",
        found,
        "announced" if found else "not announced",
        "" if found else "Without it a claim whose answer was lost is held for a person.",
    )


def _claims(statement: Resource) -> list[Resource]:
    """What the statement says about Claim."""
    rests = (rest for _, rest in objects(statement, "rest"))
    return [r for rest in rests for _, r in objects(rest, "resource") if r.get("type") == "Claim"]


def _scopes(server: FhirServer) -> list[Probe]:
    smart = server.authorization.smart
    if smart is None:
        return []
    missing = smart.missing_scopes()
    remedy = "Grant the scopes to the client, or ask for fewer in scopes." if missing else ""
    return [Probe("scopes", not missing, f"not granted: {' '.join(missing)}" if missing else "granted", remedy)]
