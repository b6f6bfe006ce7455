"""The webhooks of the simulated DrChrono: handshake, raw secret, retries after 1, 3 and 7 hours, disorder."""

from __future__ import annotations

import json
from typing import Any


def events(hook: Any) -> list[str]:
    return [headers["x-drchrono-event"] for headers in hook.headers]


async def test_the_hook_is_verified_before_anything_is_sent(practice: Any, hook: Any, until: Any) -> None:
    practice.command("sign", count=1)
    await until(lambda: len(hook.bodies) == 2)
    assert hook.challenges >= 1
    assert practice.ledger()["webhooks"]["verified"] is True


async def test_a_hook_that_cannot_answer_gets_nothing(practice: Any, hook: Any) -> None:
    hook.secret = "another"
    assert practice.command("verify_webhook") == {"verified": False}
    practice.command("sign", count=1)
    practice.command("clock", seconds=4000)
    assert hook.bodies == []


async def test_a_delivery_carries_the_secret_itself_and_the_object(practice: Any, hook: Any, until: Any) -> None:
    practice.command("sign", count=1)
    await until(lambda: len(hook.bodies) == 2)
    at = events(hook).index("CLINICAL_NOTE_LOCK")
    assert hook.headers[at]["x-drchrono-signature"] == hook.secret
    body = json.loads(hook.bodies[at])
    assert body["practice_group_id"] == 4455
    assert body["object"]["signee"]["locked_by"]
    assert "updated_at" not in body["object"]
    modified = json.loads(hook.bodies[1 - at])["object"]
    assert "clinical_note" not in modified  # only verbose shows it


async def test_failures_are_retried_after_one_three_and_seven_hours_and_then_no_more(
    practice: Any, hook: Any, until: Any
) -> None:
    hook.status = 302
    practice.command("sign", count=1)
    await until(lambda: len(hook.bodies) == 2)
    for hours, seen in ((0.9, 2), (0.2, 4), (2.8, 4), (0.3, 6), (6.8, 6), (0.3, 8), (100, 8)):
        practice.command("clock", seconds=hours * 3600)
        assert len(hook.bodies) == seen
    assert len({headers["x-drchrono-delivery"] for headers in hook.headers}) == 2
    assert practice.ledger()["signed"][0]["delivered_at"] is None


async def test_a_later_try_succeeds(practice: Any, hook: Any, until: Any) -> None:
    hook.status = 500
    practice.command("sign", count=1)
    await until(lambda: len(hook.bodies) == 2)
    hook.status = 204
    assert practice.command("clock", seconds=3601)["retried"] == 2
    assert practice.ledger()["webhooks"]["open"] == 0


async def test_duplicates_and_disorder_on_demand(practice: Any, hook: Any, until: Any) -> None:
    practice.command("verify_webhook")
    practice.command("webhooks", duplicates=True, out_of_order=True)
    practice.command("sign", count=1)
    await until(lambda: len(hook.bodies) == 4)
    assert sorted(events(hook)) == ["APPOINTMENT_MODIFY"] * 2 + ["CLINICAL_NOTE_LOCK"] * 2
    assert len({headers["x-drchrono-delivery"] for headers in hook.headers}) == 2


async def test_a_delivery_can_be_repeated_under_its_id(practice: Any, hook: Any, until: Any) -> None:
    key = practice.first()
    assert practice.client.post("/_sim/duplicate", json={"encounter_id": key}).status_code == 409
    practice.command("sign", encounter_ids=[key])
    await until(lambda: len(hook.bodies) == 2)
    practice.command("duplicate", encounter_id=key)
    await until(lambda: len(hook.bodies) == 3)
    locks = [h["x-drchrono-delivery"] for h in hook.headers if h["x-drchrono-event"] == "CLINICAL_NOTE_LOCK"]
    assert len(locks) == 2
    assert len(set(locks)) == 1


async def test_our_own_patch_echoes(practice: Any, hook: Any, until: Any) -> None:
    practice.api("PATCH", f"appointments/{practice.first()}", json={"billing_status": "Settled"})
    await until(lambda: events(hook) == ["APPOINTMENT_MODIFY"])
