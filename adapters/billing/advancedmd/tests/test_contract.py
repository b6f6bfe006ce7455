"""The AdvancedMD adapter against the contract of all billing adapters, in both message forms."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from adapters.billing.advancedmd import ADAPTER, replies
from adapters.billing.advancedmd.outcomes import standing
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle, SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_frame import PRIOR
from gateway.kit.contract_support import Simulator
from gateway.ports.billing import BillingAdapter


class TestContract(BillingContract):
    info = ADAPTER
    create_operation = "updvisitwithquickcharges"
    read_operation = "lookuppatient"
    golden = pathlib.Path(__file__).parent / "golden"
    prior = replace(PRIOR, vendor_ids={"VisitID": "800001", "PatientID": "pat45", "ChargeIDs": "5100001,5100002"})
    warm_calls = 2  # addvisit, then the charges
    message_form = "json"

    @pytest.fixture(autouse=True)
    def _plain(self, plain_settings: Callable[[str], dict[str, Any]]) -> None:
        self._settings = plain_settings

    @pytest.fixture
    def simulator_url(self, simulator_url: str) -> str:
        return simulator_url

    def settings_for(self, url: str) -> dict[str, Any]:
        return {**self._settings(url), "message_form": self.message_form}

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "password": "not the password"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])

    async def test_second_submission_costs_few_calls(
        self,
        connect: Callable[[dict[str, Any]], BillingAdapter],
        simulator_url: str,
        claim: ClaimBundle,
        simulator: Simulator,
    ) -> None:
        # The same claim under a second id: AdvancedMD would refuse it as a duplicate, as it should.
        adapter = connect({**self.settings_for(simulator_url), "allow_same_day_charges": True})
        await super().test_second_submission_costs_few_calls(adapter, claim, simulator)

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        charge = {"@id": "7", "@visit": "v8", "@insbilled": "wondrous", "@protected": "wondrous", "@void": "wondrous"}
        return standing("8", replies.charges({"charge": charge})).state

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        return [
            SentLine(
                procedure=charge["proccode"],
                modifiers=tuple(charge.get("modcodes", "").split()),
                diagnoses=tuple(charge["diagcodes"].split()),
                quantity=Decimal(charge["units"]),
                unit_price=Decimal(charge["fee"]),
            )
            for charge in jsonio.loads(payload.body)["charges"]
        ]


class TestContractInXml(TestContract):
    message_form = "xml"
