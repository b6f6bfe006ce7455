"""The messages of each action without token and time (sections 2, 5 and 6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.billing.advancedmd import actions
from adapters.billing.advancedmd.rows import relationship
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.wire import Tree

EXACT, LOOSE = "-1", "0"


@dataclass(frozen=True, slots=True)
class Message:
    """One call: an action and its attributes and children."""

    action: str
    content: Tree

    def tree(self, token: str, sent_at: datetime) -> Tree:
        """The whole message; the token travels inside it, never as an attribute (section 3)."""
        return {
            "@action": self.action,
            "@class": actions.CLASSES.get(self.action, "api"),
            "@msgtime": message_time(sent_at),
            "@nocookie": "1",
            "usercontext": token,
            **self.content,
        }


@dataclass(frozen=True, slots=True)
class ChargeIds:
    """AdvancedMD's ids of one charge's codes, in the order of the claim."""

    procedure: str
    modifiers: tuple[str, ...]
    diagnoses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VisitIds:
    """AdvancedMD's ids around the charges of a visit."""

    patient: str
    responsible_party: str
    insurance_order: str
    visit: str
    profile: str
    facility: str


def message_time(sent_at: datetime) -> str:
    """MM/DD/YYYY hh:mm:ss AM|PM, in the clinic's time."""
    return sent_at.strftime("%m/%d/%Y %I:%M:%S %p")


def plain(vendor_id: str) -> str:
    """The number of an id without the prefix of its type: addvisit and diagnoses want it so (section 3)."""
    return vendor_id.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") or vendor_id


def prefixed(prefix: str, vendor_id: str) -> str:
    """The id with the prefix of its type."""
    return vendor_id if vendor_id.startswith(prefix) else prefix + plain(vendor_id)


def login(settings: AdvancedMdSettings, sent_at: datetime) -> Tree:
    """The login message; its two posts are the same (section 2)."""
    return {
        "@action": actions.LOGIN,
        "@class": actions.LOGIN,
        "@msgtime": message_time(sent_at),
        "@username": settings.username.get_secret_value(),
        "@psw": settings.password.get_secret_value(),
        "@officecode": settings.office_key.get_secret_value(),
        "@appname": settings.app_name,
    }


def lookup(action: str, page: int = 1, *, exact: str = EXACT, **attributes: str) -> Message:
    """A page of a lookup by code or name."""
    named = {f"@{name}": value for name, value in attributes.items()}
    return Message(action, {**named, "@exactmatch": exact, "@page": str(page)})


def setup() -> Message:
    """The office's profiles and facilities."""
    return Message(actions.GET_SETUP, {})


def demographic(patient_id: str) -> Message:
    """A patient's demographics with the insurance plans."""
    return Message(actions.GET_DEMOGRAPHIC, {"@patientid": plain(patient_id)})


def visits_of(day: str) -> Message:
    """The visits of a day; no other columns are allowed (section 5)."""
    columns = {
        "visit": {"@columnheading": "", "@duration": "", "@color": "", "@apptstatus": ""},
        "patient": {"@name": "", "@chart": ""},
        "insurance": {"@carname": "", "@carcode": ""},
    }
    return Message(actions.GET_VISITS, {"@visitdate": short_date(day), **columns})


def history(patient_id: str, profile: str, first_day: str, last_day: str, page: int = 1) -> Message:
    """A page of a patient's charges with a profile between two days, voided ones too."""
    attributes = {
        "patientid": plain(patient_id),
        "pagenumber": str(page),
        "filterhistory": "0",
        "typefilter": "0",
        "sortbypayment": "0",
        "groupbyvisit": "0",
        "sortdescending": "0",
        "profileid": plain(profile),
        "getmemo": "0",
        "fromdate": first_day,
        "todate": last_day,
    }
    return Message(actions.GET_HISTORY, {f"@{name}": value for name, value in attributes.items()})


def charge(charge_id: str) -> Message:
    """One charge in detail."""
    return Message(actions.GET_CHARGE, {"@chargeid": charge_id})


def add_patient(person: Mapping[str, str], profile: str, responsible_party: str, hipaa_code: str) -> Message:
    """A new patient; `responsible_party` is an id or SELF."""
    patient = {
        "@respparty": responsible_party,
        **_identity(person),
        **_related(hipaa_code),
        "@ssn": "",
        "@chart": "AUTO",
        "@profile": plain(profile),
        **_contact(person),
    }
    return Message(actions.ADD_PATIENT, {"patientlist": {"patient": patient}})


def add_responsible_party(person: Mapping[str, str]) -> Message:
    """A subscriber who is no patient."""
    party = {**_identity(person), "@accttype": "4", **_contact(person)}
    return Message(actions.ADD_RESPONSIBLE_PARTY, {"resppartylist": {"respparty": party}})


def add_insurance(patient_id: str, coverage: Mapping[str, Any], carrier: str, subscriber: str) -> Message:
    """One insurance plan of a patient; `subscriber` is the id of a responsible party."""
    names = ("begindate", "enddate", "grpname", "grpnum", "subscribernum", "coverage")
    plan = {
        "@id": "",
        "@carrier": carrier,
        "@subscriber": subscriber,
        **_related(coverage["hipaarelationship"]),
        "@copay": "0.00",
        **{f"@{name}": coverage[name] for name in names if name in coverage},
    }
    patient = {"@id": patient_id, "@changed": "1", "insplanlist": {"insplan": plan}}
    return Message(actions.ADD_INSURANCE, {"patient": patient})


def add_visit(patient_id: str, profile: str, day: str) -> Message:
    """A visit: numbers without prefix."""
    appointment = {"@patient": plain(patient_id), "@profile": plain(profile), "@date": short_date(day)}
    return Message(actions.ADD_VISIT, {"appt": appointment})


def charges(document: Mapping[str, Any], ids: VisitIds, codes: list[ChargeIds]) -> Message:
    """The charges of a visit: the one message that creates the claim. A replacement voids what is there first."""
    told = document["visit"]
    visit = {
        "@id": plain(ids.visit),
        "@date": told["date"],
        "@force": told["force"],
        "@profile": ids.profile,
        **({"@facility": ids.facility} if ids.facility else {}),
        "@note": told["note"],
        "@insorder": ids.insurance_order,
        "chargelist": {"charge": [_charge(c, i) for c, i in zip(document["charges"], codes, strict=True)]},
    }
    attributes = {
        "@patientid": plain(ids.patient),
        "@approval": told["approval"],
        **({"@respparty": ids.responsible_party} if ids.responsible_party else {}),
        "@insorder": ids.insurance_order,
        "@acceptassign": "1",
    }
    action = actions.SAVE_CHARGES if "replaces" in document else actions.POST_CHARGES
    return Message(action, {**attributes, "visit": visit})


def short_date(day: str) -> str:
    """3/3/2026 for 03/03/2026."""
    return "/".join(part.lstrip("0") for part in day.split("/"))


def _charge(told: Mapping[str, str], ids: ChargeIds) -> Tree:
    coded = {"proccode", "modcodes", "diagcodes"}
    return {
        "@proccode": ids.procedure,
        **{f"@{name}": value for name, value in told.items() if name not in coded},
        "@modcodes": " ".join(ids.modifiers),
        "diagcodelist": {"@codeset": "10", "diagcode": [{"@id": plain(each)} for each in ids.diagnoses]},
    }


def _identity(person: Mapping[str, str]) -> Tree:
    return {f"@{name}": person[name] for name in ("name", "sex", "dob")}


def _related(hipaa_code: str) -> Tree:
    return {"@relationship": relationship(hipaa_code), "@hipaarelationship": hipaa_code}


def _contact(person: Mapping[str, str]) -> Tree:
    def some(*names: str) -> Tree:
        return {f"@{name}": person[name] for name in names if name in person}

    return {"address": some("address1", "address2", "city", "state", "zip"), "contactinfo": some("homephone", "email")}
