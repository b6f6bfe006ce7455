"""What to bill for an encounter: the EHR's own Claim, else its ChargeItems, else coded Procedures.

The first source of `Dialect.charge_sources` that the EHR fills is the whole truth: charges of two sources are never
added up, and a ChargeItem that the EHR marks as not billable is not billed as a Procedure instead.
Source: shared vendors generic_smart_fhir section 7, standards claim_profile sections 1 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ChargeLine
from gateway.kit.ehr_charge_parts import (
    charge_item_price,
    concept_modifiers,
    is_procedure_coding,
    item_modifiers,
    item_price,
    place_code,
    procedure_code,
    quantity_of,
    reason_code,
    unique,
    unit_of,
)
from gateway.kit.ehr_diagnoses import claim_diagnosis
from gateway.kit.ehr_element import Element, code_values, codings, start_date
from gateway.kit.ehr_roles import first_performer, item_performer
from gateway.kit.ehr_source import Known, Source

NOT_PROFESSIONAL = frozenset({"institutional", "oral", "pharmacy", "vision"})
CLAIM_STATUSES = frozenset({"active", "draft"})


@dataclass(frozen=True, slots=True)
class _Charge:
    """One charge of any source, as elements: what differs between the sources is settled before this point."""

    owner: Known
    element: Element
    concept: str  # the member that holds the procedure code
    dates: tuple[str, ...]


def billing_claim(source: Source, patient: Known) -> Known | None:
    """The EHR's own professional Claim for the encounter, or None; several of the same standing are an error."""
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


def charge_lines(source: Source, claim: Known | None, patient: Known) -> tuple[ChargeLine, ...]:
    """The charges in the EHR's order; raises `MappingError` when there is nothing to bill."""
    readers: dict[str, Callable[[], list[ChargeLine] | None]] = {
        "claim": lambda: _claim_lines(claim, source) if claim else None,
        "charge_item": lambda: _charge_item_lines(source, patient),
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
    by_sequence = {entry.integer("sequence"): entry for entry in claim.element.children("diagnosis")}
    lines = []
    for item in _items(claim, source):
        charge = _Charge(claim, item, "productOrService", ("servicedDate", "servicedPeriod"))
        quantity = quantity_of(item)
        lines.append(
            replace(
                _line(charge, source, quantity),
                unit_price=item_price(item, quantity),
                modifiers=item_modifiers(item, source.dialect.modifier_extensions),
                diagnosis_codes=_pointed(item, by_sequence, claim, source),
                location_code=place_code(item, "locationCodeableConcept"),
                performer=item_performer(item, claim, source),
            )
        )
    return lines


def _charge_item_lines(source: Source, patient: Known) -> list[ChargeLine] | None:
    held = [k for k in source.of_type("ChargeItem") if k.element.text("status") != "entered-in-error"]
    if not held:
        return None
    billable = [k for k in held if k.element.text("status") == "billable"]
    if not billable:
        raise MappingError(
            held[0].element.at("status"),
            "none of the encounter's charges is marked billable",
            "Finish the charges in the EHR (status billable), or bill nothing for this encounter.",
        )
    lines = []
    for known in billable:
        source.same_patient(known, "subject", patient)
        charge = _Charge(known, known.element, "code", ("occurrenceDateTime", "occurrencePeriod"))
        quantity = quantity_of(known.element)
        reasons = known.element.children("reason")
        lines.append(
            replace(
                _line(charge, source, quantity),
                unit_price=charge_item_price(known.element, quantity),
                modifiers=concept_modifiers(known.element.child("code"), source.dialect.modifier_extensions),
                diagnosis_codes=unique(reason_code(reason) for reason in reasons),
                performer=first_performer(known, source),
            )
        )
    return lines


def _procedure_lines(source: Source, patient: Known) -> list[ChargeLine] | None:
    done = [k for k in source.of_type("Procedure") if k.element.text("status") == "completed"]
    lines = []
    for known in done:
        if not any(is_procedure_coding(coding) for coding in codings(known.element, "code")):
            continue
        source.same_patient(known, "subject", patient)
        charge = _Charge(known, known.element, "code", ("performedDateTime", "performedPeriod"))
        line = _line(charge, source, Decimal(1))
        lines.append(
            replace(
                line,
                unit_price=source.clinic.fee_schedule.get(line.code),
                modifiers=concept_modifiers(known.element.child("code"), source.dialect.modifier_extensions),
                diagnosis_codes=_procedure_reasons(known, source),
                performer=first_performer(known, source),
            )
        )
    return lines or None


def _line(charge: _Charge, source: Source, quantity: Decimal) -> ChargeLine:
    system, code = procedure_code(charge.element, charge.concept)
    return ChargeLine(
        expression=charge.element.path,
        code=code,
        system=system,
        modifiers=(),
        quantity=quantity,
        unit_price=None,
        diagnosis_codes=(),
        serviced=start_date(charge.element, charge.dates, source.clinic),
        unit=unit_of(charge.element),
    )


def _pointed(item: Element, by_sequence: dict[int | None, Element], claim: Known, source: Source) -> tuple[str, ...]:
    """The ICD-10-CM codes that an item points at, in pointer order."""
    found = []
    for i, number in enumerate(item.integers("diagnosisSequence")):
        entry = by_sequence.get(number)
        if entry is None:
            path = f"{item.at('diagnosisSequence')}[{i}]"
            raise MappingError(
                path, "the line points at a diagnosis that the claim does not have", "Correct it in the EHR."
            )
        found.append(claim_diagnosis(entry, claim, source).code)
    return unique(found)


def _procedure_reasons(known: Known, source: Source) -> tuple[str, ...]:
    """ICD-10-CM codes among a Procedure's reasons; clinical reasons in other systems are no pointers."""
    concepts = list(known.element.children("reasonCode"))
    for reference in known.element.children("reasonReference"):
        condition = source.resolve(reference, known)
        code = condition.element.child("code") if condition and condition.resource_type == "Condition" else None
        concepts += [code] if code else []
    coded = [c for c in concepts if any(x.text("system") == codes.ICD10CM for x in c.children("coding"))]
    return unique(reason_code(concept) for concept in coded)


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
        "Enter the charges for this encounter in the EHR, with their CPT or HCPCS codes.",
    )
