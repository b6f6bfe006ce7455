"""A canonical claim as the document that `submit` sends: Tebra's members without Tebra's ids. Pure.

The document, in this order of members:

    encounter           members of `EncounterCreate` that need no id of Tebra
    lines               one `ServiceLineReq` per claim item, in order
    patient             members of `PatientCreate`: searched for, and created when absent
    case                {"CaseName"?, "Policies": [...]}: compared with the patient's cases, in order of payment
    rendering_provider  {"npi"}; also referring_provider and supervising_provider when the claim has them
    location            {"npi"?, "name"?, "place_of_service"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, tzinfo
from typing import Any

from adapters.billing.kareo_tebra.limits import first_code, refuse_unsupported
from adapters.billing.kareo_tebra.rows import (
    ENCOUNTER_ROWS,
    LINE_ROWS,
    PATIENT_ROWS,
    POLICY_ROWS,
    SUBSCRIBER_ROWS,
)
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import codes, jsonio
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource, VendorPayload
from gateway.kit.mapping import Row, apply, first

CONTENT_TYPE = "application/vnd.kareo-tebra+json"
EXTERNAL_ID_LENGTH = 25  # Tebra cuts longer external ids without a word (section 8)
BATCH_NUMBER_LENGTH = 50
_ROLES = {"rendering": "rendering_provider", "referring": "referring_provider", "supervisor": "supervising_provider"}

Document = dict[str, Any]


def build(bundle: ClaimBundle, submission_id: str, settings: KareoTebraSettings, zone: tzinfo) -> VendorPayload:
    """The document of a claim; `zone` is the clinic's, for the posting date.

    Raises `UnsupportedElement` for what Tebra cannot carry and `MappingError` for what it needs and is missing.
    """
    if not 0 < len(submission_id) <= BATCH_NUMBER_LENGTH:
        raise ValueError(f"a submission id of 1 to {BATCH_NUMBER_LENGTH} characters fits Tebra's BatchNumber")
    refuse_unsupported(bundle)
    lines = _lines(bundle.claim, submission_id)
    document: Document = {
        "encounter": _encounter(bundle.claim, lines, submission_id, settings, zone),
        "lines": lines,
        "patient": _patient(_resolve(bundle, bundle.claim.get("patient"), "Claim.patient")),
        "case": _case(bundle, settings),
        **_providers(bundle),
        "location": _location(bundle),
    }
    fields = {"patient": bundle.claim["patient"]["reference"]}
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(document), fields)


def external_id(submission_id: str, suffix: str = "") -> str:
    """The submission id with its suffix, cut here so that the suffix survives Tebra's silent cut."""
    return submission_id[: EXTERNAL_ID_LENGTH - len(suffix)] + suffix


def _encounter(
    claim: Resource, lines: list[dict[str, Any]], submission_id: str, settings: KareoTebraSettings, zone: tzinfo
) -> dict[str, Any]:
    info = claim.get("supportingInfo", [])
    on_lines = {sequence for item in claim["item"] for sequence in item.get("informationSequence", ())}
    roots = {
        "Claim": claim,
        "posted_on": _posted_on(claim, zone),
        "hospitalized": [i for i in info if first_code(i.get("category")) == "hospitalized"],
        "patient_paid": [i for i in info if first_code(i.get("category")) == "patientPaid"],
        "notes": _notes(i for i in info if i.get("sequence") not in on_lines),
    }
    encounter = _nested(apply(ENCOUNTER_ROWS, roots))
    if "Payment" in encounter:
        encounter["Payment"]["PaymentMethod"] = "Unknown"
    note = "; ".join(text for text in (_diagnosis_note(claim, lines), _referral_note(claim)) if text)
    return {
        "BatchNumber": submission_id,
        **({"BusinessOfficeNotes": note} if note else {}),
        "EncounterStatus": settings.encounter_status,
        "ExternalID": external_id(submission_id),
        **encounter,
    }


def _posted_on(claim: Resource, zone: tzinfo) -> str:
    created: str | None = claim.get("created")
    if created is None:
        raise MappingError("Claim.created", "Tebra needs a posting date")
    if len(created) <= 10:
        return created
    instant = datetime.fromisoformat(created)
    return date.isoformat((instant.astimezone(zone) if instant.tzinfo else instant).date())


def _notes(information: Iterable[dict[str, Any]]) -> str:
    return "; ".join(i["valueString"] for i in information if first_code(i.get("category")) == "info")


def _diagnosis_codes(claim: Resource) -> dict[int, str]:
    return {d["sequence"]: first_code(d.get("diagnosisCodeableConcept")) for d in claim.get("diagnosis", ())}


def _diagnosis_note(claim: Resource, lines: list[dict[str, Any]]) -> str:
    """The claim's diagnoses in order, when the lines alone would lose one of them or their order."""
    wanted = list(_diagnosis_codes(claim).values())
    named = (line[f"DiagnosisCode{n}"] for line in lines for n in range(1, 5) if f"DiagnosisCode{n}" in line)
    return "" if list(dict.fromkeys(named)) == wanted else f"Diagnoses of the claim in order: {', '.join(wanted)}"


def _referral_note(claim: Resource) -> str:
    """The referral number, for which Tebra's encounter has no member: the biller enters it when reviewing."""
    number = first("Claim.referral.identifier.value", {"Claim": claim})
    return f"Referral number: {number}" if number else ""


def _lines(claim: Resource, submission_id: str) -> list[dict[str, Any]]:
    known = _diagnosis_codes(claim)
    notes = {i.get("sequence"): i for i in claim.get("supportingInfo", ())}
    lines = []
    for i, item in enumerate(claim.get("item", ())):
        unknown = [n for n in item.get("diagnosisSequence", ()) if n not in known]
        if unknown:
            raise MappingError(
                f"Claim.item[{i}].diagnosisSequence", "the line points to a diagnosis that the claim lacks"
            )
        roots = {
            "item": item,
            "diagnosis": [known[n] for n in item.get("diagnosisSequence", ())],
            "line_note": _notes(notes[n] for n in item.get("informationSequence", ())),
        }
        line = {"EncounterProcedureExternalID": external_id(submission_id, f"-{item['sequence']}")}
        lines.append({**line, **_apply_at(LINE_ROWS, roots, f"Claim.item[{i}]", ("item", "diagnosis[0]"))})
    if not lines:
        raise MappingError("Claim.item", "a claim needs at least one line")
    return lines


def _patient(patient: Resource) -> dict[str, Any]:
    mapped = apply(PATIENT_ROWS, {"Patient": patient, "name": _name(patient)})
    return {"Gender": "Unknown", **mapped}


def _name(person: Resource) -> dict[str, Any]:
    names: list[dict[str, Any]] = person.get("name") or [{}]
    return next((name for name in names if name.get("use") == "official"), names[0])


def _case(bundle: ClaimBundle, settings: KareoTebraSettings) -> dict[str, Any]:
    insurance = bundle.claim.get("insurance", ())
    if not insurance:
        raise MappingError("Claim.insurance", "a claim needs a coverage", "Self-pay is not sent to a payer.")
    policies, payers = [], []
    for i, entry in enumerate(insurance):
        where = f"Claim.insurance[{i}].coverage"
        coverage = _resolve(bundle, entry.get("coverage"), where)
        payer = bundle.find(coverage.get("payor", [{}])[0].get("reference")) or {}
        payers.append(payer.get("name"))
        policies.append({**_policy(bundle, coverage, where), **_plan_ids(payer, settings), "Precedence": i + 1})
    name = {"CaseName": payers[0]} if payers[0] else {}
    return {**name, "PayerScenario": settings.payer_scenario, "Policies": policies}


def _policy(bundle: ClaimBundle, coverage: Resource, where: str) -> dict[str, Any]:
    roots: dict[str, Any] = {"Coverage": coverage}
    policy = _apply_at(POLICY_ROWS, roots, where, ("Coverage",))
    subscriber = bundle.find(coverage.get("subscriber", {}).get("reference"))
    if subscriber is not None and policy.get("Insured.PatientRelationshipToInsured") != "Self":
        policy |= apply(SUBSCRIBER_ROWS, {"Subscriber": subscriber, "name": _name(subscriber)})
    return _nested(policy)


def _plan_ids(payer: Resource, settings: KareoTebraSettings) -> dict[str, int]:
    plan = settings.insurance_plans.get(codes.identifier(payer, codes.PAYER_IDENTIFIER) or "")
    return {"CompanyID": plan.company_id, "PlanID": plan.plan_id} if plan else {}


def _providers(bundle: ClaimBundle) -> dict[str, dict[str, str]]:
    providers: dict[str, dict[str, str]] = {}
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        where = f"Claim.careTeam[{i}].provider"
        npi = codes.identifier(_resolve(bundle, member.get("provider"), where), codes.NPI)
        if npi is None:
            raise MappingError(where, "the provider has no NPI", "Complete the provider's NPI in the EHR.")
        providers[_ROLES[first_code(member.get("role"))]] = {"npi": npi}
    if "rendering_provider" not in providers:
        raise MappingError("Claim.careTeam", "Tebra needs the rendering provider")
    return providers


def _location(bundle: ClaimBundle) -> dict[str, str]:
    place = {"place_of_service": first_code(bundle.claim["item"][0].get("locationCodeableConcept"))}
    if "facility" not in bundle.claim:
        return place
    facility = _resolve(bundle, bundle.claim["facility"], "Claim.facility")
    found = {"npi": codes.identifier(facility, codes.NPI), "name": facility.get("name")}
    return {**{name: value for name, value in found.items() if value}, **place}


def _resolve(bundle: ClaimBundle, reference: Mapping[str, Any] | None, where: str) -> Resource:
    found = bundle.find((reference or {}).get("reference"))
    if found is None:
        raise MappingError(where, "this does not resolve to a resource that came with the claim")
    return found


def _apply_at(rows: tuple[Row, ...], roots: Mapping[str, Any], where: str, local: tuple[str, ...]) -> dict[str, Any]:
    """`apply` for one element of a list: the error names the element's place in the claim, not the row's root."""
    try:
        return apply(rows, roots)
    except MappingError as problem:
        finding = problem.findings[0]
        root = next((name for name in local if finding.expression.startswith(name)), "")
        rest = "" if root == finding.expression else finding.expression.removeprefix(root)
        suffix = ".diagnosisSequence" if root.startswith("diagnosis") else rest
        raise MappingError(f"{where}{suffix}", finding.message, finding.fix) from None


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"A.B": 1}` as `{"A": {"B": 1}}`."""
    nested: dict[str, Any] = {}
    for target, value in flat.items():
        outer, _, inner = target.rpartition(".")
        (nested.setdefault(outer, {}) if outer else nested)[inner] = value
    return nested
