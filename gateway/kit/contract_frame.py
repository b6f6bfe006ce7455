"""The frame of `BillingContract`: what a vendor's test class supplies, and what the inherited tests work with.

The module needs pytest and is imported only by tests.
"""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import httpx
import pytest

from gateway.canonical.codes import codings
from gateway.canonical.models import (
    PAYER_CLAIM_CONTROL_NUMBER,
    ClaimBundle,
    ClaimFrequency,
    Evidence,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.kit.contract_support import Simulator, contract_context, patient_values
from gateway.kit.samples import SAMPLES, sample
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingAdapter, BillingAdapterInfo, BillingCapability
from gateway.ports.context import AdapterContext

SUBMISSION_ID = "GW7F3A91"
MADE_AT = datetime(2026, 3, 4, 14, 12, tzinfo=UTC)
PRIOR = SubmissionReceipt(
    "GW1B22C0",
    Evidence(SubmissionState.ACCEPTED, "on file", MADE_AT),
    {PAYER_CLAIM_CONTROL_NUMBER: "PCN88001"},
)
"""The receipt of the claim that the sample `replacement` replaces; a vendor's own ids can be added by its class."""


@dataclass(frozen=True, slots=True)
class SentLine:
    """One service line as the vendor will understand it; diagnoses are ICD-10-CM codes in pointer order."""

    procedure: str
    modifiers: tuple[str, ...]
    diagnoses: tuple[str, ...]
    quantity: Decimal
    unit_price: Decimal


def expected_lines(bundle: ClaimBundle) -> list[SentLine]:
    """What the canonical claim says, with its diagnosis pointers followed."""
    claim = bundle.claim
    diagnosis = {d["sequence"]: _code(d["diagnosisCodeableConcept"]) for d in claim["diagnosis"]}
    return [
        SentLine(
            procedure=_code(item["productOrService"]),
            modifiers=tuple(_code(modifier) for modifier in item.get("modifier", ())),
            diagnoses=tuple(diagnosis[sequence] for sequence in item["diagnosisSequence"]),
            quantity=Decimal(item["quantity"]["value"]),
            unit_price=Decimal(item["unitPrice"]["value"]),
        )
        for item in claim["item"]
    ]


def _code(concept: dict[str, Any]) -> str:
    return str(codings(concept)[0]["code"])


class BillingContractFrame:
    """What a vendor's test class supplies, and what its tests then work with."""

    info: ClassVar[BillingAdapterInfo]
    create_operation: ClassVar[str]
    read_operation: ClassVar[str] = ""
    golden: ClassVar[pathlib.Path]
    golden_suffix: ClassVar[str] = "json"
    prior: ClassVar[SubmissionReceipt] = PRIOR
    warm_calls: ClassVar[int] = 1
    receipt_state: ClassVar[SubmissionState] = SubmissionState.RECEIVED
    operation_faults: ClassVar[frozenset[FaultKind]] = frozenset(FaultKind)

    def settings_for(self, url: str) -> dict[str, Any]:
        """Plain settings of a connection to the simulator, with a timeout of a few tenths of a second."""
        raise NotImplementedError

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings with credentials that the simulator refuses."""
        raise NotImplementedError

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        """How many claims with this submission id the ledger of `GET /_sim/ledger` holds."""
        raise NotImplementedError

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        """The service lines of a built payload, before it is enclosed."""
        raise NotImplementedError

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        """The state that a status word proves which no document of the vendor knows; None when it tells no status."""
        raise NotImplementedError

    def shown(self, payload: VendorPayload) -> bytes:
        """What the golden file holds: the payload as a person would read it."""
        return payload.body

    @pytest.fixture
    def claims(self) -> list[ClaimBundle]:
        """Those of the ten samples that the vendor can carry as first claims."""
        return self.carried_samples()

    def carried_samples(self) -> list[ClaimBundle]:
        """Fresh bundles of the samples whose golden file is a payload, without replacements."""
        names = [name for name in SAMPLES if (self.golden / f"{name}.payload.{self.golden_suffix}").exists()]
        return [claim for claim in map(sample, names) if claim.frequency is ClaimFrequency.ORIGINAL]

    def built(
        self, adapter: BillingAdapter, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None
    ) -> VendorPayload:
        """The payload as it is submitted: enclosed where the connection batches."""
        payload = adapter.build(claim, submission_id, prior)
        if adapter.batch is None:
            return payload
        self._control_number += 1
        return adapter.enclose([payload], self._control_number, MADE_AT)

    _control_number = 100

    @pytest.fixture
    def context(self) -> AdapterContext:
        """What the adapter is opened with."""
        return contract_context()

    @pytest.fixture
    async def connect(self, context: AdapterContext) -> AsyncIterator[Callable[[dict[str, Any]], BillingAdapter]]:
        """Open adapters that are closed after the test."""
        async with AsyncExitStack() as stack:

            def connected(settings: dict[str, Any]) -> BillingAdapter:
                adapter = self.info.open(self.info.settings.model_validate(settings), context)
                stack.push_async_callback(adapter.aclose)
                return adapter

            yield connected

    @pytest.fixture
    def adapter(self, connect: Callable[[dict[str, Any]], BillingAdapter], simulator_url: str) -> BillingAdapter:
        """The adapter, connected to the simulator."""
        return connect(self.settings_for(simulator_url))

    @pytest.fixture
    def claim(self, claims: Sequence[ClaimBundle]) -> ClaimBundle:
        """The first claim."""
        return claims[0]

    @pytest.fixture
    def simulator(self, simulator_url: str) -> Iterator[Simulator]:
        """The simulator's control routes."""
        with httpx.Client(base_url=simulator_url) as client:
            yield Simulator(client)

    def secrets(self, url: str) -> list[str]:
        """The values of the connection's secret settings."""
        settings = self.info.settings.model_validate(self.settings_for(url))
        values = (getattr(settings, name) for name in type(settings).model_fields)
        return [value.get_secret_value() for value in values if hasattr(value, "get_secret_value")]

    def injectable(self, kind: FaultKind) -> None:
        """Skip the test of a fault that the vendor's transport cannot have."""
        if kind not in self.operation_faults:
            pytest.skip(f"{self.info.name}: {kind.value} cannot happen on this transport")

    def needs(self, capability: BillingCapability) -> None:
        """Skip the test of a capability that the adapter does not declare."""
        if capability not in self.info.capabilities:
            pytest.skip(f"{self.info.name} does not declare {capability.value}")

    def assert_harmless(self, text: str, claim: ClaimBundle) -> None:
        """No patient value of the claim is in the text."""
        assert not [value for value in patient_values(claim) if value in text]
