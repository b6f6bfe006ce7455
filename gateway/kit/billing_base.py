"""What billing adapters share: every verb that a vendor cannot do raises, by the same words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import ClassVar

from gateway.canonical.errors import UnsupportedOperation
from gateway.canonical.models import ClaimOutcome, InboundMessage, SubmissionReceipt, VendorPayload
from gateway.ports.billing import BatchRule


class BillingBase:
    """Inherit and add `build`, `submit`, `scrub`, `probe`, `aclose`, and the verbs of the declared capabilities."""

    vendor: ClassVar[str]
    """The vendor's name in error texts."""

    repeatable_seconds: float = 0.0
    batch: BatchRule | None = None

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        """Not without BATCH."""
        raise self._unsupported("enclose", "claims travel one by one")

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Not without FIND_SUBMISSION."""
        raise self._unsupported("find_submission", "a claim cannot be looked up")

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Not without POLL_OUTCOME."""
        raise self._unsupported("fetch_outcome", "the vendor cannot be asked what became of a claim")

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        """Not without INBOUND_OUTCOME."""
        raise self._unsupported("parse_outcome", "the vendor sends no messages about its claims")

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """Not without INBOUND_OUTCOME."""
        raise self._unsupported("collect", "the vendor sends no messages about its claims")
        yield  # an async generator, like those that override it

    async def discard(self, message: InboundMessage) -> None:
        """Not without INBOUND_OUTCOME."""
        raise self._unsupported("discard", "the vendor sends no messages about its claims")

    def _unsupported(self, operation: str, text: str) -> UnsupportedOperation:
        return UnsupportedOperation(self.vendor, operation, text)
