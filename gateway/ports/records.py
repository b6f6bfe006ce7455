"""What the store keeps, as the pipeline sees it: jobs, encounters, submissions, batches, holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.canonical.findings import Finding
from gateway.canonical.models import (
    ClaimBundle,
    ClaimFrequency,
    EncounterRef,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.canonical.subscription import SubscriptionStatus


class JobKind(StrEnum):
    """The steps that the queue runs."""

    NORMALIZE = "normalize"
    CHECK = "check"
    ROUTE = "route"
    SUBMIT = "submit"
    POLL = "poll"
    SUBSCRIBE = "subscribe"
    TRANSMIT = "transmit"  # a batch of claims
    RECONCILE = "reconcile"  # what became of claims
    SUPERBILLS = "superbills"  # a look into the place where superbill files arrive
    WRITE_BACK = "write_back"  # tell the EHR


LOW_PRIORITY = 9
"""Jobs of this priority, or above, only ever hold a part of a worker's slots."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to put on the queue: ids and trace only, never PHI. Jobs of one `ordering_key` keep their order."""

    kind: JobKind
    ordering_key: str
    arguments: Mapping[str, str]
    trace: str = ""
    priority: int = 0  # lower runs first


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this worker owns; `owner` fences its completion."""

    clinic_id: str
    id: int
    kind: JobKind
    ordering_key: str
    arguments: Mapping[str, str]
    trace: str
    attempts: int
    created_at: datetime
    owner: int
    priority: int = 0
    last_error: str = ""  # why it was put off last
    failing_since: datetime | None = None  # without a break


def transmit_key(connection: str) -> str:
    """The ordering key of the job that transmits a connection's batches: one at a time."""
    return f"transmit:{connection}"


class EncounterState(StrEnum):
    """Where an encounter stands."""

    RECEIVED = "received"
    NORMALIZED = "normalized"
    READY = "ready"
    ROUTED = "routed"
    SUBMITTED = "submitted"
    HELD = "held"
    WITHDRAWN = "withdrawn"  # entered in error at the EHR, and nothing of it is on file at the vendor


@dataclass(frozen=True, slots=True)
class EncounterRow:
    """The store's record of an encounter; `content_hash` is of the claim's content when it was last normalized."""

    clinic_id: str
    id: str
    connection: str
    ehr_encounter_id: str
    state: EncounterState
    content_hash: bytes | None
    generation: int
    claim_id: str | None
    send_before_go_live: bool = False  # a person knows that it was not billed elsewhere


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """One claim to one billing connection.

    `prior_id` is the submission that this one replaces or voids; `sent_at` is when it was handed over first.
    """

    clinic_id: str
    id: str
    encounter_id: str
    claim_id: str
    connection: str
    state: SubmissionState
    payload: VendorPayload | None
    updated_at: datetime
    patient: str = ""  # reference, for the audit
    frequency: ClaimFrequency = ClaimFrequency.ORIGINAL
    prior_id: str | None = None
    batch_number: int | None = None
    sent_at: datetime | None = None
    receipt: SubmissionReceipt | None = None

    @property
    def on_file(self) -> bool:
        """Whether the vendor holds the claim, by its own evidence."""
        return self.state in ON_FILE

    @property
    def in_doubt(self) -> bool:
        """Whether the claim may be at the vendor, or in a transmission that will still go there."""
        numbered = self.state is SubmissionState.BATCHED and self.batch_number is not None
        return numbered or self.state in (SubmissionState.SENDING, SubmissionState.UNCERTAIN)


ON_FILE = frozenset(
    {SubmissionState.SENT, SubmissionState.RECEIVED, SubmissionState.ACCEPTED, SubmissionState.ADJUDICATED}
)


@dataclass(frozen=True, slots=True)
class Untold:
    """A claim's state of which its EHR has not been told; `reference` is the evidence, `since` when it came (UTC)."""

    submission_id: str
    encounter_id: str
    ehr_encounter_id: str
    claim_id: str
    billing_connection: str
    state: SubmissionState
    account_number: str
    patient: str
    reason: str
    reference: str
    since: datetime


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One transmission with its exact bytes; `state` is queued, sending, uncertain, sent or rejected."""

    connection: str
    control_number: int
    state: SubmissionState
    payload: VendorPayload
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Work that waits for a person, with all its findings at once."""

    encounter_id: str
    step: str
    findings: tuple[Finding, ...]
    submission_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A notice of a changed encounter, to be kept before it is acknowledged."""

    connection: str
    encounter_id: str  # canonical
    ref: EncounterRef
    trace: str


@dataclass(frozen=True, slots=True)
class NormalizedEncounter:
    """The result of the normalize step, to be saved at once."""

    encounter_id: str
    bundle: ClaimBundle
    content_hash: bytes
    generation: int = 1


Enclose = Callable[[int], VendorPayload]
"""Makes the transmission of a batch under a control number."""


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """A submission to create; see `SubmissionRow`."""

    id: str
    encounter_id: str
    claim_id: str
    connection: str
    patient: str = ""
    account_number: str = ""
    frequency: ClaimFrequency = ClaimFrequency.ORIGINAL
    prior_id: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription at an EHR, and how far its events have come in.

    `endpoint` is "" for one that the gateway has heard of but did not make. `began_at`: when it was made or renewed.
    `last_number` is the highest event number heard of, `missing` those up to it that have not come, as half-open ranges
    in order. `asked_at`: when the EHR was asked about it last; None wants the gateway to subscribe anew. `doubted`:
    what a notification said does not fit, so the EHR is to be asked.
    """

    connection: str
    id: str
    began_at: datetime
    endpoint: str = ""
    topic: str = ""
    status: SubscriptionStatus = SubscriptionStatus.REQUESTED
    counts: bool = False
    heartbeat_seconds: float | None = None
    ends_at: datetime | None = None
    last_number: int | None = None
    missing: tuple[range, ...] = ()
    gap_since: datetime | None = None
    heard_at: datetime | None = None
    asked_at: datetime | None = None
    doubted: bool = False
