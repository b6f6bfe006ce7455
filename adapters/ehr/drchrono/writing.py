"""Telling DrChrono what became of a claim: a billing note, and a billing status where the clinic has one for it.

It is read before it is written, so that the same fate told twice leaves one entry. Source: vendor document section 12.
"""

from __future__ import annotations

from typing import Any

from adapters.ehr.drchrono.errors import VENDOR
from adapters.ehr.drchrono.practice import VERBOSE, single
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.canonical.models import ClaimFate, EncounterRef
from gateway.kit.ehr_references import is_vendor_id
from gateway.kit.errors import ErrorCode, UnexpectedResponse
from gateway.kit.json_api import JsonApi

_OPERATION = "write:appointments"


async def write_back(api: JsonApi, settings: DrChronoSettings, ref: EncounterRef, fate: ClaimFate) -> None:
    """Leave a note and set the status, as the settings say for the claim's state; nothing for a state not named."""
    status, noted = settings.billing_status.get(fate.state), fate.state in settings.told_states
    if not status and not noted:
        return
    key = ref.encounter_id
    found = await single(api, _OPERATION, f"appointments/{key}", VERBOSE) if is_vendor_id(key) else None
    if found is None:
        raise UnexpectedResponse(VENDOR, _OPERATION, "the appointment is gone", code=ErrorCode.NOT_FOUND)
    text = note_of(fate)
    if noted and text not in _texts(found):
        body = {"appointment": int(key) if key.isdecimal() else key, "text": text}
        await api.send_json("write:claim_billing_notes", "POST", "claim_billing_notes", body)
    if status and found.get("billing_status") != status:
        await api.send_json(_OPERATION, "PATCH", f"appointments/{key}", {"billing_status": status})


def note_of(fate: ClaimFate) -> str:
    """The entry for a person; the same fate always gives the same text."""
    parts = [f"Claim {fate.account_number}: {fate.state.value} ({fate.billing_system})"]
    parts += [fate.reference] if fate.reference else []
    parts += [fate.reason] if fate.reason else []
    return ". ".join(parts)


def _texts(appointment: dict[str, Any]) -> set[str]:
    notes = appointment.get("billing_notes") or []
    return {str(note.get("text")) for note in notes if isinstance(note, dict)}
