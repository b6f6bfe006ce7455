"""The call budget: kept before a call is made, shared by the app's connections, not burnt by retries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.ehr.drchrono import budget
from adapters.ehr.drchrono.settings import DrChronoSettings
from adapters.ehr.drchrono.tests.practice_data import REF, clinic_context
from gateway.canonical.errors import RateLimited
from gateway.kit.contract_support import NoPacer, Simulator
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 5, 12, 20, tzinfo=UTC)

    def context(self, pacer: Any = None) -> AdapterContext:
        return replace(clinic_context(), now=lambda: self.now, pacer=pacer or NoPacer())


class Exhausted(NoPacer):
    """A budget of which nothing is left this hour."""

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        if window_seconds > 60:
            await asyncio.Event().wait()


def calls(simulator: Simulator) -> int:
    return sum(simulator.ledger()["calls"].values())


async def throttled(adapter: Any) -> float:
    with pytest.raises(RateLimited) as raised:
        await adapter.fetch_encounter(REF)
    assert raised.value.retry_after is not None
    return float(raised.value.retry_after)


class TestSpending:
    async def test_each_call_is_spent_by_second_and_by_hour(self, opened: Any, signed: Simulator) -> None:
        context = clinic_context()
        adapter = opened(context, hourly_calls=500, calls_per_second=8)
        record = await adapter.fetch_encounter(REF)
        spent = [(name.rpartition("/")[2], calls_, window) for name, calls_, window in context.pacer.spent]
        assert spent.count(("hour", 500, 3600.0)) == spent.count(("second", 1, 0.125)) == record.calls

    async def test_connections_of_one_app_share_its_budget(self) -> None:
        names = []
        for number, client_id in enumerate(("app-a", "app-a", "app-b")):
            context = replace(clinic_context(), connection=f"ehr{number}")
            await budget.CallBudget(DrChronoSettings(client_id=client_id, client_secret="s"), context).before("read:x")
            names.append(context.pacer.spent[-1][0])
        assert names[0] == names[1] != names[2]
        assert "app-a" not in names[0]

    async def test_what_is_not_counted_is_not_spent(self, opened: Any, signed: Simulator) -> None:
        context = clinic_context()
        await opened(context, hourly_calls=0, calls_per_second=0).fetch_encounter(REF)
        assert context.pacer.spent == []

    async def test_an_hour_without_calls_left_gives_the_job_back(
        self, opened: Any, signed: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(budget, "_MOST_WAIT", {True: 0.01, False: 0.01})
        adapter = opened(Watch().context(Exhausted()), hourly_calls=500)
        assert await throttled(adapter) == 60.0
        assert signed.ledger()["calls"] == {"POST token": 1}


class TestThrottled:
    async def test_the_first_429_waits_for_the_next_second(self, opened: Any, signed: Simulator) -> None:
        signed.fail("appointments", FaultKind.RATE_LIMIT)
        assert await throttled(opened(Watch().context())) < 2

    async def test_one_that_follows_a_pause_waits_for_the_full_hour_without_a_call(
        self, opened: Any, signed: Simulator
    ) -> None:
        watch = Watch()
        adapter = opened(watch.context())
        signed.fail("appointments", FaultKind.RATE_LIMIT, times=2)
        await throttled(adapter)
        watch.now += timedelta(seconds=2)
        assert await throttled(adapter) == 40 * 60 - 2
        made = calls(signed)
        watch.now += timedelta(minutes=10)
        assert await throttled(adapter) == 30 * 60 - 2
        assert calls(signed) == made
        watch.now += timedelta(minutes=30)
        assert (await adapter.fetch_encounter(REF)).resources

    async def test_an_answer_in_between_shows_that_the_hour_has_calls_left(
        self, opened: Any, signed: Simulator
    ) -> None:
        watch = Watch()
        adapter = opened(watch.context())
        for _ in range(2):
            signed.fail("appointments", FaultKind.RATE_LIMIT)
            assert await throttled(adapter) < 2
            watch.now += timedelta(seconds=2)
            assert (await adapter.fetch_encounter(REF)).resources

    async def test_two_of_one_burst_are_of_the_same_second(self, opened: Any, signed: Simulator) -> None:
        adapter = opened(Watch().context())
        signed.fail("appointments", FaultKind.RATE_LIMIT, times=2)
        assert await throttled(adapter) < 2
        assert await throttled(adapter) < 2
