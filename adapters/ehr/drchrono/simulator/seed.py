"""The clinic day as DrChrono would hold it: appointments, notes, line items, patients, doctors, offices.

What DrChrono's API has no place for is left behind: place of service, NPI of the office, taxonomies. Source: vendor
document sections 5 to 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono.simulator.insurance import insurance_of
from adapters.ehr.drchrono.simulator.store import Object
from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.kit.simulator_seed import SeedLine, SeedVisit

PRACTICE_GROUP = 4455
_MODIFIER_PLACES = 4
_FIRST_PATIENT = 71_234_000
_GENDERS = {"male": "Male", "female": "Female", "other": "Other", "unknown": "UNK"}
_LIKE_ICD = re.compile(r"[A-Za-z]")


@dataclass
class Seed:
    """Objects by kind, in order."""

    zone: ZoneInfo
    written_at: str
    objects: dict[str, list[Object]] = field(default_factory=dict)
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, obj: Object) -> Object:
        """Keep an object."""
        self.objects.setdefault(kind, []).append(obj)
        return obj

    def number(self, kind: str, fhir_id: str, base: int) -> tuple[int, bool]:
        """The vendor's id of a FHIR resource, counted up from `base`, and whether it is new."""
        known = self._ids.get((kind, fhir_id))
        if known is not None:
            return known, False
        number = self._last[kind] = self._last.get(kind, base) + 1
        self._ids[kind, fhir_id] = number
        return number, True

    def visit(self, visit: SeedVisit) -> None:
        """Add a visit with all that belongs to it."""
        doctor = self._doctor(visit.rendering)
        office = self._office(visit, doctor)
        patient = self._patient(visit, doctor, office)
        supervisor = str(self._doctor(visit.supervising)) if visit.supervising else None
        number, _ = self.number("appointments", visit.id, 301_245_000)
        appointment = _appointment(visit, number, self.zone, self.written_at)
        primary = patient["primary_insurance"] or {}
        appointment.update(
            patient=patient["id"],
            doctor=doctor,
            office=office,
            supervising_provider=supervisor,
            payment_profile=patient["patient_payment_profile"],
            primary_insurer_name=primary.get("insurance_company", ""),
            primary_insurer_payer_id=primary.get("insurance_payer_id", ""),
            primary_insurance_id_number=primary.get("insurance_id_number", ""),
        )
        self.add("appointments", appointment)
        self.add("clinical_notes", _note(number, patient["id"], self.written_at))
        for position, line in enumerate(visit.lines):
            self.add("line_items", self._line(visit, appointment, position, line))
        if visit.authorization:
            self._authorization(visit, patient["id"], doctor, appointment)

    def _doctor(self, practitioner: Resource | None) -> int:
        person = practitioner or {"id": "nobody"}
        number, new = self.number("doctors", str(person["id"]), 123_450)
        if not new:
            return number
        name = (person.get("name") or [{}])[0]
        self.add(
            "doctors",
            {
                "id": number,
                "first_name": " ".join(name.get("given", ())),
                "last_name": name.get("family", ""),
                "suffix": " ".join(name.get("suffix", ())),
                "npi_number": codes.identifier(person, codes.NPI) or "",
                "group_npi_number": "",
                "specialty": "General Practice",
                "practice_group": str(PRACTICE_GROUP),
                "practice_group_name": "Simulated Practice",
                "timezone": "US/Central" if self.zone.key == "America/Chicago" else self.zone.key,
                "country": "US",
                "is_account_suspended": False,
            },
        )
        self.add("doctor_options", _options(number))
        return number

    def _office(self, visit: SeedVisit, doctor: int) -> int:
        location = visit.location or {"id": "nowhere", "name": "Main Office"}
        number, new = self.number("offices", str(location["id"]), 145_670)
        if new:
            phone = next((t.get("value", "") for t in location.get("telecom", ())), "")
            own = {"id": number, "doctor": str(doctor), "name": location.get("name", ""), "phone_number": phone}
            rest = {"country": "US", "fax_number": "", "tax_id_number_professional": "990000001", "archived": False}
            rooms = {"exam_rooms": [{"index": 1, "name": "Exam 1"}], "online_timeslots": []}
            self.add("offices", {**own, **_address(location.get("address")), **rest, **rooms})
        return number

    def _patient(self, visit: SeedVisit, doctor: int, office: int) -> Object:
        number, new = self.number("patients", str(visit.patient["id"]), _FIRST_PATIENT)
        if new:
            person = _person(visit.patient)
            chart = next((i.get("value", "") for i in visit.patient.get("identifier", ())), "")
            own = {"id": number, "chart_id": chart, "doctor": doctor, "offices": [office], "patient_status": "A"}
            patient = self.add("patients", {**own, **person, **insurance_of(visit), "updated_at": self.written_at})
        else:
            patient = self.objects["patients"][number - _FIRST_PATIENT - 1]
        if visit.referring is not None:
            patient["referring_doctor"] = _referrer(visit.referring)
        return patient

    def _line(self, visit: SeedVisit, appointment: Object, position: int, line: SeedLine) -> Object:
        number, _ = self.number("line_items", f"{visit.id}/{position}", 88_000_000)
        price = line.unit_price
        blanks = [""] * (_MODIFIER_PLACES - len(line.modifiers))
        return {
            "id": number,
            "appointment": int(appointment["id"]),
            "patient": str(appointment["patient"]),
            "doctor": str(appointment["doctor"]),
            "code": line.code,
            "procedure_type": {codes.CPT: "C", codes.HCPCS: "H"}.get(line.system, "U"),
            "description": "AS ON THE FEE SCHEDULE",
            "quantity": f"{line.quantity:.2f}",
            "units": "UN",
            "price": None if price is None else f"{price:.2f}",
            "billed": None if price is None else f"{price * line.quantity:.2f}",
            "modifiers": [*line.modifiers, *blanks],
            "diagnosis_pointers": _pointers(visit, line, as_codes=number % 2 == 0),
            "service_date": appointment["scheduled_time"][:10],
            "posted_date": appointment["scheduled_time"][:10],
            "billing_status": "",
            "denied_flag": False,
            "updated_at": self.written_at,
        }

    def _authorization(self, visit: SeedVisit, patient: int, doctor: int, appointment: Object) -> None:
        number, _ = self.number("patient_authorizations", visit.id, 9_000)
        day = appointment["scheduled_time"][:10]
        lines = [{"code": line.code, "price": "0.00", "quantity": "1"} for line in visit.lines]
        who = {"patient": str(patient), "patient_id": patient, "doctor": str(doctor), "doctor_id": doctor}
        when = {"start_date": day, "end_date": day, "expired": False, "updated_at": self.written_at}
        own = {"id": number, "auth_number": visit.authorization, "status": "Approved", "procedure_codes": lines}
        self.add("patient_authorizations", {**own, **who, **when, "number_of_visits": 1, "visits_remaining": 1})


def seed(visits: Iterable[SeedVisit], zone: ZoneInfo, written_at: str) -> Seed:
    """The day's objects; `written_at` is practice-local."""
    made = Seed(zone, written_at)
    for visit in visits:
        made.visit(visit)
    return made


def _appointment(visit: SeedVisit, number: int, zone: ZoneInfo, written_at: str) -> Object:
    started = visit.start.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds") if visit.start else None
    return {
        "id": str(number),
        "exam_room": 1,
        "scheduled_time": started,
        "duration": _minutes(visit),
        "status": "In Session" if visit.signed else "Cancelled",
        "reason": "Visit",
        "icd10_codes": [d.icd10 or d.snomed for d in visit.diagnoses],
        "icd9_codes": [],
        "billing_status": "",
        "billing_provider": None,
        "first_billed_date": None,
        "last_billed_date": None,
        "first_edi_date": None,
        "last_edi_date": None,
        "resubmit_claim_original_id": None,
        "clinical_note": {"locked": False, "pdf": None, "updated_at": written_at},
        "status_transitions": [],
        "billing_notes": [],
        "deleted_flag": False,
        "appt_is_break": False,
        "is_virtual_base": False,
        "created_at": written_at,
        "updated_at": written_at,
        "extended_updated_at": written_at,
    }


def _minutes(visit: SeedVisit) -> int:
    end = visit.encounter.get("period", {}).get("end")
    return int((datetime.fromisoformat(end) - visit.start).total_seconds() // 60) if end and visit.start else 20


def _note(number: int, patient: int, written_at: str) -> Object:
    value = {"id": 1, "clinical_note_field": 55, "value": "Seen and examined"}
    sections = [{"name": "Assessment", "clinical_note_template": 9911, "values": [value]}]
    signee = {"locked_by": None, "supervisor_locked_by": None}
    own = {"id": str(number), "appointment": str(number), "patient": str(patient), "archived": False}
    return {**own, "clinical_note_sections": sections, "signee": signee, "updated_at": written_at}


def _options(doctor: int) -> Object:
    return {"id": doctor, "doctor": doctor, "default_billing_provider": None, "default_supervising_provider": None}


def _pointers(visit: SeedVisit, line: SeedLine, *, as_codes: bool) -> list[str]:
    """Up to four places: the number of a diagnosis or its code, whichever the biller typed; empty ones are blank."""
    found = []
    for pointer in line.pointers[:_MODIFIER_PLACES]:
        known = visit.diagnoses[pointer - 1].icd10 if pointer <= len(visit.diagnoses) else ""
        found.append(known if as_codes and _LIKE_ICD.match(known) else str(pointer))
    return [*found, *[""] * (_MODIFIER_PLACES - len(found))]


def _person(patient: Resource) -> Object:
    name = (patient.get("name") or [{}])[0]
    first, *others = name.get("given") or [""]
    phone = next((t.get("value", "") for t in patient.get("telecom", ())), "")
    return {
        "first_name": first,
        "middle_name": " ".join(others),
        "last_name": " ".join(filter(None, [name.get("family", ""), *name.get("suffix", ())])),
        "date_of_birth": patient.get("birthDate"),
        "gender": _GENDERS.get(patient.get("gender", ""), ""),
        "home_phone": "",
        "cell_phone": re.sub(r"^(\d{3})-(\d{3})-(\d{4})$", r"(\1) \2-\3", phone),
        "social_security_number": "",
        "referring_doctor": None,
        **_address((patient.get("address") or [None])[0]),
    }


def _address(address: Mapping[str, Any] | None) -> Object:
    held = address or {}
    return {
        "address": ", ".join(held.get("line", ())),
        "city": held.get("city", ""),
        "state": held.get("state", ""),
        "zip_code": held.get("postalCode", ""),
    }


def _referrer(practitioner: Resource) -> Object:
    name = (practitioner.get("name") or [{}])[0]
    return {
        "first_name": " ".join(name.get("given", ())),
        "last_name": name.get("family", ""),
        "suffix": " ".join(name.get("suffix", ())),
        "npi": codes.identifier(practitioner, codes.NPI) or "",
        "provider_number": "",
        "provider_qualifier": "",
        "phone": "",
    }
