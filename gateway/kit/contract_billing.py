"""What every billing adapter must do, as a test class to inherit.

    class TestContract(BillingContract):
        info = ADAPTER
        create_operation = "CreateEncounter"      # the simulator's name of the call that saves the claim
        read_operation = "GetPatients"            # of a read that a submission makes before it; "" when it makes none
        golden = Path(__file__).parent / "golden" # what becomes of the ten samples: payloads and refusals

        @pytest.fixture
        def simulator_url(self): ...              # a simulator, running and reset: see `contract_support`
        def settings_for(self, url): ...          # plain settings of a connection to it, with a short timeout
        def wrong_credentials(self, settings): ...
        def saved(self, ledger, submission_id): ...   # claims with this submission id in the simulator's ledger
        def lines(self, payload): ...             # what a built payload says, as `SentLine`s
        def state_of_unknown_word(self, adapter): ... # what an unheard-of status proves; None when none is told
        def shown(self, payload): ...             # the payload as the golden file shows it; its bytes by default

Where the vendor differs, say so in class attributes: `warm_calls` (calls of a second submission, 1), `receipt_state`
(what the receipt proves, RECEIVED), `golden_suffix` ("json"), `operation_faults` (the kinds of fault that the simulator
can inject into its operations; an SFTP server cannot answer HTTP 500). `GATEWAY_WRITE_GOLDEN=1` writes the golden
files instead of comparing them: look at what changed.

The module needs pytest and is imported only by tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    OutcomeUnknown,
    RateLimited,
    VendorUnavailable,
)
from gateway.canonical.models import ClaimBundle, ClaimOutcome, SubmissionState
from gateway.kit.contract_building import BuildingContract
from gateway.kit.contract_frame import SUBMISSION_ID, SentLine, expected_lines
from gateway.kit.contract_support import Simulator, refused_url
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingAdapter, BillingCapability

_LOOKS = 250


class BillingContract(BuildingContract):
    """Inherit as `class TestContract(BillingContract)`; see the module's docstring for what to supply."""

    # --- submitting ---------------------------------------------------------------------------------------------

    async def test_submit_saves_one_claim(
        self, adapter: BillingAdapter, claims: Sequence[ClaimBundle], simulator: Simulator
    ) -> None:
        """Each claim is saved once, and the receipt holds the vendor's evidence."""
        for number, claim in enumerate(claims):
            submission_id = f"{SUBMISSION_ID}-{number}"
            receipt = await adapter.submit(self.built(adapter, claim, submission_id))
            assert receipt.submission_id == submission_id
            assert receipt.state is self.receipt_state
            assert receipt.vendor_ids
            assert receipt.calls >= 1
            assert self.saved(simulator.ledger(), submission_id) == 1

    async def test_second_submission_costs_few_calls(
        self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator
    ) -> None:
        """What was looked up once is remembered."""
        await adapter.submit(self.built(adapter, claim, f"{SUBMISSION_ID}-1"))
        receipt = await adapter.submit(self.built(adapter, claim, f"{SUBMISSION_ID}-2"))
        assert receipt.calls == self.warm_calls

    async def test_wrong_credentials(
        self, connect: Callable[[dict[str, Any]], BillingAdapter], simulator_url: str, claim: ClaimBundle
    ) -> None:
        """Refused credentials stop the connection; `probe` reports them with a remedy."""
        adapter = connect(self.wrong_credentials(self.settings_for(simulator_url)))
        with pytest.raises(CredentialsRejected):
            await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
        assert any(not line.ok and line.remedy for line in await adapter.probe())

    async def test_throttled(self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator) -> None:
        """A throttled claim is not a failed one, and was not saved."""
        self.injectable(FaultKind.RATE_LIMIT)
        simulator.fail(self.create_operation, FaultKind.RATE_LIMIT)
        with pytest.raises(RateLimited):
            await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
        assert self.saved(simulator.ledger(), SUBMISSION_ID) == 0

    @pytest.mark.parametrize("kind", [FaultKind.HTTP_500, FaultKind.RESET, FaultKind.TIMEOUT])
    async def test_failed_read(
        self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator, kind: FaultKind
    ) -> None:
        """A read that fails has surely saved nothing."""
        self.injectable(kind)
        if not self.read_operation:
            pytest.skip(f"{self.info.name} reads nothing before it sends")
        simulator.fail(self.read_operation, kind)
        with pytest.raises(VendorUnavailable) as failure:
            await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
        self.assert_harmless(str(failure.value), claim)
        assert self.saved(simulator.ledger(), SUBMISSION_ID) == 0

    async def test_no_connection(self, connect: Callable[[dict[str, Any]], BillingAdapter], claim: ClaimBundle) -> None:
        """A connection that was never made has surely saved nothing."""
        adapter = connect(self.settings_for(refused_url()))
        with pytest.raises(VendorUnavailable):
            await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
        assert not all(line.ok for line in await adapter.probe())

    @pytest.mark.parametrize(
        ("kind", "copies"),
        [
            (FaultKind.GARBAGE, None),
            (FaultKind.RESET, 0),
            (FaultKind.RESET_AFTER_SAVE, 1),
            (FaultKind.TIMEOUT, 0),
            (FaultKind.TIMEOUT_AFTER_SAVE, 1),
            (FaultKind.HTTP_500_AFTER_SAVE, 1),
        ],
    )
    async def test_lost_answer(
        self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator, kind: FaultKind, copies: int | None
    ) -> None:
        """A lost answer leaves the outcome unknown, and looking for the claim, or repeating it, settles it."""
        self.injectable(kind)
        payload = self.built(adapter, claim, SUBMISSION_ID)
        simulator.fail(self.create_operation, kind)
        with pytest.raises(OutcomeUnknown) as failure:
            await adapter.submit(payload)
        self.assert_harmless(str(failure.value), claim)
        held = self.saved(simulator.ledger(), SUBMISSION_ID)
        if copies is not None:
            assert held == copies
        if BillingCapability.FIND_SUBMISSION in self.info.capabilities:
            found = await adapter.find_submission(SUBMISSION_ID, payload)
            assert (found is not None) == (held == 1)
        elif adapter.repeatable_seconds:
            await adapter.submit(payload)
            assert self.saved(simulator.ledger(), SUBMISSION_ID) == 1

    async def test_repeat(self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator) -> None:
        """Where the vendor is said to drop repeats, the same payload twice is one claim."""
        if not adapter.repeatable_seconds:
            pytest.skip(f"{self.info.name} may not repeat a claim")
        payload = self.built(adapter, claim, SUBMISSION_ID)
        first = await adapter.submit(payload)
        assert (await adapter.submit(payload)).vendor_ids == first.vendor_ids
        assert self.saved(simulator.ledger(), SUBMISSION_ID) == 1

    async def test_claim_saved_after_the_answer_was_given_up(
        self, adapter: BillingAdapter, claim: ClaimBundle, simulator: Simulator
    ) -> None:
        """Why looking proves something only after `settle_seconds`: the vendor may still be saving."""
        self.needs(BillingCapability.FIND_SUBMISSION)
        self.injectable(FaultKind.SAVE_AFTER_TIMEOUT)
        payload = self.built(adapter, claim, SUBMISSION_ID)
        simulator.fail(self.create_operation, FaultKind.SAVE_AFTER_TIMEOUT)
        with pytest.raises(OutcomeUnknown):
            await adapter.submit(payload)
        for _ in range(_LOOKS):
            if await adapter.find_submission(SUBMISSION_ID, payload) is not None:
                break
            await asyncio.sleep(0.02)
        assert self.saved(simulator.ledger(), SUBMISSION_ID) == 1

    async def test_find_submission(self, adapter: BillingAdapter, claim: ClaimBundle) -> None:
        """A claim is found by its own submission id only, with the same vendor ids as its receipt had."""
        self.needs(BillingCapability.FIND_SUBMISSION)
        payload = self.built(adapter, claim, SUBMISSION_ID)
        assert await adapter.find_submission(SUBMISSION_ID, payload) is None
        receipt = await adapter.submit(payload)
        found = await adapter.find_submission(SUBMISSION_ID, payload)
        assert found is not None
        assert found.submission_id == SUBMISSION_ID
        shared = found.vendor_ids.keys() & receipt.vendor_ids.keys()
        assert shared
        assert {name: found.vendor_ids[name] for name in shared} == {n: receipt.vendor_ids[n] for n in shared}
        other = self.built(adapter, claim, f"{SUBMISSION_ID}-other")
        assert await adapter.find_submission(other.submission_id, other) is None

    async def test_outcome_of_a_new_claim(self, adapter: BillingAdapter, claim: ClaimBundle) -> None:
        """Right after a submission the vendor can be asked, and proves at least that it holds the claim."""
        self.needs(BillingCapability.POLL_OUTCOME)
        receipt = await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
        outcome: ClaimOutcome = await adapter.fetch_outcome(receipt)
        assert outcome.submission_id == SUBMISSION_ID
        assert outcome.evidence.state in (SubmissionState.SENT, SubmissionState.RECEIVED, SubmissionState.ACCEPTED)
        assert outcome.evidence.reference

    async def test_probe_of_a_good_connection(self, adapter: BillingAdapter) -> None:
        """`gateway check` has something to show, and all of it is good."""
        lines = await adapter.probe()
        assert lines
        assert all(line.ok for line in lines)

    async def test_error_texts_hold_no_patient_value(
        self, adapter: BillingAdapter, claims: Sequence[ClaimBundle], simulator: Simulator
    ) -> None:
        """Whatever goes wrong, wherever it does."""
        kinds = {FaultKind.HTTP_500, FaultKind.GARBAGE, FaultKind.RATE_LIMIT, FaultKind.UNAUTHORIZED, FaultKind.RESET}
        for kind in sorted(kinds & self.operation_faults):
            for claim in claims:
                simulator.fail("*", kind, times=100)
                with pytest.raises(AdapterError) as failure:
                    await adapter.submit(self.built(adapter, claim, SUBMISSION_ID))
                texts = [str(failure.value), *(f"{f.message} {f.fix}" for f in failure.value.findings)]
                self.assert_harmless(" ".join(texts), claim)


__all__ = ["BillingContract", "SentLine", "expected_lines"]
