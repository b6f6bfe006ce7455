"""What the pipeline asks of a billing adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel

from gateway.canonical.models import ClaimBundle, ClaimOutcome, SubmissionReceipt, VendorPayload
from gateway.ports.context import AdapterContext, Probe


class BillingCapability(StrEnum):
    """What a billing adapter can do; an undeclared verb raises `UnsupportedOperation`."""

    FIND_SUBMISSION = "find_submission"
    POLL_OUTCOME = "poll_outcome"
    INBOUND_OUTCOME = "inbound_outcome"
    CORRECT = "correct"
    VOID = "void"
    SECONDARY_PAYER = "secondary_payer"


class BillingAdapter(Protocol):
    """One clinic's link to one billing system. `build`, `parse_outcome` and `scrub` are pure."""

    def build(self, claim: ClaimBundle, submission_id: str) -> VendorPayload:
        """The vendor's request, deterministic, with the submission id where the vendor can search by it.

        Raises `UnsupportedElement` for anything that the vendor cannot carry.
        """

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Resolve the vendor's ids (repeatable reads and find-or-create), then send the claim ONCE.

        Raises `OutcomeUnknown` only when the claim itself may have been accepted.
        """

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look before resend: the receipt of a claim that the vendor already holds, or None."""

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Ask what became of a claim."""

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        """Read a vendor's message; may hold outcomes of many claims."""

    def scrub(self, text: str) -> str:
        """The text without secrets and without patient values."""

    async def probe(self) -> list[Probe]:
        """Try the connection for `gateway check`; never raises an `AdapterError`, reports it instead."""

    async def aclose(self) -> None:
        """Close the network client."""


@dataclass(frozen=True, slots=True)
class BillingAdapterInfo:
    """The fact sheet of a billing adapter; `simulator` is `module:function`, imported only by the sandbox.

    `settle_seconds` is how long after a lost answer the vendor may still be saving the claim: only then does
    looking for it prove anything.
    """

    name: str
    title: str
    docs: str
    settings: type[BaseModel]
    capabilities: frozenset[BillingCapability]
    open: Callable[[Any, AdapterContext], BillingAdapter]
    simulator: str = ""
    settle_seconds: float = 120.0
