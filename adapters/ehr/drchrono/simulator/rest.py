"""The REST API: lists with their filters and pages, single objects, the few writes, and the asynchronous lists.

Source: vendor document sections 3 to 12.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from adapters.ehr.drchrono.simulator.access import ALL_PERMISSIONS, SCOPES, Authorization, Throttle, detail
from adapters.ehr.drchrono.simulator.store import Object, Store
from gateway.kit.simulator_http import Refused, Request, Response, parse_object, plain_json

PAGE, VERBOSE_PAGE, ASYNC_PAGE = 250, 25, 1000
VERBOSE_ONLY: Mapping[str, frozenset[str]] = {
    "appointments": frozenset(
        {"clinical_note", "status_transitions", "extended_updated_at", "vitals", "custom_fields", "reminders"}
    ),
    "patients": frozenset(
        {
            "primary_insurance",
            "secondary_insurance",
            "tertiary_insurance",
            "auto_accident_insurance",
            "workers_comp_insurance",
            "referring_doctor",
        }
    ),
    "line_items": frozenset({"description"}),
    "offices": frozenset({"online_timeslots"}),
}
_BOUNDS = ("since", "occurred_since", "date", "date_range")
_EQUAL: Mapping[str, tuple[str, ...]] = {
    "appointments": ("patient", "doctor", "office", "status"),
    "clinical_notes": ("patient",),
    "line_items": ("appointment", "patient", "doctor"),
    "line_item_deletions": ("appointment_id",),
    "patients": ("doctor", "chart_id", "last_name"),
    "patient_authorizations": ("patient", "doctor"),
    "doctor_options": ("doctor",),
}
_OWNER = {"line_items": "appointment", "patient_authorizations": "patient"}
_LISTED = ("appointments", "patients", "line_items", "clinical_notes")
_DATES = {"clinical_notes": "updated_at", "line_items": "service_date"}
LOOKS_BEFORE_COMPLETE = 2


@dataclass(slots=True)
class _Job:
    results: list[Object]
    looks: int = 0


@dataclass(slots=True)
class RestApi:
    """Everything below /api/. `on_write` is told of what clients change: (kind, event, object)."""

    base: str
    store: Store
    authorization: Authorization
    throttle: Throttle
    on_write: Callable[[str, Object], None]
    user: Object
    envelope: str = "results"
    verbose_single: bool = True
    largest_page: int = ASYNC_PAGE
    _jobs: dict[str, _Job] = field(default_factory=dict)

    def handle(self, request: Request) -> Response:
        """Answer one call."""
        self.throttle.check()
        kind, _, key = request.path.removeprefix("/api/").strip("/").partition("/")
        listed = kind.removesuffix("_list") if kind.endswith("_list") else ""
        gate = listed or kind
        if gate not in SCOPES or (listed and listed not in _LISTED):
            raise detail(404, "Not found.")
        if listed:
            request_gate = Request("GET", request.path, request.query, request.headers)
            self.authorization.check(request_gate, gate)
            return self._asynchronous(request, listed)
        self.authorization.check(request, gate)
        match (request.method, bool(key)):
            case ("GET", False):
                return self._list(kind, dict(request.pairs()))
            case ("GET", True):
                return self._single(kind, key, dict(request.pairs()))
            case ("PATCH", True) if kind == "appointments":
                return self._patch(key, parse_object(request.body))
            case ("POST", False) if kind == "claim_billing_notes":
                return self._note(parse_object(request.body))
        raise detail(405, f'Method "{request.method}" not allowed.')

    def _single(self, kind: str, key: str, asked: Mapping[str, str]) -> Response:
        if (kind, key) == ("users", "current"):
            permissions = {name: name in self.authorization.permissions for name in ALL_PERMISSIONS}
            return plain_json({**self.user, "permissions": permissions})
        found = self.store.read(kind, key)
        if found is None:
            raise detail(404, "Not found.")
        return plain_json(_shown(kind, found, verbose=asked.get("verbose") == "true" and self.verbose_single))

    def _list(self, kind: str, asked: Mapping[str, str]) -> Response:
        if kind == "appointments" and not any(name in asked for name in _BOUNDS):
            text = "One of since, occurred_since, date, date_range is required."
            raise bad({"non_field_errors": [text]})
        verbose = asked.get("verbose") == "true"
        found = self._found(kind, asked)
        most = min(VERBOSE_PAGE if verbose else PAGE, self.largest_page)
        size = min(_whole(asked.get("page_size"), most), most)
        start = _offset(asked.get("cursor", ""))
        page = [_shown(kind, obj, verbose=verbose) for obj in found[start : start + size]]
        following = self._link(kind, asked, start + size) if start + size < len(found) else None
        preceding = self._link(kind, asked, max(start - size, 0)) if start else None
        return plain_json({"previous": preceding, self.envelope: page, "next": following})

    def _link(self, kind: str, asked: Mapping[str, str], start: int) -> str:
        cursor = base64.urlsafe_b64encode(f"p={start}".encode()).decode()
        query = "&".join(f"{name}={value}" for name, value in {**asked, "cursor": cursor}.items())
        return f"{self.base}/api/{kind}?{query}"

    def _found(self, kind: str, asked: Mapping[str, str]) -> list[Object]:
        owner = asked.get(_OWNER.get(kind, ""))
        found: Iterable[Object] = self.store.all(kind, owner)
        for name in _EQUAL.get(kind, ()):
            if name in asked:
                found = [obj for obj in found if str(obj.get(name)) == asked[name]]
        if "since" in asked:
            moved = "created_at" if kind == "line_item_deletions" else "updated_at"
            found = [obj for obj in found if str(obj.get(moved)) >= asked["since"]]
        found = _within(kind, found, asked)
        if kind == "appointments":
            shown = "true" in (asked.get("show_archived"), asked.get("show_deleted"))
            found = [a for a in found if shown or not a["deleted_flag"]]
            if asked.get("ignore_virtual") == "true":
                found = [a for a in found if not a["is_virtual_base"]]
            return sorted(found, key=lambda a: str(a["scheduled_time"]))
        return list(found)

    def _asynchronous(self, request: Request, kind: str) -> Response:
        asked = dict(request.pairs())
        if request.method == "POST":
            body = parse_object(request.body) if request.body else {}
            filters = {name: _text(value) for name, value in {**asked, **body}.items()}
            found = self._found(kind, filters)
            shown = [_shown(kind, obj, verbose=filters.get("verbose") == "true") for obj in found]
            number = str(uuid.uuid4())
            self._jobs[number] = _Job(shown)
            return plain_json({"status": "In progress", "uuid": number}, 201)
        job = self._jobs.get(asked.get("uuid", ""))
        if job is None:
            raise detail(404, "Not found.")
        job.looks += 1
        if job.looks < LOOKS_BEFORE_COMPLETE:
            return plain_json({"status": "In progress", "uuid": asked["uuid"]})
        size = min(_whole(asked.get("page_size"), PAGE), ASYNC_PAGE, self.largest_page)
        page = _whole(asked.get("page"), 1)
        pages = max(-(-len(job.results) // size), 1)
        results = job.results[(page - 1) * size : page * size]
        pagination = {"page": page, "pages": pages, "count": len(job.results)}
        return plain_json({"status": "Complete", "uuid": asked["uuid"], "results": results, "pagination": pagination})

    def _patch(self, key: str, body: Object) -> Response:
        held = self.store.newest("appointments", key)
        if held is None:
            raise detail(404, "Not found.")
        wrong = {
            name: ["This field is read-only."] for name in body if name not in ("billing_status", "status", "notes")
        }
        if wrong:
            raise bad(wrong)
        self.on_write("APPOINTMENT_MODIFY", self.store.change("appointments", key, **body))
        return Response(204)

    def _note(self, body: Object) -> Response:
        missing = {name: ["This field is required."] for name in ("appointment", "text") if not body.get(name)}
        if missing or not isinstance(body["appointment"], int):
            raise bad(missing or {"appointment": ["Incorrect type. Expected pk value."]})
        held = self.store.newest("appointments", str(body["appointment"]))
        if held is None:
            raise bad({"appointment": ["Invalid pk - object does not exist."]})
        number = self.store.number()
        made = {"appointment": body["appointment"], "text": body["text"], "created_by": self.user["id"]}
        note = {"id": number, **made, "created_at": self.store.clock.local()}
        self.store.put("appointments", {**held, "billing_notes": [*held["billing_notes"], note]})
        return plain_json(note, 201)


def bad(errors: Object) -> Refused:
    """A 400 as the REST framework gives it: field to messages."""
    return Refused(plain_json(errors, 400))


def _shown(kind: str, obj: Object, *, verbose: bool) -> Object:
    hidden = frozenset() if verbose else VERBOSE_ONLY.get(kind, frozenset())
    internal = {"id", "updated_at"} if kind == "clinical_notes" else set()
    return {name: value for name, value in obj.items() if name not in hidden and name not in internal}


def _within(kind: str, found: Iterable[Object], asked: Mapping[str, str]) -> Iterable[Object]:
    dated = _DATES.get(kind, "scheduled_time")
    if "date" in asked:
        return [obj for obj in found if str(obj.get(dated))[:10] == asked["date"]]
    if "date_range" in asked:
        first, _, last = asked["date_range"].partition("/")
        if (date.fromisoformat(last) - date.fromisoformat(first)).days > 190:
            raise bad({"date_range": ["The range may span 190 days at most."]})
        return [obj for obj in found if first <= str(obj.get(dated))[:10] <= last]
    return found


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdigit() and int(text) else otherwise


def _offset(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("p="))
    except ValueError:
        raise detail(404, "Invalid cursor") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
