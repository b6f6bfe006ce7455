"""The FHIR Claim adapter against the contract of all billing adapters: $submit, transactions, and SMART."""

from __future__ import annotations

import pathlib
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from adapters.billing.fhir_claim import ADAPTER
from adapters.billing.fhir_claim.outcomes import standing
from adapters.billing.fhir_claim.tests.conftest import Plain
from gateway.canonical import jsonio
from gateway.canonical.codes import codings
from gateway.canonical.models import SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_frame import PRIOR
from gateway.kit.contract_support import contract_context
from gateway.ports.billing import BillingAdapter
from gateway.ports.context import AdapterContext, utc_now

HERE = pathlib.Path(__file__).parent


class FhirContract(BillingContract):
    """What the three ways of connecting share."""

    info = ADAPTER
    create_operation = "Claim/$submit"
    golden = HERE / "golden"
    prior = replace(PRIOR, vendor_ids={**PRIOR.vendor_ids, "Claim": "1987"})
    auth = "bearer"
    further: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _plain(self, plain_settings: Plain) -> None:
        self._settings = plain_settings

    def settings_for(self, url: str) -> dict[str, Any]:
        return self._settings(url, self.auth, **self.further)

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "token": "another token"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])

    def shown(self, payload: VendorPayload) -> bytes:
        return _pretty(jsonio.loads(payload.body)).encode() + b"\n"

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        response = {"resourceType": "ClaimResponse", "id": "r1", "status": "active", "outcome": "wondrous"}
        found = standing(response, "https://fhir.example.test")
        return found.state if found else SubmissionState.SENT

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        claim = jsonio.loads(payload.body)["entry"][0]["resource"]
        diagnoses = {d["sequence"]: _code(d["diagnosisCodeableConcept"]) for d in claim["diagnosis"]}
        return [
            SentLine(
                procedure=_code(item["productOrService"]),
                modifiers=tuple(_code(modifier) for modifier in item.get("modifier", ())),
                diagnoses=tuple(diagnoses[number] for number in item["diagnosisSequence"]),
                quantity=Decimal(item["quantity"]["value"]),
                unit_price=Decimal(item["unitPrice"]["value"]),
            )
            for item in claim["item"]
        ]


class TestContract(FhirContract):
    """Claim/$submit with a static token."""


class TestTransactionContract(FhirContract):
    """A transaction, with a password."""

    create_operation = "transaction"
    golden = HERE / "golden_transaction"
    auth = "basic"
    further: ClassVar[dict[str, Any]] = {"mode": "transaction"}

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "password": "another password"}


class TestSmartContract(FhirContract):
    """Claim/$submit with the tokens of SMART Backend Services."""

    auth = "smart"

    @pytest.fixture
    def context(self) -> AdapterContext:
        """With the clock of this machine: an assertion of another time is refused."""
        return replace(contract_context(), now=utc_now)

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "client_id": "another client"}


def _code(concept: dict[str, Any]) -> str:
    return str(codings(concept)[0]["code"])


def _pretty(value: Any, indent: str = "") -> str:
    """JSON for people, in which 105.00 stays 105.00 and what fits on a line stays on it."""
    flat = jsonio.dumps(value).decode()
    if len(flat) + len(indent) <= 110 or not isinstance(value, dict | list):
        return flat
    inner = f"{indent} "
    if isinstance(value, list):
        return f"[\n{inner}" + f",\n{inner}".join(_pretty(v, inner) for v in value) + f"\n{indent}]"
    members = (f"{jsonio.dumps(name).decode()}: {_pretty(member, inner)}" for name, member in value.items())
    return f"{{\n{inner}" + f",\n{inner}".join(members) + f"\n{indent}}}"
