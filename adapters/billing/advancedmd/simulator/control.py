"""What the control routes show and change: the ledger, and the hands of the biller and the payer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapters.billing.advancedmd.simulator.gate import Gate
from adapters.billing.advancedmd.simulator.state import Charge, Office, Patient, Visit
from gateway.kit.simulator_app import ControlRefused

Json = dict[str, Any]
_STEPS = ("posted", "billed", "paid", "voided")


def ledger(office: Office) -> Json:
    """Everything that is saved, oldest first; amounts are strings.

    `claims` is what every billing simulator shows: one entry for each post of charges, by the submission id that its
    note begins with.
    """
    posts = [(visit, submission) for visit in office.visits.values() for submission in visit.submissions]
    return {
        "claims": [{"submission_id": submission, "vendor_id": visit.visit_id} for visit, submission in posts],
        "patients": [_patient(patient) for patient in office.patients.values()],
        "parties": [{"id": party.party_id, "name": party.name} for party in office.parties.values()],
        "visits": [_visit(visit) for visit in office.visits.values()],
    }


def advance(office: Office, gate: Gate, body: Json) -> Json:
    """Move charges, or change the account: {"visit"?, "to"?, "expire"?, "now"?, "unlock"?}.

    `to`: posted (a biller approves), billed (AdvancedMD sends the claim), paid, voided; without it each charge takes
    its next step up to billed. `expire` ends all sessions, `now` sets the account's clock (ISO with zone), `unlock`
    forgets bad logins. Answers {"moved": [charge ids]}.
    """
    if body.get("expire"):
        gate.tokens.clear()
    if body.get("unlock"):
        gate.locked, gate.bad_logins = False, 0
    if "now" in body:
        gate.at = datetime.fromisoformat(body["now"]) if body["now"] else None
    if body.keys() & {"expire", "unlock", "now"} and "to" not in body:
        return {"moved": []}
    step = body.get("to")
    if step is not None and step not in _STEPS:
        raise ControlRefused(f"unknown step {step!r}")
    return {"moved": [_moved(office, charge, step) for charge in _chosen(office, body) if not charge.void]}


def _chosen(office: Office, body: Json) -> Iterable[Charge]:
    if "visit" not in body:
        return [charge for _, charge in office.charges.values()]
    visit = office.visit(str(body["visit"]))
    if visit is None:
        raise ControlRefused("unknown visit")
    return visit.charges


def _moved(office: Office, charge: Charge, step: str | None) -> str:
    if step == "voided":
        charge.void = True
        return charge.charge_id
    if step in ("billed", "paid") or (step is None and charge.batch):
        charge.billed = True
    if step == "paid":
        charge.paid = (charge.fee * charge.units * Decimal("0.8")).quantize(Decimal("0.01"))
    charge.batch = charge.batch or office.next_number("batch")
    return charge.charge_id


def _patient(patient: Patient) -> Json:
    return {
        "id": patient.patient_id,
        "name": patient.name,
        "party": patient.party.party_id,
        "plans": [
            {"number": p.number, "carrier": p.carrier, "subscriber": p.subscriber, "coverage": p.coverage}
            for p in patient.plans
        ],
    }


def _visit(visit: Visit) -> Json:
    return {
        "id": visit.visit_id,
        "patient": visit.patient.patient_id,
        "profile": visit.profile,
        "facility": visit.facility,
        "day": visit.day.isoformat(),
        "notes": [note for note, _ in visit.posts],
        "charges": [_charge(charge) for charge in visit.charges],
    }


def _charge(charge: Charge) -> Json:
    return {
        "id": charge.charge_id,
        "procedure": charge.procedure,
        "modifiers": charge.modifiers,
        "diagnoses": charge.diagnoses,
        "units": str(charge.units),
        "fee": str(charge.fee),
        "begins": charge.begins.isoformat(),
        "ends": charge.ends.isoformat(),
        "pos": charge.place,
        "batch": charge.batch,
        "billed": charge.billed,
        "void": charge.void,
    }
