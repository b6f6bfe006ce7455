"""The pointers that webhooks and the feed make: the same change gives the same key, whichever told of it first. Pure.

Source: vendor document sections 10 and 11.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono.mapping import billing_content
from adapters.ehr.drchrono.times import instant, latest_stamp
from adapters.ehr.drchrono.words import text
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRef
from gateway.kit.ehr_element import calendar_date
from gateway.kit.ehr_references import is_vendor_id

_LINE_FIELDS = ("code", "procedure_type", "quantity", "price", "billed", "modifiers", "diagnosis_pointers")


def appointment_id(value: Any) -> str | None:
    """An appointment's id, a number or a text, as an opaque text; None when it is no id."""
    found = text(value)
    return found if found and is_vendor_id(found) else None


def of_appointment(appointment: Mapping[str, Any], zone: ZoneInfo) -> EncounterRef | None:
    """A state of an appointment in its verbose form."""
    key = appointment_id(appointment.get("id"))
    if key is None:
        return None
    stamp = latest_stamp(appointment)
    serviced = calendar_date(appointment.get("scheduled_time"))
    return EncounterRef(key, f"{key}@{stamp}/{billing_content(appointment)}", instant(stamp, zone), serviced)


def of_line(line: Mapping[str, Any]) -> EncounterRef | None:
    """A state of a line item. It tells nothing of the appointment's own age."""
    key, number = appointment_id(line.get("appointment")), text(line.get("id"))
    if key is None or number is None:
        return None
    return EncounterRef(key, f"{key}/line/{state_of_line(line)}")


def state_of_line(line: Mapping[str, Any]) -> str:
    """What tells one state of a line item from another: stamps have whole seconds, and an hour of autumn twice."""
    content = _digest({name: line.get(name) for name in _LINE_FIELDS})
    return f"{text(line.get('id'))}@{line.get('updated_at')}/{content}"


def of_deletion(appointment: Any, line: Any) -> EncounterRef | None:
    """A line item that was deleted."""
    key, number = appointment_id(appointment), text(line)
    return EncounterRef(key, f"{key}/deletion/{number}") if key and number else None


def of_note(note: Mapping[str, Any]) -> EncounterRef | None:
    """A note, which has no time of its own: its content stands for it."""
    key = appointment_id(note.get("appointment"))
    return EncounterRef(key, f"{key}/note/{_digest(note)}") if key else None


def _digest(value: Any) -> str:
    return hashlib.sha256(jsonio.canonical_bytes(value)).hexdigest()[:16]
