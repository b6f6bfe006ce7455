"""The pipeline's surroundings for tests: a real Postgres, adapters that do as they are told, a clock that moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import NotificationRejected, NotSignedOff, UnexpectedResponse
from gateway.canonical.models import (
    ClaimBundle,
    ClaimFate,
    ClaimOutcome,
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    Evidence,
    InboundMessage,
    Notification,
    NotificationRequest,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.kit.billing_base import BillingBase
from gateway.kit.ehr_adapter import EhrBase
from gateway.pipeline.context import Pipeline, RetryPolicy
from gateway.pipeline.jobs import run_job
from gateway.pipeline.receive import receive
from gateway.ports.billing import BillingCapability
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

CLINIC = "clinic-a"
REQUEST = NotificationRequest("POST", "", {}, {}, b"{}", "192.0.2.7")


class FakeEhr(EhrBase):
    """Holds one encounter, which a test may change."""

    vendor = "fake"

    def __init__(self, bundle: EncounterBundle) -> None:
        self.bundle = bundle
        self.version = 1
        self.failure: Exception | None = None
        self.refused = False
        self.status = "finished"
        self.unsigned = False
        self.look_after = 0.0
        self.told: list[tuple[str, ClaimFate]] = []
        self.tell_failure: Exception | None = None

    async def write_back(self, ref: EncounterRef, fate: ClaimFate) -> None:
        if self.tell_failure:
            raise self.tell_failure
        self.told.append((ref.encounter_id, fate))

    def verify_notification(self, request: NotificationRequest) -> None:
        if self.refused:
            raise NotificationRejected("the secret is wrong")

    def parse_notification(self, request: NotificationRequest) -> Notification:
        return Notification((EncounterRef("e1", f"e1@{self.version}"),))

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        if self.failure:
            raise self.failure
        encounter = {**self.bundle.encounter, "status": self.status}
        return EncounterRecord(ref, "https://ehr.example.test", encounter, self.bundle.resources)

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        if self.unsigned:
            raise NotSignedOff(
                "Encounter.status", "the encounter is not signed off", "Sign it.", look_after=self.look_after
            )
        return self.bundle

    def change(self) -> None:
        line = replace(self.bundle.charges[0], quantity=self.bundle.charges[0].quantity + 1)
        self.bundle = replace(self.bundle, charges=(line, *self.bundle.charges[1:]))
        self.version += 1

    def withdraw(self) -> None:
        self.status = "entered-in-error"
        self.version += 1

    def sign_again(self) -> None:
        self.status = "finished"
        self.version += 1


class FakeBilling(BillingBase):
    """Saves claims (or batches); faults are raised in turn, before saving or after. Messages lie in `mailbox`."""

    vendor = "fake"

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.priors: list[SubmissionReceipt | None] = []
        self.bodies: list[bytes] = []
        self.mailbox: dict[str, bytes] = {}
        self.messages: dict[bytes, list[ClaimOutcome]] = {}
        self.outcome: ClaimOutcome | None = None
        self.finds = True
        self.receipt_state = SubmissionState.RECEIVED
        self.sent = 0
        self.looks = 0
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.build_failure: Exception | None = None
        self.look_failure: Exception | None = None

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        if self.build_failure:
            raise self.build_failure
        self.priors.append(prior)
        mark = "" if claim.frequency.value == "1" else f"~{claim.frequency.value}"
        body = f"{claim.claim['total']['value']}{mark}".encode()
        return VendorPayload(submission_id, "text/plain", body, {"n": Decimal("1.50")})

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        body = b" ".join([str(control_number).encode(), *(payload.body for payload in payloads)])
        return VendorPayload(f"{control_number:09d}", "text/plain", body, {"n": Decimal("1.50")})

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        self.sent += 1
        if self.before:
            raise self.before.pop(0)
        self.bodies.append(payload.body)
        self.saved.append(payload.body.decode())
        if self.after:
            raise self.after.pop(0)
        return self._receipt(payload.submission_id)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        if not self.finds:
            return await super().find_submission(submission_id, payload)
        self.looks += 1
        if self.look_failure:
            raise self.look_failure
        assert payload.fields["n"] == Decimal("1.50")
        return self._receipt(submission_id) if self.saved else None

    def _receipt(self, submission_id: str) -> SubmissionReceipt:
        evidence = Evidence(self.receipt_state, f"EncounterID {len(self.saved)}", datetime.now(UTC))
        return SubmissionReceipt(submission_id, evidence, {"EncounterID": "1"})

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        assert self.outcome is not None
        return replace(self.outcome, submission_id=receipt.submission_id)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        for name, content in list(self.mailbox.items()):
            yield InboundMessage(name, content)

    async def discard(self, message: InboundMessage) -> None:
        self.mailbox.pop(message.name, None)

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        if message not in self.messages:
            raise UnexpectedResponse("fake", "parse_outcome", "not readable")
        return self.messages[message]


@dataclass
class World:
    """A pipeline with its fakes and a clock that a test may move."""

    store: PostgresStore
    session: WorkerSession
    ehr_: FakeEhr
    billing_: FakeBilling
    capabilities: frozenset[BillingCapability] = frozenset({BillingCapability.FIND_SUBMISSION})
    ahead: timedelta = timedelta()
    title: str = "Fake billing"
    pipeline: Pipeline = field(init=False)

    def ehr(self, clinic_id: str, connection: str) -> FakeEhr:
        return self.ehr_

    def billing(self, clinic_id: str, connection: str) -> FakeBilling:
        return self.billing_

    def billing_info(self, clinic_id: str, connection: str) -> World:
        return self

    def settle_seconds(self, clinic_id: str, connection: str) -> float:
        return 60.0

    def outcome_seconds(self, clinic_id: str, connection: str) -> float:
        return 900.0

    def default_billing(self, clinic_id: str) -> str:
        return "billing"

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def notify(self) -> int:
        return await receive(self.pipeline, CLINIC, "ehr", REQUEST)

    async def work(self) -> None:
        """Run everything that is ready, through all following steps, as a worker does."""
        for job in await self.session.claim(10):
            following, carried = job, None
            try:
                while following is not None:
                    result = await run_job(self.pipeline, following, carried)
                    following, carried = result.job, result.claim
            finally:
                self.session.release(job)

    async def later(self) -> None:
        """Let every postponed job become due, then work."""
        async with self.store.acquire() as connection:
            await connection.execute("update job set run_at = clock_timestamp() where owner is null")
        await self.work()

    async def one(self, query: str) -> Any:
        async with self.store.acquire() as connection:
            return await connection.fetchval(query)

    async def steps(self) -> list[str]:
        async with self.store.acquire() as connection:
            return [row["step"] for row in await connection.fetch("select step from audit_event order by recorded, id")]

    async def findings(self) -> list[str]:
        return [finding.edit for hold in await self.store.open_holds(CLINIC) for finding in hold["findings"]]


@pytest.fixture
async def world(
    store: PostgresStore, session: WorkerSession, encounter_bundle: EncounterBundle, clinic: ClinicFacts
) -> AsyncIterator[World]:
    made = World(store, session, FakeEhr(encounter_bundle), FakeBilling())
    made.pipeline = Pipeline(store, {CLINIC: clinic}, made, RetryPolicy(base_seconds=0.01), made.now)  # type: ignore[arg-type]
    yield made
