"""Acme PM against the contract of all billing adapters."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from acme_pm import ADAPTER
from acme_pm.simulator import build
from gateway.canonical import jsonio
from gateway.canonical.models import SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_support import simulator_running
from gateway.ports.billing import BillingAdapter


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A simulator as long as the tests run."""
    with simulator_running(build, credentials={"key": "acme-key"}) as url:
        yield url


class TestContract(BillingContract):
    """All that it takes."""

    info = ADAPTER
    create_operation = "POST /claims"
    golden = Path(__file__).parent / "golden"

    @pytest.fixture
    def simulator_url(self, address: str) -> str:
        """The simulator, emptied."""
        httpx.post(f"{address}/_sim/reset").raise_for_status()
        return address

    def settings_for(self, url: str) -> dict[str, Any]:
        """A connection to it."""
        return {"url": url, "key": "acme-key", "timeout_seconds": 0.4}

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Another key."""
        return {**settings, "key": "another"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        """Claims under a reference."""
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        """Acme tells no status."""
        return None

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        """The lines as sent."""
        return [
            SentLine(
                procedure=line["code"],
                modifiers=tuple(line["modifiers"]),
                diagnoses=tuple(line["diagnoses"]),
                quantity=Decimal(line["units"]),
                unit_price=Decimal(line["price"]),
            )
            for line in jsonio.loads(payload.body)["lines"]
        ]
