"""The practice's chart, made of the neutral visits of a clinic day; what nobody entered is null or empty here too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.kit.simulator_seed import SeedCoverage, SeedLine, SeedVisit

PRACTICE = 65540
RANKS = ("primary", "secondary", "tertiary")
SEXES = {"male": "Male", "female": "Female", "other": "Other"}
RELATIONSHIPS = {"spouse": "Spouse", "child": "Child"}
PROGRAMS = {"121": "Medicare Part B", "2": "Medicaid", "95": "Worker's Compensation"}
PLACES = {"11": "Office", "10": "Telehealth Provided in Patient's Home"}
OTHER_TELEHEALTH = "Telehealth Provided Other than in Patient's Home"


@dataclass
class Chart:
    """Bills by id in order, and all other records by type and id. Ids are numbers in the JSON, texts in the keys."""

    bills: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, kind: str, key: str, first: int) -> int:
        """The number of a thing: the same for the same key, else the next."""
        taken = sum(name.startswith(f"{kind}/") for name in self._numbers)
        return self._numbers.setdefault(f"{kind}/{key}", first + taken)

    def keep(self, kind: str, number: int, record: dict[str, Any]) -> int:
        """Keep a record once."""
        self.records.setdefault((kind, str(number)), {"id": number, **record})
        return number


def seeded(visits: Iterable[SeedVisit]) -> Chart:
    """The chart of these visits, one bill each."""
    chart = Chart()
    for index, visit in enumerate(visits):
        bill = _bill(chart, visit, 65098 + index, 71002 + index)
        chart.bills[str(bill["id"])] = bill
    return chart


def _bill(chart: Chart, visit: SeedVisit, bill_id: int, note_id: int) -> dict[str, Any]:
    rendering = _physician(chart, visit.rendering)
    start = visit.start
    return {
        "id": bill_id,
        "ref_number": None,
        "service_date": start.astimezone(UTC).isoformat().replace("+00:00", "Z") if start else None,
        "service_date_timezone": None,
        "billing_date": None,
        "billing_status": "Unbilled",
        "billing_error": None,
        "billing_raw_error": None,
        "deferred_bill": False,
        "notes": None,
        "cpts": [_cpt(line, visit) for line in visit.lines],
        "payment": None,
        "visit_note_id": note_id,
        "visit_note_signed_date": None,
        "visit_note_deleted_date": None,
        "referring_provider": _named(visit.referring),
        "ordering_provider": None,
        "billing_provider": rendering,
        "rendering_provider": rendering,
        "supervising_provider": _physician(chart, visit.supervising),
        "service_location": _location(chart, visit),
        "physician": rendering,
        "practice": PRACTICE,
        "patient": _patient(chart, visit),
        "prior_authorization": visit.authorization or None,
        "metadata": None,
        "created_date": _written(visit),
        "last_modified_date": _written(visit),
    }


def _written(visit: SeedVisit) -> str:
    return str(visit.encounter.get("meta", {}).get("lastUpdated") or "2026-03-03T16:00:00Z")


def _cpt(line: SeedLine, visit: SeedVisit) -> dict[str, Any]:
    codes_ = [visit.diagnoses[p - 1].icd10 for p in line.pointers if 0 < p <= len(visit.diagnoses)]
    return {
        "cpt": line.code,
        "description": None,
        "modifiers": list(line.modifiers),
        "dxs": codes_,
        "alt_dxs": [],
        "unit_charge": None if line.unit_price is None else str(line.unit_price),
        "units": str(line.quantity.quantize(Decimal("0.1"))),
        "ndc": "",
        "ndc_dose": "",
        "ndc_measure": "",
    }


def _named(practitioner: Resource | None) -> dict[str, Any] | None:
    """A provider outside the practice is a name with a number."""
    if practitioner is None:
        return None
    name = _name(practitioner)
    text = f"{' '.join(name.get('given', []))} {name.get('family', '')}, {''.join(name.get('suffix', []))}"
    return {"name": f"{text} (217-555-0142)", "state": "IL", "npi": codes.identifier(practitioner, codes.NPI)}


def _physician(chart: Chart, practitioner: Resource | None) -> int | None:
    if practitioner is None:
        return None
    name = _name(practitioner)
    return chart.keep(
        "Physician",
        chart.number("Physician", practitioner["id"], 86),
        {
            "first_name": " ".join(name.get("given", [])),
            "last_name": name.get("family", ""),
            "credentials": "".join(name.get("suffix", [])),
            "npi": codes.identifier(practitioner, codes.NPI) or "",
            "specialty": "",
            "practice": PRACTICE,
            "is_active": True,
        },
    )


def _location(chart: Chart, visit: SeedVisit) -> dict[str, Any] | None:
    """The place of the visit, whole inside the bill; a place of another kind of telehealth is one of its own."""
    if visit.location is None:
        return None
    place, held = visit.place_of_service or "11", _address(visit.location.get("address"))
    number = chart.number("ServiceLocation", f"{visit.location['id']}/{place}", 5)
    chart.keep(
        "ServiceLocation",
        number,
        {
            "name": visit.location.get("name", ""),
            "is_primary": number == 5,
            "place_of_service": PLACES.get(place, OTHER_TELEHEALTH),
            "place_of_service_code": int(place),
            **held,
            "phone": _phone(visit.location),
            "practice": PRACTICE,
        },
    )
    return chart.records["ServiceLocation", str(number)]


def _patient(chart: Chart, visit: SeedVisit) -> int:
    patient, name = visit.patient, _name(visit.patient)
    first, *middle = [*name.get("given", []), ""][:2]
    number = chart.number("Patient", patient["id"], 4400)
    address = next(iter(patient.get("address", [])), None)
    return chart.keep(
        "Patient",
        number,
        {
            "first_name": first,
            "middle_name": " ".join(filter(None, middle)),
            "last_name": name.get("family", ""),
            "sex": SEXES.get(patient.get("gender", ""), "Unknown"),
            "dob": patient.get("birthDate"),
            "caregiver_practice": PRACTICE,
            "address": _address(address) if address else None,
            "phones": [{"phone": _phone(patient), "phone_type": "Home", "deleted_date": None}],
            "insurances": [_insurance(chart, c, f"{number}-{i}") for i, c in enumerate(visit.coverages)],
        },
    )


def _insurance(chart: Chart, held: SeedCoverage, key: str) -> dict[str, Any]:
    payer, period = held.payer or {}, held.coverage.get("period", {})
    insured = held.subscriber if held.relationship != "self" else None
    return {
        "id": chart.number("Insurance", key, 9001),
        "rank": RANKS[min(int(held.coverage.get("order", 1)), len(RANKS)) - 1],
        "carrier": payer.get("name", ""),
        "insurance_company": _company(chart, held.payer),
        "member_id": held.member_id,
        "group_id": held.plan("group").get("value", ""),
        "plan": held.plan("plan").get("name", ""),
        "payment_program": PROGRAMS.get(_sopt(held.coverage), "Commercial - Other"),
        "relationship_to_insured": RELATIONSHIPS.get(held.relationship, "Other") if insured else None,
        **_insured_person(insured),
        "start_date": period.get("start"),
        "end_date": period.get("end"),
        "deleted_date": period.get("end") if held.coverage.get("status") != "active" else None,
    }


def _insured_person(insured: Resource | None) -> dict[str, Any]:
    person = insured or {}
    name, address = _name(person), _address(next(iter(person.get("address", [])), None))
    return {
        "insured_person_first_name": " ".join(name.get("given", [])),
        "insured_person_last_name": name.get("family", ""),
        "insured_person_gender": person.get("gender", "")[:1].upper(),
        "insured_person_dob": person.get("birthDate"),
        "insured_person_address": address["address_line1"],
        "insured_person_city": address["city"],
        "insured_person_state": address["state"],
        "insured_person_zip": address["zip"],
    }


def _company(chart: Chart, payer: Resource | None) -> int | None:
    if payer is None:
        return None
    payer_id = next((i["value"] for i in payer.get("identifier", ())), None)
    address = _address(next(iter(payer.get("address", [])), None))
    return chart.keep(
        "InsuranceCompany",
        chart.number("InsuranceCompany", payer["id"], 301),
        {
            "carrier": payer.get("name", ""),
            "payer_id": payer_id,
            "address": address["address_line1"],
            "suite": address["address_line2"],
            **{name: address[name] for name in ("city", "state", "zip")},
            "phone": _phone(payer),
            "practice": PRACTICE,
        },
    )


def _sopt(coverage: Resource) -> str:
    return str(next((c["code"] for c in codes.codings(coverage.get("type")) if "sopt" in c.get("system", "")), ""))


def _name(person: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(iter(person.get("name", [])), {})


def _phone(holder: Mapping[str, Any]) -> str:
    return str(next((t.get("value", "") for t in holder.get("telecom", [])), ""))


def _address(address: Mapping[str, Any] | None) -> dict[str, str]:
    held = address or {}
    first, second = [*held.get("line", []), "", ""][:2]
    return {
        "address_line1": first,
        "address_line2": second,
        "city": held.get("city", ""),
        "state": held.get("state", ""),
        "zip": held.get("postalCode", ""),
    }
