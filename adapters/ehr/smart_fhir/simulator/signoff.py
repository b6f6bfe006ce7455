"""The clinicians of the simulator: encounters are open until signed, may be amended, and each signing is notified."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from adapters.ehr.smart_fhir.simulator.proofs import Proof
from adapters.ehr.smart_fhir.simulator.subscriptions import Subscriptions
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.simulator_http import Resource, refuse
from gateway.kit.simulator_signing import Signing


class SignOff:
    """Holds back the status of finished encounters until they are signed, and keeps the ledger of signings.

    Where visits are closed early, they are finished from the first and their `proof` alone tells of the signature.
    """

    def __init__(self, store: Store, subscriptions: Subscriptions, proof: Proof) -> None:
        self.store, self.subscriptions, self.proof = store, subscriptions, proof
        self.signings: list[Signing] = []
        self._unsigned: dict[str, Any] = {}

    @property
    def unsigned(self) -> int:
        """How many encounters wait for their signature."""
        return len(self._unsigned)

    def admit(self, resources: Iterable[Resource]) -> int:
        """Store resources; an encounter that is finished is served as in-progress until it is signed."""
        admitted = [self.store.put(self._unsigned_form(resource)) for resource in resources]
        for stored in admitted:
            if stored.id in self._unsigned and stored.type == "Encounter":
                self._put(self.proof.before(stored.resource))
        return len(admitted)

    def close(self, encounter_id: str) -> dict[str, Any]:
        """The visit ends and is announced, but nobody has signed it yet."""
        encounter = self._known(encounter_id)
        stored = self.store.put({**encounter.resource, "status": self._unsigned.get(encounter_id) or "finished"})
        self.subscriptions.publish(stored, Signing(encounter_id, stored.version, time.time()))
        return {"encounter_id": encounter_id}

    def sign(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Sign what the body names: {"count": n} the next in order of arrival, {"encounter_ids": [...]}, {"all"}.

        A status other than finished stays as it is; the encounter gets a new version and is announced all the same.
        """
        if "encounter_ids" in body:
            chosen = [self._known(encounter_id).id for encounter_id in body["encounter_ids"]]
        else:
            waiting = list(self._unsigned)
            chosen = waiting if body.get("all") else waiting[: int(body.get("count", 1))]
        return [{"encounter_id": s.encounter_id, "signed_at": s.signed_at} for s in map(self._sign, chosen)]

    def amend(self, encounter_id: str) -> dict[str, Any]:
        """Double the first line's quantity, or touch the encounter when it has no line, and sign it again."""
        encounter = self._known(encounter_id)
        claims = self.store.referring("Claim", "encounter", encounter.key)
        charges = self.store.referring("ChargeItem", "context", encounter.key)
        held = [*map(self.store.of_type("Claim").get, claims), *map(self.store.of_type("ChargeItem").get, charges)]
        changed = next((amended for stored in held if stored and (amended := _doubled(stored))), None)
        if changed:
            self.store.put(changed)
        signing = self._sign(encounter_id)
        line = f"{changed['resourceType']}/{changed['id']}" if changed else None
        return {"encounter_id": encounter_id, "signed_at": signing.signed_at, "changed": line}

    def withdraw(self, encounter_id: str) -> dict[str, Any]:
        """Mark an encounter as entered in error, and announce it."""
        encounter = self._known(encounter_id)
        self._unsigned.pop(encounter_id, None)
        self.store.put({**encounter.resource, "status": "entered-in-error"})
        signing = self._sign(encounter_id)
        return {"encounter_id": encounter_id, "signed_at": signing.signed_at}

    def duplicate(self, encounter_id: str) -> dict[str, Any]:
        """Send the notification of the last signing again."""
        repeated = self.subscriptions.repeat(self._known(encounter_id).id)
        if not repeated:
            raise refuse(409, "conflict", "no subscription was told of this encounter yet")
        return {"encounter_id": encounter_id, "subscriptions": repeated}

    def _unsigned_form(self, resource: Resource) -> Resource:
        if resource["resourceType"] != "Encounter":
            return resource
        self._unsigned[resource["id"]] = resource.get("status")
        held_back = resource.get("status") == "finished" and not self.proof.closed_early
        return {**resource, "status": "in-progress"} if held_back else resource

    def _put(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            self.store.put(resource)

    def _known(self, encounter_id: str) -> Stored:
        stored = self.store.get("Encounter", str(encounter_id))
        if stored is None:
            raise refuse(404, "not-found", "there is no such encounter")
        return stored

    def _sign(self, encounter_id: str) -> Signing:
        own = self._unsigned.pop(encounter_id, None)
        resource = self._known(encounter_id).resource
        self._put(self.proof.signed(resource))
        stored = self.store.put({**resource, "status": own} if own else resource)
        signing = Signing(encounter_id, stored.version, time.time())
        self.signings.append(signing)
        self.subscriptions.publish(stored, signing)
        return signing


def _doubled(stored: Stored) -> Resource | None:
    """The resource with twice the quantity on its first line, and its amounts in step; None when it has no line."""
    resource = copy.deepcopy(stored.resource)
    items = resource.get("item")
    line = resource if stored.type == "ChargeItem" else items[0] if isinstance(items, list) and items else None
    if not isinstance(line, dict):
        return None
    quantity = line.setdefault("quantity", {"value": 1})
    quantity["value"] = quantity.get("value", 1) * 2
    net, total = _amount(line.get("net")), _amount(resource.get("total"))
    if net is not None:
        line["net"]["value"] = net * 2
        if total is not None:
            resource["total"]["value"] = total + net
    return resource


def _amount(money: Any) -> Decimal | int | None:
    value = money.get("value") if isinstance(money, dict) else None
    return value if isinstance(value, Decimal | int) else None
