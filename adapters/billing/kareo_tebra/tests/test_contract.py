"""The Kareo/Tebra adapter against the contract of all billing adapters."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from adapters.billing.kareo_tebra import ADAPTER
from adapters.billing.kareo_tebra.outcomes import standing
from gateway.canonical import jsonio
from gateway.canonical.models import SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_frame import PRIOR
from gateway.ports.billing import BillingAdapter


class TestContract(BillingContract):
    info = ADAPTER
    create_operation = "CreateEncounter"
    read_operation = "GetPatients"
    golden = pathlib.Path(__file__).parent / "golden"
    prior = replace(PRIOR, vendor_ids={**PRIOR.vendor_ids, "EncounterID": "29001"})

    @pytest.fixture(autouse=True)
    def _plain(self, plain_settings: Callable[[str], dict[str, Any]]) -> None:
        self._settings = plain_settings

    @pytest.fixture
    def simulator_url(self, samples_url: str) -> str:
        return samples_url

    def settings_for(self, url: str) -> dict[str, Any]:
        return self._settings(url)

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "password": "not the password"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(encounter["BatchNumber"] == submission_id for encounter in ledger["encounters"])

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        charge = {"ID": "1", "Status": "Wondrous"}
        return standing({"EncounterID": "7", "EncounterStatus": "Wondrous"}, [charge]).state

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        return [
            SentLine(
                procedure=line["ProcedureCode"],
                modifiers=_numbered(line, "ProcedureModifier"),
                diagnoses=_numbered(line, "DiagnosisCode"),
                quantity=Decimal(line["Units"]),
                unit_price=Decimal(line["UnitCharge"]),
            )
            for line in jsonio.loads(payload.body)["lines"]
        ]


def _numbered(line: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(line[f"{name}{n}"] for n in range(1, 5) if f"{name}{n}" in line)
