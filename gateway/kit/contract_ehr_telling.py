"""The part of `EhrContract` about what is told: the claim's fate, a consent, how it fares. Imported by tests only."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canonical.errors import UnsupportedOperation
from gateway.kit.contract_ehr_frame import EhrContractFrame
from gateway.kit.contract_encounter import FATE
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind
from gateway.ports.ehr import EhrAdapter, EhrCapability


class TellingContract(EhrContractFrame):
    """Inherited through `gateway.kit.contract_ehr.EhrContract`."""

    async def test_a_consent_without_its_capability_is_refused(self, ehr: EhrAdapter) -> None:
        """Where a person must consent, each question has a state of its own; elsewhere nobody is asked."""
        address = "http://127.0.0.1:8765/callback"
        if self.can(EhrCapability.CONSENT):
            assert ehr.consent(address).state != ehr.consent(address).state
            return
        with pytest.raises(UnsupportedOperation):
            ehr.consent(address)
        with pytest.raises(UnsupportedOperation):
            await ehr.accept_consent("code", address)

    async def test_writing_back_without_its_capability_is_refused(self, ehr: EhrAdapter) -> None:
        """What the EHR cannot hold is not pretended."""
        if not self.can(EhrCapability.WRITE_BACK):
            with pytest.raises(UnsupportedOperation):
                await ehr.write_back(self.ref(), FATE)

    async def test_writing_back_twice_is_as_once(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """A worker may die after it has told the EHR: the next one tells it again."""
        if self.can(EhrCapability.WRITE_BACK):
            await ehr.write_back(self.ref(), FATE)
            once = self.written(simulator)
            await ehr.write_back(self.ref(), FATE)
            assert once and self.written(simulator) == once

    def written(self, simulator: Simulator) -> list[Any]:
        """What the simulator's ledger holds of write-backs."""
        return list(simulator.ledger()["written"])

    async def test_the_probe_finds_everything_in_order_and_names_a_remedy_when_not(
        self, ehr: EhrAdapter, simulator: Simulator
    ) -> None:
        """`gateway check` says what works; a broken EHR is reported, never raised."""
        assert [probe for probe in await ehr.probe() if not probe.ok] == []
        simulator.fail("*", FaultKind.HTTP_500, times=500)
        broken = [probe for probe in await ehr.probe() if not probe.ok]
        assert broken and all(probe.remedy for probe in broken)
