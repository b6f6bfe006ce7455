"""The rows that make a charge, one table for each resource in which an EHR keeps charges (claim_profile section 6).

The targets are the members of `ChargeLine`. The order of the rows is the order in which mistakes are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ChargeLine, Resource
from gateway.kit import ehr_charge_parts as parts
from gateway.kit.ehr_charge_parts import reason_code, unique
from gateway.kit.ehr_diagnoses import claim_diagnosis
from gateway.kit.ehr_element import Element, start_date
from gateway.kit.ehr_reading import Reading, read
from gateway.kit.ehr_roles import first_performer, item_performer
from gateway.kit.ehr_source import Known, Source


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """One charge at the EHR: `owner` is the resource, `element` the resource itself or its item."""

    owner: Known
    element: Element
    source: Source
    diagnoses: Mapping[int | None, Element] = field(default_factory=dict)  # of a Claim, by their sequence


def line_of(rows: Sequence[Reading], charge: Charge) -> ChargeLine:
    """The charge as its table makes it; raises `MappingError` at the element that is wrong.

    Without a row for the price the clinic's fee counts: FHIR R4 gives a Procedure none.
    """
    return ChargeLine(**{"expression": charge.element.path, "unit_price": None, **read(rows, charge)})


def _procedure(charge: Charge, name: str) -> tuple[str, str]:
    """The first CPT or HCPCS coding; its system follows the code's form, as EHRs mix the two up."""
    return parts.procedure_code(charge.element, name)


def _units(charge: Charge, name: str) -> Decimal:
    """The units, above zero; 1 when the EHR gives none."""
    return parts.quantity_of(charge.element, name)


def _one(charge: Charge, name: str) -> Decimal:
    """One unit each: FHIR R4 gives a Procedure no quantity."""
    return Decimal(1)


def _unit(charge: Charge, name: str) -> str:
    """MJ for minutes of anaesthesia, else UN."""
    return parts.unit_of(charge.element, name)


def _started(charge: Charge, *names: str) -> date | None:
    """The date, or the period's first date, at the clinic."""
    return start_date(charge.element, names, charge.source.clinic)


def _item_price(charge: Charge, unit_price: str, factor: str, net: str, quantity: str) -> Decimal | None:
    """The price of one unit times the factor, or the net divided by the units; both must agree."""
    return parts.item_price(charge.element, parts.quantity_of(charge.element, quantity), unit_price, factor, net)


def _total_price(charge: Charge, name: str, quantity: str) -> Decimal | None:
    """The line's price divided by the units."""
    return parts.charge_item_price(charge.element, parts.quantity_of(charge.element, quantity), name)


def _item_modifiers(charge: Charge, name: str, extension: str) -> tuple[str, ...]:
    """In order, then those in the extensions that the vendor is known to use."""
    return parts.item_modifiers(charge.element, name, extension, charge.source.dialect.modifier_extensions)


def _modifiers_beside(charge: Charge, name: str) -> tuple[str, ...]:
    """Codings of two characters beside the procedure code, then those in the vendor's extensions."""
    return parts.concept_modifiers(charge.element.child(name), charge.source.dialect.modifier_extensions)


def _pointed(charge: Charge, name: str) -> tuple[str, ...]:
    """The ICD-10-CM codes that the item points at, in pointer order, each once."""
    found = []
    for i, number in enumerate(charge.element.integers(name)):
        entry = charge.diagnoses.get(number)
        if entry is None:
            path = f"{charge.element.at(name)}[{i}]"
            message = "the line points at a diagnosis that the claim does not have"
            raise MappingError(path, message, "Correct it in the EHR.")
        found.append(claim_diagnosis(entry, charge.owner, charge.source).code)
    return unique(found)


def reasons(charge: Charge, name: str) -> tuple[str, ...]:
    """The ICD-10-CM code of each, in order."""
    return unique(reason_code(reason) for reason in charge.element.children(name))


def procedure_reasons(charge: Charge, code: str, reference: str) -> tuple[str, ...]:
    """ICD-10-CM codes among the reasons and their Conditions; reasons in other systems are no pointers."""
    concepts = list(charge.element.children(code))
    for held in charge.element.children(reference):
        condition = charge.source.resolve(held, charge.owner)
        found = condition.element.child("code") if condition and condition.resource_type == "Condition" else None
        concepts += [found] if found else []
    coded = [c for c in concepts if any(x.text("system") == codes.ICD10CM for x in c.children("coding"))]
    return unique(reason_code(concept) for concept in coded)


def _place(charge: Charge, name: str) -> str | None:
    """The code of the CMS place of service code set."""
    return parts.place_code(charge.element, name)


def _of_care_team(charge: Charge, name: str) -> str | None:
    """The Practitioner whom the item's care team member of a rendering role, or of none, names."""
    return item_performer(charge.element, name, charge.owner, charge.source)


def _drug(charge: Charge, name: str) -> Resource | None:
    """What was given: the NDC of 11 digits, and how much of it."""
    return parts.drug_of(charge.element, name)


def _performer(charge: Charge, name: str) -> str | None:
    """The first Practitioner among them."""
    return first_performer(charge.owner, name, charge.source)


_NO_CODE = "the charge has no CPT or HCPCS code"
_ADD_CODE = "Enter a valid CPT or HCPCS code for this charge in the EHR."
_PRICED = "Claim.item.unitPrice, Claim.item.factor, Claim.item.net, Claim.item.quantity"

CLAIM_ITEM_ROWS = (
    Reading("quantity", "Claim.item.quantity", _units),
    Reading("system, code", "Claim.item.productOrService", _procedure, required=True, note=_NO_CODE, fix=_ADD_CODE),
    Reading("serviced", "Claim.item.servicedDate | Claim.item.servicedPeriod", _started),
    Reading("unit", "Claim.item.quantity", _unit),
    Reading("unit_price", _PRICED, _item_price),
    Reading("modifiers", "Claim.item.modifier, Claim.item.extension", _item_modifiers),
    Reading("diagnosis_codes", "Claim.item.diagnosisSequence", _pointed),
    Reading("location_code", "Claim.item.locationCodeableConcept", _place),
    Reading("performer", "Claim.item.careTeamSequence", _of_care_team),
    Reading("drug", "Claim.item.detail", _drug),
)

CHARGE_ITEM_ROWS = (
    Reading("quantity", "ChargeItem.quantity", _units),
    Reading("system, code", "ChargeItem.code", _procedure, required=True, note=_NO_CODE, fix=_ADD_CODE),
    Reading("serviced", "ChargeItem.occurrenceDateTime | ChargeItem.occurrencePeriod", _started),
    Reading("unit", "ChargeItem.quantity", _unit),
    Reading("unit_price", "ChargeItem.priceOverride, ChargeItem.quantity", _total_price),
    Reading("modifiers", "ChargeItem.code", _modifiers_beside),
    Reading("diagnosis_codes", "ChargeItem.reason", reasons),
    Reading("performer", "ChargeItem.performer", _performer),
)

PROCEDURE_ROWS = (
    Reading("quantity", "Procedure.code", _one),
    Reading("system, code", "Procedure.code", _procedure, required=True, note=_NO_CODE, fix=_ADD_CODE),
    Reading("serviced", "Procedure.performedDateTime | Procedure.performedPeriod", _started),
    Reading("modifiers", "Procedure.code", _modifiers_beside),
    Reading("diagnosis_codes", "Procedure.reasonCode | Procedure.reasonReference", procedure_reasons),
    Reading("performer", "Procedure.performer", _performer),
)

CHARGE_TABLES: Mapping[str, tuple[str, tuple[Reading, ...]]] = {
    "superbill": ("Claim.item", CLAIM_ITEM_ROWS),
    "claim": ("Claim.item", CLAIM_ITEM_ROWS),
    "charge_item": ("ChargeItem", CHARGE_ITEM_ROWS),
    "procedure": ("Procedure", PROCEDURE_ROWS),
}
"""The resource and its table by the name of the source in `Dialect.charge_sources`."""
