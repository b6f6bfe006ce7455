"""The contract that every EHR adapter keeps, as a test class to inherit.

    class TestContract(EhrContract):
        info = ADAPTER
        expected = ExpectedEncounter(...)

The inheriting module, or its conftest, gives five fixtures: `simulator` (the running `contract_support.Simulator`),
`ehr` (the adapter connected to it), `record` (what `fetch_encounter` gives, written by hand), `event` (an accepted
notification of `expected.encounter_id`; any request where the EHR sends none) and `paged` (`PagedEhr`: an adapter at a
simulator with several signed encounters and one row a page). What an adapter does not declare must be refused: that is
tested instead. Imported by tests only.
"""

from __future__ import annotations

import pytest

_PARTS = ("finding", "mapping", "notices", "reading", "telling")
pytest.register_assert_rewrite(*(f"gateway.kit.contract_ehr_{part}" for part in _PARTS))  # a failure shows its values

from gateway.kit.contract_ehr_finding import FindingContract  # noqa: E402
from gateway.kit.contract_ehr_frame import PagedEhr  # noqa: E402
from gateway.kit.contract_ehr_mapping import MappingContract  # noqa: E402
from gateway.kit.contract_ehr_notices import NoticesContract  # noqa: E402
from gateway.kit.contract_ehr_reading import ReadingContract  # noqa: E402
from gateway.kit.contract_ehr_telling import TellingContract  # noqa: E402

__all__ = ["EhrContract", "PagedEhr"]


class EhrContract(NoticesContract, FindingContract, ReadingContract, MappingContract, TellingContract):
    """Inherit this class; each test is one promise of `gateway.ports.ehr.EhrAdapter`."""
