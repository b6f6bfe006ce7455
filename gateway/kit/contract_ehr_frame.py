"""What a vendor's test class gives the EHR contract, and what its tests work with. Imported by tests only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from gateway.canonical.models import EncounterBundle, EncounterRecord, EncounterRef
from gateway.kit.contract_encounter import FHIR_REQUIRED, ExpectedEncounter, RequiredElement
from gateway.kit.contract_support import Simulator
from gateway.ports.ehr import EhrAdapter, EhrAdapterInfo, EhrCapability

HOOK = "http://127.0.0.1:9/hooks/contract/ehr"
MOST_CALLS_IN_A_CIRCLE = 30


@dataclass(frozen=True, slots=True)
class PagedEhr:
    """An adapter at a simulator that gives one row a page, and the ids of the signed encounters there: several."""

    ehr: EhrAdapter
    simulator: Simulator
    encounter_ids: frozenset[str]


class EhrContractFrame:
    """The class variables and fixtures of `EhrContract`."""

    info: ClassVar[EhrAdapterInfo]
    expected: ClassVar[ExpectedEncounter]
    required: ClassVar[tuple[RequiredElement, ...]] = FHIR_REQUIRED
    max_warm_calls: ClassVar[int] = 8
    first_cursor: ClassVar[str | None] = "2020-01-01T00:00:00+00:00"
    signs_bodies: ClassVar[bool] = False
    unknown_id: ClassVar[str] = "987654321"
    """The id of an encounter that the vendor does not have."""

    def can(self, capability: EhrCapability) -> bool:
        """What the fact sheet declares; override where a connection's settings take something away."""
        return capability in self.info.capabilities

    @pytest.fixture
    def bundle(self, ehr: EhrAdapter, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter of the hand-written record."""
        return ehr.normalize(record)

    def ref(self) -> EncounterRef:
        """A pointer to the test encounter."""
        return EncounterRef(self.expected.encounter_id, f"Encounter/{self.expected.encounter_id}")
