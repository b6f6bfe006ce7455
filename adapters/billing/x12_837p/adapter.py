"""The X12 837P billing adapter: one writer and one reader, and five ways to a clearinghouse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, SecretStr

from adapters.billing.x12_837p import json_payload, payload, replies
from adapters.billing.x12_837p.claim_md import ClaimMdDelivery
from adapters.billing.x12_837p.delivery import Delivery, folder_delivery, sftp_delivery
from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.interchange import Writer, submitter
from adapters.billing.x12_837p.optum import OptumDelivery
from adapters.billing.x12_837p.scrubbing import scrubbed
from adapters.billing.x12_837p.settings import (
    ClaimMdSettings,
    FolderSettings,
    OptumSettings,
    SftpSettings,
    StediSettings,
    X12Settings,
)
from adapters.billing.x12_837p.stedi import StediDelivery
from gateway.canonical.errors import AdapterError, CredentialsRejected, PermissionMissing
from gateway.canonical.models import ClaimBundle, ClaimOutcome, InboundMessage, SubmissionReceipt, VendorPayload
from gateway.kit.billing_base import BillingBase
from gateway.ports.billing import BatchRule
from gateway.ports.context import AdapterContext, Probe

_ONE_BY_ONE = frozenset({"stedi", "optum"})
_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check the user, key or password, and the host key, with the clearinghouse.",
    PermissionMissing: "Check the directories and their permissions, or the account's rights.",
}


class X12Claims(BillingBase):
    """One clinic's link to a clearinghouse or payer; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = VENDOR

    def __init__(self, settings: X12Settings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._writer = Writer(settings, context.clinic, context.connection)
        self._submitter = json_payload.submitter_of(settings, *submitter(settings, context.clinic))
        self._delivery = _opened(settings, context)
        self.repeatable_seconds = self._delivery.repeatable_seconds
        one_by_one = settings.delivery in _ONE_BY_ONE
        self.batch = None if one_by_one else BatchRule(settings.batch_most, settings.batch_seconds)

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`, and `json_payload.build` where claims travel as JSON."""
        if self.batch is None:
            return json_payload.build(claim, submission_id, self._settings, self._submitter, prior)
        return payload.build(claim, submission_id, self._settings, prior)

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        """See `interchange.Writer.enclose`."""
        if self.batch is None:
            raise self._unsupported("enclose", "this connection sends claims one by one")
        return self._writer.enclose(payloads, control_number, made_at)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Send the interchange or claim once."""
        return await self._delivery.submit(payload)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look for what was sent; only Claim.MD can be searched, the others raise `UnsupportedOperation`."""
        return await self._delivery.find(submission_id, payload)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The clearinghouse's files or reports."""
        async for message in self._delivery.collect():
            yield message

    async def discard(self, message: InboundMessage) -> None:
        """Remove the file, or move the cursor behind the report."""
        await self._delivery.discard(message)

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        """See `replies.parse`; control numbers become the gateway's own again."""
        found = replies.parse(message, self._context.now())
        return [self._with_own_number(outcome) for outcome in found]

    def _with_own_number(self, outcome: ClaimOutcome) -> ClaimOutcome:
        if not outcome.control_number.isdigit():
            return outcome
        number = max(int(outcome.control_number) - self._settings.control_number_offset, 0)
        return replace(outcome, control_number=f"{number:09d}")

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        return scrubbed(text, _secrets(self._settings))

    async def probe(self) -> list[Probe]:
        """Try the connection."""
        try:
            return await self._delivery.probe()
        except AdapterError as problem:
            remedy = _REMEDIES.get(type(problem), "Check the address and the network, then try again.")
            return [Probe(f"reach the clearinghouse ({self._settings.delivery})", False, problem.text, remedy)]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._delivery.aclose()


def _opened(settings: X12Settings, context: AdapterContext) -> Delivery:
    """The delivery that the settings choose."""
    match settings:
        case X12Settings(delivery="sftp", sftp=SftpSettings() as sftp):
            return sftp_delivery(sftp, settings, context)
        case X12Settings(delivery="folder", folder=FolderSettings() as folder):
            return folder_delivery(folder, context)
        case X12Settings(delivery="claim_md", claim_md=ClaimMdSettings() as account):
            return ClaimMdDelivery(account, settings, context)
        case X12Settings(delivery="stedi", stedi=StediSettings() as stedi):
            return StediDelivery(stedi, settings, context)
        case X12Settings(delivery="optum", optum=OptumSettings() as optum):
            return OptumDelivery(optum, settings, context)
    raise ValueError("the settings describe the delivery that they name")


def _secrets(settings: BaseModel) -> Iterator[str]:
    """Every secret of the settings, also inside the deliveries' own."""
    for _, value in settings:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets(value)
