"""`gateway check`: each line says what works, or what to do."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ehr.athenahealth.simulator import events
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind


async def lines(ehr: Any) -> dict[str, Any]:
    return {probe.what: probe for probe in await ehr.probe()}


async def test_everything_works(connect: Any, simulator: Simulator) -> None:
    found = await lines(connect(push=True))
    assert all(probe.ok for probe in found.values())
    assert list(found) == [
        "access token",
        "practice and departments",
        "appointments feed",
        "athenahealth's own billing",
        "FHIR",
        "sign-off events",
    ]


async def test_without_a_token_nothing_else_is_tried(connect: Any, simulator: Simulator) -> None:
    found = await lines(connect(client_secret="wrong"))
    assert list(found) == ["access token"]
    assert "client_id" in found["access token"].remedy


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        ({"department_ids": ("162", "9")}, "practice and departments", "9"),
        ({"practice_id": "1"}, "practice and departments", "permission"),
        ({"own_billing": "ignore"}, "athenahealth's own billing", "not looked at"),
        ({"poll_seconds": 0, "push": True}, "appointments feed", "not read"),
    ],
    ids=str,
)
async def test_what_the_settings_mean_is_said(
    connect: Any, simulator: Simulator, change: dict[str, Any], what: str, said: str
) -> None:
    assert said in (await lines(connect(**change)))[what].detail


async def test_a_feed_that_is_not_subscribed_yet_is_no_failure(connect: Any, control: Simulator) -> None:
    line = (await lines(connect()))["appointments feed"]
    assert line.ok and "not subscribed yet" in line.detail


async def test_claims_that_athenahealth_made_are_told(
    connect: Any, simulator: Simulator, app: Any, act: Any, context: Any
) -> None:
    app.practice.appointments["1050322"]["date"] = context.now().strftime("%m/%d/%Y")
    act(simulator, "enter_charges", encounter_id="62014")
    assert "has made 1 claims" in (await lines(connect()))["athenahealth's own billing"].detail


async def test_topics_that_are_not_offered_are_named(
    connect: Any, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "TOPICS", ("Encounter.signoff",))
    line = (await lines(connect(push=True)))["sign-off events"]
    assert not line.ok
    assert "Encounter.reopen" in line.detail


async def test_a_failing_part_does_not_hide_the_others(connect: Any, simulator: Simulator) -> None:
    ehr = connect()
    await ehr.probe()
    simulator.fail("departments", FaultKind.HTTP_500, times=9)
    found = await lines(ehr)
    assert [what for what, probe in found.items() if not probe.ok] == ["practice and departments"]
    assert found["practice and departments"].remedy
