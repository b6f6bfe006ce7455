"""The reads of the v1 API (vendor document sections 5-10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from adapters.ehr.athenahealth.simulator.practice import Practice
from adapters.ehr.athenahealth.simulator.words import Row, missing, read_mdy, refuse, v1
from gateway.kit.simulator_http import Response

LISTED_STATUSES = frozenset({"OPEN", "CLOSED", "REVIEW"})
LISTED_TYPES = frozenset({"VISIT", "ORDERSONLY"})


@dataclass(frozen=True, slots=True)
class Call:
    """One v1 read: the path below the practice, the ids in it, and the query."""

    path: str
    ids: tuple[str, ...]
    query: Mapping[str, str]


class Reads:
    """Answers reads of one practice."""

    def __init__(self, practice: Practice, most: int) -> None:
        self._practice, self._most = practice, most
        self.routes: tuple[tuple[str, re.Pattern[str], Callable[[Call], Response]], ...] = tuple(
            (name, re.compile(pattern), answer)
            for name, pattern, answer in (
                ("encounter", r"chart/encounter/(\w+)", self._encounter),
                ("encounters", r"chart/(\d+)/encounters", self._encounters),
                ("diagnoses", r"chart/encounter/(\w+)/diagnoses", self._diagnoses),
                ("summary", r"chart/encounters/(\w+)/summary", self._summary),
                ("services", r"encounter/(\w+)/services", self._services),
                ("booked", r"appointments/booked(?:/multipledepartment)?", self._booked),
                ("appointment", r"appointments/(\d+)", self._appointment),
                ("appointment_insurances", r"appointments/(\d+)/insurances", self._visit_insurances),
                ("accidentdata", r"appointments/(\d+)/accidentdata", self._accident),
                ("patient", r"patients/(\d+)", self._patient),
                ("insurances", r"patients/(\d+)/insurances", self._insurances),
                ("referralauths", r"patients/(\d+)/referralauths", self._authorizations),
                ("provider", r"providers/(\d+)", self._provider),
                ("referringprovider", r"referringproviders/(\d+)", self._referrer),
                ("departments", r"departments", self._departments),
                ("department", r"departments/(\d+)", self._department),
                ("claims", r"claims", self._claims),
                ("claim", r"claims/(\d+)", self._claim),
            )
        )

    def _encounter(self, call: Call) -> Response:
        return _one(self._practice.encounters, call.ids[0], "encounter")

    def _encounters(self, call: Call) -> Response:
        """By default only the usual statuses and types."""
        query = call.query
        if "departmentid" not in query:
            raise missing("departmentid")
        own = {a["appointmentid"] for a in self._practice.appointments.values() if a["patientid"] == call.ids[0]}
        found = [
            row
            for row in self._practice.encounters.values()
            if row["appointmentid"] in own
            and str(row["departmentid"]) == query["departmentid"]
            and (query.get("showallstatuses") == "true" or row["status"] in LISTED_STATUSES)
            and (query.get("showalltypes") == "true" or row["encountertype"] in LISTED_TYPES)
            and query.get("appointmentid") in (None, row["appointmentid"])
        ]
        return self._page("encounters", found, call, default=1000, most=10000)

    def _diagnoses(self, call: Call) -> Response:
        return self._page("diagnoses", _of(self._practice.diagnoses, call.ids[0], "encounter"), call)

    def _summary(self, call: Call) -> Response:
        _of(self._practice.services, call.ids[0], "encounter")
        return v1({"summaryhtml": "<p>Synthetic visit summary</p>"})

    def _services(self, call: Call) -> Response:
        return self._page("services", _of(self._practice.services, call.ids[0], "encounter"), call)

    def _booked(self, call: Call) -> Response:
        """Appointments of departments and days; `multipledepartment` takes several `departmentid`s, comma-separated."""
        query = call.query
        absent = [name for name in ("departmentid", "startdate", "enddate") if name not in query]
        if absent:
            raise missing(*absent)
        first, last = _day(query["startdate"]), _day(query["enddate"])
        departments = set(query["departmentid"].split(","))
        found = [
            self._practice.shown_appointment(row["appointmentid"])
            for row in self._practice.appointments.values()
            if row["departmentid"] in departments and first <= read_mdy(row["date"]) <= last
        ]
        ordered = sorted(found, key=lambda row: (read_mdy(row["date"]), row["starttime"], row["appointmentid"]))
        return self._page("appointments", ordered, call)

    def _appointment(self, call: Call) -> Response:
        if call.ids[0] not in self._practice.appointments:
            raise refuse(404, "The appointment was not found.")
        return v1([self._practice.shown_appointment(call.ids[0])])

    def _visit_insurances(self, call: Call) -> Response:
        return self._page("insurances", _of(self._practice.visit_insurances, call.ids[0], "appointment"), call)

    def _accident(self, call: Call) -> Response:
        return _one(self._practice.accidents, call.ids[0], "appointment")

    def _patient(self, call: Call) -> Response:
        return _one(self._practice.patients, call.ids[0], "patient")

    def _insurances(self, call: Call) -> Response:
        held = _of(self._practice.insurances, call.ids[0], "patient")
        shown = [row for row in held if call.query.get("showcancelled") == "true" or not row.get("cancelled")]
        return self._page("insurances", shown, call)

    def _authorizations(self, call: Call) -> Response:
        held = self._practice.authorizations.get(call.ids[0], [])
        shown = [row for row in held if call.query.get("showexpired") == "true" or row["expired"] == "false"]
        return self._page("referralauths", shown, call)

    def _provider(self, call: Call) -> Response:
        return _one(self._practice.providers, call.ids[0], "provider")

    def _referrer(self, call: Call) -> Response:
        return _one(self._practice.referring, call.ids[0], "referring provider")

    def _departments(self, call: Call) -> Response:
        return self._page("departments", list(self._practice.departments.values()), call)

    def _department(self, call: Call) -> Response:
        return _one(self._practice.departments, call.ids[0], "department")

    def _claims(self, call: Call) -> Response:
        wanted = {n: v for n, v in call.query.items() if n in ("patientid", "departmentid", "providerid")}
        first = _day(call.query.get("servicestartdate", "01/01/1900"))
        last = _day(call.query.get("serviceenddate", "12/31/2999"))
        found = [
            row
            for row in self._practice.claims.values()
            if all(str(row.get(name)) == value for name, value in wanted.items())
            and first <= read_mdy(row["billedservicedate"]) <= last
        ]
        return self._page("claims", found, call)

    def _claim(self, call: Call) -> Response:
        """Unlike the other reads by id, an object."""
        if call.ids[0] not in self._practice.claims:
            raise refuse(404, "The claim was not found.")
        return v1(self._practice.claims[call.ids[0]])

    def _page(self, name: str, rows: list[Row], call: Call, *, default: int = 1000, most: int = 5000) -> Response:
        """A list with relative paging links, which are absent at the ends."""
        limit, offset = min(int(call.query.get("limit", default)), most, self._most), int(call.query.get("offset", 0))
        kept = {n: v for n, v in call.query.items() if n not in ("limit", "offset")}
        answer: Row = {name: rows[offset : offset + limit], "totalcount": len(rows)}
        starts = (("next", offset + limit, offset + limit < len(rows)), ("previous", offset - limit, offset > 0))
        for link, at, present in starts:
            if present:
                query = "&".join(f"{n}={v}" for n, v in {**kept, "limit": limit, "offset": max(0, at)}.items())
                answer[link] = f"/v1/{self._practice.id}/{call.path}?{query}"
        return v1(answer)


def _one(held: Mapping[str, Row], wanted: str, what: str) -> Response:
    """Reads by id answer an array of one."""
    if wanted not in held:
        raise refuse(404, f"The {what} was not found.")
    return v1([held[wanted]])


def _of(held: Mapping[str, list[Row]], owner: str, what: str) -> list[Row]:
    if owner not in held:
        raise refuse(404, f"The {what} was not found.")
    return held[owner]


def _day(text: str) -> date:
    try:
        return read_mdy(text)
    except ValueError:
        raise refuse(400, "The data provided is invalid.", detailedmessage="A date is MM/DD/YYYY.") from None
