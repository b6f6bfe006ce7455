"""Every rung of the feed ladder brings a clinic day to the billing system, once each, without any notification."""

from __future__ import annotations

from typing import Any

import pytest

WHOLE_YEAR = {"feed_lookback_days": 365, "lookback_minutes": 60 * 24 * 365, "poll_seconds": 1, "subscription": "none"}


@pytest.mark.slow
@pytest.mark.parametrize("feed", ["last_updated", "date", "bulk", "appointments"])
async def test_what_is_signed_is_billed_once(open_house: Any, ledgers: Any, feed: str) -> None:
    scopes = ["system/*.rs"]
    house = await open_house(feed=feed, scopes=scopes, bulk_seconds=0, **WHOLE_YEAR)
    house.vendors.sign()
    await house.poll()

    async def known() -> bool:
        return len(await house.states()) == len(house.vendors.ehr.ledger()["signed"])

    await house.until(known, f"the feed {feed}")
    await house.all_settled()
    outcome = await ledgers(house)
    assert (outcome.lost, outcome.doubled) == ([], [])
    assert len(outcome.submitted) == 8
