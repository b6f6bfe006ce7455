"""The Practice Fusion adapter keeps the contract of every EHR adapter, with charges from the API's own Procedures."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.practice_fusion import ADAPTER
from gateway.kit.contract_ehr import EhrContract
from gateway.kit.contract_encounter import FHIR_REQUIRED, ExpectedEncounter, ExpectedLine, RequiredElement


class TestContract(EhrContract):
    info = ADAPTER
    required = (*FHIR_REQUIRED[:-1], RequiredElement("Coverage", "payor", "Coverage[0].payor"))
    expected = ExpectedEncounter(
        encounter_id="e-1001",
        diagnosis_codes=("I10", "E11.9"),
        lines=(ExpectedLine("99214", ("25",), Decimal(1), None, ()),),
        member_ids=("00W9900112233",),
        referring_npi="1679576722",
        location_code="22",
        prior_authorization=None,
    )

    @pytest.fixture
    def ehr(self, open_ehr: Callable[..., Any]) -> Any:
        return open_ehr(charge_sources=("procedure",))
