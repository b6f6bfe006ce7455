"""The bills: who sees them, what a PATCH may say, and how clinicians and billers change them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from adapters.ehr.elation.simulator.events import Events
from adapters.ehr.elation.simulator.replies import detail, fields, page_number
from adapters.ehr.elation.simulator.seed import Chart
from gateway.kit.simulator_http import Refused, Request, Response, parse_object, plain_json
from gateway.kit.simulator_signing import Signing

LENGTHS = {"ref_number": 50, "billing_error": 200}
FILTERS: dict[str, Callable[[dict[str, Any], set[str]], bool]] = {
    "practice": lambda bill, values: str(bill["practice"]) in values,
    "patient": lambda bill, values: str(bill["patient"]) in values,
    "bill_id": lambda bill, values: str(bill["id"]) in values,
    "visit_note_id": lambda bill, values: str(bill["visit_note_id"]) in values,
    "from_service_date": lambda bill, values: _moment(bill["service_date"]) >= _moment(min(values)),
    "to_service_date": lambda bill, values: _moment(bill["service_date"]) <= _moment(max(values)),
}


class Bills:
    """The bills of the practice. Those of unsigned notes are hidden, unless they were released early."""

    def __init__(self, base: str, chart: Chart, events: Events, most: int = 100) -> None:
        self._base, self._chart, self._events, self._most = base, chart, events, most
        self._waiting = dict.fromkeys(chart.bills)
        self._early: set[str] = set()
        self._removed: set[str] = set()
        self.signings: list[Signing] = []
        self.written: list[dict[str, Any]] = []

    @property
    def unsigned(self) -> int:
        """How many notes wait for their signature."""
        return len(self._waiting)

    def handle(self, request: Request, rest: list[str]) -> Response:
        """GET of the list or of a bill, PATCH of a bill."""
        if request.method == "GET" and not rest:
            return self._list(request)
        if len(rest) != 1 or request.method not in ("GET", "PATCH"):
            raise Refused(detail(405, f'Method "{request.method}" not allowed.'))
        bill = self._visible(rest[0])
        if request.method == "PATCH":
            self._patch(bill, parse_object(request.body))
        return plain_json(bill)

    def sign(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Sign the notes of {"count": n} bills, {"encounter_ids": [...]} or {"all"}."""
        if "encounter_ids" in body:
            chosen = [str(bill_id) for bill_id in body["encounter_ids"]]
        else:
            chosen = list(self._waiting)[: None if body.get("all") else int(body.get("count", 1))]
        signed = [self._sign(self._known(bill_id)) for bill_id in chosen]
        return [{"encounter_id": s.encounter_id, "signed_at": s.signed_at} for s in signed]

    def amend(self, bill_id: str) -> dict[str, Any]:
        """Double the units of the first line, and sign the note again."""
        bill = self._known(bill_id)
        if bill["cpts"]:
            bill["cpts"][0]["units"] = str(Decimal(bill["cpts"][0]["units"]) * 2)
        signing = self._sign(bill)
        return {"encounter_id": bill_id, "signed_at": signing.signed_at, "changed": bool(bill["cpts"])}

    def withdraw(self, bill_id: str) -> dict[str, Any]:
        """Delete the visit note; its bill is shown all the same."""
        bill = self._known(bill_id)
        bill["visit_note_deleted_date"] = _now()
        signing = self._sign(bill)
        return {"encounter_id": bill_id, "signed_at": signing.signed_at}

    def remove(self, bill_id: str) -> dict[str, Any]:
        """Delete the bill: from then on it answers 410."""
        bill = self._known(bill_id)
        self._removed.add(bill_id)
        self._events.publish("bills", bill, "deleted", None)
        return {"encounter_id": bill_id}

    def billed_elsewhere(self, bill_id: str) -> dict[str, Any]:
        """Another system marks the bill as billed."""
        bill = self._known(bill_id)
        bill.update(billing_status="Billed", ref_number="OTHER-1", billing_date=_now(), last_modified_date=_now())
        self._events.publish("bills", bill, "saved", None)
        return {"encounter_id": bill_id}

    def show_early(self, bill_id: str) -> dict[str, Any]:
        """Release the bill of a note that is not signed."""
        bill = self._known(bill_id)
        self._early.add(bill_id)
        self._events.publish("bills", bill, "saved", None)
        return {"encounter_id": bill_id}

    def _list(self, request: Request) -> Response:
        query = dict(request.pairs())
        limit = min(page_number(query, "limit", self._most) or self._most, self._most)
        offset = page_number(query, "offset", 0)
        found = [bill for bill_id, bill in self._chart.bills.items() if self._is_shown(bill_id)]
        for name, keeps in FILTERS.items():
            if query.get(name):
                values = set(query[name].split(","))
                found = [bill for bill in found if keeps(bill, values)]
        page = found[offset : offset + limit]
        following = {**query, "limit": limit, "offset": offset + limit}
        more = f"{self._base}/bills/?{urlencode(following)}" if offset + limit < len(found) else None
        return plain_json({"count": len(found), "next": more, "previous": None, "results": page})

    def _is_shown(self, bill_id: str) -> bool:
        signed = bill_id not in self._waiting or bill_id in self._early
        return signed and bill_id not in self._removed

    def _visible(self, bill_id: str) -> dict[str, Any]:
        if bill_id in self._removed:
            raise Refused(detail(410, "This resource has been deleted."))
        if bill_id not in self._chart.bills or not self._is_shown(bill_id):
            raise Refused(detail(404, "Not found."))
        return self._chart.bills[bill_id]

    def _patch(self, bill: dict[str, Any], change: dict[str, Any]) -> None:
        """Mark a bill as processed or failed. The app's own changes are not announced to it."""
        wrong: dict[str, list[str]] = {}
        if ("ref_number" in change) is not ("billing_date" in change):
            missing = "billing_date" if "ref_number" in change else "ref_number"
            wrong[missing] = ["This field is required to mark a bill as processed."]
        for name, length in LENGTHS.items():
            if len(str(change.get(name) or "")) > length:
                wrong[name] = [f"Ensure this field has no more than {length} characters."]
        if wrong:
            raise Refused(fields(wrong))
        if change.get("ref_number"):
            change = {**change, "billing_status": "Billed", "billing_error": None}
        elif change.get("billing_error"):
            change = {**change, "billing_status": "UnresolvedError"}
        bill.update(change, last_modified_date=_now())
        self.written.append({"id": str(bill["id"]), **change})

    def _known(self, bill_id: str) -> dict[str, Any]:
        found = self._chart.bills.get(str(bill_id))
        if found is None:
            raise Refused(detail(404, "There is no such bill."))
        return found

    def _sign(self, bill: dict[str, Any]) -> Signing:
        bill_id = str(bill["id"])
        self._waiting.pop(bill_id, None)
        bill["visit_note_signed_date"] = bill["last_modified_date"] = _now()
        version = 1 + sum(s.encounter_id == bill_id for s in self.signings)
        signing = Signing(bill_id, version, time.time())
        self.signings.append(signing)
        note = {
            "id": bill["visit_note_id"],
            "patient": bill["patient"],
            "practice": bill["practice"],
            "signed_date": bill["visit_note_signed_date"],
            "deleted_date": bill["visit_note_deleted_date"],
        }
        self._events.publish("bills", bill, "saved", signing)
        self._events.publish("visit_notes", note, "deleted" if note["deleted_date"] else "saved", None)
        return signing


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(text: Any) -> datetime:
    """A date, or a date and time; a bill without one is taken for the latest."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
