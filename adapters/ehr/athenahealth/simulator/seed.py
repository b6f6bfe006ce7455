"""A practice that holds the visits of a clinic day, in athenahealth's own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.athenahealth.simulator import seed_people as people
from adapters.ehr.athenahealth.simulator.practice import Practice
from adapters.ehr.athenahealth.simulator.words import Row, eastern, mdy
from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.kit.simulator_seed import SeedDiagnosis, SeedLine, SeedVisit, visits

FIRST = {"encounter": 62001, "appointment": 1050001, "service": 9001, "diagnosis": 15001, "authorization": 77}
CENTRAL = ZoneInfo("America/Chicago")
UNDATED = datetime(2026, 1, 2, 15, tzinfo=UTC)
NOT_A_DIAGNOSIS = "Z99.89"
"""The code of a line that points at a diagnosis that the encounter does not have."""


def fill(practice: Practice, resources: Iterable[Resource]) -> None:
    """Put every visit of a day into the practice, in its order; dates are those at its departments."""
    _Desk(practice).admit(visits(resources))


class _Desk:
    def __init__(self, practice: Practice) -> None:
        self._practice = practice
        self._ids: dict[str, dict[str, str]] = {}

    def admit(self, day: Iterable[SeedVisit]) -> None:
        for visit in day:
            self._admit(visit)

    def _id(self, kind: str, known_as: str, first: int) -> str:
        """The id of something that several visits may share."""
        of_kind = self._ids.setdefault(kind, {})
        return of_kind.setdefault(known_as, str(first + len(of_kind)))

    def _next(self, kind: str) -> int:
        return int(self._id(kind, str(len(self._ids.get(kind, {}))), FIRST[kind]))

    def _admit(self, visit: SeedVisit) -> None:
        held, encounter_id, appointment_id = (
            self._practice,
            str(self._next("encounter")),
            str(self._next("appointment")),
        )
        start = (visit.start or UNDATED).astimezone(CENTRAL)
        patient_id = self._patient(visit)
        appointment = self._appointment(visit, appointment_id, encounter_id, patient_id, start)
        held.appointments[appointment_id] = appointment
        held.encounters[encounter_id] = _encounter(appointment, start)
        held.diagnoses[encounter_id] = [self._diagnosis(d, i) for i, d in enumerate(visit.diagnoses, start=1)]
        held.conditions[encounter_id] = [
            _condition(row, d, encounter_id, practice=held.id)
            for row, d in zip(held.diagnoses[encounter_id], visit.diagnoses, strict=True)
        ]
        held.services[encounter_id] = self._services(visit)
        held.accidents[appointment_id] = _accident(visit, appointment_id)
        held.visit_insurances[appointment_id] = _of_the_visit(held.insurances[patient_id], start.date(), visit)
        if visit.authorization or visit.referral_number:
            held.authorizations.setdefault(patient_id, []).extend(self._authorizations(visit, appointment_id, start))

    def _patient(self, visit: SeedVisit) -> str:
        patient_id = self._id("patient", visit.patient["id"], 7001)
        held = self._practice
        if patient_id not in held.patients:
            held.patients[patient_id] = people.patient(visit.patient, patient_id)
            held.insurances[patient_id] = [
                people.insurance(coverage, self._id("insurance", coverage.coverage["id"], 63), self._package(coverage))
                for coverage in visit.coverages
            ]
        return patient_id

    def _package(self, coverage: Any) -> str:
        payer = coverage.payer or {"id": "none"}
        return self._id("package", payer["id"], 89401)

    def _provider(self, resource: Resource | None) -> int | None:
        if resource is None:
            return None
        provider_id = self._id("provider", resource["id"], 86)
        self._practice.providers.setdefault(provider_id, people.provider(resource, int(provider_id)))
        return int(provider_id)

    def _referrer(self, resource: Resource | None) -> int | None:
        if resource is None:
            return None
        referrer_id = self._id("referrer", resource["id"], 86)  # another id space than the providers'
        self._practice.referring.setdefault(referrer_id, people.referrer(resource, referrer_id))
        return int(referrer_id)

    def _department(self, visit: SeedVisit) -> str:
        location = visit.location or {"resourceType": "Location", "id": "none"}
        department_id = self._id("department", location["id"], 162)
        row = people.department(location, department_id, visit.place_of_service)
        self._practice.departments.setdefault(department_id, row)
        return department_id

    def _appointment(
        self, visit: SeedVisit, appointment_id: str, encounter_id: str, patient_id: str, start: datetime
    ) -> Row:
        rendering = self._provider(visit.rendering)
        return {
            "appointmentid": appointment_id,
            "patientid": patient_id,
            "departmentid": self._department(visit),
            "providerid": None if rendering is None else str(rendering),
            "renderingproviderid": rendering,
            "supervisingproviderid": self._provider(visit.supervising),
            "referringproviderid": self._referrer(visit.referring),
            "date": mdy(start.date()),
            "starttime": start.strftime("%H:%M"),
            "duration": 20,
            "appointmenttype": "Established Patient 20",
            "appointmenttypeid": "82",
            "appointmentstatus": "2",
            "encounterid": encounter_id,
            "encounterstatus": "WITHSTAFF",
            "chargeentrynotrequired": False,
            "copay": "25",
            "checkindatetime": eastern(start),
            "lastmodified": eastern(start),
            "lastmodifiedby": "astone",
        }

    def _diagnosis(self, diagnosis: SeedDiagnosis, ranking: int) -> Row:
        code = {"codeset": "ICD10", "code": diagnosis.icd10.replace(".", ""), "description": "as coded"}
        return {
            "diagnosisid": self._next("diagnosis"),
            "ranking": ranking,
            "snomedcode": int(diagnosis.snomed) if diagnosis.snomed else None,
            "description": "as the clinician wrote it",
            "supportslaterality": False,
            "icdcodes": [code] if diagnosis.icd10 else [],
        }

    def _services(self, visit: SeedVisit) -> list[Row]:
        """The billing slip: the visit's charges, and one that the clinician has not marked to be billed."""
        lines = [self._service(line, visit.diagnoses, i) for i, line in enumerate(visit.lines, start=1)]
        unbilled = {"procedurecode": "99211", "units": 1, "billforservice": "false", "icd10codes": []}
        return [*lines, {"serviceid": str(self._next("service")), **unbilled, "ordering": len(lines) + 1}]

    def _service(self, line: SeedLine, diagnoses: tuple[SeedDiagnosis, ...], ordering: int) -> Row:
        known = {i: d.icd10 for i, d in enumerate(diagnoses, start=1)}
        return {
            "serviceid": str(self._next("service")),
            "procedurecode": ",".join([line.code, *line.modifiers]),
            "description": "as coded",
            "units": int(line.quantity),
            "billforservice": True,
            "icd10codes": [code for p in line.pointers if (code := known.get(p, NOT_A_DIAGNOSIS))],
            "ordering": ordering,
        }

    def _authorizations(self, visit: SeedVisit, appointment_id: str, start: datetime) -> list[Row]:
        numbers = (("PRIORAUTH", visit.authorization), ("REFERRAL", visit.referral_number))
        return [
            {
                "referralauthid": str(self._next("authorization")),
                "referralauthnumber": number,
                "referralauthtype": kind,
                "insuranceidnumber": visit.coverages[0].member_id if visit.coverages else None,
                "visits": "10",
                "appointmentids": [int(appointment_id)],
                "expired": "false",
                "startdate": mdy(date(start.year, 1, 1)),
                "expirationdate": mdy(date(start.year, 12, 31)),
            }
            for kind, number in numbers
            if number
        ]


def _encounter(appointment: Mapping[str, Any], start: datetime) -> Row:
    return {
        "encounterid": appointment["encounterid"],
        "appointmentid": appointment["appointmentid"],
        "encounterdate": mdy(start.date()),
        "appointmentstartdate": start.isoformat(timespec="seconds"),
        "encountertype": "VISIT",
        "encountervisitname": appointment["appointmenttype"],
        "status": "OPEN",
        "stage": "EXAM",
        "departmentid": int(appointment["departmentid"]),
        "providerid": appointment["renderingproviderid"],
        "patientstatusid": "6",
        "patientstatus": "Checked Out",
        "lastupdated": mdy(start.date()),
    }


def _condition(row: Row, diagnosis: SeedDiagnosis, encounter_id: str, *, practice: str) -> Resource:
    pairs = ((codes.SNOMED, diagnosis.snomed), (codes.ICD10CM, diagnosis.icd10))
    return {
        "resourceType": "Condition",
        "id": f"a-{practice}.encounter-diagnosis-{row['diagnosisid']}",
        "category": [codes.concept(f"{codes.THO}/condition-category", "encounter-diagnosis")],
        "code": {"coding": [{"system": system, "code": code} for system, code in pairs if code]},
        "encounter": {"reference": f"Encounter/a-{practice}.encounter-{encounter_id}"},
    }


def _accident(visit: SeedVisit, appointment_id: str) -> Row:
    return {
        "appointmentid": appointment_id,
        "relatedtoemployment": bool(visit.accident),
        "relatedtoautoaccident": "false",
        "relatedtootheraccident": False,
        "anotherpartyresponsible": False,
    }


def _of_the_visit(held: list[Row], day: date, visit: SeedVisit) -> list[Row]:
    """The insurances that the front desk attached to the visit: those in force, else whatever there is."""
    day_text = day.isoformat()
    standing = [row for row in held if not row.get("cancelled")]
    current = [row for row in standing if people.ends(row) is None or str(people.ends(row)) >= day_text] or standing
    if not visit.accident:
        return [dict(row) for row in current]
    case = {
        "casepolicytypename": "Workers Comp",
        "caseinjurydate": mdy(date.fromisoformat(visit.accident["date"])),
        "relatedtoemployment": "true",
    }
    return [{**row, **case} for row in current]
