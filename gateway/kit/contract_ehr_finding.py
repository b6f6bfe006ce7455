"""The part of `EhrContract` about finding encounters: feed, backfill, pages, subscriptions. Imported by tests only."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from gateway.canonical.errors import RateLimited, UnexpectedResponse, UnsupportedOperation, VendorUnavailable
from gateway.canonical.models import EncounterRef
from gateway.kit.contract_ehr_frame import HOOK, MOST_CALLS_IN_A_CIRCLE, EhrContractFrame, PagedEhr
from gateway.kit.contract_support import Simulator
from gateway.kit.contract_wire import Spoil
from gateway.kit.simulator import FaultKind
from gateway.ports.ehr import EhrAdapter, EhrCapability

SINCE = date(2020, 1, 1)
Found = list[tuple[EncounterRef, str]]


async def polled(ehr: EhrAdapter, cursor: str | None) -> Found:
    """All that a poll gives."""
    return [pair async for pair in ehr.changed_encounters(cursor)]


async def listed(ehr: EhrAdapter, since: date, position: str | None = None) -> Found:
    """The whole backfill; an EHR that prepares it asks to come back."""
    while True:
        try:
            return [pair async for pair in ehr.backfill(since, position)]
        except RateLimited as wait:
            assert wait.retry_after is not None and wait.retry_after < 5, "set the simulator to answer soon"
            await asyncio.sleep(wait.retry_after)


def ids(found: Found) -> set[str]:
    """The encounters that were found."""
    return {ref.encounter_id for ref, _ in found}


class FindingContract(EhrContractFrame):
    """Inherited through `gateway.kit.contract_ehr.EhrContract`."""

    async def test_polling_finds_the_signed_encounter(self, ehr: EhrAdapter) -> None:
        """Each found encounter comes with a cursor, and a poll from that cursor works."""
        if not self.can(EhrCapability.POLL):
            with pytest.raises(UnsupportedOperation):
                [pair async for pair in ehr.changed_encounters(None)]
            return
        found = await polled(ehr, self.first_cursor)
        assert self.expected.encounter_id in [ref.encounter_id for ref, _ in found]
        again = [ref async for ref, _ in ehr.changed_encounters(found[-1][1])]
        assert {ref.dedupe_key for ref in again} <= {ref.dedupe_key for ref, _ in found}

    async def test_backfill_finds_the_signed_encounter_and_resumes(self, ehr: EhrAdapter) -> None:
        """From the last position on nothing is left but what was there already."""
        if not self.can(EhrCapability.BACKFILL):
            with pytest.raises(UnsupportedOperation):
                [pair async for pair in ehr.backfill(SINCE, None)]
            return
        found = await listed(ehr, SINCE)
        assert all(ref.serviced and ref.serviced >= SINCE for ref, _ in found), "`--until` compares the dates"
        assert self.expected.encounter_id in [ref.encounter_id for ref, _ in found]
        rest = await listed(ehr, SINCE, found[-1][1])
        assert {ref.encounter_id for ref, _ in rest} <= {ref.encounter_id for ref, _ in found}

    async def test_every_page_of_the_feed_is_read(self, paged: PagedEhr) -> None:
        """Also where the EHR gives fewer rows a page than it was asked for."""
        if self.can(EhrCapability.POLL):
            assert ids(await polled(paged.ehr, self.first_cursor)) >= paged.encounter_ids

    async def test_every_page_of_the_backfill_is_read(self, paged: PagedEhr) -> None:
        """As of the feed."""
        if self.can(EhrCapability.BACKFILL):
            assert ids(await listed(paged.ehr, SINCE)) >= paged.encounter_ids

    async def test_a_circle_of_pages_ends_with_an_error(self, paged: PagedEhr) -> None:
        """At once, and not after as many calls as a poll may make."""
        if not self.can(EhrCapability.POLL):
            return
        await polled(paged.ehr, self.first_cursor)  # tokens, and the way in which encounters are found
        before = sum(paged.simulator.ledger()["calls"].values())
        paged.simulator.spoil(Spoil.IN_A_CIRCLE)
        with pytest.raises(UnexpectedResponse):
            await polled(paged.ehr, self.first_cursor)
        assert sum(paged.simulator.ledger()["calls"].values()) - before < MOST_CALLS_IN_A_CIRCLE

    async def test_a_broken_page_is_read_again_later(self, paged: PagedEhr) -> None:
        """One that is cut short, or a page to log in: what it held is not taken for nothing."""
        if not self.can(EhrCapability.POLL):
            return
        await polled(paged.ehr, self.first_cursor)
        paged.simulator.spoil(Spoil.CUT_SHORT)
        with pytest.raises(VendorUnavailable):
            await polled(paged.ehr, self.first_cursor)
        paged.simulator.unspoil()
        paged.simulator.fail("*", FaultKind.GARBAGE, times=50)
        with pytest.raises(VendorUnavailable):
            await polled(paged.ehr, self.first_cursor)

    async def test_subscribing_twice_leaves_the_same_subscriptions(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """A gateway that starts again must not be told everything twice."""
        if not self.can(EhrCapability.SUBSCRIBE):
            with pytest.raises(UnsupportedOperation):
                await ehr.subscribe(HOOK)
            return
        first, again = [sorted(s.id for s in await ehr.subscribe(HOOK)) for _ in range(2)]
        assert first == again != []
        assert len(set(first)) == len(first)
