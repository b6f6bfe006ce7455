"""The practice's people, moved by the control routes: they lock and unlock notes, post charges, delete appointments.

Source: vendor document sections 5 to 7 and 10.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from adapters.ehr.drchrono.simulator.rest import VERBOSE_ONLY
from adapters.ehr.drchrono.simulator.store import Object, Store
from adapters.ehr.drchrono.simulator.webhooks import Delivery, Webhooks
from gateway.kit.simulator_http import refuse
from gateway.kit.simulator_signing import Signing


class Staff:
    """What people do in the practice; every act has its webhook."""

    def __init__(self, store: Store, webhooks: Webhooks) -> None:
        self._store, self._webhooks = store, webhooks
        self.signings: list[Signing] = []
        self._waiting = dict.fromkeys(a["id"] for a in store.all("appointments") if a["patient"] is not None)
        self._late: dict[str, list[Object]] = {}

    @property
    def unsigned(self) -> int:
        """How many appointments wait for their lock."""
        return len(self._waiting)

    def sign(self, body: dict[str, Any]) -> dict[str, Any]:
        """Lock notes: {"count": n} the next, {"encounter_ids": [...]}, {"all": true}; charges come later with
        {"late_lines": true}."""
        if "encounter_ids" in body:
            chosen = [str(key) for key in body["encounter_ids"]]
        else:
            chosen = list(self._waiting) if body.get("all") else list(self._waiting)[: int(body.get("count", 1))]
        if body.get("late_lines"):
            for key in chosen:
                self._take_lines(key)
        signings = [self._lock(key) for key in chosen]
        self._webhooks.flush()
        return {"signed": [{"encounter_id": s.encounter_id, "signed_at": s.signed_at} for s in signings]}

    def supervise(self, body: dict[str, Any]) -> dict[str, Any]:
        """The supervisor signs as well; DrChrono sends another lock event."""
        done = self._signed_note(str(body["encounter_id"]), supervisor_locked_by="Morgan Chief, MD")
        self._webhooks.flush()
        return done

    def unlock(self, body: dict[str, Any]) -> dict[str, Any]:
        """Unlock a note."""
        key = str(body["encounter_id"])
        self._set_note(key, locked=False)
        signee = {"locked_by": None, "supervisor_locked_by": None}
        self._tell_note("CLINICAL_NOTE_UNLOCK", self._store.change("clinical_notes", key, signee=signee), None)
        self._webhooks.flush()
        return {"encounter_id": key}

    def post_lines(self, body: dict[str, Any]) -> dict[str, Any]:
        """Post the charges that were late."""
        key = str(body["encounter_id"])
        lines = self._late.pop(key, [])
        for line in lines:
            posted = self._store.put("line_items", {**line, "updated_at": self._store.clock.local()})
            self._webhooks.tell("LINE_ITEM_CREATE", _public("line_items", posted))
        self._webhooks.flush()
        return {"encounter_id": key, "posted": len(lines)}

    def drop_line(self, body: dict[str, Any]) -> dict[str, Any]:
        """Delete a charge."""
        line = self._store.newest("line_items", str(body["line_item_id"]))
        if line is None:
            raise refuse(404, "not-found", "there is no such line item")
        self._store.remove("line_items", str(line["id"]))
        deletion = {"billing_line_item_id": line["id"], "appointment_id": line["appointment"]}
        made = {"id": line["id"], **deletion, "created_at": self._store.clock.local()}
        self._store.put("line_item_deletions", made)
        self._webhooks.tell("LINE_ITEM_DELETE", _public("line_items", line))
        self._webhooks.flush()
        return {"line_item_id": line["id"]}

    def amend(self, body: dict[str, Any]) -> dict[str, Any]:
        """Double the first charge's quantity, and lock the note once more."""
        key = self._known(str(body["encounter_id"]))["id"]
        line = next(iter(self._store.all("line_items", key)), None)
        if line is not None:
            quantity, price = Decimal(line["quantity"]) * 2, Decimal(line["price"] or 0)
            amounts = {"quantity": f"{quantity:.2f}", "billed": f"{price * quantity:.2f}"}
            changed = self._store.change("line_items", str(line["id"]), **amounts)
            self._webhooks.tell("LINE_ITEM_MODIFY", _public("line_items", changed))
        signing = self._lock(key)
        self._webhooks.flush()
        found = f"LineItem/{line['id']}" if line else None
        return {"encounter_id": key, "signed_at": signing.signed_at, "changed": found}

    def change(self, body: dict[str, Any]) -> dict[str, Any]:
        """Change members of any object: {"kind", "id", "members": {...}, "event"?}."""
        changed = self._store.change(body["kind"], str(body["id"]), **body["members"])
        if "event" in body:
            self._webhooks.tell(body["event"], _public(body["kind"], changed))
            self._webhooks.flush()
        return {"id": changed["id"]}

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add any object: {"kind", "object": {...}}."""
        return {"id": self._store.put(body["kind"], body["object"])["id"]}

    def withdraw(self, body: dict[str, Any]) -> dict[str, Any]:
        """Delete an appointment."""
        key = self._known(str(body["encounter_id"]))["id"]
        self._waiting.pop(key, None)
        deleted = self._store.change("appointments", key, deleted_flag=True)
        signing = self._signing(key)
        self._webhooks.tell("APPOINTMENT_DELETE", _public("appointments", deleted), signing)
        self._webhooks.flush()
        return {"encounter_id": key, "signed_at": signing.signed_at}

    def duplicate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Deliver the last event about an appointment again."""
        key = self._known(str(body["encounter_id"]))["id"]
        about: list[Delivery] = [d for d in self._webhooks.sent if d.signing and d.signing.encounter_id == key]
        if not about:
            raise refuse(409, "conflict", "no webhook told of this appointment yet")
        self._webhooks.again(about[-1])
        return {"encounter_id": key, "event": about[-1].event}

    def _take_lines(self, key: str) -> None:
        lines = list(self._store.all("line_items", key))
        self._late[key] = lines
        for line in lines:
            self._store.remove("line_items", str(line["id"]))

    def _known(self, key: str) -> Object:
        held = self._store.newest("appointments", key)
        if held is None:
            raise refuse(404, "not-found", "there is no such appointment")
        return held

    def _lock(self, key: str) -> Signing:
        known = self._known(key)
        self._waiting.pop(key, None)
        self._set_note(key, locked=True)
        doctor = self._store.newest("doctors", str(known["doctor"])) or {}
        signer = f"{doctor.get('first_name', '')} {doctor.get('last_name', '')}".strip() or "Somebody"
        self._signed_note(key, locked_by=signer)
        return self.signings[-1]

    def _signed_note(self, key: str, **signers: str) -> dict[str, Any]:
        note = self._store.newest("clinical_notes", key) or {}
        signed = self._store.change("clinical_notes", key, signee={**note["signee"], **signers})
        signing = self._signing(key)
        self._tell_note("CLINICAL_NOTE_LOCK", signed, signing)
        return {"encounter_id": key, "signed_at": signing.signed_at}

    def _set_note(self, key: str, *, locked: bool) -> None:
        known, now = self._known(key), self._store.clock.local()
        status = known["status"] if known["status"] == "Cancelled" else "Complete"
        note = {**known["clinical_note"], "locked": locked, "updated_at": now}
        changed = self._store.change("appointments", key, clinical_note=note, status=status if locked else "In Session")
        self._webhooks.tell("APPOINTMENT_MODIFY", _public("appointments", changed))

    def _tell_note(self, event: str, note: Object, signing: Signing | None) -> None:
        hidden = {"id", "updated_at"}
        self._webhooks.tell(event, {name: value for name, value in note.items() if name not in hidden}, signing)

    def _signing(self, key: str) -> Signing:
        version = sum(s.encounter_id == key for s in self.signings) + 1
        self.signings.append(Signing(key, version, time.time()))
        return self.signings[-1]


def _public(kind: str, obj: Object) -> Object:
    """An object as webhooks carry it: without what only `verbose` shows."""
    return {name: value for name, value in obj.items() if name not in VERBOSE_ONLY.get(kind, ())}
