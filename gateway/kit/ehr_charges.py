"""What to bill for an encounter: the EHR's own Claim, its ChargeItems, the clinic's charge map, or coded Procedures.

The first source of `Dialect.charge_sources` that the EHR fills is the whole truth: charges of two sources are never
added up, and a ChargeItem that the EHR marks as not billable is not billed as a Procedure instead.
Source: shared vendors generic_smart_fhir section 7, standards claim_profile sections 1 and 6.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.canonical.errors import MappingError
from gateway.canonical.models import ChargeLine
from gateway.kit.ehr_charge_map import decides_charge_items, mapped_lines
from gateway.kit.ehr_charge_parts import is_procedure_coding
from gateway.kit.ehr_charge_rows import CHARGE_ITEM_ROWS, CLAIM_ITEM_ROWS, PROCEDURE_ROWS, Charge, line_of
from gateway.kit.ehr_element import Element, code_values, codings
from gateway.kit.ehr_source import Known, Source
from gateway.kit.ehr_superbill import superbill_claim

NOT_PROFESSIONAL = frozenset({"institutional", "oral", "pharmacy", "vision"})
CLAIM_STATUSES = frozenset({"active", "draft"})


def billing_claim(source: Source, patient: Known) -> Known | None:
    """The EHR's own professional Claim for the encounter, or None; several of the same standing are an error."""
    if "superbill" in source.dialect.charge_sources and (superbill := superbill_claim(source)):
        return superbill
    if "claim" not in source.dialect.charge_sources:
        return None
    professional = [k for k in source.of_type("Claim") if _is_live(k) and not _kind(k) & NOT_PROFESSIONAL]
    claims = [k for k in professional if _items(k, source)]
    for claim in claims:
        source.same_patient(claim, "patient", patient)
    active = [k for k in claims if k.element.text("status") == "active"]
    standing = active or claims
    if len(standing) > 1:
        raise MappingError(
            standing[1].element.path,
            "the EHR holds more than one claim for this encounter, and only one may be billed",
            "Cancel the claims in the EHR that must not be billed.",
        )
    return standing[0] if standing else None


def charge_lines(
    source: Source, claim: Known | None, patient: Known, diagnosis_codes: tuple[str, ...] = ()
) -> tuple[ChargeLine, ...]:
    """The charges in the EHR's order, or the charge map's; raises `MappingError` when there is nothing to bill."""
    readers: dict[str, Callable[[], list[ChargeLine] | None]] = {
        "superbill": lambda: _claim_lines(claim, source) if claim else None,
        "claim": lambda: _claim_lines(claim, source) if claim else None,
        "charge_item": lambda: _charge_item_lines(source, patient),
        "charge_map": lambda: mapped_lines(source, patient, diagnosis_codes),
        "procedure": lambda: _procedure_lines(source, patient),
    }
    for name in source.dialect.charge_sources:
        lines = readers[name]()
        if lines is not None:
            return tuple(lines)
    raise _nothing_billable(source)


def _is_live(claim: Known) -> bool:
    return claim.element.text("use") == "claim" and claim.element.text("status") in CLAIM_STATUSES


def _kind(claim: Known) -> set[str]:
    kind = claim.element.child("type")
    return code_values(kind) if kind else set()


def _items(claim: Known, source: Source) -> list[Element]:
    """The items of this encounter; an item that names no encounter belongs to the one that the Claim was found by."""
    return [item for item in claim.element.children("item") if _is_of_encounter(item, claim, source)]


def _is_of_encounter(item: Element, claim: Known, source: Source) -> bool:
    named = item.children("encounter")
    return not named or any(source.resolve(reference, claim) is source.encounter for reference in named)


def _claim_lines(claim: Known, source: Source) -> list[ChargeLine]:
    diagnoses = {entry.integer("sequence"): entry for entry in claim.element.children("diagnosis")}
    charges = (Charge(claim, item, source, diagnoses) for item in _items(claim, source))
    return [line_of(CLAIM_ITEM_ROWS, charge) for charge in charges]


def _own(source: Source, resource_type: str, name: str) -> list[Known]:
    """Those of this encounter: a server that passes over a search parameter gives other visits' charges as well."""
    held = source.of_type(resource_type)
    return [k for k in held if (ref := k.element.child(name)) is None or source.resolve(ref, k) is source.encounter]


def _charge_item_lines(source: Source, patient: Known) -> list[ChargeLine] | None:
    held = [k for k in _own(source, "ChargeItem", "context") if k.element.text("status") != "entered-in-error"]
    if not held:
        return None
    billable = [k for k in held if k.element.text("status") == "billable"]
    if not billable:
        raise MappingError(
            held[0].element.at("status"),
            "none of the encounter's charges is marked billable",
            "Finish the charges in the EHR (status billable), or bill nothing for this encounter.",
        )
    if "charge_map" in source.dialect.charge_sources and decides_charge_items(source, billable):
        return None
    lines = []
    for known in billable:
        source.same_patient(known, "subject", patient)
        lines.append(line_of(CHARGE_ITEM_ROWS, Charge(known, known.element, source)))
    return lines


def _procedure_lines(source: Source, patient: Known) -> list[ChargeLine] | None:
    done = [k for k in _own(source, "Procedure", "encounter") if k.element.text("status") == "completed"]
    lines = []
    for known in done:
        if any(is_procedure_coding(coding) for coding in codings(known.element, "code")):
            source.same_patient(known, "subject", patient)
            lines.append(line_of(PROCEDURE_ROWS, Charge(known, known.element, source)))
    return lines or None


def _nothing_billable(source: Source) -> MappingError:
    unbillable = [k for k in source.of_type("Claim") if _is_live(k) and _kind(k) & NOT_PROFESSIONAL]
    if unbillable:
        return MappingError(
            unbillable[0].element.at("type"),
            "no charges: the EHR's claim for this encounter is not a professional one, and only those are billed here",
            "Bill it in the system for facility or pharmacy claims, or enter professional charges in the EHR.",
        )
    procedures = source.of_type("Procedure")
    return MappingError(
        procedures[0].element.at("code") if procedures else "ChargeItem",
        "no charges: the encounter has nothing with a CPT or HCPCS code that is ready to bill",
        "Enter the charges for this encounter in the EHR, with their CPT or HCPCS codes; or say in charge_map in "
        "gateway.yaml what is billed for what the EHR holds.",
    )
