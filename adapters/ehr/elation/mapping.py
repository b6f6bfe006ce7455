"""A bill with its patient, physicians and insurance as US Core FHIR R4, by the tables of `rows`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.ehr.elation import rows, words
from gateway.canonical import codes
from gateway.canonical.models import WITHDRAWN, EncounterRecord, Resource
from gateway.kit.ehr_element import Element, parsed_instant
from gateway.kit.ehr_reading import Rule
from gateway.kit.ehr_tables import vendor_tables
from gateway.kit.errors import MappingError
from gateway.kit.mapping import Row
from gateway.kit.shaping import resource, shaped

SIGNED, UNSIGNED, DELETED = "finished", "in-progress", WITHDRAWN
BILLED = "Billed"
PHYSICIANS = ("rendering_provider", "physician", "supervising_provider")


def status(bill: Resource) -> str:
    """The Encounter.status: gone with its visit note; signed when the note is and billing is not deferred."""
    if bill.get("visit_note_deleted_date"):
        return DELETED
    return SIGNED if bill.get("visit_note_signed_date") and not bill.get("deferred_bill") else UNSIGNED


def is_billed(bill: Resource) -> bool:
    """Whether somebody has marked the bill as billed; an error that is marked may be corrected and billed again."""
    return bool(bill.get("billing_status") == BILLED)


def changed_at(bill: Resource) -> datetime | None:
    """The latest instant at which the bill, or its note's signature, changed."""
    names = ("last_modified_date", "visit_note_signed_date", "visit_note_deleted_date")
    return max((at for name in names if (at := parsed_instant(bill.get(name)))), default=None)


def require_unbilled(bill: Resource) -> None:
    """Raise `MappingError` for a bill that another system has billed."""
    if is_billed(bill):
        raise MappingError(
            "Bill.billing_status",
            "the bill is already marked as billed in Elation, and not by this gateway",
            "Find out who has billed this visit; set own_billing to ignore if the mark means nothing.",
        )


def require_practice(bill: Resource, practice_id: str) -> None:
    """Raise `MappingError` for the bill of another practice."""
    if str(bill.get("practice")) != practice_id:
        raise MappingError(
            "Bill.practice", "the bill belongs to another practice", "Correct practice_id, or bill it where it belongs."
        )


def named_by_bill(bill: Resource) -> Iterator[tuple[str, Any]]:
    """(type, id) of each record that the bill names; a place of service that is given whole is not read again."""
    yield "Patient", bill.get("patient")
    for name in PHYSICIANS:
        yield "Physician", bill.get(name)
    yield "ServiceLocation", bill.get("service_location")


def companies_of(records: Sequence[Resource]) -> Iterator[tuple[str, Any]]:
    """(type, id) of the companies behind the patient's insurances."""
    for record in records:
        if record["resourceType"] == "Patient":
            yield from (("InsuranceCompany", entry.value.get("insurance_company")) for entry in _insurances(record))


def fhir_record(record: EncounterRecord) -> EncounterRecord:
    """The record as FHIR R4; of a bill that is not signed only its status, as the rest may still be missing.

    Raises `MappingError` with the paths of Elation's fields.
    """
    bill, bill_id = record.encounter, record.ref.encounter_id
    standing = status(bill)
    if standing != SIGNED:
        return replace(record, encounter={"resourceType": "Encounter", "id": bill_id, "status": standing}, resources=())
    visit = _Visit(record)
    problems: list[MappingError] = []
    made: list[Resource] = []
    for part in (visit.encounter, visit.patient, visit.claim, visit.coverages, visit.people):
        try:
            made += part()
        except MappingError as problem:
            problems.append(problem)
    if problems:
        raise MappingError.of(problems)
    return replace(record, encounter=made[0], resources=tuple(made[1:]))


class _Visit:
    """The record's objects by type, and the resources that the rows make of them."""

    def __init__(self, record: EncounterRecord) -> None:
        self.id = record.ref.encounter_id
        self.bill = Element({**record.encounter, "service_date": local_day(record.encounter)}, "Bill")
        self._held = {(r["resourceType"], str(r.get("id"))): r for r in record.resources}
        self._named: dict[str, Resource] = {}
        for member in ("referring_provider", "ordering_provider"):
            found = self.bill.child(member)
            if found is not None and found.text("name"):
                self._named[member] = {**found.value, "id": f"{self.id}-{member.partition('_')[0]}"}
        bill = {**self.bill.value, "referring_provider": None, "ordering_provider": None, **self._named}
        self._roots: dict[str, Any] = {"Bill": bill, "ServiceLocation": self._location()}

    def encounter(self) -> list[Resource]:
        made = resource("Encounter", self.id, rows.ENCOUNTER_ROWS, self._roots)
        return [{**made, "status": SIGNED}]

    def patient(self) -> list[Resource]:
        held = self._of("Patient", self.bill.value.get("patient"))
        return [resource("Patient", held["id"], rows.PATIENT_ROWS, {"Patient": held})] if held else []

    def people(self) -> list[Resource]:
        """The physicians, those who are only named, and the place."""
        physicians = [r for (name, _), r in self._held.items() if name == "Physician"]
        made = [resource("Practitioner", p["id"], rows.PHYSICIAN_ROWS, {"Physician": p}) for p in physicians]
        named = self._named.values()
        made += [resource("Practitioner", r["id"], rows.REFERRER_ROWS, {"Referrer": r}) for r in named]
        place = self._roots["ServiceLocation"]
        return [*made, *([resource("Location", place["id"], rows.LOCATION_ROWS, self._roots)] if place else [])]

    def coverages(self) -> list[Resource]:
        """Each insurance with its payer and, where it is not the patient, the insured person."""
        held = self._of("Patient", self.bill.value.get("patient"))
        return [made for entry in _insurances(held or {}) for made in self._coverage(entry, held or {})]

    def claim(self) -> list[Resource]:
        made = resource("Claim", self.id, (*rows.CLAIM_ROWS, *_TEAM_ROWS), self._roots)
        lines = self.bill.children("cpts")
        if not lines:
            raise MappingError(
                "Bill.cpts", "the bill has no procedure", "Enter the CPT codes in the bill in Elation, or void it."
            )
        pointed = [_diagnoses(line) for line in lines]
        numbers = {code: i for i, code in enumerate(dict.fromkeys(c for found in pointed for c in found), start=1)}
        made["diagnosis"] = DIAGNOSES.via(numbers)
        made["item"] = [
            {
                "sequence": i,
                **shaped(rows.ITEM_ROWS, {**self._roots, "Cpt": line.value}),
                "diagnosisSequence": POINTERS.via(found, numbers),
            }
            for i, (line, found) in enumerate(zip(lines, pointed, strict=True), start=1)
        ]
        return [made]

    def _coverage(self, entry: Element, patient: Resource) -> Iterator[Resource]:
        insurance = entry.value
        number = words.number_text(insurance.get("id")) or f"{patient['id']}-{insurance.get('rank')}"
        company = self._of("InsuranceCompany", insurance.get("insurance_company"))
        roots = {"Insurance": insurance, "Patient": patient, "InsuranceCompany": company, "Payer": company or insurance}
        payer = resource("Organization", company["id"] if company else f"{number}-payer", rows.PAYER_ROWS, roots)
        if "name" not in payer:
            raise MappingError(entry.at("carrier"), "the insurance names no company", "Enter it in Elation.")
        yield payer
        made = resource("Coverage", number, rows.COVERAGE_ROWS, roots)
        relation = made["relationship"]["coding"][0].setdefault("code", "self")
        if relation != "self":
            yield resource("RelatedPerson", f"{number}-insured", rows.INSURED_ROWS, roots)
        classes = [shaped(table, roots) for table in (rows.GROUP_ROWS, rows.PLAN_ROWS)]
        references = {"subscriber": SUBSCRIBER.via(relation, patient, number), "payor": [PAYOR.via(payer)]}
        yield {**made, **references, "class": [held for held in classes if held]}

    def _of(self, name: str, vendor_id: Any) -> Resource | None:
        return self._held.get((name, str(vendor_id)))

    def _location(self) -> Resource | None:
        """The place of the bill, given whole or by its id."""
        given = self.bill.value.get("service_location")
        return given if isinstance(given, dict) else self._of("ServiceLocation", given)


def _insurances(patient: Resource) -> list[Element]:
    """Those that are not deleted."""
    return [e for e in Element(patient, "Patient").children("insurances") if not e.value.get("deleted_date")]


def _diagnoses(line: Element) -> tuple[str, ...]:
    """The ICD-10-CM codes of a line in order, each once: texts, or objects that hold one."""
    found: list[str] = []
    listed = line.value.get("dxs")
    for i, entry in enumerate(listed if isinstance(listed, list) else []):
        code = entry.get("icd10_code") or entry.get("icd10") if isinstance(entry, dict) else entry
        if not isinstance(code, str) or not code.strip():
            raise MappingError(
                f"{line.at('dxs')}[{i}]", "this diagnosis has no ICD-10 code", "Correct the bill in Elation."
            )
        found.append(codes.icd10cm(code) or code.strip())
    return tuple(dict.fromkeys(found))


def local_day(bill: Resource) -> Any:
    """The date of service at the place of the visit, where the bill names its time zone; else the field as it is."""
    at, zone = parsed_instant(bill.get("service_date")), bill.get("service_date_timezone")
    if at is None or not isinstance(zone, str):
        return bill.get("service_date")
    try:
        return at.astimezone(ZoneInfo(zone)).date().isoformat()
    except (ZoneInfoNotFoundError, OSError, ValueError, OverflowError):
        return bill.get("service_date")


def _claim_diagnoses(numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """The lines' ICD-10-CM codes, each once, in the order in which the lines first name them."""
    return [
        {"sequence": number, "diagnosisCodeableConcept": codes.concept(codes.ICD10CM, code)}
        for code, number in numbers.items()
    ]


def _pointers(found: Sequence[str], numbers: Mapping[str, int]) -> list[int]:
    """The places of the line's codes in the claim's list, in the line's order."""
    return [numbers[code] for code in found]


def _insured(relation: str, patient: Resource, number: str) -> dict[str, str]:
    """The patient, or by the relationship the insured person."""
    return {"reference": f"Patient/{patient['id']}" if relation == "self" else f"RelatedPerson/{number}-insured"}


def _payor(payer: Resource) -> dict[str, str]:
    """A reference to the insurance company."""
    return {"reference": f"Organization/{payer['id']}"}


SUBSCRIBER = Rule("subscriber", "Insurance.relationship_to_insured", _insured)
PAYOR = Rule("payor", "Insurance.insurance_company | Insurance.carrier", _payor)
_TEAM_ROWS = tuple(row for found in rows.TEAM_ROWS.values() for row in found)
DIAGNOSES = Rule("diagnosis", "Bill.cpts.dxs", _claim_diagnoses)
POINTERS = Rule("diagnosisSequence", "Bill.cpts.dxs", _pointers)

TABLES: Mapping[str, Sequence[Row]] = vendor_tables(
    {
        "Encounter": rows.ENCOUNTER_ROWS,
        "Patient": rows.PATIENT_ROWS,
        "Practitioner (physician)": rows.PHYSICIAN_ROWS,
        "Practitioner (referring, ordering)": rows.REFERRER_ROWS,
        "Location": rows.LOCATION_ROWS,
        "Coverage": (*rows.COVERAGE_ROWS, SUBSCRIBER, PAYOR),
        "Coverage.class (group)": rows.GROUP_ROWS,
        "Coverage.class (plan)": rows.PLAN_ROWS,
        "RelatedPerson (insured person)": rows.INSURED_ROWS,
        "Organization (payer)": rows.PAYER_ROWS,
        **{f"Claim ({role})": found for role, found in rows.TEAM_ROWS.items()},
        "Claim": (*rows.CLAIM_ROWS, DIAGNOSES),
        "Claim.item (each of Bill.cpts)": (*rows.ITEM_ROWS, POINTERS),
    }
)
"""What the mapping document prints of this adapter."""
