"""The insurance blocks inside a DrChrono patient as coverages with their payers and subscribers. Pure.

Which blocks pay for a visit is told by the appointment's payment profile, or by a billing status that names a case.
Source: vendor document sections 5 and 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.ehr.drchrono import rows, words
from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.kit.ehr_reading import Rule
from gateway.kit.shaping import resource, shaped

PLACES = ("primary_insurance", "secondary_insurance", "tertiary_insurance")
CASH = "Cash"


@dataclass(frozen=True, slots=True)
class _Case:
    """An accident's block: where it is, the prefix of its keys, and what FHIR and X12 call it."""

    block: str
    prefix: str
    accident: str
    filing: str


_AUTO = _Case("auto_accident_insurance", "auto_accident_", "MVA", "AM")
_WORK = _Case("workers_comp_insurance", "workers_comp_", "WPA", "WC")
_CASES: Mapping[str, _Case] = {
    "Auto Accident": _AUTO,
    "Auto Accident Claim": _AUTO,
    "Worker's Comp": _WORK,
    "Worker's Comp Claim": _WORK,
}
"""By payment profile and by billing status."""


@dataclass(frozen=True, slots=True)
class Held:
    """One coverage with what it needs; `accident` is Claim.accident where it is an accident's."""

    reference: str
    resources: tuple[Resource, ...]
    accident: Resource | None = None


def case_status(appointment: Mapping[str, Any]) -> str:
    """The billing status where it names an accident's case, else an empty text."""
    status = str(appointment.get("billing_status"))
    return status if status in _CASES else ""


def coverages_of(
    appointment: Mapping[str, Any], patient: Mapping[str, Any], payer_ids: Mapping[str, str]
) -> list[Held]:
    """The coverages that pay for a visit, first payer first; none for a patient who pays cash."""
    profile = words.text(appointment.get("payment_profile")) or words.text(patient.get("patient_payment_profile"))
    case = _CASES.get(case_status(appointment)) or _CASES.get(str(profile))
    blocks = [(place, block) for place in PLACES if _filled(block := _block(patient, place), "insurance_company")]
    found = []
    if case is not None:
        found.append(_of_case(case, patient, payer_ids))
    if case is not _WORK and profile != CASH:
        found += [_of_block(place, block, patient, payer_ids) for place, block in blocks]
    return [ORDER.via(held, order) for order, held in enumerate(found, start=1)]


def _block(patient: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = patient.get(name)
    return found if isinstance(found, dict) else {}


def _filled(block: Mapping[str, Any], company: str) -> bool:
    """Whether somebody entered this insurance: empty blocks have all their keys."""
    return any(words.text(block.get(name)) for name in (company, "insurance_id_number", "insurance_payer_id"))


def _of_block(place: str, block: Mapping[str, Any], patient: Mapping[str, Any], payer_ids: Mapping[str, str]) -> Held:
    told = {name: value for name, value in block.items() if value is not False}
    payer = _payer(shaped(rows.PAYER_ROWS, {"Insurance": told}), payer_ids)
    own = shaped(rows.COVERAGE_ROWS, {"Insurance": told})
    return _held(place, own, {"Insurance": told}, patient, payer)


def _of_case(case: _Case, patient: Mapping[str, Any], payer_ids: Mapping[str, str]) -> Held:
    block = _block(patient, case.block)
    told = {name.removeprefix(case.prefix): value for name, value in block.items() if value is not False}
    if "is_subscriber_the_patient" not in told and not words.text(told.get("subscriber_last_name")):
        told["is_subscriber_the_patient"] = True  # a worker's case names no subscriber
    payer = _payer(shaped(rows.CASE_PAYER_ROWS, {"Case": told}), payer_ids)
    own = {**shaped(rows.CASE_COVERAGE_ROWS, {"Case": told}), "type": words.filing(case.filing)}
    accident = {"type": codes.concept(codes.ACT_CODE, case.accident), **shaped(rows.ACCIDENT_ROWS, {"Case": told})}
    held = _held(case.block, own, {"Case": told}, patient, payer)
    return Held(held.reference, held.resources, accident)


def _held(place: str, own: Resource, roots: Mapping[str, Any], patient: Mapping[str, Any], payer: Resource) -> Held:
    key = f"{patient.get('id')}-{place.partition('_')[0]}"
    beneficiary = {"reference": f"Patient/{patient.get('id')}"}
    coverage: Resource = {
        "resourceType": "Coverage",
        "id": key,
        **own,
        "status": "active",
        "beneficiary": beneficiary,
        "payor": [PAYOR.via(payer)],
    }
    is_patient = next(iter(roots.values())).get("is_subscriber_the_patient") is True
    related = [] if is_patient else list(_subscriber(f"{key}-subscriber", roots, beneficiary))
    if is_patient or related:
        coverage["subscriber"] = SUBSCRIBER.via(beneficiary, related)
    return Held(f"Coverage/{key}", (coverage, payer, *related))


def _subscriber(key: str, roots: Mapping[str, Any], beneficiary: Mapping[str, str]) -> Iterator[Resource]:
    person = resource("RelatedPerson", key, rows.SUBSCRIBER_ROWS, roots)
    if "name" in person:
        yield {**person, "patient": beneficiary}


def _payer(made: Resource, payer_ids: Mapping[str, str]) -> Resource:
    """The payer; its id is the clearinghouse's, unless gateway.yaml has one for this payer."""
    identifier = made.get("identifier", [{}])[0]
    known = made["name"] in payer_ids or identifier.get("value") in payer_ids
    if identifier:
        identifier["system"] = words.PAYER_IDS if known else codes.PAYER_IDENTIFIER
    key = hashlib.sha256(f"{made['name']}|{identifier.get('value', '')}".encode()).hexdigest()[:24]
    return {"resourceType": "Organization", "id": f"payer-{key}", **made}


def _payor(payer: Resource) -> dict[str, str]:
    """A reference to the payer."""
    return {"reference": f"Organization/{payer['id']}"}


def _insured(patient: Mapping[str, str], related: Sequence[Resource]) -> Mapping[str, str]:
    """The patient, or the subscriber who is another person."""
    return {"reference": f"RelatedPerson/{related[0]['id']}"} if related else patient


def _in_order(held: Held, order: int) -> Held:
    """An accident's payer first, then the primary, secondary and tertiary insurance."""
    coverage, *others = held.resources
    return Held(held.reference, ({**coverage, "order": order}, *others), held.accident)


PAYOR = Rule("payor", "Insurance.insurance_company | Case.company", _payor)
SUBSCRIBER = Rule("subscriber", "Insurance.is_subscriber_the_patient | Case.is_subscriber_the_patient", _insured)
ORDER = Rule(
    "order",
    "Appointment.payment_profile, Patient.primary_insurance, Patient.secondary_insurance, Patient.tertiary_insurance",
    _in_order,
)
REFERENCES = (ORDER, SUBSCRIBER, PAYOR)
