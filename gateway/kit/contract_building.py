"""The part of `BillingContract` that needs no vendor: building, settings, declared verbs, privacy.

The module needs pytest and is imported only by tests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
from pydantic import ValidationError

from gateway.canonical.errors import (
    MappingError,
    UnexpectedResponse,
    UnsupportedElement,
    UnsupportedOperation,
)
from gateway.canonical.models import ClaimBundle, ClaimFrequency, InboundMessage, SubmissionState
from gateway.kit.contract_frame import MADE_AT, SUBMISSION_ID, BillingContractFrame, expected_lines
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES, sample, void_of
from gateway.ports.billing import BillingAdapter, BillingCapability


class BuildingContract(BillingContractFrame):
    """Inherited through `gateway.kit.contract_billing.BillingContract`."""

    # --- building -----------------------------------------------------------------------------------------------

    def test_build_is_repeatable(self, adapter: BillingAdapter, claims: Sequence[ClaimBundle]) -> None:
        """Equal claims give equal bytes."""
        for claim in claims:
            assert adapter.build(deepcopy(claim), SUBMISSION_ID) == adapter.build(claim, SUBMISSION_ID)

    def test_build_is_pure(self, adapter: BillingAdapter, claims: Sequence[ClaimBundle]) -> None:
        """Building changes nothing of the claim."""
        for claim in claims:
            before = deepcopy(claim)
            adapter.build(claim, SUBMISSION_ID)
            assert claim == before

    @pytest.mark.parametrize("name", SAMPLES)
    def test_golden(self, adapter: BillingAdapter, name: str) -> None:
        """What becomes of each of the ten samples: exactly this payload, or a refusal that names the element."""
        claim, kind = sample(name), f"payload.{self.golden_suffix}"
        prior = self.prior if claim.frequency is not ClaimFrequency.ORIGINAL else None
        try:
            found = self.shown(adapter.build(claim, SUBMISSION_ID, prior))
        except (UnsupportedElement, MappingError) as refusal:
            rows = [finding.as_json() for finding in refusal.findings]
            found, kind = json.dumps(rows, indent=1).encode() + b"\n", "refusal.json"
        files = {path.name: path for path in self.golden.glob(f"{name}.*")}
        if os.environ.get("GATEWAY_WRITE_GOLDEN"):
            for path in files.values():
                path.unlink()
            (self.golden / f"{name}.{kind}").write_bytes(found)
        else:
            assert list(files) == [f"{name}.{kind}"]
            assert found == files[f"{name}.{kind}"].read_bytes()

    def test_every_element_is_carried_or_declared(self) -> None:
        """The mapping document tells of every canonical element that the adapter knows, and knows no other."""
        assert set(self.info.carried) <= set(CLAIM_ELEMENTS)
        assert self.info.rows, "the fact sheet names the rows that do the mapping"

    def test_corrections(self, adapter: BillingAdapter) -> None:
        """A claim that replaces or voids one on file is built where declared, and refused where not."""
        replacement = sample("replacement")
        for claim, capability in (
            (replacement, BillingCapability.CORRECT),
            (void_of(replacement), BillingCapability.VOID),
        ):
            if capability in self.info.capabilities:
                original = replace(claim, claim={k: v for k, v in claim.claim.items() if k != "related"})
                assert adapter.build(claim, SUBMISSION_ID, self.prior) != adapter.build(original, SUBMISSION_ID)
            else:
                with pytest.raises(UnsupportedElement) as refusal:
                    adapter.build(claim, SUBMISSION_ID, self.prior)
                assert refusal.value.findings[0].expression.startswith("Claim.related")

    def test_payload_carries_the_submission_id(self, adapter: BillingAdapter, claim: ClaimBundle) -> None:
        """The vendor can be searched by the submission id, so the payload must hold it."""
        payload = adapter.build(claim, SUBMISSION_ID)
        assert payload.submission_id == SUBMISSION_ID
        assert SUBMISSION_ID.encode() in payload.body

    def test_money_codes_and_pointers_survive(self, adapter: BillingAdapter, claims: Sequence[ClaimBundle]) -> None:
        """Lines, modifiers, diagnosis pointers, quantities and prices arrive as they are, in order."""
        for claim in claims:
            assert self.lines(adapter.build(claim, SUBMISSION_ID)) == expected_lines(claim)

    def test_unknown_element_is_refused(self, adapter: BillingAdapter, claim: ClaimBundle) -> None:
        """Nothing is dropped silently: an element that nobody maps is named and refused."""
        unknown = replace(claim, claim={**claim.claim, "prescription": {"reference": "MedicationRequest/1"}})
        with pytest.raises(UnsupportedElement) as refusal:
            adapter.build(unknown, SUBMISSION_ID)
        assert refusal.value.findings[0].expression == "Claim.prescription"

    # --- settings, capabilities, privacy -------------------------------------------------------------------------

    def test_unknown_settings_are_refused(self, simulator_url: str) -> None:
        """A misspelt key must not be ignored."""
        with pytest.raises(ValidationError):
            self.info.settings.model_validate({**self.settings_for(simulator_url), "no_such_setting": 1})

    def test_settings_are_described_and_secrets_hidden(self, simulator_url: str) -> None:
        """The documentation is printed from the descriptions; a settings object may end up in a log."""
        fields = self.info.settings.model_fields
        assert all(setting.description for setting in fields.values())
        shown = repr(self.info.settings.model_validate(self.settings_for(simulator_url)))
        assert not [secret for secret in self.secrets(simulator_url) if secret in shown]

    async def test_undeclared_verbs(self, adapter: BillingAdapter, claim: ClaimBundle) -> None:
        """A verb whose capability is not declared raises, instead of giving an empty answer."""
        has = self.info.capabilities
        if BillingCapability.INBOUND_OUTCOME not in has:
            with pytest.raises(UnsupportedOperation):
                adapter.parse_outcome(b"<message/>")
            with pytest.raises(UnsupportedOperation):
                _ = [message async for message in adapter.collect()]
            with pytest.raises(UnsupportedOperation):
                await adapter.discard(InboundMessage("name", b""))
        if BillingCapability.FIND_SUBMISSION not in has:
            with pytest.raises(UnsupportedOperation):
                await adapter.find_submission(SUBMISSION_ID, adapter.build(claim, SUBMISSION_ID))
        if BillingCapability.POLL_OUTCOME not in has:
            with pytest.raises(UnsupportedOperation):
                await adapter.fetch_outcome(self.prior)
        if BillingCapability.REPEAT not in has:
            assert adapter.repeatable_seconds == 0
        if BillingCapability.BATCH not in has:
            assert adapter.batch is None
            with pytest.raises(UnsupportedOperation):
                adapter.enclose([adapter.build(claim, SUBMISSION_ID)], 1, MADE_AT)

    def test_an_unknown_status_stays_low(self, adapter: BillingAdapter) -> None:
        """A word that the vendor may bring in tomorrow proves no more than that it has the claim."""
        telling = {BillingCapability.POLL_OUTCOME, BillingCapability.INBOUND_OUTCOME} & self.info.capabilities
        low = {SubmissionState.SENT, SubmissionState.RECEIVED} if telling else {None}
        assert self.state_of_unknown_word(adapter) in low

    def test_an_unreadable_message_is_refused(self, adapter: BillingAdapter) -> None:
        """A message that nobody can read raises the same error, whatever it is made of."""
        self.needs(BillingCapability.INBOUND_OUTCOME)
        for message in (b"", b"\x00\xff garbage", b"<html>maintenance</html>", b"ISA*00"):
            with pytest.raises(UnexpectedResponse):
                adapter.parse_outcome(message)

    def test_scrub(self, adapter: BillingAdapter, simulator_url: str, claims: Sequence[ClaimBundle]) -> None:
        """No secret and no patient value of a payload survives."""
        secrets = self.secrets(simulator_url)
        for claim in claims:
            body = adapter.build(claim, SUBMISSION_ID).body.decode()
            clean = adapter.scrub(f"{' '.join(secrets)} {body}")
            assert not [secret for secret in secrets if secret in clean]
            self.assert_harmless(clean, claim)
