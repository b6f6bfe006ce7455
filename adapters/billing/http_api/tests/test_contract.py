"""The adapter, with the shipped example as its description, against the contract of all billing adapters."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adapters.billing.http_api import ADAPTER
from adapters.billing.http_api.description import Description
from adapters.billing.http_api.replies import Answers
from gateway.canonical import jsonio
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_frame import PRIOR
from gateway.ports.billing import BillingAdapter


class TestContract(BillingContract):
    info = ADAPTER
    create_operation = "CreateClaim"
    read_operation = "Token"
    golden = pathlib.Path(__file__).parent / "golden"
    prior = SubmissionReceipt(
        PRIOR.submission_id, PRIOR.evidence, {"claim_id": "ACM-000001", PAYER_CLAIM_CONTROL_NUMBER: "PCN88001"}
    )

    @pytest.fixture(autouse=True)
    def _plain(self, plain_settings: Callable[[str], dict[str, Any]]) -> None:
        self._settings = plain_settings

    def settings_for(self, url: str) -> dict[str, Any]:
        return self._settings(url)

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "client_secret": "not the secret"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        answers = Answers(Description.model_validate(self.settings_for("http://127.0.0.1:9")["description"]))
        return answers.outcome(200, b'{"id": 17, "status": "wondrous"}', None).state

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        claim = jsonio.loads(payload.body)
        return [
            SentLine(
                procedure=line["code"],
                modifiers=tuple(line.get("modifiers", ())),
                diagnoses=tuple(_dotted(claim["diagnoses"][pointer - 1]) for pointer in line["pointers"]),
                quantity=Decimal(line["units"]),
                unit_price=Decimal(line["price"]),
            )
            for line in claim["lines"]
        ]


class TestIdempotentContract(TestContract):
    """The same vendor with a description that says that Acme drops repeats."""

    def settings_for(self, url: str) -> dict[str, Any]:
        settings = super().settings_for(url)
        settings["description"]["idempotency"] = {"header": "Idempotency-Key", "hours": 24}
        return settings


def _dotted(code: str) -> str:
    return code if len(code) <= 3 else f"{code[:3]}.{code[3:]}"
