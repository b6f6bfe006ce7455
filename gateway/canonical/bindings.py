"""Required bindings of FHIR R4 for the resources that the gateway handles; `fhirkit` checks structure only.

Source: the `required` bindings of the R4 StructureDefinitions (hl7.fhir.r4.core 4.0.1), all but the open list of media
types. `Money.currency` is bound by the Claim profile, which bills in USD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.canonical.codes import THO
from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import Finding, error

EDIT = "r4-binding"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GENDER = _words("male female other unknown")
_DAYS = _words("mon tue wed thu fri sat sun")
_FINANCIAL_STATUS = _words("active cancelled draft entered-in-error")
_ENCOUNTER_STATUS = _words(
    "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
)
_ISSUE_TYPES = _words(
    "invalid structure required value invariant security login unknown expired forbidden suppressed "
    "processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid "
    "extension too-costly business-rule conflict transient lock-error no-store exception timeout "
    "incomplete throttled informational"
)

REQUIRED: Mapping[str, frozenset[str]] = {
    "Address.type": _words("postal physical both"),
    "Address.use": _words("home work temp old billing"),
    "AuditEvent.action": _words("C R U D E"),
    "AuditEvent.outcome": _words("0 4 8 12"),
    "AuditEvent.agent.network.type": _words("1 2 3 4 5"),
    "Bundle.type": _words(
        "document message transaction transaction-response batch batch-response history searchset collection"
    ),
    "Bundle.entry.request.method": _words("GET HEAD POST PUT DELETE PATCH"),
    "Bundle.entry.search.mode": _words("match include outcome"),
    "Claim.status": _FINANCIAL_STATUS,
    "Claim.use": _words("claim preauthorization predetermination"),
    "ClaimResponse.outcome": _words("queued complete error partial"),
    "ClaimResponse.processNote.type": _words("display print printoper"),
    "ClaimResponse.status": _FINANCIAL_STATUS,
    "ClaimResponse.use": _words("claim preauthorization predetermination"),
    "ContactPoint.system": _words("phone fax email pager url sms other"),
    "ContactPoint.use": _words("home work temp old mobile"),
    "Coverage.status": _FINANCIAL_STATUS,
    "Encounter.location.status": _words("planned active reserved completed"),
    "Encounter.status": _ENCOUNTER_STATUS,
    "Encounter.statusHistory.status": _ENCOUNTER_STATUS,
    "HumanName.use": _words("usual official temp nickname anonymous old maiden"),
    "Identifier.use": _words("usual official temp secondary old"),
    "Location.hoursOfOperation.daysOfWeek": _DAYS,
    "Location.mode": _words("instance kind"),
    "Location.status": _words("active suspended inactive"),
    "Narrative.status": _words("generated extensions additional empty"),
    "OperationOutcome.issue.code": _ISSUE_TYPES,
    "OperationOutcome.issue.severity": _words("fatal error warning information"),
    "Patient.contact.gender": _GENDER,
    "Patient.gender": _GENDER,
    "Patient.link.type": _words("replaced-by replaces refer seealso"),
    "Practitioner.gender": _GENDER,
    "PractitionerRole.availableTime.daysOfWeek": _DAYS,
    "Procedure.status": _words(
        "preparation in-progress not-done on-hold stopped completed entered-in-error unknown",
    ),
    "Quantity.comparator": _words("< <= >= >"),
    "RelatedPerson.gender": _GENDER,
    "Subscription.channel.type": _words("rest-hook websocket email sms message"),
    "Subscription.status": _words("requested active error off"),
}
"""Element of type `code` (of a resource or of a data type) to the codes that FHIR R4 allows."""

REQUIRED_CONCEPTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "Condition.clinicalStatus": (
        f"{THO}/condition-clinical",
        _words("active recurrence relapse inactive remission resolved"),
    ),
    "Condition.verificationStatus": (
        f"{THO}/condition-ver-status",
        _words("unconfirmed provisional differential confirmed refuted entered-in-error"),
    ),
}
"""Element of type CodeableConcept to the code system and codes of which it must carry one."""

DATA_TYPES: Mapping[str, str] = {
    "address": "Address",
    "identifier": "Identifier",
    "name": "HumanName",
    "quantity": "Quantity",
    "telecom": "ContactPoint",
    "text": "Narrative",
    "valueAddress": "Address",
    "valueContactPoint": "ContactPoint",
    "valueHumanName": "HumanName",
    "valueIdentifier": "Identifier",
    "valueQuantity": "Quantity",
}
"""Element name to its data type, the same in every resource that we handle."""


def check(resource: dict[str, Any]) -> list[Finding]:
    """Every code that its required binding does not allow. Values of a wrong type are left to the schema."""
    kind = resource.get("resourceType")
    return list(_walk(resource, kind, kind)) if isinstance(kind, str) else []


def _walk(value: dict[str, Any], kind: str, expression: str) -> Iterator[Finding]:
    """`kind` is the resource or data type, or the path of a backbone element below it."""
    for name, member in value.items():
        element = f"{kind}.{name}"
        if isinstance(member, list):
            for i, entry in enumerate(member):
                yield from _entry(entry, name, element, f"{expression}.{name}[{i}]")
        else:
            yield from _entry(member, name, element, f"{expression}.{name}")


def _entry(value: Any, name: str, element: str, expression: str) -> Iterator[Finding]:
    if isinstance(value, dict):
        yield from _object(value, name, element, expression)
    elif isinstance(value, str) and value not in REQUIRED.get(element, (value,)):
        yield _not_allowed(expression, REQUIRED[element])


def _object(value: dict[str, Any], name: str, element: str, expression: str) -> Iterator[Finding]:
    if element in REQUIRED_CONCEPTS:
        system, allowed = REQUIRED_CONCEPTS[element]
        codings = value.get("coding")
        if isinstance(codings, list) and not any(_is_bound(coding, system, allowed) for coding in codings):
            yield _not_allowed(expression, allowed)
    kind = value.get("resourceType")
    yield from _walk(value, kind if isinstance(kind, str) else DATA_TYPES.get(name, element), expression)


def _is_bound(coding: object, system: str, allowed: frozenset[str]) -> bool:
    return isinstance(coding, dict) and coding.get("system") == system and coding.get("code") in [*allowed]


def _not_allowed(expression: str, allowed: frozenset[str]) -> Finding:
    return error(
        EDIT,
        expression_of(expression),
        f"FHIR R4 does not allow this code here; allowed are {', '.join(sorted(allowed))}.",
        "Replace the code by one of the allowed ones.",
    )
