"""Sign-off, amendments and the ledger."""

from __future__ import annotations

import time
from typing import Any


async def test_signing_finishes_an_encounter_and_makes_a_new_version(sandbox: Any, visit: Any, practice: Any) -> None:
    async with sandbox([*practice(3), *visit(7, status="cancelled")]) as sim:
        assert (await sim.get("Encounter/e1")).json()["status"] == "in-progress"
        assert (await sim.get("Claim?encounter=e1")).json()["total"] == 1
        before = (await sim.get("Encounter/e1")).json()["meta"]
        signed = (await sim.control("sign", encounter_ids=["e1"]))["signed"]
        after = (await sim.get("Encounter/e1")).json()
        assert (after["status"], after["meta"]["versionId"]) == ("finished", "2")
        assert after["meta"]["lastUpdated"] >= before["lastUpdated"]
        assert (signed[0]["encounter_id"], signed[0]["signed_at"] <= time.time()) == ("e1", True)
        assert sim.ids((await sim.get("Encounter?status=finished")).json()) == ["e1"]
        assert [row["encounter_id"] for row in (await sim.control("sign", count=1))["signed"]] == ["e0"]
        assert [row["encounter_id"] for row in (await sim.control("sign", all=True))["signed"]] == ["e2", "e7"]
        assert (await sim.get("Encounter/e7")).json()["status"] == "cancelled"
        ledger = await sim.ledger()
        assert ledger["encounters"] == {"total": 4, "unsigned": 0}
        assert ledger["signed"][0] == {
            "encounter_id": "e1",
            "version": 2,
            "signed_at": signed[0]["signed_at"],
            "notified_at": None,
            "delivered_at": None,
            "attempts": 0,
        }
        assert ledger["calls"]["token"] == 1
        assert ledger["calls"]["GET Encounter"] == 5


async def test_amending_doubles_the_first_line_and_signs_again(sandbox: Any, visit: Any, practice: Any) -> None:
    bare = {**visit(9)[0], "id": "bare"}
    charge = {"resourceType": "ChargeItem", "id": "ch", "context": {"reference": "Encounter/lone"}}
    data = [*practice(1), bare, {**bare, "id": "lone"}, {**charge, "quantity": {"value": 3}}]
    async with sandbox(data) as sim:
        assert (await sim.control("amend", encounter_id="e0"))["changed"] == "Claim/k0"
        claim = await sim.get("Claim/k0")
        assert claim.json()["item"][0]["quantity"]["value"] == 2
        assert claim.content.count(b'"value":210.00') == 2
        assert (await sim.get("Encounter/e0")).json()["meta"]["versionId"] == "2"
        assert (await sim.control("amend", encounter_id="lone"))["changed"] == "ChargeItem/ch"
        assert (await sim.get("ChargeItem?context=lone")).json()["entry"][0]["resource"]["quantity"]["value"] == 6
        assert (await sim.control("amend", encounter_id="bare"))["changed"] is None
        assert (await sim.http.post(f"{sim.url}/_sim/amend", json={"encounter_id": "no"})).status_code == 404
        assert (await sim.http.post(f"{sim.url}/_sim/amend", json={})).status_code == 400


async def test_reset_starts_anew(sandbox: Any, practice: Any) -> None:
    async with sandbox() as sim:
        await sim.control("sign", all=True)
        assert (await sim.control("reset", data=practice(2)))["encounters"] == {"total": 2, "unsigned": 2}
        assert (await sim.ledger())["signed"] == []
        assert (await sim.get("Encounter/e1")).status_code == 401
        await sim.control("reset")
        assert (await sim.ledger())["encounters"] == {"total": 5, "unsigned": 5}


async def test_withdrawing_marks_the_encounter_as_entered_in_error(sandbox: Any, practice: Any) -> None:
    async with sandbox(practice(2)) as sim:
        await sim.control("withdraw", encounter_id="e0")
        assert (await sim.get("Encounter/e0")).json()["status"] == "entered-in-error"
        assert [row["encounter_id"] for row in (await sim.ledger())["signed"]] == ["e0"]
        assert [row["encounter_id"] for row in (await sim.control("sign", all=True))["signed"]] == ["e1"]
