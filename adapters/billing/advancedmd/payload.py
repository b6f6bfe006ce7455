"""A canonical claim as the document that `submit` sends: AdvancedMD's attributes with the claim's own codes. Pure.

The document, in this order of members:

    visit       {"date", "note", "approval", "force"}
    charges     one per claim item, in order; codes joined by blanks in `modcodes` and `diagcodes`
    profile     {"npi", "name"}: the rendering provider
    facility    {"npi"?, "name"?}, absent when the claim has none
    patient     searched for, and created when absent
    coverages   in order of payment: compared with the patient's plans; each with its payer and, when it is not the
                patient, its subscriber
    replaces    {"submission", "visit", "charges"} of the claim on file, only for a replacement
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.billing.advancedmd.limits import NOTE_LENGTH, first_code, refuse_unsupported
from adapters.billing.advancedmd.notes import lost_diagnoses, note_of
from adapters.billing.advancedmd.rows import (
    BILLING_ROWS,
    CHARGE_ROWS,
    COVERAGE_ROWS,
    FACILITY_ROWS,
    PATIENT_ROWS,
    PAYER_ROWS,
    PROFILE_ROWS,
    VISIT_ROWS,
)
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from gateway.canonical import codes, jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, Resource, SubmissionReceipt, VendorPayload
from gateway.kit.mapping import Row, apply

CONTENT_TYPE = "application/vnd.advancedmd+json"
SUBMISSION_ID_LENGTH = 50
VISIT_ID, PATIENT_ID, CHARGE_IDS = "VisitID", "PatientID", "ChargeIDs"
"""Names of AdvancedMD's identifiers in a receipt."""

Document = dict[str, Any]


def build(
    bundle: ClaimBundle, submission_id: str, settings: AdvancedMdSettings, prior: SubmissionReceipt | None = None
) -> VendorPayload:
    """The document of a claim.

    Raises `UnsupportedElement` for what AdvancedMD cannot carry and `MappingError` for what it needs and is missing.
    """
    if not 0 < len(submission_id) <= SUBMISSION_ID_LENGTH:
        raise ValueError(f"a submission id of 1 to {SUBMISSION_ID_LENGTH} characters fits the visit's note")
    refuse_unsupported(bundle, approval=settings.approval == "1")
    charges = _charges(bundle.claim)
    patient = _resolve(bundle, bundle.claim.get("patient"), "Claim.patient")
    coverages = _coverages(bundle)
    document: Document = {
        "visit": _visit(bundle, charges, submission_id, settings),
        "charges": [{**charge, **_billing(coverages, settings)} for charge in charges],
        "profile": _profile(bundle),
        **_facility(bundle),
        "patient": _person(patient, "Patient"),
        "coverages": coverages,
        **_replaced(bundle, prior),
    }
    return VendorPayload(submission_id, CONTENT_TYPE, jsonio.dumps(document), _fields(bundle))


def _fields(bundle: ClaimBundle) -> dict[str, str]:
    encounter = next((e["reference"] for item in bundle.claim["item"] for e in item.get("encounter", ())), "")
    return {"patient": bundle.claim["patient"]["reference"], "encounter": encounter}


def _visit(
    bundle: ClaimBundle, charges: list[dict[str, str]], submission_id: str, settings: AdvancedMdSettings
) -> dict[str, str]:
    note = note_of(bundle, charges, submission_id)
    if len(note) > NOTE_LENGTH:
        message = f"AdvancedMD's visit note takes {NOTE_LENGTH} characters; this claim has more to tell the biller"
        raise UnsupportedElement("Claim.supportingInfo", message, "Shorten the notes, or enter this claim by hand.")
    if settings.approval == "0" and lost_diagnoses(bundle.claim, charges):
        message = "the charges alone lose a diagnosis or the order of diagnoses, and no biller sees the note"
        raise UnsupportedElement("Claim.diagnosis", message, "Set `approval` of the connection to 1.")
    force = "1" if settings.allow_same_day_charges else "0"
    chosen = {"approval": settings.approval, "force": force}
    return apply(VISIT_ROWS, {"Claim": bundle.claim, "note": note, "settings": chosen})


def _charges(claim: Resource) -> list[dict[str, str]]:
    known = {d["sequence"]: first_code(d.get("diagnosisCodeableConcept")) for d in claim.get("diagnosis", ())}
    charges = []
    for i, item in enumerate(claim.get("item", ())):
        pointers = item.get("diagnosisSequence", ())
        if not set(pointers) <= known.keys():
            where = f"Claim.item[{i}].diagnosisSequence"
            raise MappingError(where, "the line points to a diagnosis that the claim lacks")
        roots = {
            "item": item,
            "diagnoses": " ".join(known[sequence] for sequence in pointers),
            "modifiers": " ".join(first_code(modifier) for modifier in item.get("modifier", ())),
        }
        charges.append(_apply_at(CHARGE_ROWS, roots, f"Claim.item[{i}]", "item"))
    if not charges:
        raise MappingError("Claim.item", "a claim needs at least one line")
    return charges


def _billing(coverages: list[dict[str, Any]], settings: AdvancedMdSettings) -> dict[str, str]:
    payer_id = coverages[0]["payer"].get("id", "")
    financial_class = settings.financial_classes.get(payer_id, settings.financial_class)
    return apply(BILLING_ROWS, {"settings": {"billins": "1", "financial_class": financial_class}})


def _profile(bundle: ClaimBundle) -> dict[str, str]:
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        if first_code(member.get("role")) == "rendering":
            where = f"Claim.careTeam[{i}].provider"
            provider = _resolve(bundle, member.get("provider"), where)
            if codes.identifier(provider, codes.NPI) is None:
                raise MappingError(where, "the provider has no NPI", "Complete the provider's NPI in the EHR.")
            roots = {"Rendering": provider, "rendering_name": _full_name(provider, middle=False)}
            return apply(PROFILE_ROWS, roots)
    raise MappingError("Claim.careTeam", "AdvancedMD needs the rendering provider")


def _facility(bundle: ClaimBundle) -> dict[str, dict[str, str]]:
    if "facility" not in bundle.claim:
        return {}
    facility = _resolve(bundle, bundle.claim["facility"], "Claim.facility")
    return {"facility": apply(FACILITY_ROWS, {"Location": facility})}


def _person(person: Resource, where: str) -> dict[str, str]:
    if "," in _official(person).get("family", ""):
        raise MappingError(f"{where}.name.family", "AdvancedMD separates the names by a comma, and this one holds one")
    roots = {"Patient": person, "name": _full_name(person)}
    return {"sex": "U", **_apply_at(PATIENT_ROWS, roots, where, "Patient", "name")}


def _official(person: Resource) -> dict[str, Any]:
    names: list[dict[str, Any]] = person.get("name") or [{}]
    return next((name for name in names if name.get("use") == "official"), names[0])


def _full_name(person: Resource, *, middle: bool = True) -> str:
    """LAST,FIRST M as AdvancedMD writes it, or an empty text when a part is missing."""
    name = _official(person)
    family, given = name.get("family", ""), [part for part in name.get("given", ()) if part]
    if not family or not given:
        return ""
    initial = f" {given[1][0]}" if middle and len(given) > 1 else ""
    return f"{family},{given[0]}{initial}".upper()


def _coverages(bundle: ClaimBundle) -> list[dict[str, Any]]:
    insurance = bundle.claim.get("insurance", ())
    if not insurance:
        raise MappingError("Claim.insurance", "a claim needs a coverage", "Self-pay is not sent to a payer.")
    return [_coverage(bundle, entry, i) for i, entry in enumerate(insurance)]


def _coverage(bundle: ClaimBundle, entry: dict[str, Any], i: int) -> dict[str, Any]:
    where = f"Claim.insurance[{i}].coverage"
    coverage = _resolve(bundle, entry.get("coverage"), where)
    roots = {"Coverage": coverage, "position": str(i + 1)}
    plan: dict[str, Any] = {"hipaarelationship": "18", **_apply_at(COVERAGE_ROWS, roots, where, "Coverage")}
    payer = bundle.find(coverage.get("payor", [{}])[0].get("reference")) or {}
    plan["payer"] = apply(PAYER_ROWS, {"Payer": payer})
    if plan["hipaarelationship"] != "18":
        subscriber = _resolve(bundle, coverage.get("subscriber"), f"{where}.subscriber")
        plan["subscriber"] = _person(subscriber, f"{where}.subscriber")
    return plan


def _replaced(bundle: ClaimBundle, prior: SubmissionReceipt | None) -> dict[str, dict[str, str]]:
    if bundle.frequency is ClaimFrequency.ORIGINAL:
        return {}
    ids = prior.vendor_ids if prior else {}
    if prior is None or not ids.get(VISIT_ID) or not ids.get(CHARGE_IDS):
        message = "the gateway does not know the AdvancedMD visit and charges of the claim that this one replaces"
        raise UnsupportedElement("Claim.related", message, "Correct the charges in AdvancedMD by hand.")
    on_file = {"visit": ids[VISIT_ID], "charges": ids[CHARGE_IDS]}
    return {"replaces": {"submission": prior.submission_id, **on_file}}


def _resolve(bundle: ClaimBundle, reference: Mapping[str, Any] | None, where: str) -> Resource:
    found = bundle.find((reference or {}).get("reference"))
    if found is None:
        raise MappingError(where, "this does not resolve to a resource that came with the claim")
    return found


def _apply_at(rows: tuple[Row, ...], roots: Mapping[str, Any], where: str, *local: str) -> dict[str, Any]:
    """`apply` for one element of the claim: the error names the element's place there, not the row's root."""
    try:
        return apply(rows, roots)
    except MappingError as problem:
        finding = problem.findings[0]
        root, _, rest = finding.expression.partition(".")
        path = {"diagnoses": "diagnosisSequence", "name": "name"}.get(root, rest if root in local else "")
        raise MappingError(".".join(filter(None, (where, path))), finding.message, finding.fix) from None
