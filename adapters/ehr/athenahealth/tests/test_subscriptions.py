"""Asking athenahealth to tell: the feed, and one event subscription per topic where push is on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.ehr.athenahealth.simulator.words import v1
from gateway.canonical.errors import PermissionMissing, UnexpectedResponse
from gateway.canonical.subscription import SubscriptionStatus
from gateway.kit.contract_support import Simulator

HOOK = "https://gw.example.test/hooks/athena"
TOPICS = ["Encounter.signoff", "Encounter.reopen"]


async def test_without_push_only_the_feed_is_subscribed_to(connect: Any, control: Simulator, app: Any) -> None:
    ehr = connect()
    (feed,) = await ehr.subscribe(HOOK)
    assert (feed.id, feed.status, feed.counts) == ("appointments-changed", SubscriptionStatus.ACTIVE, False)
    assert app.events.held == {}
    await ehr.subscribe(HOOK)
    assert control.ledger()["calls"]["POST appointments/changed/subscription"] == 1


async def test_push_makes_one_subscription_per_topic_with_its_secret(
    connect: Any, control: Simulator, app: Any
) -> None:
    found = await connect(push=True).subscribe(HOOK)
    assert [s.topic for s in found[1:]] == TOPICS
    for held in app.events.held.values():
        assert held["channel"]["endpoint"] == HOOK
        assert held["_criteria"]["extension"][0]["valueString"] == "ah-practice=Organization/a-1.Practice-195900"
        assert held["channel"]["_payload"]["extension"][0]["valueCode"] == "id-only"
    assert all(app.events._secrets[i] for i in app.events.held)


async def test_asking_twice_leaves_the_same_ones(connect: Any, control: Simulator, app: Any) -> None:
    ehr = connect(push=True)
    first, second = await ehr.subscribe(HOOK), await ehr.subscribe(HOOK)
    assert [s.id for s in first] == [s.id for s in second]
    assert len(app.events.held) == 2


async def test_one_that_leads_elsewhere_or_ends_soon_is_made_anew(
    connect: Any, control: Simulator, app: Any, context: Any
) -> None:
    ehr = connect(push=True, subscription_days=30)
    first = await ehr.subscribe(HOOK)
    moved = await ehr.subscribe(f"{HOOK}/2")
    assert {s.id for s in first[1:]}.isdisjoint(s.id for s in moved[1:])
    later = replace(context, now=lambda: context.now() + timedelta(days=29, hours=12))
    renewed = await connect(later, push=True).subscribe(f"{HOOK}/2")
    assert {s.id for s in moved[1:]}.isdisjoint(s.id for s in renewed[1:])
    assert len(app.events.held) == 2


async def test_renewing_keeps_the_topic_and_moves_the_end(connect: Any, control: Simulator, app: Any) -> None:
    ehr = connect(push=True, subscription_days=30)
    _, _, reopen = await ehr.subscribe(HOOK)
    longer = connect(push=True, subscription_days=60)
    renewed = await longer.renew(reopen.id, HOOK)
    assert renewed.topic == "Encounter.reopen"
    assert renewed.ends_at > reopen.ends_at
    assert len(app.events.held) == 2


async def test_its_status_is_told_and_one_that_is_gone_is_off(connect: Any, control: Simulator) -> None:
    ehr = connect(push=True)
    feed, signoff, _ = await ehr.subscribe(HOOK)
    assert (await ehr.subscription_status(feed.id)).status is SubscriptionStatus.ACTIVE
    assert (await ehr.subscription_status(signoff.id)).status is SubscriptionStatus.ACTIVE
    for subscription in (feed.id, signoff.id):
        await ehr.unsubscribe(subscription)
        await ehr.unsubscribe(subscription)
        assert (await ehr.subscription_status(subscription)).status is SubscriptionStatus.OFF


async def test_a_partial_feed_tells_of_changes(connect: Any, control: Simulator, app: Any) -> None:
    app.feeds["appointments"].subscribe({"eventname": "CheckOut"})
    (feed,) = await connect().subscribe(HOOK)
    assert feed.status is SubscriptionStatus.ACTIVE


async def test_a_feed_that_answers_failure_with_200_is_no_success(connect: Any, control: Simulator, app: Any) -> None:
    app.feeds["appointments"].subscribe = lambda form: v1({"success": "false", "errormessage": "x"})
    with pytest.raises(UnexpectedResponse):
        await connect().subscribe(HOOK)


async def test_without_the_scopes_of_push_the_probe_says_so(connect: Any, control: Simulator) -> None:
    ehr = connect(push=True, scopes=("athena/service/Athenanet.MDP.*", "system/Condition.read"))
    (line,) = [probe for probe in await ehr.probe() if not probe.ok]
    assert line.what == "sign-off events"
    assert "scopes" in line.remedy
    with pytest.raises(PermissionMissing):
        await ehr.subscribe(HOOK)
