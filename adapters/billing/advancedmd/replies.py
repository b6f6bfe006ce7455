"""AdvancedMD's replies: success, faults, and the rows that the adapter needs (sections 3 to 6). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapters.billing.advancedmd import errors
from adapters.billing.advancedmd.errors import REDIRECT_CODE
from adapters.billing.advancedmd.wire import TEXT, Tree, Unreadable, attribute, decode, everywhere, rows, text
from gateway.canonical.errors import AdapterError

_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_IDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Fault:
    """What AdvancedMD complains about; the description stays inside the adapter."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class LoginReply:
    """What a login post gave: a server to go on with, or a token."""

    webserver: str
    token: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One insurance plan of a patient; `number` is the member id."""

    number: str
    starts: date | None = None
    ends: date | None = None

    def in_force(self, day: date) -> bool:
        """Whether the plan covers a day; an open end is open."""
        return (self.starts is None or self.starts <= day) and (self.ends is None or day <= self.ends)


@dataclass(frozen=True, slots=True)
class Demographics:
    """A patient's account: plans in order of payment."""

    responsible_party: str
    insurance_order: str
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge as the ledger or its own detail shows it; `states` are vendor words that prove its state."""

    charge_id: str
    visit: str
    voided: bool
    paid: bool
    billed: bool
    protected: bool
    batch: str


def read(action: str, status: int, body: bytes) -> Tree:
    """The `Results` of a good reply; raises the `AdapterError` that any other reply means."""
    reply = _decoded(action, status, body)
    fault = fault_of(reply)
    if fault is not None:
        raise errors.fault(action, fault.code, fault.description)
    results = reply.get("Results")
    if status != 200 or not isinstance(results, dict) or attribute(results, "success") != "1":
        raise _other(action, status)
    return results


def login_reply(status: int, body: bytes) -> LoginReply:
    """What a login post gave; the redirect looks like a fault and is none (section 2)."""
    reply = _decoded("login", status, body)
    context = next(iter(rows(reply, "Results", "usercontext")), None)
    if context is None:
        context = {TEXT: text((rows(reply, "Results") or [{}])[0].get("usercontext"))}
    fault = fault_of(reply)
    if fault is not None and fault.code != REDIRECT_CODE:
        raise errors.fault("login", fault.code, fault.description)
    found = LoginReply(attribute(context, "webserver"), "" if fault else text(context))
    if not found.webserver and not found.token:
        raise _other("login", status)
    return found


def fault_of(reply: Tree) -> Fault | None:
    """The fault of a reply, in any of its shapes: `Error` may be null, empty, flat, or hold a `Fault` (section 3)."""
    error = reply.get("Error")
    detail = next(iter(rows(error, "Fault", "detail")), None)
    if detail is not None:
        return Fault(text(detail.get("code")), text(detail.get("description")))
    if isinstance(error, dict) and (found := {name.lower(): value for name, value in error.items()}):
        words = (found.get("@description") or found.get("@message") or "", found.get("@code") or "")
        return Fault(str(words[1]), str(words[0]))
    return Fault("", error.strip()) if isinstance(error, str) and error.strip() else None


def pages(results: Tree, list_name: str) -> int:
    """How many pages a lookup has."""
    count = attribute((rows(results, list_name) or [{}])[0], "pagecount")
    return int(count) if count.isdigit() else 1


def listed(results: Tree, name: str) -> int:
    """How many elements of a name the reply has."""
    return sum(1 for _ in everywhere(results, name))


def numbers(results: Tree, name: str) -> set[str]:
    """The ids of the elements of a name, as numbers."""
    return {number_of(attribute(row, "id")) for row in everywhere(results, name)}


def of_code(found: Iterable[Tree], code: str) -> str | None:
    """The id of the row with exactly this code: lookups match loosely, and the exact one need not be first."""
    wanted = _bare(code)
    return next((attribute(row, "id") for row in found if _bare(attribute(row, "code")) == wanted), None)


def of_name(found: Iterable[Tree], name: str) -> list[str]:
    """The ids of the rows with this name; names of people are compared without middle names and titles."""
    wanted = _folded(name)
    return [attribute(row, "id") for row in found if _folded(attribute(row, "name")) == wanted]


def same_people(found: Iterable[Tree], person: Mapping[str, str]) -> list[Tree]:
    """The rows with a person's last and first name and birth date."""
    names, born = person_name(person["name"]), day_of(person["dob"])
    return [
        row for row in found if person_name(attribute(row, "name")) == names and day_of(attribute(row, "dob")) == born
    ]


def person_name(name: str) -> tuple[str, str]:
    """Last and first name of "LAST,FIRST M", folded."""
    last, _, given = name.partition(",")
    return _folded(last), _folded(given).partition(" ")[0]


def demographics(results: Tree) -> Demographics:
    """A patient's plans in order; a plan names its member id as `subidnumber` or `subscribernum`."""
    patient = next(everywhere(results, "patient"), {})
    plans = sorted(everywhere(results, "insplan"), key=lambda plan: attribute(plan, "coverage") or "9")
    read_plans = (_plan(plan) for plan in plans)
    return Demographics(
        attribute(patient, "respparty"),
        attribute(patient, "insorder") or "1",
        tuple(plan for plan in read_plans if plan.number),
    )


def added_id(results: Tree, name: str) -> str:
    """The id of an element that was added, or an empty text."""
    return attribute(next(everywhere(results, name), None), "id")


def charge_ids(results: Tree) -> tuple[str, ...]:
    """The ids of posted charges, from `chargevalue`."""
    return tuple(_IDS.findall(attribute(results, "chargevalue")))


def charges(results: Tree) -> tuple[Charge, ...]:
    """The charges of a ledger page or of a charge's detail."""
    return tuple(_charge(row) for row in everywhere(results, "charge") if attribute(row, "id"))


def visits(results: Tree, patient_id: str, name: str, profile: str) -> list[str]:
    """The ids of a patient's visits with a profile, of a day's visits; the patient is named by id or by name."""
    found = (row for row in everywhere(results, "visit") if attribute(row, "id"))
    return [
        attribute(row, "id")
        for row in found
        if number_of(attribute(row, "profileid")) == number_of(profile) and _is_of(row, patient_id, name)
    ]


def number_of(vendor_id: str) -> str:
    """The digits of an id: replies write the prefix of the type, requests not always."""
    return "".join(filter(str.isdigit, vendor_id))


def day_of(written: str) -> date | None:
    """A date M/D/YYYY (with or without a time), or None."""
    found = _US_DATE.match(written)
    try:
        return date(int(found[3]), int(found[1]), int(found[2])) if found else None
    except ValueError:
        return None


def _decoded(action: str, status: int, body: bytes) -> Tree:
    try:
        return decode(body)
    except Unreadable:
        raise _other(action, status) from None


def _other(action: str, status: int) -> AdapterError:
    return errors.unreadable(action) if status == 200 else errors.http(action, status)


def _plan(plan: Tree) -> Plan:
    number = attribute(plan, "subidnumber") or attribute(plan, "subscribernum")
    return Plan(number, day_of(attribute(plan, "begindate")), day_of(attribute(plan, "enddate")))


def _charge(row: Tree) -> Charge:
    return Charge(
        attribute(row, "id"),
        number_of(attribute(row, "visit")),
        voided=_true(attribute(row, "void")) or bool(attribute(row, "voideddate")),
        paid=_amount(attribute(row, "paid")),
        billed=_true(attribute(row, "insbilled")) or day_of(attribute(row, "insbilled")) is not None,
        protected=_true(attribute(row, "protected")),
        batch=attribute(row, "batchnumber"),
    )


def _true(word: str) -> bool:
    return word.lower() in {"1", "-1", "true", "y", "yes"}


def _amount(written: str) -> bool:
    return bool(re.search(r"[1-9]", written))


def _is_of(visit: Tree, patient_id: str, name: str) -> bool:
    patient = next(iter(rows(visit, "patient")), {})
    known = attribute(visit, "patientid") or attribute(patient, "id")
    if known:
        return number_of(known) == number_of(patient_id)
    return person_name(attribute(patient, "name")) == person_name(name)


def _bare(code: str) -> str:
    return code.replace(".", "").strip().upper()


def _folded(words: str) -> str:
    return " ".join(words.casefold().replace(", ", ",").split())


def one_of(found: Sequence[Any]) -> Any:
    """The only element, or None when there are none or several."""
    return found[0] if len(found) == 1 else None
