"""The visits of a clinic day of FHIR resources, from which a simulator of a vendor's own API seeds its objects.

It reads what the sandbox generates: an Encounter with its Patient, Coverages, Conditions, and charges as a draft Claim
or as ChargeItems. What nobody entered is None or empty here too: entry errors are part of the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.codes import codings
from gateway.canonical.models import Resource

_FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class SeedCoverage:
    """One coverage with its payer; `subscriber` is the Patient, a RelatedPerson, or None."""

    coverage: Resource
    payer: Resource | None
    subscriber: Resource | None

    @property
    def member_id(self) -> str:
        """The member id, wherever the EHR has it; empty when nobody entered it."""
        held = next((i.get("value", "") for i in self.coverage.get("identifier", ())), "")
        return str(self.coverage.get("subscriberId") or held)

    @property
    def relationship(self) -> str:
        """The code of the patient's relationship to the subscriber."""
        return _code(self.coverage.get("relationship"))

    def plan(self, kind: str) -> Mapping[str, Any]:
        """The class of a kind (group, plan), or an empty one."""
        classes = self.coverage.get("class", ())
        return next((c for c in classes if _code(c.get("type")) == kind), {})


@dataclass(frozen=True, slots=True)
class SeedDiagnosis:
    """A diagnosis in claim order; either code may be empty."""

    icd10: str
    snomed: str
    condition: Resource | None


@dataclass(frozen=True, slots=True)
class SeedLine:
    """A charge. `pointers` are positions (from 1) in the visit's diagnoses; the price is USD per unit."""

    code: str
    system: str
    modifiers: tuple[str, ...]
    quantity: Decimal
    unit_price: Decimal | None
    pointers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SeedVisit:
    """One encounter with everything that belongs to it. Practitioners and Location are FHIR resources."""

    encounter: Resource
    patient: Resource
    coverages: tuple[SeedCoverage, ...]
    diagnoses: tuple[SeedDiagnosis, ...]
    lines: tuple[SeedLine, ...]
    rendering: Resource | None
    referring: Resource | None
    supervising: Resource | None
    location: Resource | None
    place_of_service: str
    authorization: str = ""
    referral_number: str = ""
    accident: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The Encounter's id."""
        return str(self.encounter["id"])

    @property
    def start(self) -> datetime | None:
        """When it began, with its zone; None when nobody entered it."""
        text = self.encounter.get("period", {}).get("start")
        return datetime.fromisoformat(text) if text else None

    @property
    def signed(self) -> bool:
        """Whether it will be signed off: one that is not finished stays as it is."""
        return bool(self.encounter.get("status") == _FINISHED)


def visits(resources: Iterable[Resource]) -> list[SeedVisit]:
    """The visits of a day, in the order of its Encounters."""
    day = _Day(resources)
    return [day.visit(encounter) for encounter in day.of_type("Encounter")]


class _Day:
    def __init__(self, resources: Iterable[Resource]) -> None:
        self._held = {f"{r['resourceType']}/{r['id']}": r for r in resources}
        self._owned: dict[str, list[Resource]] = {}
        for resource in self._held.values():
            for owner in _owners(resource):
                self._owned.setdefault(owner, []).append(resource)

    def of_type(self, resource_type: str) -> list[Resource]:
        return [r for r in self._held.values() if r["resourceType"] == resource_type]

    def find(self, reference: Mapping[str, Any] | None) -> Resource | None:
        return self._held.get((reference or {}).get("reference", ""))

    def visit(self, encounter: Resource) -> SeedVisit:
        own = self._owned.get(f"Encounter/{encounter['id']}", [])
        claim = next((r for r in own if r["resourceType"] == "Claim"), None)
        patient = self.find(encounter.get("subject")) or {"resourceType": "Patient", "id": "unknown"}
        diagnoses = self._diagnoses(encounter)
        location = self.find(_first(encounter.get("location")).get("location"))
        return SeedVisit(
            encounter=encounter,
            patient=patient,
            coverages=tuple(self._coverages(patient)),
            diagnoses=diagnoses,
            lines=tuple(self._lines(own, claim, diagnoses)),
            rendering=self._participant(encounter, "PPRF", "ATND"),
            referring=self._participant(encounter, "REF"),
            supervising=self._participant(encounter, "SPRF"),
            location=location,
            place_of_service=_place(claim, location),
            authorization=_authorization(claim),
            referral_number=self._referral_number(encounter),
            accident=(claim or {}).get("accident", {}),
        )

    def _coverages(self, patient: Resource) -> list[SeedCoverage]:
        owned = self._owned.get(f"Patient/{patient['id']}", [])
        held = sorted((r for r in owned if r["resourceType"] == "Coverage"), key=lambda c: c.get("order", 9))
        return [
            SeedCoverage(c, self.find(next(iter(c.get("payor", [])), None)), self.find(c.get("subscriber")))
            for c in held
        ]

    def _diagnoses(self, encounter: Resource) -> tuple[SeedDiagnosis, ...]:
        listed = sorted(encounter.get("diagnosis", []), key=lambda entry: entry.get("rank", 99))
        conditions = [self.find(entry.get("condition")) for entry in listed]
        return tuple(
            SeedDiagnosis(_coded(c.get("code"), codes.ICD10CM), _coded(c.get("code"), codes.SNOMED), c)
            for c in conditions
            if c is not None
        )

    def _lines(
        self, own: list[Resource], claim: Resource | None, diagnoses: tuple[SeedDiagnosis, ...]
    ) -> Iterable[SeedLine]:
        if claim is not None:
            yield from (_line_of_item(item) for item in claim.get("item", []))
            return
        numbers = {d.icd10: i for i, d in reversed(list(enumerate(diagnoses, start=1)))}
        for charge in (r for r in own if r["resourceType"] == "ChargeItem"):
            yield _line_of_charge(charge, numbers)

    def _participant(self, encounter: Resource, *kinds: str) -> Resource | None:
        for participant in encounter.get("participant", []):
            if any(_code(kind) in kinds for kind in participant.get("type", [])):
                return self.find(participant.get("individual"))
        return None

    def _referral_number(self, encounter: Resource) -> str:
        request = self.find(next(iter(encounter.get("basedOn", [])), None)) or {}
        return next((str(i.get("value", "")) for i in request.get("identifier", ())), "")


def _first(elements: list[dict[str, Any]] | None) -> dict[str, Any]:
    return elements[0] if elements else {}


def _owners(resource: Resource) -> set[str]:
    """The encounter or patient that a resource belongs to."""
    match resource["resourceType"]:
        case "Claim":
            named = [r for item in resource.get("item", []) for r in item.get("encounter", [])]
        case "ChargeItem":
            named = [resource.get("context") or {}]
        case "Coverage":
            named = [resource.get("beneficiary") or {}]
        case _:
            named = []
    return {reference.get("reference", "") for reference in named} - {""}


def _line_of_item(item: Mapping[str, Any]) -> SeedLine:
    coding = next(iter(codings(item.get("productOrService"))), {})
    return SeedLine(
        code=str(coding.get("code", "")),
        system=str(coding.get("system", "")),
        modifiers=tuple(_code(modifier) for modifier in item.get("modifier", ())),
        quantity=Decimal(item.get("quantity", {}).get("value", 1)),
        unit_price=_amount(item.get("unitPrice")),
        pointers=tuple(item.get("diagnosisSequence", ())),
    )


def _line_of_charge(charge: Resource, numbers: Mapping[str, int]) -> SeedLine:
    first, *others = codings(charge.get("code")) or [{}]
    quantity = Decimal(charge.get("quantity", {}).get("value", 1))
    total = _amount(charge.get("priceOverride"))
    reasons = (_coded(reason, codes.ICD10CM) for reason in charge.get("reason", ()))
    return SeedLine(
        code=str(first.get("code", "")),
        system=str(first.get("system", "")),
        modifiers=tuple(str(coding["code"]) for coding in others if len(str(coding.get("code", ""))) == 2),
        quantity=quantity,
        unit_price=None if total is None or not quantity else total / quantity,
        pointers=tuple(numbers[reason] for reason in reasons if reason in numbers),
    )


def _place(claim: Resource | None, location: Resource | None) -> str:
    items = (claim or {}).get("item", [])
    named = [item.get("locationCodeableConcept") for item in items] + list((location or {}).get("type", []))
    return next((code for concept in named if (code := _coded(concept, codes.POS))), "")


def _authorization(claim: Resource | None) -> str:
    numbers = (number for entry in (claim or {}).get("insurance", []) for number in entry.get("preAuthRef", []))
    return str(next(numbers, ""))


def _code(concept: Mapping[str, Any] | None) -> str:
    return str(next((c.get("code", "") for c in codings(dict(concept or {}))), ""))


def _coded(concept: Mapping[str, Any] | None, system: str) -> str:
    return str(next((c.get("code", "") for c in codings(dict(concept or {})) if c.get("system") == system), ""))


def _amount(money: Mapping[str, Any] | None) -> Decimal | None:
    return Decimal(str(money["value"])) if money and "value" in money else None
