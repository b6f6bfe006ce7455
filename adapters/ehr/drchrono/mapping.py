"""A DrChrono visit as US Core FHIR R4 with its charges as one Claim. Pure.

Source: vendor document sections 4 (which call fills which box) to 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono import rows, words
from adapters.ehr.drchrono.insurance import Held, case_status, coverages_of
from adapters.ehr.drchrono.readings import REFERRING, Line, Visit
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.canonical import codes, jsonio
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.canonical.models import EncounterRecord, Resource
from gateway.kit.ehr_reading import read
from gateway.kit.ehr_vendor_settings import OwnBilling
from gateway.kit.shaping import resource, shaped

OWN_BILLING_FIELDS = (
    "first_billed_date",
    "last_billed_date",
    "first_edi_date",
    "last_edi_date",
    "resubmit_claim_original_id",
)
BILLING_FIELDS = (
    "patient",
    "doctor",
    "office",
    "scheduled_time",
    "duration",
    "icd10_codes",
    "supervising_provider",
    "payment_profile",
    "deleted_flag",
    *OWN_BILLING_FIELDS,
)
"""The members of an appointment that the claim depends on; billing_status does only where it names a case."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the connection's settings and the clinic say of the mapping."""

    zone: ZoneInfo
    requires_supervisor: bool = False
    own_billing: OwnBilling = OwnBilling.HOLD
    left_out_codes: frozenset[str] = frozenset()
    relook_seconds: float = 0.0
    payer_ids: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: DrChronoSettings, clinic: ClinicFacts) -> Options:
        """The options of a connection."""
        return cls(
            zone=ZoneInfo(settings.timezone) if settings.timezone else clinic.timezone,
            requires_supervisor=settings.requires_supervisor,
            own_billing=settings.own_billing,
            left_out_codes=frozenset(code.upper() for code in settings.left_out_codes),
            relook_seconds=settings.relook_seconds,
            payer_ids=clinic.payer_ids,
        )


def fhir_record(record: EncounterRecord, options: Options) -> EncounterRecord:
    """The visit in FHIR; raises `NotSignedOff` for an open note, `MappingError` with the path of DrChrono's field."""
    found = _Found(record)
    appointment = record.encounter
    _require_signed(appointment, found, options)
    _require_unbilled(appointment, options)
    billed = [line for line in found.all("LineItem") if str(line.get("code")).upper() not in options.left_out_codes]
    if not billed:
        raise NotSignedOff(
            "LineItem",
            "no charges yet: the note is locked, but the billing tab has no line for this visit",
            "Enter the charges in DrChrono's billing tab; the gateway then picks them up by itself.",
            look_after=options.relook_seconds,
        )
    lined = frozenset(str(line.get("code")).upper() for line in billed)
    patient = found.one("Patient")
    people = [*_people(found), *_referrer(patient)]
    visit = Visit(
        appointment,
        options.zone,
        authorizations=tuple(found.all("PatientAuthorization")),
        codes=lined,
        people=frozenset(person["id"] for person in people),
        default_supervisor=words.text(found.one("DoctorOptions").get("default_supervising_provider")) or "",
        line_doctors=tuple(str(line["doctor"]) for line in billed if line.get("doctor")),
    )
    encounter = _encounter(appointment, visit)
    held = coverages_of(appointment, patient, options.payer_ids)
    claim = _claim(visit, billed, held)
    made = [_patient(patient), *people, *_locations(found), *(r for h in held for r in h.resources), claim]
    return replace(record, encounter=encounter, resources=tuple(made))


def billing_content(appointment: Mapping[str, Any]) -> str:
    """A short hash of all that the claim reads of an appointment: equal means that nothing of it has changed."""
    note = note_state(appointment)
    told = {name: appointment.get(name) for name in BILLING_FIELDS}
    content = [told, case_status(appointment), note.get("locked"), note.get("updated_at")]
    return hashlib.sha256(jsonio.canonical_bytes(content)).hexdigest()[:16]


class _Found:
    """The record's objects by DrChrono's type."""

    def __init__(self, record: EncounterRecord) -> None:
        self._by_type: dict[str, list[Resource]] = {}
        for obj in record.resources:
            self._by_type.setdefault(str(obj["resourceType"]), []).append(obj)

    def all(self, type_: str) -> list[Resource]:
        """All objects of a type, in order."""
        return self._by_type.get(type_, [])

    def one(self, type_: str) -> Resource:
        """The first object of a type, or an empty one."""
        return next(iter(self.all(type_)), {})


def _require_signed(appointment: Resource, found: _Found, options: Options) -> None:
    if not is_locked(appointment):
        raise NotSignedOff(
            "Appointment.clinical_note.locked",
            "the note is not locked, so the visit is not billed yet",
            "Lock the note in DrChrono; the gateway then picks it up by itself.",
            look_after=options.relook_seconds,
        )
    signee = found.one("ClinicalNote").get("signee") or {}
    if options.requires_supervisor and not signee.get("supervisor_locked_by"):
        raise NotSignedOff(
            "ClinicalNote.signee.supervisor_locked_by",
            "the supervisor has not locked the note, and this clinic asks for it",
            "Let the supervisor lock the note in DrChrono; the gateway then picks it up by itself.",
            look_after=options.relook_seconds,
        )


def note_state(appointment: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the appointment's verbose form says of its note; empty where it says nothing."""
    found = appointment.get("clinical_note")
    return found if isinstance(found, dict) else {}


def is_locked(appointment: Mapping[str, Any]) -> bool:
    """Whether the visit's note is locked: DrChrono's sign-off."""
    return note_state(appointment).get("locked") is True


def _require_unbilled(appointment: Resource, options: Options) -> None:
    billed = next((name for name in OWN_BILLING_FIELDS if appointment.get(name)), None)
    if billed and options.own_billing is OwnBilling.HOLD:
        raise MappingError(
            f"Appointment.{billed}",
            "DrChrono has already billed this visit, and a second claim would be a duplicate",
            "Bill it in one place only; where DrChrono's dates mean nothing, set own_billing to ignore.",
        )


def _encounter(appointment: Resource, visit: Visit) -> Resource:
    version = "".join(c for c in str(appointment.get("updated_at") or "") if c.isdigit())
    return {
        **resource("Encounter", appointment["id"], rows.ENCOUNTER_ROWS, {"Appointment": appointment}),
        **_required(rows.ENCOUNTER_READINGS, visit),
        "meta": {"versionId": version},
        "status": "finished",
        "class": {"system": codes.ACT_CODE, "code": "AMB"},
    }


def _required(readings: Iterable[Any], place: object) -> dict[str, Any]:
    """What readings give; raises for one that is required and gives nothing."""
    values = read(readings, place)
    for row in readings:
        if row.required and all(values[target] is None for target in row.targets):
            raise MappingError(row.source.partition(",")[0], row.note, row.fix)
    return {target: value for target, value in values.items() if value not in (None, [])}


def _patient(patient: Resource) -> Resource:
    return resource("Patient", patient.get("id", ""), rows.PATIENT_ROWS, {"Patient": patient})


def _people(found: _Found) -> list[Resource]:
    doctors = found.all("Doctor")
    return [resource("Practitioner", doctor["id"], rows.PRACTITIONER_ROWS, {"Doctor": doctor}) for doctor in doctors]


def _referrer(patient: Resource) -> list[Resource]:
    made = shaped(rows.REFERRER_ROWS, {"Patient": patient})
    if not made.get("name") and not made.get("identifier"):
        return []
    return [{"resourceType": "Practitioner", "id": f"{patient.get('id')}{REFERRING}", **made}]


def _locations(found: _Found) -> list[Resource]:
    made = [resource("Location", o["id"], rows.LOCATION_ROWS, {"Office": o}) for o in found.all("Office")]
    return [{**location, "status": "active"} for location in made]


def _claim(visit: Visit, lines: Iterable[Resource], held: Iterable[Held]) -> Resource:
    found = read(rows.CLAIM_READINGS, visit)
    performers = {
        member["provider"]["reference"].partition("/")[2]: member["sequence"]
        for member in found["careTeam"]
        if member["role"] == codes.concept(codes.CARE_TEAM_ROLE, "rendering")
    }
    authorized = {"preAuthRef": found["insurance.preAuthRef"]} if found["insurance.preAuthRef"] else {}
    insurance = [
        {"sequence": i, "focal": i == 1, "coverage": {"reference": h.reference}, **(authorized if i == 1 else {})}
        for i, h in enumerate(held, start=1)
    ]
    accident = next((h.accident for h in held if h.accident), None)
    return {
        "resourceType": "Claim",
        "id": str(visit.appointment["id"]),
        "status": "active",
        "type": codes.concept(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": words.patient_reference(visit.appointment.get("patient")),
        "careTeam": found["careTeam"],
        "diagnosis": found["diagnosis"],
        "insurance": insurance,
        "item": [_item(Line(line, visit, performers), number) for number, line in enumerate(lines, start=1)],
        **({"accident": accident} if accident else {}),
    }


def _item(line: Line, number: int) -> dict[str, Any]:
    made = shaped(rows.ITEM_ROWS, {"LineItem": line.line})
    values = read(rows.ITEM_READINGS, line)
    made.setdefault("quantity", {})["value"] = values.pop("quantity.value")
    return {"sequence": number, **made, **{name: value for name, value in values.items() if value}}
