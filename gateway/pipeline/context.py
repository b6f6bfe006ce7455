"""What every step works with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.models import ClaimBundle
from gateway.ports.billing import BillingAdapter, BillingAdapterInfo
from gateway.ports.context import utc_now
from gateway.ports.ehr import EhrAdapter
from gateway.ports.records import Job
from gateway.ports.stores import Store
from gateway.ports.superbills import SuperbillLink


class Connections(Protocol):
    """The configured links of all clinics."""

    def ehr(self, clinic_id: str, connection: str) -> EhrAdapter:
        """An EHR connection's adapter; raises `UnknownConnection` when the configuration has none of that name."""

    def billing(self, clinic_id: str, connection: str) -> BillingAdapter:
        """A billing connection's adapter."""

    def billing_info(self, clinic_id: str, connection: str) -> BillingAdapterInfo:
        """A billing adapter's fact sheet."""

    def settle_seconds(self, clinic_id: str, connection: str) -> float:
        """How long a lost answer may still be saving at this connection's vendor."""

    def outcome_seconds(self, clinic_id: str, connection: str) -> float:
        """How often a billing connection is asked what became of its claims."""

    def default_billing(self, clinic_id: str) -> str:
        """Which billing connection a clinic's claims go to."""

    def hook_url(self, clinic_id: str, connection: str) -> str:
        """The address that the EHR shall notify; "" when the gateway has none that it could reach."""

    def poll_seconds(self, clinic_id: str, connection: str) -> float:
        """How often a feed is polled beside the notifications."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off with full jitter: a share of `base * 2^attempts` seconds, at most `cap`; given up after a time."""

    base_seconds: float = 1.0
    cap_seconds: float = 300.0
    give_up_after: timedelta = timedelta(hours=24)
    bug_attempts: int = 5
    watch_for: timedelta = timedelta(days=14)

    def delay(self, attempts: int) -> timedelta:
        """How long to wait before the next try."""
        ceiling = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempts, 30))
        return timedelta(seconds=random.uniform(0.1, 1.0) * ceiling)  # noqa: S311  (jitter, not a secret)

    def gives_up(self, failing_since: datetime | None, now: datetime) -> bool:
        """Whether what has been failing without a break is not tried any more; however old it is besides."""
        return failing_since is not None and now - failing_since > self.give_up_after

    def watch_delay(self, waited: timedelta) -> timedelta:
        """When to look again at an encounter that is not signed off: seconds at first, then a fifth of its age."""
        return min(max(timedelta(seconds=self.base_seconds * 2), waited / 5), timedelta(hours=6))


def _no_span(name: str, trace: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps' surroundings; built once by the composition root."""

    store: Store
    clinics: Mapping[str, ClinicFacts]
    connections: Connections
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    now: Callable[[], datetime] = utc_now
    span: Callable[[str, str], AbstractContextManager[None]] = _no_span
    superbills: Mapping[str, SuperbillLink] = field(default_factory=dict)  # by clinic, where it has them

    def event(
        self,
        step: Step,
        job: Job,
        *,
        source: str = "gateway",
        target: str = "gateway",
        patient: str | None = None,
        entities: tuple[str, ...] = (),
        outcome: Outcome = Outcome.SUCCESS,
        error_code: str = "",
    ) -> AuditEvent:
        """The AuditEvent of a step done for a job."""
        return AuditEvent(
            step=step,
            recorded=self.now(),
            clinic_id=job.clinic_id,
            transaction=job.trace,
            source=source,
            target=target,
            encounter_id=job.arguments.get("encounter_id"),
            patient=patient,
            entities=entities,
            outcome=outcome,
            error_code=error_code,
        )


@dataclass(frozen=True, slots=True)
class Next:
    """What a step leaves: the next job, already owned by this worker, and the claim, to save reading it again."""

    job: Job | None = None
    claim: ClaimBundle | None = None


DONE = Next()


def patient_of(claim: ClaimBundle) -> str:
    """The claim's patient reference."""
    return str(claim.claim["patient"]["reference"])
