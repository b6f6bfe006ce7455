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
from adapters.billing.kareo_tebra.parts import apply_at, nested, official_name, resolve, value_at
from adapters.billing.kareo_tebra.rows import (
    ENCOUNTER_ROWS,
    LINE_ROWS,
    LOCATION_ROWS,
    NOTE_ROWS,
    PATIENT_ROWS,
    PROVIDER_ROWS,
    START_ROWS,
    VOID_ROWS,
)
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, Resource, SubmissionReceipt, VendorPayload
from gateway.kit.mapping import apply

CONTENT_TYPE = "application/vnd.kareo-tebra+json"
BATCH_NUMBER_LENGTH = 50

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
        on_file = {"prior": dict(prior.vendor_ids) if prior else {}}
        void = {row.target: value_at(row, on_file, "Claim.related") for row in VOID_ROWS}
        return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps({"void": void}))
    refuse_unsupported(bundle)
    lines = _lines(bundle.claim, submission_id)
    document: Document = {
        "encounter": _encounter(bundle.claim, submission_id, settings, zone),
        "lines": lines,
        "patient": _patient(resolve(bundle, bundle.claim.get("patient"), "Claim.patient")),
        "case": case_of(bundle, settings),
        **_providers(bundle),
        **_location(bundle),
    }
    fields = {"patient": bundle.claim["patient"]["reference"]}
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(document), fields)


def _encounter(claim: Resource, submission_id: str, settings: KareoTebraSettings, zone: tzinfo) -> dict[str, Any]:
    info = claim.get("supportingInfo", [])
    on_lines = {sequence for item in claim["item"] for sequence in item.get("informationSequence", ())}
    roots = {
        "Claim": claim,
        "submission": {"id": submission_id},
        "settings": {"encounter_status": settings.encounter_status},
        "posted_on": _posted_on(claim, zone),
        "hospitalized": [i for i in info if first_code(i.get("category")) == "hospitalized"],
        "patient_paid": [i for i in info if first_code(i.get("category")) == "patientPaid"],
        "notes": _notes(i for i in info if i.get("sequence") not in on_lines),
        "diagnoses_untold": _untold(claim),
    }
    encounter = nested(apply(ENCOUNTER_ROWS, roots))
    return {**apply(START_ROWS, roots), **_for_the_biller(roots, settings), **encounter}


def _for_the_biller(roots: dict[str, Any], settings: KareoTebraSettings) -> dict[str, str]:
    """The notes as one text. What only a biller can act on is lost where nobody reviews the encounter."""
    told = {where: text for where, row in NOTE_ROWS.items() if (text := row.value(roots))}
    if told and settings.encounter_status == "Approved":
        message = "Tebra has no member for this, and with `encounter_status` Approved no biller reads the note about it"
        raise UnsupportedElement(
            next(iter(told)), message, "Enter this claim in Tebra by hand, or create it as Submitted."
        )
    return {NOTE_ROWS[where].target: "; ".join(told.values()) for where in told}


def _posted_on(claim: Resource, zone: tzinfo) -> str:
    created: str | None = claim.get("created")
    if created is None:
        raise MappingError("Claim.created", "Tebra needs a posting date")
    if len(created) <= 10:
        return created
    instant = datetime.fromisoformat(created)
    return date.isoformat((instant.astimezone(zone) if instant.tzinfo else instant).date())


def _notes(information: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(i["valueString"] for i in information if first_code(i.get("category")) == "info")


def _diagnosis_codes(claim: Resource) -> dict[int, str]:
    return {d["sequence"]: first_code(d.get("diagnosisCodeableConcept")) for d in claim.get("diagnosis", ())}


def _untold(claim: Resource) -> tuple[str, ...]:
    """The claim's diagnoses in order, when the lines alone would lose one of them or their order."""
    known = _diagnosis_codes(claim)
    named = dict.fromkeys(known[n] for item in claim["item"] for n in item.get("diagnosisSequence", ()))
    wanted = tuple(known.values())
    return () if tuple(named) == wanted else wanted


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
            "line": {"id": f"{submission_id}-{item['sequence']}"},
            "pointed": [known[n] for n in item.get("diagnosisSequence", ())],
            "line_note": _notes(notes[n] for n in item.get("informationSequence", ())),
        }
        lines.append(apply_at(LINE_ROWS, roots, f"Claim.item[{i}]", ("item", "pointed[0]")))
    if not lines:
        raise MappingError("Claim.item", "a claim needs at least one line")
    return lines


def _patient(patient: Resource) -> dict[str, Any]:
    known = {**patient, "gender": patient.get("gender") or "unknown"}
    return apply(PATIENT_ROWS, {"Patient": known, "name": official_name(patient)})


def _providers(bundle: ClaimBundle) -> dict[str, dict[str, str]]:
    """{"rendering_provider": {"npi"}, ...} in the order of the care team."""
    providers: dict[str, str] = {}
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        where, role = f"Claim.careTeam[{i}].provider", first_code(member.get("role"))
        practitioner = resolve(bundle, member.get("provider"), where)
        row = PROVIDER_ROWS[role]
        providers[row.target] = value_at(row, {role: practitioner}, where)
    if PROVIDER_ROWS["rendering"].target not in providers:
        raise MappingError("Claim.careTeam", "Tebra needs the rendering provider")
    return nested(providers)


def _location(bundle: ClaimBundle) -> dict[str, dict[str, str]]:
    named = bundle.claim.get("facility")
    facility = resolve(bundle, named, "Claim.facility") if named is not None else {}
    return nested(apply(LOCATION_ROWS, {"Claim": bundle.claim, "Location": facility}))
