"""A canonical claim as the professional claim JSON of Stedi and Optum (section 6). Pure; every value is a string."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.billing.x12_837p import json_rows
from adapters.billing.x12_837p.facts import Facts, facts, person
from adapters.billing.x12_837p.json_rows import Members
from adapters.billing.x12_837p.payload import (
    claim_roots,
    diagnosis_codes,
    facility_elsewhere,
    line_provider,
    line_scopes,
)
from adapters.billing.x12_837p.segments import Scope, element_value
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle, Resource, SubmissionReceipt, VendorPayload
from gateway.kit.encoders import x12

CONTENT_TYPE = "application/json"
Document = dict[str, Any]


def build(
    bundle: ClaimBundle,
    submission_id: str,
    settings: X12Settings,
    submitter: Mapping[str, Any],
    prior: SubmissionReceipt | None = None,
) -> VendorPayload:
    """The request's body; `submitter` is the connection's own part. Raises as `payload.build` does."""
    found = facts(bundle, submission_id, settings, prior)
    focal = found.focal
    scope = found.covered(focal)
    document: Document = {
        **_object(json_rows.PAYER, scope),
        "usageIndicator": settings.usage,
        **({"controlNumber": control_number(submission_id)} if settings.delivery == "optum" else {}),
        **submitter,
        "billing": {
            "providerType": "BillingProvider",
            **_object(json_rows.BILLING, found.scope(person("billing", found.billing))),
        },
        **_insured(found, scope),
        **_providers(found),
        "claimInformation": _claim(found, scope),
        **_object(json_rows.PAYER_ADDRESS, scope),
    }
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(document))


def submitter_of(settings: X12Settings, name: str, phone: str) -> Document:
    """The part of every request that says who sends it: `name` and `phone` of the submitter."""
    contact = {"name": x12.text(settings.contact_name), "phoneNumber": phone}
    return {
        "submitter": {
            "organizationName": name,
            "submitterIdentification": settings.submitter_id,
            "contactInformation": contact,
        },
        "receiver": {"organizationName": x12.text(settings.receiver_name or settings.receiver_id)},
    }


def control_number(submission_id: str) -> str:
    """Nine digits that stand for a submission: the same ones whenever it is built."""
    digest = hashlib.sha256(submission_id.encode()).digest()
    return f"{int.from_bytes(digest[:8]) % 10**9:09d}"


def _object(members: Members, scope: Scope, constants: Mapping[str, str] | None = None) -> Document:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`, absent members left out."""
    made: Document = {}
    values = ((row.target, element_value(row, scope)) for row in members)
    for target, value in (*values, *(constants or {}).items()):
        if value:
            *outer, name = target.split(".")
            inside = made
            for step in outer:
                inside = inside.setdefault(step, {})
            inside[name] = value
    return made


def _insured(found: Facts, scope: Scope) -> Document:
    if found.focal.is_self:
        return {"subscriber": _object(json_rows.SUBSCRIBER_IS_PATIENT, scope)}
    patient = Scope({**scope.roots, **person("patient", found.patient)}, scope.general, scope.own)
    return {
        "subscriber": _object(json_rows.SUBSCRIBER_IS_OTHER, scope),
        "dependent": _object(json_rows.DEPENDENT, patient),
    }


def _providers(found: Facts) -> Document:
    names = {"rendering": "rendering", "referring": "referring", "supervisor": "supervising"}
    return {
        names[role]: {"providerType": kind, **_provider(found, members, found.team[role][0])}
        for role, (kind, members) in json_rows.PROVIDERS.items()
        if role in found.team
    }


def _provider(found: Facts, members: Members, member: tuple[str, int, Resource]) -> Document:
    where, _, practitioner = member
    return _object(members, found.scope(person("provider", practitioner), "Claim.careTeam.provider", where))


def _claim(found: Facts, focal: Scope) -> Document:
    scope = Scope({**focal.roots, **claim_roots(found)}, focal.general, focal.own)
    claim = _object(json_rows.CLAIM, scope, json_rows.CLAIM_CONSTANTS)
    facility = facility_elsewhere(found)
    if facility is not None:
        claim["serviceFacilityLocation"] = _object(json_rows.FACILITY, found.scope(person("facility", facility)))
    others = [_object(json_rows.OTHER, found.covered(o), json_rows.OTHER_CONSTANTS) for o in found.coverages[1:]]
    if others:
        claim["otherSubscriberInformation"] = others
    claim["healthCareCodeInformation"] = [
        {"diagnosisTypeCode": "ABF" if i else "ABK", "diagnosisCode": code}
        for i, code in enumerate(diagnosis_codes(found))
    ]
    claim["serviceLines"] = list(_lines(found))
    return claim


def _lines(found: Facts) -> Iterator[Document]:
    for scope in line_scopes(found):
        roots = scope.roots
        line = _object(json_rows.LINE, scope)
        if roots["item_period"]:
            line["serviceDate"], line["serviceDateEnd"] = roots["item_period"].split("-")
        service = line["professionalService"]
        service["procedureIdentifier"] = "HC"
        modifiers = [v for row in json_rows.MODIFIERS if (v := element_value(row, scope))]
        if modifiers:
            service["procedureModifiers"] = modifiers
        pointers = [v for row in json_rows.POINTERS if (v := element_value(row, scope))]
        service["compositeDiagnosisCodePointers"] = {"diagnosisCodePointers": pointers}
        if roots["drug"] is not None:
            line["drugIdentification"] = {"serviceIdQualifier": "N4", **_object(json_rows.DRUG, scope)}
        rendering = line_provider(found, roots["item"], "rendering")
        if rendering is not None and rendering[2] is not found.team["rendering"][0][2]:
            kind = {"providerType": "RenderingProvider"}
            line["renderingProvider"] = {**kind, **_provider(found, json_rows.LINE_RENDERING, rendering)}
        ordering = line_provider(found, roots["item"], "ordering")
        if ordering is not None:
            kind = {"providerType": "OrderingProvider"}
            line["orderingProvider"] = {**kind, **_provider(found, json_rows.ORDERING, ordering)}
        yield line
