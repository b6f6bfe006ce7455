"""The budget is hard: no call beyond the free ones, across workers, in Mountain time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.billing.advancedmd import throttle
from adapters.billing.advancedmd.adapter import AdvancedMd
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.simulator import build
from adapters.billing.advancedmd.throttle import (
    HIGH,
    LOGIN,
    LOW,
    MEDIUM,
    POSTING,
    Throttle,
    calls_per_minute,
    is_peak,
    tier_of,
)
from gateway.kit.contract_support import Simulator, contract_context, simulator_running
from gateway.kit.samples import directory, sample

from .conftest import CREDENTIALS

PACE = 0.02
PEAK, OFF_PEAK = datetime(2026, 3, 5, 19, 0, tzinfo=UTC), datetime(2026, 3, 8, 19, 0, tzinfo=UTC)


@dataclass
class SharedBudget:
    """The pacer of Postgres in one process: sliding windows that all workers share, with real waiting."""

    calls: dict[str, deque[float]] = field(default_factory=dict)
    lines: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Not used by this adapter."""
        raise AssertionError(operation)

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        """Return when one more call fits."""
        async with self.lines.setdefault(budget, asyncio.Lock()):
            made = self.calls.setdefault(budget, deque())
            while True:
                now = time.monotonic()
                while made and made[0] <= now - window_seconds:
                    made.popleft()
                if len(made) < calls:
                    made.append(now)
                    return
                await asyncio.sleep(made[-calls] + window_seconds - now)


@pytest.mark.parametrize(
    ("moment", "peak"),
    [
        (datetime(2026, 3, 5, 12, 59, tzinfo=UTC), False),  # Thursday 05:59 Mountain standard time
        (datetime(2026, 3, 5, 13, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 6, 0, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 6, 1, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 6, 12, 0, tzinfo=UTC), True),  # Monday 06:00 daylight saving time
        (datetime(2026, 7, 6, 11, 59, tzinfo=UTC), False),
        (OFF_PEAK, False),  # Sunday noon
    ],
)
def test_peak_is_in_mountain_time(moment: datetime, peak: bool) -> None:
    assert is_peak(moment) is peak


def test_the_table() -> None:
    assert [tier_of(a) for a in ("getupdatedvisits", "getupdatedwhatever")] == [HIGH, HIGH]
    assert [tier_of(a) for a in ("savecharges", "gettxhistory")] == [MEDIUM] * 2
    assert [tier_of(a) for a in ("lookuppatient", "addvisit", "addpatient")] == [LOW] * 3
    tiers = (HIGH, MEDIUM, LOW, POSTING, LOGIN)
    assert [calls_per_minute(t, PEAK, 0.9) for t in tiers] == [1, 5, 16, 5, 1]
    assert [calls_per_minute(t, OFF_PEAK, 0.9) for t in tiers] == [54, 72, 72, 36, 1]


@pytest.mark.parametrize(("moment", "medium", "low"), [(PEAK, 12, 24), (OFF_PEAK, 120, 120)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_posting_fits_whichever_tier_it_belongs_to(moment: datetime, medium: int, low: int, share: float) -> None:
    assert tier_of("updvisitwithquickcharges") is tier_of("getchargedetaildata") is POSTING
    calls = {t.name: calls_per_minute(t, moment, share) for t in (MEDIUM, LOW, POSTING)}
    assert calls["medium"] + calls["posting"] <= medium
    assert calls["low"] + calls["posting"] <= low


def test_the_minutes_around_the_change_count_as_peak() -> None:
    morning, evening = datetime(2026, 3, 5, 13, 0, tzinfo=UTC), datetime(2026, 3, 6, 1, 0, tzinfo=UTC)
    for moment in (morning - timedelta(seconds=59), evening + timedelta(seconds=59)):
        assert calls_per_minute(LOW, moment, 1) == 18
    for moment in (morning - timedelta(seconds=61), evening + timedelta(seconds=61)):
        assert calls_per_minute(LOW, moment, 1) == 80


class _PeakBegins:
    """A pacer whose first caller waits until the peak has begun."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.moment = OFF_PEAK

    async def wait(self, operation: str, gap_seconds: float) -> None:
        raise AssertionError(operation)

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        assert "990001" not in budget
        self.asked.append(calls)
        self.moment = PEAK


async def test_a_call_that_waited_into_the_peak_takes_a_place_of_the_peak(settings: AdvancedMdSettings) -> None:
    pacer = _PeakBegins()
    pace = Throttle(settings.model_copy(update={"throttle_scale": 1.0}), pacer, lambda: pacer.moment)
    await pace.admit("lookuppatient")
    assert pacer.asked == [72, 16]


async def test_a_scale_of_nothing_asks_nobody(settings: AdvancedMdSettings) -> None:
    await Throttle(settings, _PeakBegins(), lambda: PEAK).admit("lookuppatient")


@pytest.fixture
def paced_url() -> Iterator[str]:
    with simulator_running(build, credentials=CREDENTIALS, data=directory(), pace=PACE) as url:
        yield url


def _set_clock(client: httpx.Client, moment: datetime) -> None:
    client.post("/_sim/advance", json={"now": moment.isoformat()}).raise_for_status()


@pytest.mark.parametrize("moment", [PEAK, OFF_PEAK], ids=["peak", "off-peak"])
async def test_three_workers_never_exceed_the_free_calls(
    paced_url: str, plain_settings: Callable[[str], dict[str, Any]], moment: datetime
) -> None:
    values = {**plain_settings(paced_url), "throttle_scale": PACE, "timeout_seconds": 5}
    began = time.monotonic()
    context = replace(
        contract_context(),
        pacer=SharedBudget(),
        now=lambda: moment + timedelta(seconds=time.monotonic() - began),
    )
    names = ("office_visit", "two_payers", "child_of_subscriber", "twelve_diagnoses", "referred_and_authorized")
    async with AsyncExitStack() as stack:
        workers = [AdvancedMd(AdvancedMdSettings.model_validate(values), context) for _ in range(3)]
        for worker in workers:
            stack.push_async_callback(worker.aclose)
        with httpx.Client(base_url=paced_url) as client:
            _set_clock(client, moment)
            payloads = [workers[0].build(sample(name), f"GW-{name}") for name in names]
            await asyncio.gather(*(workers[i % 3].submit(payload) for i, payload in enumerate(payloads)))
            ledger = Simulator(client).ledger()
    assert ledger["excess"] == {}
    assert ledger["calls"]["login"] == 2  # one login, in two posts, for three workers
    assert len(ledger["claims"]) == len(names)


def test_the_windows_are_longer_than_the_vendor_s_minute() -> None:
    assert throttle.WINDOW_SECONDS > throttle.MINUTE_SECONDS
    assert throttle.LOGIN_SECONDS > throttle.MINUTE_SECONDS
