"""The MedicsPremier billing adapter: a patient's and a charge message per claim, over MLLP or as a file."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping

from adapters.billing.medics_premier import replies
from adapters.billing.medics_premier.api_v4 import DemographicsApi
from adapters.billing.medics_premier.errors import UNKNOWN_SENDER, UNREADABLE, VENDOR
from adapters.billing.medics_premier.layout import arrange
from adapters.billing.medics_premier.links import open_link
from adapters.billing.medics_premier.payload import CODECS, build, site_root
from adapters.billing.medics_premier.scrubbing import scrubbed
from adapters.billing.medics_premier.settings import MedicsPremierSettings, SftpTransport
from gateway.canonical.errors import AdapterError, CredentialsRejected, PermissionMissing
from gateway.canonical.models import (
    ClaimBundle,
    ClaimOutcome,
    Evidence,
    InboundMessage,
    SubmissionReceipt,
    VendorPayload,
)
from gateway.kit.billing_base import BillingBase
from gateway.kit.encoders import hl7
from gateway.ports.context import AdapterContext, Probe

_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Compare MSH-3 to MSH-6, certificates and keys in the settings with what ADS registered.",
    PermissionMissing: "Give the gateway's user the right to read and write both directories.",
}
_MESSAGE_START = re.compile(r"(?<=\r)(?=MSH\|)")
_CHECK_ADDRESS = "Check host, port or directories in the settings, and the VPN, then try again."


class MedicsPremier(BillingBase):
    """One clinic's link to MedicsPremier; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = VENDOR

    def __init__(self, settings: MedicsPremierSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._layout = arrange(settings)
        self._link = open_link(settings, self._layout)
        self._api = DemographicsApi(settings.api, context, settings.timeout_seconds) if settings.api else None
        self.repeatable_seconds = math.inf if settings.receiver_drops_duplicates else 0.0

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id, self._settings, self._layout, self._context.clinic.timezone)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Tell of the patient (repeatable), then the charge message: the only one that leaves the outcome unknown."""
        data, messages = parts(payload.body.decode())
        ids: dict[str, str] = {}
        calls = 0
        if data and self._api is not None:
            ids["QueueID"], calls = await self._api.register(data)
        done = await self._link.deliver(payload.submission_id, messages)
        evidence = Evidence(done.state, done.reference, self._context.now())
        return SubmissionReceipt(payload.submission_id, evidence, ids | done.ids, done.calls + calls)

    def parse_outcome(self, message: bytes) -> list[ClaimOutcome]:
        """The outcomes in an acknowledgment file; one that names no claim of ours has none."""
        text = message.decode(CODECS[self._settings.character_set], errors="replace")
        drops_duplicates = self._settings.receiver_drops_duplicates
        return replies.outcomes(text, self._layout, self._context.now(), drops_duplicates=drops_duplicates)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The acknowledgment files that wait; over MLLP none ever does."""
        async for message in self._link.waiting():
            yield message

    async def discard(self, message: InboundMessage) -> None:
        """Take an acknowledgment file away."""
        await self._link.remove(message.name)

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        return scrubbed(text, self._secrets())

    async def probe(self) -> list[Probe]:
        """Connect; over MLLP also send an NMQ^N01 (an inquiry about the clock), which changes nothing."""
        what = f"reach MedicsPremier ({self._settings.transport.kind})"
        try:
            ack = await self._link.try_out(self._inquiry() if self._settings.probe_by_message else "")
        except AdapterError as problem:
            return [Probe(what, False, problem.text, _REMEDIES.get(type(problem), _CHECK_ADDRESS))]
        found = replies.verdict(ack, self._layout) if ack else replies.Verdict()
        if found.problem in (UNKNOWN_SENDER, UNREADABLE):
            detail = found.problem.text if found.problem else ""
            return [
                Probe(what, True),
                Probe("be known to MedicsPremier", False, detail, _REMEDIES[CredentialsRejected]),
            ]
        return [Probe(what, True, "answers messages" if ack else "")]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()
        if self._api is not None:
            await self._api.aclose()

    def _inquiry(self) -> str:
        """NMQ^N01: a receiver that does not take it rejects it by type, and so proves that it knows us."""
        stamp = self._context.now().astimezone(self._context.clinic.timezone).strftime("%Y%m%d%H%M%S")
        header = {
            "type": "NMQ",
            "event": "N01",
            "structure": "NMQ_N01",
            "control_id": f"P{stamp}",
            "time": stamp,
            "version": self._settings.hl7_version,
        }
        roots = {"site": site_root(self._settings), "message": header, "literal": self._layout.literals}
        found = {row.target: row.value(roots) for row in self._layout.rows["MSH"]}
        named = {target: value for target, value in found.items() if value is not None}
        return hl7.message([hl7.segment("MSH", named), hl7.segment("NCK", {"NCK-1": stamp})])

    def _secrets(self) -> Iterator[str]:
        transport, api = self._settings.transport, self._settings.api
        if isinstance(transport, SftpTransport):
            yield transport.password.get_secret_value()
            yield transport.private_key.get_secret_value()
        if api is not None:
            yield api.secret_key.get_secret_value()
            yield api.gateway_key.get_secret_value()
            yield api.authstring.get_secret_value()


def parts(body: str) -> tuple[str, list[str]]:
    """The JSON data about the patient (or an empty text) and the messages of a payload's body."""
    data, rest = "", body
    if body.startswith("{"):
        data, _, rest = body.partition(hl7.SEGMENT_END)
    return data, _MESSAGE_START.split(rest)
