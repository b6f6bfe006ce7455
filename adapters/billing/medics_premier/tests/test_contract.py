"""The MedicsPremier adapter, over MLLP and over SFTP, against the contract of all billing adapters."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from adapters.billing.medics_premier import ADAPTER
from gateway.canonical.models import SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingAdapter


class _Hl7(BillingContract):
    """What both transports share: the same messages, hence the same golden files."""

    info = ADAPTER
    create_operation = "DFT^P03"
    golden = Path(__file__).parent / "golden"
    golden_suffix = "hl7"

    @pytest.fixture
    def simulator_url(self, fresh: Any) -> str:
        return str(fresh.url)

    def shown(self, payload: VendorPayload) -> bytes:
        return payload.body.replace(b"\r", b"\n")

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        ack = b"MSH|^~\\&|MEDICSPREMIER|0001|CLAIMGW|LAKESIDE|20260304||ACK|1|P|2.5.1\rMSA|ZZ|GW7F3A91-D\r"
        (outcome,) = adapter.parse_outcome(ack)
        return outcome.evidence.state

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        segments = [line.split("|") for line in payload.body.decode().split("\r")]
        return [_sent(fields) for fields in segments if fields[0] == "FT1" and fields[6] == "CG"]


class TestContract(_Hl7):
    read_operation = "ADT^A04"
    warm_calls = 2  # the patient is told of before every charge message
    operation_faults = frozenset(FaultKind) - {FaultKind.RATE_LIMIT}  # MLLP has no way to ask for a pause

    @pytest.fixture(autouse=True)
    def _around(self, fresh: Any, plain_settings: Callable[..., dict[str, Any]]) -> None:
        self._running, self._settings = fresh, plain_settings

    def settings_for(self, url: str) -> dict[str, Any]:
        elsewhere = {} if url == self._running.url else {"port": urlsplit(url).port}
        return self._settings({**self._running.transport, **elsewhere})

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        """HL7 itself has no password: what a receiver knows a sender by is MSH-3 to MSH-6."""
        return {**settings, "sending_facility": "SOMEWHERE ELSE"}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])


class TestContractOverSftp(_Hl7):
    receipt_state = SubmissionState.SENT
    operation_faults: frozenset[FaultKind] = frozenset()  # a file has no answer: what can fail is tested in the kit

    @pytest.fixture(autouse=True)
    def _around(self, fresh: Any, plain_settings: Callable[..., dict[str, Any]], sftp: dict[str, Any]) -> None:
        self._running, self._settings, self._sftp = fresh, plain_settings, sftp

    def settings_for(self, url: str) -> dict[str, Any]:
        elsewhere = {} if url == self._running.url else {"port": urlsplit(url).port}
        return self._settings({**self._sftp, **elsewhere}, timeout_seconds=10)

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "transport": {**settings["transport"], "password": "not the password"}}

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        """The watcher needs a moment to see a file, so the ledger is read until the claim is there."""
        for _ in range(100):
            claims = httpx.get(f"{self._running.url}/_sim/ledger").json()["claims"]
            count = sum(claim["submission_id"] == submission_id for claim in claims)
            if count:
                return count
            time.sleep(0.02)
        return 0


def _sent(fields: list[str]) -> SentLine:
    padded = fields + [""] * 30
    return SentLine(
        procedure=padded[7].split("^")[0],
        modifiers=_repeated(padded[26]),
        diagnoses=_repeated(padded[19]),
        quantity=Decimal(padded[10]),
        unit_price=Decimal(padded[12].split("^")[0]),
    )


def _repeated(field: str) -> tuple[str, ...]:
    return tuple(repetition.split("^")[0] for repetition in field.split("~")) if field else ()
