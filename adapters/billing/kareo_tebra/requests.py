"""The members of each SOAP request. Pure; order is the encoder's business, the ids are the directory's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from adapters.billing.kareo_tebra.parts import nested
from adapters.billing.kareo_tebra.rows import FOUND_ROWS, NEW_PATIENT_ROWS, NEW_ROWS
from gateway.kit.encoders.soap import Value
from gateway.kit.mapping import apply

Contract = dict[str, Value]
_DAY = timedelta(days=1)
_SEARCHED = ("FirstName", "LastName")


@dataclass(frozen=True, slots=True)
class ResolvedIds:
    """Tebra's ids of the practice's own people and places that one encounter names."""

    practice: str
    location: str
    rendering_provider: str
    referring_provider: str | None = None
    supervising_provider: str | None = None


def list_request(**criteria: Value) -> Contract:
    """A list read: `Fields` empty returns every column, `Filter` must be there (section 5)."""
    return {"Fields": {}, "Filter": criteria}


def patients(patient: Mapping[str, Any], practice_name: str) -> Contract:
    """GetPatients by name and birth date; `ToDateOfBirth` is exclusive (section 5)."""
    born = date.fromisoformat(patient["DateofBirth"][:10])
    return list_request(
        FromDateOfBirth=born.isoformat(),
        ToDateOfBirth=(born + _DAY).isoformat(),
        PracticeName=practice_name,
        **{name: patient[name] for name in _SEARCHED},
    )


def patient(patient_id: str) -> Contract:
    """GetPatient has no Fields (section 5)."""
    return {"Filter": {"PatientID": patient_id}}


def charges(batch_number: str, first: date, last: date) -> Contract:
    """GetCharges of one batch, unapproved ones too.

    The service dates are given a day of room on both sides: a half-open range would default to seven days, and
    whether the end is inclusive is not documented (section 5).
    """
    return list_request(
        BatchNumber=batch_number,
        FromServiceDate=(first - _DAY).isoformat(),
        IncludeUnapprovedCharges="T",
        ToServiceDate=(last + _DAY).isoformat(),
    )


def encounter_details(encounter_id: str, practice_name: str) -> Contract:
    """GetEncounterDetails of one encounter."""
    return list_request(EncounterID=encounter_id, Practice={"PracticeName": practice_name})


def create_patient(document: Mapping[str, Any], practice_id: str, *, with_case: bool) -> Contract:
    """CreatePatient, with the claim's coverages as an active case when `with_case`."""
    cases: Contract = {"Cases": {"PatientCaseCreateReq": [_case(document, "Create")]}} if with_case else {}
    return {"Patient": {**document["patient"], **cases, **_practice(practice_id)}}


def add_case(document: Mapping[str, Any], practice_id: str, patient_id: str) -> Contract:
    """UpdatePatient with nothing but one case without a CaseID: Tebra adds it and leaves the rest as it is."""
    cases: Contract = {"PatientCaseUpdateReq": [_case(document, "Update")]}
    return {"Patient": {"Cases": cases, "PatientID": patient_id, **_practice(practice_id)}}


def _practice(practice_id: str) -> Contract:
    return nested(apply(NEW_PATIENT_ROWS, {"found": {"practice": practice_id}}))


def _case(document: Mapping[str, Any], verb: str) -> Contract:
    new = apply(NEW_ROWS, {"constant": True})
    policies = [{**new, **policy} for policy in document["case"]["Policies"]]
    return {**new, **document["case"], "Policies": {f"InsurancePolicy{verb}Req": policies}}


def reject_encounter(encounter_id: str, practice_name: str) -> Contract:
    """UpdateEncounterStatus: the encounter leaves the biller's list and is never billed (section 7)."""
    practice = {"PracticeName": practice_name}
    return {"EncounterUpdateStatus": {"EncounterID": encounter_id, "EncounterStatus": "Rejected", "Practice": practice}}


def create_encounter(document: Mapping[str, Any], ids: ResolvedIds, patient_id: str, case_id: str) -> Contract:
    """CreateEncounter: the document's members with Tebra's ids filled in (section 6)."""
    found = {"patient": patient_id, "case": case_id, **asdict(ids)}
    encounter: Contract = {
        **document["encounter"],
        **nested(apply(FOUND_ROWS, {"found": found})),
        "ServiceLines": {"ServiceLineReq": document["lines"]},
    }
    return {"Encounter": encounter}
