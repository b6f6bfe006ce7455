"""The part of `EhrContract` about reading one encounter from an EHR that may be ill. Imported by tests only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest

from gateway.canonical.errors import ErrorCode, RateLimited, Retry, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import EncounterBundle, EncounterRef
from gateway.kit.contract_ehr_frame import EhrContractFrame
from gateway.kit.contract_support import Simulator
from gateway.kit.contract_wire import Spoil
from gateway.kit.simulator import FaultKind
from gateway.ports.context import utc_now
from gateway.ports.ehr import EhrAdapter


def in_seconds(moment: datetime) -> str:
    """Retry-After as a number, rounded up."""
    return str(int((moment - utc_now()).total_seconds()) + 1)


def as_a_date(moment: datetime) -> str:
    """Retry-After as an HTTP date."""
    return format_datetime(moment, usegmt=True)


class ReadingContract(EhrContractFrame):
    """Inherited through `gateway.kit.contract_ehr.EhrContract`."""

    async def test_fetch_gives_what_normalize_needs(self, ehr: EhrAdapter, bundle: EncounterBundle) -> None:
        """Over real HTTP the same facts arrive as from the hand-written record."""
        fetched = ehr.normalize(await ehr.fetch_encounter(self.ref()))
        assert fetched.charges == bundle.charges
        assert fetched.diagnosis_codes == bundle.diagnosis_codes
        assert {r["resourceType"] for r in fetched.resources} == {r["resourceType"] for r in bundle.resources}

    async def test_a_warm_fetch_needs_few_calls(self, ehr: EhrAdapter) -> None:
        """The hot path: tokens, providers and payers are cached by the second encounter."""
        await ehr.fetch_encounter(self.ref())
        assert (await ehr.fetch_encounter(self.ref())).calls <= self.max_warm_calls

    async def test_a_rate_limit_says_when_to_come_back(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """429 is no failure: the job waits as told."""
        await ehr.fetch_encounter(self.ref())
        simulator.fail("*", FaultKind.RATE_LIMIT, times=50)
        with pytest.raises(RateLimited) as raised:
            await ehr.fetch_encounter(self.ref())
        assert raised.value.retry_after is not None

    async def test_one_401_costs_one_new_token(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """A token that died early is renewed, and the caller does not notice."""
        await ehr.fetch_encounter(self.ref())
        simulator.fail("*", FaultKind.UNAUTHORIZED, times=1)
        assert (await ehr.fetch_encounter(self.ref())).encounter["id"] == self.expected.encounter_id

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("form", [in_seconds, as_a_date])
    async def test_retry_after_is_obeyed_in_both_forms(
        self, ehr: EhrAdapter, simulator: Simulator, form: Callable[[datetime], str], status: int
    ) -> None:
        """RFC 9110 section 10.2.3: a number of seconds, or a date."""
        await ehr.fetch_encounter(self.ref())
        simulator.spoil(Spoil.REFUSED, status=status, retry_after=form(utc_now() + timedelta(seconds=90)))
        with pytest.raises(RateLimited) as raised:
            await ehr.fetch_encounter(self.ref())
        assert raised.value.retry_after == pytest.approx(90, abs=5)

    @pytest.mark.parametrize("broken", [Spoil.CUT_SHORT, FaultKind.GARBAGE])
    async def test_an_answer_cut_short_or_a_page_to_log_in_is_read_again_later(
        self, ehr: EhrAdapter, simulator: Simulator, broken: Spoil | FaultKind
    ) -> None:
        """Both come with HTTP 200; a part of an encounter is never taken for the whole."""
        await ehr.fetch_encounter(self.ref())
        if isinstance(broken, Spoil):
            simulator.spoil(broken)
        else:
            simulator.fail("*", broken, times=50)
        with pytest.raises(VendorUnavailable):
            await ehr.fetch_encounter(self.ref())

    async def test_an_answer_without_end_is_refused(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """Memory is bounded, whatever the EHR sends."""
        await ehr.fetch_encounter(self.ref())
        simulator.spoil(Spoil.WITHOUT_END, times=1)
        with pytest.raises(UnexpectedResponse):
            await ehr.fetch_encounter(self.ref())

    async def test_an_encounter_that_the_ehr_does_not_have_is_held(self, ehr: EhrAdapter) -> None:
        """Neither retried without end nor withdrawn: at the wrong practice every claim on file would be voided."""
        with pytest.raises(UnexpectedResponse) as raised:
            await ehr.fetch_encounter(EncounterRef(self.unknown_id, ""))
        assert (raised.value.code, raised.value.retry) == (ErrorCode.NOT_FOUND, Retry.NEVER)

    @pytest.mark.parametrize("odd", ["", "..", "../Patient/1", "1?x=2", "1#", "a b", "%2e%2e", "1\n2"])
    async def test_an_id_that_is_none_asks_the_ehr_for_nothing(
        self, ehr: EhrAdapter, simulator: Simulator, odd: str
    ) -> None:
        """Ids come in notifications, and end up in addresses."""
        before = simulator.ledger()["calls"]
        with pytest.raises(UnexpectedResponse) as raised:
            await ehr.fetch_encounter(EncounterRef(odd, ""))
        assert raised.value.code is ErrorCode.NOT_FOUND
        assert simulator.ledger()["calls"] == before
