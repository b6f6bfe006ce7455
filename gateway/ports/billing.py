"""What the pipeline asks of a billing adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel

from gateway.canonical.clinic import ClinicFact
from gateway.canonical.mapping import Row
from gateway.canonical.models import ClaimBundle, ClaimOutcome, InboundMessage, SubmissionReceipt, VendorPayload
from gateway.ports.context import AdapterContext, Probe


class BillingCapability(StrEnum):
    """What a billing adapter can do; an undeclared verb raises `UnsupportedOperation`."""

    FIND_SUBMISSION = "find_submission"
    REPEAT = "repeat"  # a second `submit` of the same payload is dropped, at least where a setting says so
    POLL_OUTCOME = "poll_outcome"
    INBOUND_OUTCOME = "inbound_outcome"
    CORRECT = "correct"  # `build` takes a claim that replaces one on file
    VOID = "void"  # `build` takes a claim that voids one on file
    SECONDARY_PAYER = "secondary_payer"
    BATCH = "batch"  # many claims in one transmission, under a control number; see `enclose`


@dataclass(frozen=True, slots=True)
class BatchRule:
    """How a connection batches: at most `most` claims a transmission, collected for `wait_seconds` (0: what waits)."""

    most: int
    wait_seconds: float = 0.0


class BillingAdapter(Protocol):
    """One clinic's link to one billing system. `build`, `enclose`, `parse_outcome` and `scrub` are pure."""

    repeatable_seconds: float
    """For how long the vendor drops a second `submit` of the same payload as a duplicate: 0 never, inf always.

    Such a payload is sent again after a lost answer, instead of being looked for.
    """

    batch: BatchRule | None
    """How claims travel together, or None when each travels alone (also where a setting makes it so)."""

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """The vendor's request, deterministic, with the submission id where the vendor can search by it.

        `prior` is the receipt of the claim on file that this one replaces or voids (`claim.frequency`).
        Raises `UnsupportedElement` for anything that the vendor cannot carry.
        """

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        """The one transmission of several built claims, under a control number that is never used again.

        Its `submission_id` is the control number as nine digits.
        """

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Resolve the vendor's ids (repeatable reads and find-or-create), then send the claim (or batch) ONCE.

        Raises `OutcomeUnknown` only when the claim itself may have been accepted.
        """

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look before resend: the receipt of a claim that the vendor already holds, or None."""

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Ask what became of a claim."""

    def collect(self) -> AsyncIterator[InboundMessage]:
        """The messages that wait at the vendor, oldest first; incomplete ones are left there."""

    async def discard(self, message: InboundMessage) -> None:
        """The message is in Postgres: take it away at the vendor, or remember that it was read. Repeatable."""

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        """Read a vendor's message; may hold outcomes of many claims. Raises `UnexpectedResponse` when unreadable."""

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
    `carried` maps each canonical element (`kit.payload.CLAIM_ELEMENTS`) to the vendor's field, or to "- why none is
    needed"; `rows` are the mapping's own tables by a title each. The mapping document is printed from both.
    `needs` is what this system refuses a claim without, beyond what every claim has.
    `mapping_of` gives both for a connection whose settings decide about them; `carried` and `rows` are then an example.
    """

    name: str
    title: str
    docs: str
    settings: type[BaseModel]
    capabilities: frozenset[BillingCapability]
    open: Callable[[Any, AdapterContext], BillingAdapter]
    simulator: str = ""
    settle_seconds: float = 120.0
    carried: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    needs: frozenset[ClinicFact] = frozenset()
    mapping_of: Callable[[Any], tuple[Mapping[str, str], Mapping[str, Sequence[Row]]]] | None = None
