"""The writing actions: patients, plans, visits and charges (vendor document, sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation

from adapters.billing.advancedmd.simulator.codec import Tree, child, children
from adapters.billing.advancedmd.simulator.gate import Refused
from adapters.billing.advancedmd.simulator.reads import required
from adapters.billing.advancedmd.simulator.state import Charge, Office, Patient, Plan, Visit, day_of

DUPLICATE = "-2147220444"  # section 7 gives no code of the duplicate fault
_MAX_DIAGNOSES = _MAX_MODIFIERS = 4


def add_patient(office: Office, message: Tree) -> Tree:
    """addpatient: a patient of the same name and birth date is refused."""
    given = _needed(message, "patientlist", "patient")
    required(given, "respparty", "name", "sex", "relationship", "hipaarelationship", "dob", "chart", "profile")
    name, born = _name_and_day(given)
    if any(p.name.split()[0] == name.split()[0] and p.born == born for p in office.patients.values()):
        raise Refused(DUPLICATE, "A duplicate patient exists")
    _known_profile(office, str(given["@profile"]))
    party = office.parties.get(str(given["@respparty"]))
    if party is None:
        if given["@respparty"] != "SELF":
            raise Refused("2051", "Invalid attribute respparty")
        party = office.add_party(name, born)
    number = office.next_number("patient")
    chart = office.next_number("chart") if given["@chart"] == "AUTO" else str(given["@chart"])
    patient = Patient(f"pat{number}", name, born, str(given["@sex"]), chart, party, str(given["@hipaarelationship"]))
    office.patients[number] = patient
    return {"patientlist": {"patient": {"@id": patient.patient_id, "@respparty": party.party_id, "@name": name}}}


def add_party(office: Office, message: Tree) -> Tree:
    """addrespparty: somebody who pays and is no patient."""
    given = _needed(message, "resppartylist", "respparty")
    required(given, "name", "dob", "sex")
    name, born = _name_and_day(given)
    return {"respparty": {"@id": office.add_party(name, born).party_id, "@accttype": "4"}}


def add_insurance(office: Office, message: Tree) -> Tree:
    """addinsurance: a plan of a patient."""
    given = _needed(message, "patient")
    plan = _needed(message, "patient", "insplanlist", "insplan")
    required(given, "id", "changed")
    required(plan, "id", "carrier", "subscriber", "subscribernum", "hipaarelationship", "relationship", "coverage")
    patient = office.patient(str(given["@id"]))
    carriers = {entry.entry_id for entry in office.directory.carriers}
    if patient is None or plan["@carrier"] not in carriers or plan["@subscriber"] not in office.parties:
        raise Refused("2051", "Invalid attribute id, carrier or subscriber")
    if any(known.coverage == plan["@coverage"] for known in patient.plans):
        raise Refused("2051", "Invalid attribute coverage")
    starts, ends = (day_of(str(plan.get(f"@{name}", ""))) for name in ("begindate", "enddate"))
    made = Plan(
        f"ins{office.next_number('plan')}",
        str(plan["@carrier"]),
        str(plan["@subscriber"]),
        str(plan["@subscribernum"]),
        str(plan["@hipaarelationship"]),
        str(plan["@coverage"]),
        starts,
        ends,
    )
    patient.plans.append(made)
    return {"patientlist": {"patient": {"@id": patient.patient_id, "insplanlist": {"insplan": {"@id": made.plan_id}}}}}


def add_visit(office: Office, message: Tree) -> Tree:
    """addvisit: every call makes another visit; it wants numbers without prefix."""
    given = _needed(message, "appt")
    required(given, "patient", "profile", "date")
    if not (str(given["@patient"]).isdigit() and str(given["@profile"]).isdigit()):
        raise Refused("2051", "Invalid attribute patient or profile")
    patient, day = office.patient(str(given["@patient"])), day_of(str(given["@date"]))
    _known_profile(office, str(given["@profile"]))
    if patient is None or day is None:
        raise Refused("2051", "Invalid attribute patient or date")
    visit = Visit(office.next_number("visit"), patient, str(given["@profile"]), day)
    office.visits[visit.visit_id] = visit
    return {"visit": {"@id": visit.visit_id, "@date": str(given["@date"])}}


def post_charges(office: Office, message: Tree) -> Tree:
    """updvisitwithquickcharges and updvisitwithnewcharges: more charges on a visit."""
    visit, told = _visit_of(office, message)
    return _charged(office, visit, told, message)


def save_charges(office: Office, message: Tree) -> Tree:
    """savecharges: VOIDS every charge of the visit, whoever posted it, then posts the list."""
    visit, told = _visit_of(office, message)
    made = _read_charges(office, visit, told)
    for charge in visit.charges:
        charge.void = True
    return _kept(office, visit, told, message, made)


WRITES: dict[str, Callable[[Office, Tree], Tree]] = {
    "addpatient": add_patient,
    "addrespparty": add_party,
    "addinsurance": add_insurance,
    "addvisit": add_visit,
    "updvisitwithquickcharges": post_charges,
    "updvisitwithnewcharges": post_charges,
    "savecharges": save_charges,
}
"""Action to what does it."""


def _charged(office: Office, visit: Visit, told: Tree, message: Tree) -> Tree:
    made = _read_charges(office, visit, told)
    if str(told.get("@force", "0")) != "1":
        taken = {
            (charge.procedure, charge.begins)
            for other in office.visits.values()
            if other.patient is visit.patient and other.profile == visit.profile
            for charge in other.charges
            if not charge.void
        }
        if any((charge.procedure, charge.begins) in taken for charge in made):
            raise Refused(DUPLICATE, "Duplicate charge for this date of service, provider and patient")
    return _kept(office, visit, told, message, made)


def _kept(office: Office, visit: Visit, told: Tree, message: Tree, made: list[Charge]) -> Tree:
    batch = "" if str(message.get("@approval", "0")) == "1" else office.next_number("batch")
    for charge in made:
        charge.batch = batch
        office.charges[charge.charge_id] = (visit, charge)
    visit.charges += made
    visit.facility = str(told.get("@facility", ""))
    visit.posts.append((str(told.get("@note", "")), tuple(charge.charge_id for charge in made)))
    return {"@chargevalue": ",".join(charge.charge_id for charge in made)}


def _visit_of(office: Office, message: Tree) -> tuple[Visit, Tree]:
    required(message, "patientid", "approval")
    told = _needed(message, "visit")
    required(told, "id", "date", "profile")
    visit = office.visit(str(told["@id"]))
    if visit is None or office.patient(str(message["@patientid"])) is not visit.patient:
        raise Refused("2051", "Invalid attribute visit id or patientid")
    if str(told["@profile"]) != f"prof{visit.profile}":
        raise Refused("2051", "Invalid attribute profile: the visit belongs to another")
    facilities = {entry.entry_id for entry in office.directory.facilities}
    if told.get("@facility") and told["@facility"] not in facilities:
        raise Refused("2051", "Invalid attribute facility")
    if message.get("@respparty") and message["@respparty"] not in office.parties:
        raise Refused("2051", "Invalid attribute respparty")
    return visit, told


def _read_charges(office: Office, visit: Visit, told: Tree) -> list[Charge]:
    given = children(told, "chargelist", "charge")
    if not given:
        raise Refused("2049", "Missing element charge")
    return [_read_charge(office, visit, charge) for charge in given]


def _read_charge(office: Office, visit: Visit, given: Tree) -> Charge:
    required(given, "proccode", "units", "begindate", "enddate", "pos", "billins")
    directory = office.directory
    procedure = directory.procedures.of_id(str(given["@proccode"]))
    if procedure is None or given["@proccode"] != procedure.entry_id:
        raise Refused("2051", f"Invalid attribute proccode {given['@proccode']}")
    listed = child(given, "diagcodelist")
    if listed.get("@codeset") != "10":
        raise Refused("2048", "Missing attribute codeset")
    numbers = [str(each.get("@id", "")) for each in children(listed, "diagcode")]
    diagnoses = [directory.diagnoses.of_id(number) if number.isdigit() else None for number in numbers]
    modifiers = [directory.modifiers.of_id(each) for each in str(given.get("@modcodes", "")).split()]
    if not diagnoses or None in diagnoses or len(diagnoses) > _MAX_DIAGNOSES:
        raise Refused("2050", "Invalid element diagcodelist")
    if None in modifiers or len(modifiers) > _MAX_MODIFIERS:
        raise Refused("2051", "Invalid attribute modcodes")
    begins, ends = (day_of(str(given[f"@{name}"])) for name in ("begindate", "enddate"))
    if begins is None or ends is None or ends < begins:
        raise Refused("2051", "Invalid attribute begindate or enddate")
    units, fee = _number(given, "units"), _number(given, "fee", directory.fees.get(procedure.code))
    return Charge(
        office.next_number("charge"),
        procedure.code,
        [m.code for m in modifiers if m],
        [d.code for d in diagnoses if d],
        units,
        fee,
        begins,
        ends,
        str(given["@pos"]),
    )


def _number(given: Tree, name: str, default: Decimal | None = None) -> Decimal:
    if f"@{name}" not in given and default is not None:
        return default
    try:
        number = Decimal(str(given.get(f"@{name}")))
    except InvalidOperation:
        raise Refused("2051", f"Invalid attribute {name}") from None
    if number <= 0:
        raise Refused("2051", f"Invalid attribute {name}")
    return number


def _needed(message: Tree, *path: str) -> Tree:
    found = child(message, *path)
    if not found:
        raise Refused("2049", f"Missing element {path[-1]}")
    return found


def _name_and_day(given: Tree) -> tuple[str, date]:
    name, born = str(given["@name"]).upper(), day_of(str(given["@dob"]))
    if "," not in name or born is None:
        raise Refused("2051", "Invalid attribute name or dob")
    return name, born


def _known_profile(office: Office, number: str) -> None:
    if f"prof{number}" not in {entry.entry_id for entry in office.directory.profiles}:
        raise Refused("2051", "Invalid attribute profile")
