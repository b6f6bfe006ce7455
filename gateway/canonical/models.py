"""The values that travel between rooms. FHIR resources inside are plain JSON objects with `Decimal` money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.canonical.codes import ACCOUNT_IDENTIFIER
from gateway.canonical.findings import Finding
from gateway.canonical.subscription import SubscriptionNotice

Resource = dict[str, Any]
"""A FHIR R4 resource as parsed JSON."""


def reference_of(resource: Resource) -> str:
    """`Type/id` of a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


@dataclass(frozen=True, slots=True)
class NotificationRequest:
    """What an EHR sent to a webhook, before any parsing. Header names are lower case.

    `secure`: it came over TLS, or from this machine.
    """

    method: str
    path: str  # below the hook's own address: "" or "Encounter/123"
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    client_address: str
    secure: bool = True


@dataclass(frozen=True, slots=True)
class EncounterRef:
    """A pointer to an encounter at the EHR. `dedupe_key` is equal for two notices of the same change.

    `serviced` is the date of service at the clinic, where what named the encounter tells it.
    """

    encounter_id: str
    dedupe_key: str
    last_updated: datetime | None = None
    serviced: date | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A parsed notification: which encounters changed; `poll` asks for a poll because the notice names none.

    `subscription` is None where the EHR does not say which subscription it speaks for.
    """

    refs: tuple[EncounterRef, ...] = ()
    poll: bool = False
    subscription: SubscriptionNotice | None = None


WITHDRAWN = "entered-in-error"
"""The Encounter.status of a visit that should never have been there."""


@dataclass(frozen=True, slots=True)
class EncounterRecord:
    """Everything that was fetched for one encounter, as the EHR gave it, in the order of arrival.

    Of an EHR with an API of its own, `encounter` and `resources` are that API's objects; `resourceType` then names the
    vendor's type, and `deleted` says that the visit is gone there.
    """

    ref: EncounterRef
    base_url: str
    encounter: Resource
    resources: tuple[Resource, ...]  # all others, each once
    calls: int = 0  # HTTP requests it took
    deleted: bool = False

    @property
    def withdrawn(self) -> bool:
        """Whether the EHR says that the encounter should never have been there: its claim must be voided."""
        return self.deleted or bool(self.encounter.get("status") == WITHDRAWN)


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One charge as the EHR gives it. Diagnoses are ICD-10-CM codes in pointer order, or empty when it gives none."""

    expression: str  # where it came from, for messages: "ChargeItem[0]" or "Claim.item[2]"
    code: str
    system: str
    modifiers: tuple[str, ...]
    quantity: Decimal
    unit_price: Decimal | None
    diagnosis_codes: tuple[str, ...]
    serviced: date | None = None
    location_code: str | None = None  # place of service, when the line has its own
    performer: str | None = None  # reference of the line's own rendering provider
    unit: str = "UN"
    drug: Resource | None = None  # what was given: `productOrService` (NDC) and `quantity`, as in Claim.item.detail


@dataclass(frozen=True, slots=True)
class EncounterBundle:
    """The canonical encounter: normalized resources whose references are relative and resolve inside it.

    `resources` holds the Patient, the Coverages in order, Practitioners, Organizations, Locations, Conditions,
    Procedures and RelatedPersons. `roles` names resources by what they are to the encounter:
    `rendering_provider`, `referring_provider`, `supervising_provider`, `billing_provider`, `service_facility`.
    `diagnosis_codes` are ICD-10-CM codes with the dot, in claim order.
    """

    encounter: Resource
    resources: tuple[Resource, ...]
    charges: tuple[ChargeLine, ...]
    diagnosis_codes: tuple[str, ...]
    roles: Mapping[str, str]
    serviced: date
    location_code: str
    prior_authorization: str | None = None
    referral_number: str | None = None
    accident: Resource | None = None  # Claim.accident: date, type, locationAddress
    source: str = ""  # the EHR's base URL with encounter and version, for meta.source

    def find(self, reference: str) -> Resource | None:
        """The resource that `Type/id` names."""
        return next((r for r in (self.encounter, *self.resources) if reference_of(r) == reference), None)

    def of_type(self, resource_type: str) -> tuple[Resource, ...]:
        """All resources of one type, in order."""
        return tuple(r for r in self.resources if r["resourceType"] == resource_type)


class ClaimFrequency(StrEnum):
    """CLM05-3 and box 22. A replacement or void is a new Claim with `related` (relationship `prior`)."""

    ORIGINAL = "1"
    REPLACEMENT = "7"
    VOID = "8"


def _relationship(related: Resource) -> str:
    concept = related.get("relationship") or {}
    return next((str(coding.get("code", "")) for coding in concept.get("coding") or ()), "")


@dataclass(frozen=True, slots=True)
class ClaimBundle:
    """A canonical Claim with everything that it references, by `Type/id`."""

    claim: Resource
    resources: Mapping[str, Resource]

    def find(self, reference: str | None) -> Resource | None:
        """The resource that `Type/id` names."""
        return self.resources.get(reference or "")

    @property
    def account_number(self) -> str:
        """The patient account number (CLM01, box 26), or an empty text."""
        return next((i["value"] for i in self.claim.get("identifier", ()) if i.get("system") == ACCOUNT_IDENTIFIER), "")

    @property
    def frequency(self) -> ClaimFrequency:
        """Whether it is a first claim, replaces one on file, or voids it (C12)."""
        if not any(_relationship(related) == "prior" for related in self.claim.get("related", ())):
            return ClaimFrequency.ORIGINAL
        return ClaimFrequency.VOID if self.claim.get("status") == "cancelled" else ClaimFrequency.REPLACEMENT

    @classmethod
    def of(cls, claim: Resource, resources: Iterable[Resource]) -> ClaimBundle:
        """A claim bundle over resources in any order."""
        return cls(claim, {reference_of(resource): resource for resource in resources})


class SubmissionState(StrEnum):
    """The ladder of a submission; each step needs evidence, an unknown vendor word means the lower step."""

    QUEUED = "queued"
    BATCHED = "batched"  # built, waits for the next transmission
    SENDING = "sending"
    SENT = "sent"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    ADJUDICATED = "adjudicated"
    UNCERTAIN = "uncertain"
    REJECTED = "rejected"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class VendorPayload:
    """What will be sent, exactly. `fields` holds what `submit` and `find_submission` look up at the vendor."""

    submission_id: str
    content_type: str
    body: bytes
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof of a state: the vendor's reference (never PHI) and when it was seen (UTC)."""

    state: SubmissionState
    reference: str
    seen_at: datetime


PAYER_CLAIM_CONTROL_NUMBER = "PayerClaimControlNumber"
"""Key of `vendor_ids`: the payer's own number of a claim on file (277CA REF*1K, 835 CLP07), which REF*F8 wants back."""


@dataclass(frozen=True, slots=True)
class SubmissionReceipt:
    """What the vendor said at once. `vendor_ids` are the vendor's identifiers by name, e.g. EncounterID."""

    submission_id: str
    evidence: Evidence
    vendor_ids: Mapping[str, str]
    calls: int = 1

    @property
    def state(self) -> SubmissionState:
        """The state that the evidence proves."""
        return self.evidence.state


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What became of a claim, learned later.

    A message names its claim by the submission id, by the patient account number (CLM01), or, when it speaks of a
    whole batch (999, TA1), by the batch's control number alone; the others are then empty. `vendor_ids` are
    identifiers that the vendor gave since the receipt, `PAYER_CLAIM_CONTROL_NUMBER` among them.
    """

    submission_id: str
    evidence: Evidence
    findings: tuple[Finding, ...] = ()
    claim_response: Resource | None = None
    account_number: str = ""
    control_number: str = ""
    vendor_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimFate:
    """What an EHR is told of an encounter's claim, without PHI.

    `reference` is the billing system's; `reason` is for a person.
    """

    state: SubmissionState
    account_number: str
    billing_system: str
    at: datetime
    reference: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message or file that waits at the vendor, exactly as it lies there. `name` is the vendor's, never PHI."""

    name: str
    content: bytes
