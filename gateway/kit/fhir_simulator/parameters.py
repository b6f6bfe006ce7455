"""The search parameters that the simulator serves, as data: FHIR R4 core SearchParameters (4.0.1).

A row reads "kind path ...": several paths are alternatives, and `path>Type` keeps only references to that type.
"""

from __future__ import annotations

from dataclasses import dataclass

_SUBJECT = {"patient": "reference subject>Patient", "subject": "reference subject"}
_VISIT = {**_SUBJECT, "encounter": "reference encounter"}
_PERSON = {
    "active": "token active",
    "name": "string name",
    "family": "string name.family",
    "given": "string name.given",
    "gender": "token gender",
    "telecom": "token telecom",
    "address": "string address",
}
_NAMED = {
    "name": "string name alias",
    "type": "token type",
    "status": "token status",
    "address": "string address",
    "partof": "reference partOf",
    "endpoint": "reference endpoint",
}
_CLAIM = {
    "patient": "reference patient",
    "encounter": "reference item.encounter",
    "status": "token status",
    "use": "token use",
    "created": "date created",
    "provider": "reference provider",
    "insurer": "reference insurer",
    "enterer": "reference enterer",
    "facility": "reference facility",
    "payee": "reference payee.party",
    "care-team": "reference careTeam.provider",
}
_COMMON = {
    "_id": "token id",
    "_lastUpdated": "instant meta.lastUpdated",
    "_profile": "uri meta.profile",
    "_tag": "token meta.tag",
    "_security": "token meta.security",
    "identifier": "token identifier",
}
_FALLBACK = {
    "patient": "reference patient>Patient subject>Patient beneficiary>Patient",
    "subject": "reference subject",
    "encounter": "reference encounter context context.encounter",
    "status": "token status",
    "code": "token code",
    "category": "token category",
    "date": "date date effectiveDateTime effectivePeriod occurrenceDateTime occurrencePeriod period authoredOn issued",
}

_ROWS: dict[str, dict[str, str]] = {
    "Account": {**_SUBJECT, "owner": "reference owner", "status": "token status", "type": "token type"},
    "Appointment": {
        "patient": "reference participant.actor>Patient",
        "actor": "reference participant.actor",
        "practitioner": "reference participant.actor>Practitioner",
        "location": "reference participant.actor>Location",
        "date": "date start",
        "status": "token status",
    },
    "ChargeItem": {
        **_SUBJECT,
        "context": "reference context",
        "code": "token code",
        "account": "reference account",
        "service": "reference service",
        "occurrence": "date occurrenceDateTime occurrencePeriod",
        "entered-date": "date enteredDate",
        "enterer": "reference enterer",
        "performer-actor": "reference performer.actor",
        "performing-organization": "reference performingOrganization",
        "requesting-organization": "reference requestingOrganization",
    },
    "Claim": {**_CLAIM, "priority": "token priority"},
    "ClaimResponse": {
        "patient": "reference patient",
        "request": "reference request",
        "status": "token status",
        "use": "token use",
        "created": "date created",
        "outcome": "token outcome",
        "insurer": "reference insurer",
        "requestor": "reference requestor",
    },
    "Condition": {
        **_VISIT,
        "category": "token category",
        "code": "token code",
        "clinical-status": "token clinicalStatus",
        "verification-status": "token verificationStatus",
        "onset-date": "date onsetDateTime onsetPeriod",
        "recorded-date": "date recordedDate",
        "asserter": "reference asserter",
    },
    "Coverage": {
        "beneficiary": "reference beneficiary",
        "patient": "reference beneficiary",
        "subscriber": "reference subscriber",
        "policy-holder": "reference policyHolder",
        "payor": "reference payor",
        "status": "token status",
        "type": "token type",
        "class-type": "token class.type",
        "class-value": "string class.value",
        "dependent": "string dependent",
    },
    "DocumentReference": {
        **_SUBJECT,
        "encounter": "reference context.encounter",
        "date": "date date",
        "period": "date context.period",
        "status": "token status",
        "type": "token type",
        "category": "token category",
        "author": "reference author",
    },
    "Encounter": {
        **_SUBJECT,
        "date": "date period",
        "status": "token status",
        "class": "token class",
        "type": "token type",
        "participant": "reference participant.individual",
        "practitioner": "reference participant.individual>Practitioner",
        "location": "reference location.location",
        "service-provider": "reference serviceProvider",
        "appointment": "reference appointment",
        "account": "reference account",
        "diagnosis": "reference diagnosis.condition",
        "part-of": "reference partOf",
        "reason-code": "token reasonCode",
    },
    "ExplanationOfBenefit": {**_CLAIM, "claim": "reference claim", "coverage": "reference insurance.coverage"},
    "Location": {**_NAMED, "organization": "reference managingOrganization"},
    "Organization": {**_NAMED, "active": "token active"},
    "Patient": {
        **_PERSON,
        "birthdate": "date birthDate",
        "general-practitioner": "reference generalPractitioner",
        "organization": "reference managingOrganization",
    },
    "Practitioner": _PERSON,
    "PractitionerRole": {
        "active": "token active",
        "practitioner": "reference practitioner",
        "organization": "reference organization",
        "location": "reference location",
        "role": "token code",
        "specialty": "token specialty",
    },
    "Procedure": {
        **_VISIT,
        "date": "date performedDateTime performedPeriod",
        "status": "token status",
        "code": "token code",
        "category": "token category",
        "performer": "reference performer.actor",
        "location": "reference location",
        "reason-code": "token reasonCode",
        "reason-reference": "reference reasonReference",
        "part-of": "reference partOf",
    },
    "Provenance": {
        "target": "reference target",
        "patient": "reference target>Patient",
        "agent": "reference agent.who",
        "recorded": "instant recorded",
        "signature-type": "token signature.type",
    },
    "RelatedPerson": {**_PERSON, "patient": "reference patient"},
    "Subscription": {
        "criteria": "uri criteria",
        "payload": "token channel.payload",
        "status": "token status",
        "type": "token channel.type",
        "url": "uri channel.endpoint",
    },
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one type: where its values are, as (element path, kept target type or "")."""

    name: str
    kind: str
    paths: tuple[tuple[str, str], ...]


def _parameter(name: str, row: str) -> Parameter:
    kind, *paths = row.split()
    return Parameter(name, kind, tuple((path, target) for path, _, target in (p.partition(">") for p in paths)))


def _parameters(rows: dict[str, str]) -> dict[str, Parameter]:
    return {name: _parameter(name, row) for name, row in {**_COMMON, **rows}.items()}


LISTED = {resource_type: _parameters(rows) for resource_type, rows in _ROWS.items()}
_OTHER = _parameters(_FALLBACK)


def parameters_of(resource_type: str) -> dict[str, Parameter]:
    """The search parameters of a type by name; types without rows of their own get the usual ones."""
    return LISTED.get(resource_type, _OTHER)
