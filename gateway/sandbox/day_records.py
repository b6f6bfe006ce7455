"""Writes patients, coverages and encounters as an EHR's US Core server holds them; no two resources share a value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.sandbox.day_plan import Diagnosis, Insurance, PatientFile, Person, Provider, Visit
from gateway.sandbox.day_practice import EHR_IDENTIFIERS, SOPT, Practice, address, payer_organization, practitioner

_PARTICIPATION = f"{codes.THO}/v3-ParticipationType"
_ROLE_CODE = f"{codes.THO}/v3-RoleCode"
_DIAGNOSIS_ROLE = f"{codes.THO}/diagnosis-role"
_CONDITION_CATEGORY = f"{codes.THO}/condition-category"
_IN_OFFICE, _BY_VIDEO = "185345009", "448337001"  # SNOMED CT encounter types


def patient_records(file: PatientFile) -> list[Resource]:
    """The Patient with its RelatedPersons and Coverages."""
    relatives = [_related_person(file, i) for i in range(len(file.relatives))]
    coverages = [_coverage(file, insurance, coverage_id(file, insurance)) for insurance in file.insurances]
    lapsed = [_coverage(file, old, f"cov-{file.number:04d}-old") for old in file.lapsed]
    return [_patient(file), *relatives, *coverages, *lapsed]


def visit_records(visit: Visit, practice: Practice) -> list[Resource]:
    """The Encounter with its Conditions, its referral, and what was mistyped for it alone."""
    conditions = [_condition(visit, i, diagnosis) for i, diagnosis in enumerate(visit.diagnoses, start=1)]
    referral = [_referral(visit)] if visit.referrer else []
    return [_encounter(visit, practice), *conditions, *referral, *_own_entries(visit)]


def patient_reference(file: PatientFile) -> dict[str, Any]:
    """A reference to the Patient of a file."""
    return {"reference": f"Patient/{_patient_id(file)}"}


def coverage_id(file: PatientFile, insurance: Insurance) -> str:
    """The id of a Coverage."""
    return f"cov-{file.number:04d}-{insurance.order}"


def condition_id(visit: Visit, rank: int) -> str:
    """The id of the Condition of a rank (from 1)."""
    return f"cond-{visit.key}-{rank}"


def practitioner_reference(visit: Visit, role: str, provider: Provider) -> dict[str, Any]:
    """A reference to a provider, or to the mistyped second record of one in this visit."""
    return {"reference": f"Practitioner/{_practitioner_id(visit, role, provider)}"}


def referral_reference(visit: Visit) -> dict[str, Any]:
    """A reference to the ServiceRequest by which the patient was referred."""
    return {"reference": f"ServiceRequest/{_referral_id(visit)}"}


def location_id(visit: Visit) -> str:
    """The id of the Location where the visit was."""
    return "loc-telehealth" if visit.telehealth else visit.provider.location


def instant(moment: datetime, *, utc: bool) -> str:
    """A FHIR dateTime, with the clinic's offset or as UTC with Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if utc else moment.isoformat(timespec="seconds")


def diagnosis_concept(diagnosis: Diagnosis) -> dict[str, Any]:
    """The codings of a diagnosis; SNOMED CT stands first, as where clinicians code in it."""
    pairs = ((codes.SNOMED, diagnosis.snomed), (codes.ICD10CM, diagnosis.icd10))
    return {"coding": [{"system": system, "code": code} for system, code in pairs if code]}


def _patient_id(file: PatientFile) -> str:
    return f"pat-{file.number:04d}"


def _practitioner_id(visit: Visit, role: str, provider: Provider) -> str:
    return f"{provider.id}-again-{visit.key}" if role in visit.mistyped else provider.id


def _referral_id(visit: Visit) -> str:
    return f"ref-{visit.key}"


def _related_person_id(file: PatientFile, index: int) -> str:
    return f"rel-{file.number:04d}-{index + 1}"


def _patient(file: PatientFile) -> Resource:
    record_number = {
        "type": codes.concept(codes.IDENTIFIER_TYPE, "MR"),
        "system": f"{EHR_IDENTIFIERS}/mrn",
        "value": f"MRN{file.number:06d}",
    }
    return {
        "resourceType": "Patient",
        "id": _patient_id(file),
        "identifier": [record_number],
        "active": True,
        **_person(file.person),
    }


def _related_person(file: PatientFile, index: int) -> Resource:
    relative = file.relatives[index]
    return {
        "resourceType": "RelatedPerson",
        "id": _related_person_id(file, index),
        "active": True,
        "patient": patient_reference(file),
        "relationship": [codes.concept(_ROLE_CODE, relative.role)],
        **_person(relative.person),
    }


def _person(person: Person) -> dict[str, Any]:
    """The elements that Patient and RelatedPerson have in common; what nobody entered is absent."""
    name: dict[str, Any] = {"use": "official", "family": person.family, "given": list(person.given)}
    if person.suffix:
        name["suffix"] = [person.suffix]
    elements: dict[str, Any] = {
        "name": [name] if person.family else [],
        "telecom": [{"system": "phone", "value": person.phone, "use": "home"}],
        "gender": person.gender,
        "birthDate": person.birth_date.isoformat() if person.birth_date else "",
        "address": [{"use": "home", **address(person.address)}] if person.address else [],
    }
    return {element: value for element, value in elements.items() if value}


def _coverage(file: PatientFile, insurance: Insurance, resource_id: str) -> Resource:
    payer = insurance.payer
    kind = {"coding": [{"system": SOPT, "code": payer.sopt}, {"system": codes.ACT_CODE, "code": payer.act_code}]}
    resource: Resource = {
        "resourceType": "Coverage",
        "id": resource_id,
        "status": insurance.status,
        "type": kind,
        "subscriber": _subscriber(file, insurance),
        "beneficiary": patient_reference(file),
        "relationship": codes.concept(codes.RELATIONSHIP, insurance.relationship),
        "period": _days(insurance.start, insurance.end),
        "payor": [{"reference": f"Organization/{payer.id}"}],
        "class": _coverage_classes(insurance),
        "order": insurance.order,
    }
    return {**resource, **_member_id(insurance)}


def _subscriber(file: PatientFile, insurance: Insurance) -> dict[str, Any]:
    if insurance.subscriber is None:
        return patient_reference(file)
    index = next(i for i, relative in enumerate(file.relatives) if relative is insurance.subscriber)
    return {"reference": f"RelatedPerson/{_related_person_id(file, index)}"}


def _member_id(insurance: Insurance) -> dict[str, Any]:
    """US Core 15: the member id is in the identifier of type MB, in subscriberId, or in both."""
    if not insurance.member_id:
        return {}
    identifier = {
        "type": codes.concept(codes.IDENTIFIER_TYPE, "MB"),
        "system": f"{EHR_IDENTIFIERS}/member/{insurance.payer.id}",
        "value": insurance.member_id,
    }
    elements = {"identifier": [identifier], "subscriberId": insurance.member_id}
    return {k: v for k, v in elements.items() if insurance.member_id_as in (k, "both")}


def _coverage_classes(insurance: Insurance) -> list[dict[str, Any]]:
    plan_code = insurance.payer.id.removeprefix("payer-").upper()
    plan = {
        "type": codes.concept(codes.COVERAGE_CLASS, "plan"),
        "value": plan_code,
        "name": insurance.payer.plan,
    }
    if not insurance.group:
        return [plan]
    return [{"type": codes.concept(codes.COVERAGE_CLASS, "group"), "value": insurance.group}, plan]


def _days(start: date, end: date | None) -> dict[str, str]:
    return {"start": start.isoformat()} | ({"end": end.isoformat()} if end else {})


def _encounter(visit: Visit, practice: Practice) -> Resource:
    end = visit.start + timedelta(minutes=visit.minutes)
    resource: Resource = {
        "resourceType": "Encounter",
        "id": visit.encounter_id,
        "meta": {"versionId": "1", "lastUpdated": instant(visit.signed, utc=True)},
        "identifier": [{"system": f"{EHR_IDENTIFIERS}/visit", "value": f"V{visit.start:%y%m%d}-{visit.key}"}],
        "status": "finished",
        "class": {"system": codes.ACT_CODE, "code": "VR" if visit.telehealth else "AMB"},
        "type": [codes.concept(codes.SNOMED, _BY_VIDEO if visit.telehealth else _IN_OFFICE)],
        "subject": patient_reference(visit.file),
        "participant": _participants(visit),
        "period": {
            "start": instant(visit.start, utc=visit.written_in_utc),
            "end": instant(end, utc=visit.written_in_utc),
        },
        "diagnosis": _encounter_diagnoses(visit),
        "location": [{"location": {"reference": f"Location/{location_id(visit)}"}}],
        "serviceProvider": {"reference": f"Organization/{practice.organization.id}"},
    }
    if visit.referrer:
        resource["basedOn"] = [referral_reference(visit)]
    return resource


def _participants(visit: Visit) -> list[dict[str, Any]]:
    """Who took part: physicians attend (ATND); a supervised assistant performs (PPRF) beside the supervisor (SPRF)."""
    supervised = bool(visit.provider.supervisor)
    rendering = practitioner_reference(visit, "rendering", visit.provider)
    members = [("PPRF" if supervised else "ATND", rendering)]
    if visit.referrer:
        members.insert(0, ("REF", practitioner_reference(visit, "referring", visit.referrer)))
    if supervised:
        members.append(("SPRF", {"reference": f"Practitioner/{visit.provider.supervisor}"}))
    return [{"type": [codes.concept(_PARTICIPATION, kind)], "individual": who} for kind, who in members]


def _encounter_diagnoses(visit: Visit) -> list[dict[str, Any]]:
    """The diagnoses with their rank; some EHRs list them in another order."""
    entries = [
        {
            "condition": {"reference": f"Condition/{condition_id(visit, rank)}"},
            "use": codes.concept(_DIAGNOSIS_ROLE, "billing"),
            "rank": rank,
        }
        for rank in range(1, len(visit.diagnoses) + 1)
    ]
    return entries[::-1] if visit.listed_out_of_rank else entries


def _condition(visit: Visit, rank: int, diagnosis: Diagnosis) -> Resource:
    return {
        "resourceType": "Condition",
        "id": condition_id(visit, rank),
        "clinicalStatus": codes.concept(f"{codes.THO}/condition-clinical", "active"),
        "verificationStatus": codes.concept(f"{codes.THO}/condition-ver-status", "confirmed"),
        "category": [codes.concept(_CONDITION_CATEGORY, "encounter-diagnosis")],
        "code": diagnosis_concept(diagnosis),
        "subject": patient_reference(visit.file),
        "encounter": {"reference": f"Encounter/{visit.encounter_id}"},
        "recordedDate": visit.start.date().isoformat(),
    }


def _referral(visit: Visit) -> Resource:
    resource: Resource = {
        "resourceType": "ServiceRequest",
        "id": _referral_id(visit),
        "identifier": [{"system": f"{EHR_IDENTIFIERS}/referral", "value": visit.referral_number}],
        "status": "completed",
        "intent": "order",
        "category": [codes.concept(codes.SNOMED, "3457005")],
        "code": codes.concept(codes.SNOMED, "183452005"),
        "subject": patient_reference(visit.file),
    }
    if visit.referrer:
        resource["requester"] = practitioner_reference(visit, "referring", visit.referrer)
    return resource


def _own_entries(visit: Visit) -> list[Resource]:
    """Practitioners whom somebody entered a second time with a wrong NPI, and payers that only this visit names."""
    people = {"rendering": visit.provider, "referring": visit.referrer}
    mistyped = [
        practitioner(person, resource_id=_practitioner_id(visit, role, person), npi=visit.mistyped[role])
        for role, person in people.items()
        if person is not None and role in visit.mistyped
    ]
    unlisted = [payer_organization(i.payer) for i in visit.file.insurances if not i.payer.payer_id]
    return [*mistyped, *unlisted]
