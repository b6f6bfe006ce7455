"""From athenahealth's objects to US Core FHIR R4: rows for each object, and how they hang together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.ehr.athenahealth import authorizations, billable, diagnoses, rows, slip
from adapters.ehr.athenahealth.values import day, flag, number, rank, text
from gateway.canonical import codes
from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.canonical.models import EncounterRecord, Resource
from gateway.kit.ehr_reading import Rule
from gateway.kit.ehr_tables import vendor_tables
from gateway.kit.shaping import resource, shaped

Row = Mapping[str, Any]
PSEUDO_PACKAGES = frozenset({"0", "-500"})
"""Insurance packages that are none: self pay and payment plan."""
ACCIDENTS = (
    ("relatedtoautoaccident", codes.concept(codes.ACT_CODE, "MVA")),
    ("relatedtoemployment", codes.concept(codes.ACT_CODE, "WPA")),
    ("relatedtootheraccident", codes.concept(f"{codes.THO}/v3-NullFlavor", "OTH")),
)
"""Flags of the accident data and of case policies, and the accident's type; the first one counts."""
NEITHER = "unknown"
"""The gender of a patient without `sex`: it knows only M and F, and what is empty is left out."""
_CARE_TEAM_ROLE = f"{codes.THO}/claimcareteamrole"
_AMBULATORY = {"system": codes.ACT_CODE, "code": "AMB"}
_NOT_CLOSED = "the encounter is not closed, so it is not billed yet"
_IN_REVIEW = "the encounter awaits the review of a supervisor, so it is not billed yet"
_CLOSE = "Close the encounter in athenahealth; the gateway then picks it up by itself."
_NO_ACCIDENT_DATE = "the visit is marked as an accident's, and no case policy tells the date of the injury"
_ENTER_INJURY = "Enter the injury date on the case policy of this visit in athenahealth."


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say: `payer_ids` are the clinic's, `guarded` looks at athenahealth's own claims.

    `watch_seconds` is the least time between two looks at an encounter that is not closed.
    """

    payer_ids: Mapping[str, str]
    guarded: bool
    watch_seconds: float


def is_insurance(row: Row) -> bool:
    """Whether an insurance row stands for a payer."""
    return text(row.get("insurancepackageid")) not in PSEUDO_PACKAGES


def fhir_record(record: EncounterRecord, terms: Terms) -> EncounterRecord:
    """The record as US Core resources with one Claim.

    Raises `MappingError` with the path of the vendor's field, `NotSignedOff` for an encounter that is not closed.
    """
    status = text(record.encounter.get("status"))
    if status != rows.SIGNED:
        message = _IN_REVIEW if status == rows.IN_REVIEW else _NOT_CLOSED
        raise NotSignedOff("encounter.status", message, _CLOSE, look_after=terms.watch_seconds)
    chart = _Chart(record)
    problems = list(billable.objections(chart.encounter, chart.appointment, chart.all("claim"), guarded=terms.guarded))
    conditions = diagnoses.conditions(chart.all("diagnosis"), chart.all("Condition"), _belongs(chart))
    problems += (uncoded := diagnoses.uncoded(conditions))
    parts = [lambda: _accident(chart), lambda: _authorizations(chart)]
    parts += [] if uncoded else [lambda: _claim(chart, conditions)]  # its lines point at diagnoses by their codes
    claim = {name: value for part in parts for name, value in _tried(part, problems).items()}
    if problems:
        raise MappingError.of(problems)
    return replace(
        record,
        encounter=_encounter(chart, conditions),
        resources=(
            *_people(chart),
            *_places(chart),
            *conditions,
            *_insurance(chart, terms.payer_ids),
            {"resourceType": "Claim", "id": chart.id, **claim},
        ),
    )


class _Chart:
    """The record's objects by the name of the read that gave them."""

    def __init__(self, record: EncounterRecord) -> None:
        self.id, self.encounter = record.ref.encounter_id, record.encounter
        self._held: dict[str, list[Resource]] = {}
        for held in record.resources:
            self._held.setdefault(held["resourceType"], []).append(held)
        self.appointment, self.patient = self.first("appointment"), self.first("patient")
        self.insurances = self._insurances()
        self.serviced = day(self.encounter.get("encounterdate"))

    def all(self, name: str) -> list[Resource]:
        return self._held.get(name, [])

    def first(self, name: str) -> Row:
        return next(iter(self.all(name)), {})

    def _insurances(self) -> list[Resource]:
        """Those of the visit, else of the patient; a case policy of the patient's only for a visit of an accident."""
        own = [row for row in self.all("insurance") if is_insurance(row)]
        told = self.first("accidentdata")
        is_case = any(flag(told.get(name)) for name, _ in ACCIDENTS)
        others = [row for row in self.all("patientinsurance") if is_insurance(row)]
        return own or [row for row in others if is_case or not _is_case_policy(row)]

    @property
    def subject(self) -> dict[str, str]:
        return {"reference": rows.patient_reference(self.appointment.get("patientid", self.encounter.get("patientid")))}

    @property
    def roots(self) -> dict[str, Row]:
        return {"encounter": self.encounter, "appointment": self.appointment, "patient": self.patient}


def _is_case_policy(row: Row) -> bool:
    return bool(row.get("casepolicytypename") or row.get("caseinjurydate"))


def _tried(part: Callable[[], Mapping[str, Any]], problems: list[MappingError]) -> Mapping[str, Any]:
    try:
        return part()
    except MappingError as problem:
        problems.append(problem)
        return {}


def _belongs(chart: _Chart) -> dict[str, Any]:
    return {"subject": chart.subject, "encounter": {"reference": f"Encounter/{chart.id}"}}


def _encounter(chart: _Chart, conditions: Sequence[Resource]) -> Resource:
    ranked = [
        {"condition": {"reference": f"Condition/{c['id']}"}, "rank": place}
        for place, c in enumerate(conditions, start=1)
    ]
    made = resource("Encounter", chart.id, rows.ENCOUNTER_ROWS, chart.roots)
    return {**made, "class": _AMBULATORY, "diagnosis": ranked}


def _people(chart: _Chart) -> list[Resource]:
    named = (("provider", "providerid", "provider"), ("referringprovider", "referringproviderid", "referring"))
    practitioners = [
        resource("Practitioner", f"{prefix}-{text(row.get(member))}", rows.PROVIDER_ROWS, {"provider": row})
        for kind, member, prefix in named
        for row in chart.all(kind)
    ]
    if not chart.patient:
        return practitioners
    patient_id = text(chart.patient.get("patientid"))
    made = resource("Patient", patient_id, rows.PATIENT_ROWS, chart.roots)
    return [{"gender": NEITHER, **made}, *practitioners]


def _places(chart: _Chart) -> list[Resource]:
    return [
        {
            **resource("Location", text(row.get("departmentid")), rows.DEPARTMENT_ROWS, {"department": row}),
            "status": "active",
        }
        for row in chart.all("department")
    ]


def _insurance(chart: _Chart, payer_ids: Mapping[str, str]) -> list[Resource]:
    """The Coverages with their payers, and the policy holders who are not the patient."""
    made: list[Resource] = []
    for row in chart.insurances:
        insurance_id, roots = text(row.get("insuranceid")), {"insurance": row}
        coverage = {"status": "active", **resource("Coverage", insurance_id, rows.COVERAGE_ROWS, roots)}
        coverage["subscriber"] = insured = SUBSCRIBER.via(coverage, chart.subject)
        if insured != chart.subject:
            holder = resource("RelatedPerson", f"holder-{insurance_id}", rows.SUBSCRIBER_ROWS, roots)
            made.append({**holder, "patient": chart.subject})
        coverage["beneficiary"] = chart.subject
        order = ORDER.via(row)
        made += [{**coverage, **({"order": order} if order else {})}, _payer(row, payer_ids)]
    return list({f"{r['resourceType']}/{r['id']}": r for r in made}.values())


_SELF = rows.relationship("self")


def _order(row: Row) -> int | None:
    """The payer's place: 1 is billed first."""
    return rank(row["sequencenumber"]) if number(row.get("sequencenumber")) else None


def _insured(coverage: Resource, patient: Mapping[str, str]) -> Mapping[str, str]:
    """The patient, or by the relationship the policy holder."""
    is_patient = coverage.get("relationship", _SELF) == _SELF
    return patient if is_patient else {"reference": f"RelatedPerson/holder-{coverage['id']}"}


ORDER = Rule("order", "insurance.sequencenumber", _order)
SUBSCRIBER = Rule("subscriber", "insurance.relationshiptoinsured | insurance.relationshiptoinsuredid", _insured)


def _payer(row: Row, payer_ids: Mapping[str, str]) -> Resource:
    """The payer; the clinic names its id by package, then by reporting category, its number or its name."""
    made = resource("Organization", text(row.get("insurancepackageid")), rows.PAYER_ROWS, {"insurance": row})
    keys = (text(row.get(name)) for name in ("insurancepackageid", "ircid", "ircname"))
    payer_id = next((payer_ids[key] for key in keys if key in payer_ids), None)
    if payer_id:
        made["identifier"] = [{"system": codes.PAYER_IDENTIFIER, "value": payer_id}, *made.get("identifier", ())]
    return made


def _claim(chart: _Chart, conditions: Sequence[Resource]) -> dict[str, Any]:
    """Who, why and what: the care team, the diagnoses in order, and the billing slip's lines."""
    sequences = {code: i for i, c in reversed(list(enumerate(conditions, start=1))) if (code := diagnoses.code_of(c))}
    serviced = chart.serviced.isoformat() if chart.serviced else None
    return {
        "status": "active",
        "type": codes.concept(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": chart.subject,
        "careTeam": _care_team(chart),
        "diagnosis": [
            {"sequence": i, "diagnosisReference": {"reference": f"Condition/{c['id']}"}}
            for i, c in enumerate(conditions, start=1)
        ],
        "item": slip.items(chart.all("service"), sequences, serviced),
    }


def _care_team(chart: _Chart) -> list[dict[str, Any]]:
    members = [(role, shaped((row,), chart.roots)) for role, row in rows.CARE_TEAM_ROWS.items()]
    return [
        {"sequence": i, **member, "role": codes.concept(_CARE_TEAM_ROLE, role)}
        for i, (role, member) in enumerate(members, start=1)
        if member
    ]


def _accident(chart: _Chart) -> dict[str, Any]:
    """Claim.accident by the visit's accident data or a case policy, with the date of the injury."""
    told = chart.first("accidentdata")
    case = next((row for row in chart.insurances if row.get("caseinjurydate")), {})
    kind = next((kind for owner in (told, case) for name, kind in ACCIDENTS if flag(owner.get(name))), None)
    if kind is None:
        return {}
    made = shaped(rows.ACCIDENT_ROWS, {"insurance": case, "accidentdata": told})
    if "date" not in made:
        raise MappingError("insurance.caseinjurydate", _NO_ACCIDENT_DATE, _ENTER_INJURY)
    return {"accident": {**made, "type": kind}}


def _authorizations(chart: _Chart) -> dict[str, Any]:
    """The prior authorization (box 23) and the referral that belong to the visit."""
    visit = authorizations.Visit(
        text(chart.appointment.get("appointmentid")),
        chart.serviced,
        {text(row.get("insuranceidnumber")) for row in chart.insurances} - {""},
        slip.billed_codes(chart.all("service")),
    )
    held = chart.all("referralauth")
    authorized, referred = (rule.via(held, visit) for rule in AUTHORIZATION_RULES)
    insurance = {"insurance": [{"sequence": 1, "focal": True, "preAuthRef": [authorized]}]} if authorized else {}
    return {**insurance, **({"referral": {"identifier": {"value": referred}}} if referred else {})}


AUTHORIZATION_RULES = (
    Rule("insurance.preAuthRef", "referralauth.referralauthnumber", authorizations.authorization_number),
    Rule("referral.identifier", "referralauth.referralauthnumber", authorizations.referral_number),
)

TABLES = vendor_tables(
    {
        "Encounter": rows.ENCOUNTER_ROWS,
        "Patient": rows.PATIENT_ROWS,
        "RelatedPerson": rows.SUBSCRIBER_ROWS,
        "Coverage": (*rows.COVERAGE_ROWS, ORDER, SUBSCRIBER),
        "Organization": rows.PAYER_ROWS,
        "Practitioner": rows.PROVIDER_ROWS,
        "Location": rows.DEPARTMENT_ROWS,
        "Condition": diagnoses.DIAGNOSIS_RULES,
        "Claim.careTeam (rendering)": (rows.CARE_TEAM_ROWS["rendering"],),
        "Claim.careTeam (referring)": (rows.CARE_TEAM_ROWS["referring"],),
        "Claim.careTeam (supervising)": (rows.CARE_TEAM_ROWS["supervisor"],),
        "Claim.item": (*slip.SLIP_ROWS, slip.MODIFIERS, slip.POINTERS),
        "Claim.accident": rows.ACCIDENT_ROWS,
        "Claim": AUTHORIZATION_RULES,
    }
)
"""What the mapping document prints of this adapter."""
