"""The changed-data feeds: reading a row marks it as processed for the key that read it (vendor document section 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from adapters.ehr.athenahealth.simulator.practice import Practice
from adapters.ehr.athenahealth.simulator.words import Row, missing, read_eastern, refuse, v1
from gateway.kit.simulator_http import Response

EVENTS: Mapping[str, tuple[str, ...]] = {
    "appointments": (
        "ScheduleAppointment",
        "CheckIn",
        "CheckOut",
        "UpdateAppointment",
        "CancelAppointment",
        "FreezeAppointment",
        "UnfreezeAppointment",
        "DeleteAppointment",
        "AddAppointmentSlot",
        "UpdateReminderCall",
        "UpdateSuggestedOverbooking",
    ),
    "claims": ("UpdateClaim",),
}
ACTIVATION_SECONDS = 300.0


@dataclass
class Change:
    """One row of a feed: the id of what changed, and when which key has read it."""

    id: str
    at: datetime
    processed: dict[str, datetime] = field(default_factory=dict)


class Feed:
    """One feed of the practice; `row` shows what changed as it is now, or None when it is gone."""

    def __init__(
        self, name: str, practice: Practice, delay: float, row: Callable[[str], Row | None], most: int
    ) -> None:
        self.name, self._practice, self._delay, self._row, self._most = name, practice, delay, row, most
        self._active_from: dict[str, datetime] = {}
        self._changes: list[Change] = []

    def happened(self, event: str, changed_id: str) -> None:
        """Something changed: a row for it, when the practice is subscribed and the subscription has taken effect."""
        now = self._practice.clock.now()
        active_from = self._active_from.get(event)
        if active_from is not None and active_from <= now:
            self._changes.append(Change(changed_id, now))

    def subscribe(self, form: Mapping[str, str]) -> Response:
        """`POST .../subscription`: one event, or all of them."""
        event = form.get("eventname")
        if event is not None and event not in EVENTS[self.name]:
            raise refuse(400, "The data provided is invalid.", detailedmessage="The event name is not valid.")
        from_ = self._practice.clock.now() + timedelta(seconds=self._delay)
        for name in [event] if event else EVENTS[self.name]:
            self._active_from.setdefault(name, from_)
        return v1({"success": True})

    def unsubscribe(self, form: Mapping[str, str]) -> Response:
        """`DELETE .../subscription`."""
        for name in [form["eventname"]] if "eventname" in form else list(self._active_from):
            self._active_from.pop(name, None)
        return v1({"success": "true"})

    def subscription(self) -> Response:
        """`GET .../subscription`."""
        held = list(self._active_from)
        status = "INACTIVE" if not held else "ACTIVE" if len(held) == len(EVENTS[self.name]) else "PARTIAL"
        return v1({"status": status, "subscriptions": [{"eventname": name} for name in held]})

    def read(self, query: Mapping[str, str], key: str) -> Response:
        """`GET .../changed`: unread rows of the key, or those that it read within a window."""
        limit = min(int(query.get("limit", 1000)), self._most)
        start, end = query.get("showprocessedstartdatetime"), query.get("showprocessedenddatetime")
        if start is None and end is None:
            return self._unread(limit, key, consume=query.get("leaveunprocessed") != "true")
        if start is None or end is None:
            raise missing("showprocessedenddatetime" if start else "showprocessedstartdatetime")
        return self._again(key, query, limit)

    def _unread(self, limit: int, key: str, *, consume: bool) -> Response:
        waiting = [change for change in self._changes if key not in change.processed]
        shown = waiting[:limit]
        if consume:
            now = self._practice.clock.now()
            for change in shown:
                change.processed[key] = now
        return v1({"totalcount": len(shown), self.name: self._rows(shown)})

    def _again(self, key: str, query: Mapping[str, str], limit: int) -> Response:
        """Times are read to the second, so the end takes in its whole second."""
        start = read_eastern(query["showprocessedstartdatetime"])
        end = read_eastern(query["showprocessedenddatetime"]) + timedelta(seconds=1)
        offset = int(query.get("offset", 0))
        seen = [c for c in self._changes if key in c.processed and start <= c.processed[key] < end]
        answer: Row = {"totalcount": len(seen), self.name: self._rows(seen[offset : offset + limit])}
        if offset + limit < len(seen):
            following = urlencode({**query, "limit": limit, "offset": offset + limit})
            answer["next"] = f"/v1/{self._practice.id}/{self.name}/changed?{following}"
        return v1(answer)

    def _rows(self, changes: Sequence[Change]) -> list[Row]:
        """Each thing once, as it is now."""
        rows = (self._row(changed_id) for changed_id in dict.fromkeys(change.id for change in changes))
        return [row for row in rows if row is not None]
