"""A canonical claim as the document that `submit` sends: Tebra's members without Tebra's ids. Pure.

The document, in this order of members:

    encounter           members of `EncounterCreate` that need no id of Tebra
    lines               one `ServiceLineReq` per claim item, in order
    patient             members of `PatientCreate`: searched for, and created when absent
    case                {"CaseName"?, "Condition"?, "Dates"?, "PayerScenario", "Policies": [...]}: compared with the
                        patient's cases, and created when absent; policies are in order of payment
    rendering_provider  {"npi"}; also referring_provider and supervising_provider when the claim has them
    location            {"npi"?, "name"?, "place_of_service"}

A void is {"void": {"EncounterIDs": [...]}}: the encounters on file.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from typing import Any

from adapters.billing.kareo_tebra.coverage import case_of
from adapters.billing.kareo_tebra.limits import first_code, refuse_unsupported
from adapters.billing.kareo_tebra.parts import apply_at, nested, official_name, resolve
from adapters.billing.kareo_tebra.rows import ENCOUNTER_ROWS, LINE_ROWS, PATIENT_ROWS
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import codes, jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, Resource, SubmissionReceipt, VendorPayload
from gateway.kit.mapping import apply, first

CONTENT_TYPE = "application/vnd.kareo-tebra+json"
EXTERNAL_ID_LENGTH = 25  # Tebra cuts longer external ids without a word (section 8)
BATCH_NUMBER_LENGTH = 50
_ROLES = {"rendering": "rendering_provider", "referring": "referring_provider", "supervisor": "supervising_provider"}

Document = dict[str, Any]


def build(
    bundle: ClaimBundle,
    submission_id: str,
    settings: KareoTebraSettings,
    zone: tzinfo,
    prior: SubmissionReceipt | None = None,
) -> VendorPayload:
    """The document of a claim; `zone` is the clinic's, for the posting date; `prior` is what a void sets aside.

    Raises `UnsupportedElement` for what Tebra cannot carry and `MappingError` for what it needs and is missing.
    """
    if not 0 < len(submission_id) <= BATCH_NUMBER_LENGTH:
        raise ValueError(f"a submission id of 1 to {BATCH_NUMBER_LENGTH} characters fits Tebra's BatchNumber")
    if bundle.frequency is ClaimFrequency.VOID:
        return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps({"void": _on_file(prior)}))
    refuse_unsupported(bundle)
    lines = _lines(bundle.claim, submission_id)
    document: Document = {
        "encounter": _encounter(bundle.claim, lines, submission_id, settings, zone),
        "lines": lines,
        "patient": _patient(resolve(bundle, bundle.claim.get("patient"), "Claim.patient")),
        "case": case_of(bundle, settings),
        **_providers(bundle),
        "location": _location(bundle),
    }
    fields = {"patient": bundle.claim["patient"]["reference"]}
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(document), fields)


def _on_file(prior: SubmissionReceipt | None) -> dict[str, list[str]]:
    """The encounters of the claim on file, with those that were made by a resend."""
    vendor_ids = prior.vendor_ids if prior else {}
    listed = (vendor_ids.get("EncounterID", ""), *vendor_ids.get("DuplicateEncounterIDs", "").split(","))
    if not listed[0]:
        message = "the encounter in Tebra that this claim voids is not known"
        raise MappingError("Claim.related", message, "Void the claim in Tebra by hand.")
    return {"EncounterIDs": [encounter_id for encounter_id in listed if encounter_id]}


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
    encounter = nested(apply(ENCOUNTER_ROWS, roots))
    if "Payment" in encounter:
        encounter["Payment"]["PaymentMethod"] = "Unknown"
    told = {"Claim.diagnosis": _diagnosis_note(claim, lines), "Claim.referral": _referral_note(claim)}
    note = _for_the_biller({where: text for where, text in told.items() if text}, settings)
    return {
        "BatchNumber": submission_id,
        **({"BusinessOfficeNotes": note} if note else {}),
        "EncounterStatus": settings.encounter_status,
        "ExternalID": external_id(submission_id),
        **encounter,
    }


def _for_the_biller(told: dict[str, str], settings: KareoTebraSettings) -> str:
    """The notes as one text. What only a biller can act on is lost where nobody reviews the encounter."""
    if told and settings.encounter_status == "Approved":
        message = "Tebra has no member for this, and with `encounter_status` Approved no biller reads the note about it"
        raise UnsupportedElement(
            next(iter(told)), message, "Enter this claim in Tebra by hand, or create it as Submitted."
        )
    return "; ".join(told.values())


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
        lines.append({**line, **apply_at(LINE_ROWS, roots, f"Claim.item[{i}]", ("item", "diagnosis[0]"))})
    if not lines:
        raise MappingError("Claim.item", "a claim needs at least one line")
    return lines


def _patient(patient: Resource) -> dict[str, Any]:
    mapped = apply(PATIENT_ROWS, {"Patient": patient, "name": official_name(patient)})
    return {"Gender": "Unknown", **mapped}


def _providers(bundle: ClaimBundle) -> dict[str, dict[str, str]]:
    providers: dict[str, dict[str, str]] = {}
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        where = f"Claim.careTeam[{i}].provider"
        npi = codes.identifier(resolve(bundle, member.get("provider"), where), codes.NPI)
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
    facility = resolve(bundle, bundle.claim["facility"], "Claim.facility")
    found = {"npi": codes.identifier(facility, codes.NPI), "name": facility.get("name")}
    return {**{name: value for name, value in found.items() if value}, **place}
