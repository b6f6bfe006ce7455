"""The reading actions: lookups, demographics, visits, the ledger (vendor document, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adapters.billing.advancedmd.simulator.codec import Tree
from adapters.billing.advancedmd.simulator.directory import CodeTable, Directory, Entry
from adapters.billing.advancedmd.simulator.gate import Refused
from adapters.billing.advancedmd.simulator.state import Charge, Office, Patient, Visit, day_of, written

PAGE = 50
MAX_RECORDS = 1000
_VISIT_COLUMNS = {
    "visit": {"@columnheading", "@duration", "@color", "@apptstatus"},
    "patient": {"@name", "@chart"},
    "insurance": {"@carname", "@carcode"},
}


def required(message: Tree, *names: str) -> None:
    """Raise fault 2048 for an attribute that is missing."""
    for name in names:
        if f"@{name}" not in message:
            raise Refused("2048", f"Missing attribute {name}")


def paged(message: Tree, found: Sequence[Tree], list_name: str, row_name: str) -> Tree:
    """A page of a lookup's rows with its counts."""
    if len(found) > MAX_RECORDS:
        raise Refused("-2147217350", "More than 1000 records")
    page = int(str(message.get("@page") or 1))
    pages = max(1, -(-len(found) // PAGE))
    rows = list(found[(page - 1) * PAGE : page * PAGE])
    counts = {"@itemcount": str(len(found)), "@page": str(page), "@pagecount": str(pages)}
    return {list_name: {**counts, row_name: rows}}


def is_exact(message: Tree) -> bool:
    """Whether only exact matches are wanted."""
    return str(message.get("@exactmatch", "0")) in {"-1", "1"}


def _by_code(table: Callable[[Directory], CodeTable], name: str) -> Callable[[Office, Tree], Tree]:
    def look_up(office: Office, message: Tree) -> Tree:
        required(message, "code")
        found = table(office.directory).like(str(message["@code"]), exact=is_exact(message))
        rows = [{"@id": e.entry_id, "@code": e.code, "@description": e.name} for e in found]
        return paged(message, rows, f"{name}list", name)

    return look_up


def _by_name(entries: Callable[[Directory], list[Entry]], name: str) -> Callable[[Office, Tree], Tree]:
    def look_up(office: Office, message: Tree) -> Tree:
        required(message, "name")
        found = [_row(e) for e in entries(office.directory) if _like(e.name, message)]
        return paged(message, found, f"{name}list", name)

    return look_up


def _facility(office: Office, message: Tree) -> Tree:
    required(message, "code")
    code = str(message["@code"]).upper()
    found = [_row(e) for e in office.directory.facilities if e.code.startswith(code)]
    return paged(message, found, "facilitylist", "facility")


def _setup(office: Office, message: Tree) -> Tree:
    return {
        "columnlist": {"column": [{"@id": "col2", "@heading": "Main"}]},
        "profilelist": {"profile": [_row(e) for e in office.directory.profiles]},
        "facilitylist": {"facility": [_row(e) for e in office.directory.facilities]},
    }


def _patients(office: Office, message: Tree) -> Tree:
    if not (message.get("@name") or message.get("@phone")):
        raise Refused("2048", "Missing attribute name")
    found = [_patient_row(p) for p in office.patients.values() if _like(p.name, message)]
    return paged(message, found, "patientlist", "patient")


def _parties(office: Office, message: Tree) -> Tree:
    required(message, "name")
    found = [
        {"@id": party.party_id, "@name": party.name, "@dob": written(party.born), "@ssn": ""}
        for party in office.parties.values()
        if _like(party.name, message)
    ]
    return paged(message, found, "resppartylist", "respparty")


def _demographic(office: Office, message: Tree) -> Tree:
    required(message, "patientid")
    patient = office.patient(str(message["@patientid"]))
    if patient is None:
        raise Refused("2051", "Invalid attribute patientid")
    plans = [
        {
            "@id": plan.plan_id,
            "@carrier": plan.carrier,
            "@subscriber": plan.subscriber,
            "@subidnumber": plan.number,
            "@coverage": plan.coverage,
            "@begindate": written(plan.starts),
            "@enddate": written(plan.ends),
        }
        for plan in patient.plans
    ]
    account = {"@respparty": patient.party.party_id, "@insorder": "1", "@finclass": "1"}
    carriers = [_row(e) for e in office.directory.carriers if e.entry_id in {p.carrier for p in patient.plans}]
    return {
        "patientlist": {"patient": {**_patient_row(patient), **account, "insplanlist": {"insplan": plans}}},
        "carrierlist": {"carrier": carriers},
    }


def _date_visits(office: Office, message: Tree) -> Tree:
    required(message, "visitdate")
    for name, allowed in _VISIT_COLUMNS.items():
        wanted = message.get(name)
        if isinstance(wanted, dict) and wanted.keys() - allowed:
            raise Refused("400", "Invalid column name")
    day = day_of(str(message["@visitdate"]))
    found = [_visit_row(visit) for visit in office.visits.values() if visit.day == day]
    return {"@visitcount": str(len(found)), "visitlist": {"visit": found}}


def _history(office: Office, message: Tree) -> Tree:
    required(message, "patientid", "pagenumber", "filterhistory", "typefilter", "profileid")
    patient = office.patient(str(message["@patientid"]))
    if patient is None:
        raise Refused("2051", "Invalid attribute patientid")
    first, last = (day_of(str(message.get(f"@{name}") or "")) for name in ("fromdate", "todate"))
    found = [
        _history_row(visit, charge)
        for visit in office.visits.values()
        if visit.patient is patient and visit.profile == str(message["@profileid"])
        for charge in visit.charges
        if (first is None or charge.begins >= first) and (last is None or charge.begins <= last)
    ]
    if len(found) > MAX_RECORDS:
        raise Refused("-2147217350", "More than 1000 records")
    page = int(str(message["@pagenumber"]))
    return {"@chargecount": str(len(found)), "chargelist": {"charge": found[(page - 1) * PAGE : page * PAGE]}}


def _charge_detail(office: Office, message: Tree) -> Tree:
    required(message, "chargeid")
    known = office.charges.get(str(message["@chargeid"]))
    if known is None:
        raise Refused("2051", "Invalid attribute chargeid")
    visit, charge = known
    detail = {
        **_history_row(visit, charge),
        "@begindate": written(charge.begins),
        "@enddate": written(charge.ends),
        "@batchnumber": charge.batch,
        "@billins": "1",
        "@insbilled": "1" if charge.billed else "0",
        "@protected": "0" if charge.batch else "1",
        "@diagcodes": " ".join(charge.diagnoses),
        "@modcodes": " ".join(charge.modifiers),
    }
    return {"patientlist": {"patient": {"@id": visit.patient.patient_id, "chargelist": {"charge": [detail]}}}}


READS: dict[str, Callable[[Office, Tree], Tree]] = {
    "lookupproccode": _by_code(lambda d: d.procedures, "proccode"),
    "lookupdiagcode": _by_code(lambda d: d.diagnoses, "diagcode"),
    "lookupmodcode": _by_code(lambda d: d.modifiers, "modcode"),
    "lookupprofile": _by_name(lambda d: d.profiles, "profile"),
    "lookupcarrier": _by_name(lambda d: d.carriers, "carrier"),
    "lookupfacility": _facility,
    "lookuppatient": _patients,
    "lookuprespparty": _parties,
    "getschedulersetup": _setup,
    "getdemographic": _demographic,
    "getdatevisits": _date_visits,
    "gettxhistory": _history,
    "getchargedetaildata": _charge_detail,
}
"""Action to what answers it."""


def _like(name: str, message: Tree) -> bool:
    wanted = str(message.get("@name") or "").upper()
    return name == wanted if is_exact(message) else name.startswith(wanted)


def _row(entry: Entry) -> Tree:
    return {"@id": entry.entry_id, "@code": entry.code, "@name": entry.name}


def _patient_row(patient: Patient) -> Tree:
    return {
        "@id": patient.patient_id,
        "@name": patient.name,
        "@dob": written(patient.born),
        "@gender": patient.sex,
        "@chart": patient.chart,
        "@ssn": "",
    }


def _visit_row(visit: Visit) -> Tree:
    return {
        "@id": visit.visit_id,
        "@duration": "15",
        "@apptstatus": "0",
        "@profileid": f"prof{visit.profile}",
        "@facilityid": visit.facility,
        "patient": {"@name": visit.patient.name, "@chart": visit.patient.chart},
        "insurance": {"@carname": "", "@carcode": ""},
    }


def _history_row(visit: Visit, charge: Charge) -> dict[str, Any]:
    return {
        "@id": charge.charge_id,
        "@patientid": visit.patient.patient_id,
        "@proccode": charge.procedure,
        "@visit": visit.visit_id,
        "@dos": written(charge.begins),
        "@void": "1" if charge.void else "0",
        "@fee": str(charge.fee),
        "@paid": str(charge.paid),
    }
