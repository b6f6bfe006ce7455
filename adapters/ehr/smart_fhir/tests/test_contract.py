"""The generic SMART on FHIR adapter keeps the contract of every EHR adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical.models import Resource
from gateway.kit.contract_ehr import EhrContract, PagedEhr
from gateway.kit.contract_encounter import ExpectedEncounter, ExpectedLine


class TestContract(EhrContract):
    info = ADAPTER
    expected = ExpectedEncounter(
        encounter_id="enc-1",
        diagnosis_codes=("E11.9", "I10"),
        lines=(
            ExpectedLine("G0463", ("25", "GT"), Decimal(1), Decimal("185.00"), ("I10", "E11.9")),
            ExpectedLine("J1885", (), Decimal(3), Decimal("33.3333"), ("E11.9",)),
        ),
        member_ids=("000123456", "77001"),
        referring_npi="1679576722",
        location_code="22",
        prior_authorization="PA-0042",
    )

    @pytest.fixture
    async def paged(self, playing: Any, several: list[Resource], context: Any) -> AsyncIterator[PagedEhr]:
        with playing("generic", data=several, largest_page="1") as (simulator, settings):
            simulator.client.post("/_sim/sign", json={"all": True}).raise_for_status()
            adapter = ADAPTER.open(ADAPTER.settings(**settings), context)
            yield PagedEhr(adapter, simulator, frozenset({"enc-1", "enc-2", "enc-3"}))
            await adapter.aclose()
