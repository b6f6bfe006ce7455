"""How a claim's messages reach MedicsPremier: over MLLP, or as a file in a folder or on an SFTP server.

Over MLLP the ADT is repeatable: whatever goes wrong with it, no claim was saved. The DFT is the one attempt that saves
the claim. A file holds both messages; it appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from adapters.billing.medics_premier.errors import UNREADABLE, VENDOR
from adapters.billing.medics_premier.layout import Layout
from adapters.billing.medics_premier.payload import CODECS
from adapters.billing.medics_premier.replies import verdict
from adapters.billing.medics_premier.settings import FolderTransport, MedicsPremierSettings, MllpTransport
from gateway.canonical.errors import ConfigurationError, OutcomeUnknown, VendorUnavailable
from gateway.canonical.models import InboundMessage, SubmissionState
from gateway.kit.encoders import hl7
from gateway.kit.file_drop import FileDrop, FolderDrop
from gateway.kit.mllp import MllpClient, tls_context
from gateway.kit.sftp_drop import SftpDrop


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is proven after a delivery: the state, a reference without PHI, ids to keep, and messages sent."""

    state: SubmissionState
    reference: str
    ids: dict[str, str] = field(default_factory=dict)
    calls: int = 1


class Link(Protocol):
    """A transport of one connection."""

    async def deliver(self, submission_id: str, messages: Sequence[str]) -> Delivery:
        """Send a claim's messages, the charge message last."""

    async def try_out(self, message: str) -> hl7.Acknowledgment | None:
        """Send a message that changes nothing, or with an empty text only connect."""

    def waiting(self) -> AsyncIterator[InboundMessage]:
        """The acknowledgment files that wait, oldest first."""

    async def remove(self, name: str) -> None:
        """Take an acknowledgment file away."""

    async def aclose(self) -> None:
        """Close the connection."""


def header_of(message: str) -> tuple[str, str]:
    """(type^event, control id) of a message."""
    header = hl7.messages(message)[0][0]
    return f"{header.text(9)}^{header.text(9, 2)}", header.text(10)


class MllpLink:
    """One MLLP connection."""

    def __init__(self, client: MllpClient, layout: Layout, *, drops_duplicates: bool) -> None:
        self._client, self._layout, self._drops_duplicates = client, layout, drops_duplicates

    async def deliver(self, submission_id: str, messages: Sequence[str]) -> Delivery:
        """See `Link.deliver`: the next message goes only after the acceptance of the one before."""
        *before, charges = messages
        for message in before:
            await self._register(message)
        operation, control_id = header_of(charges)
        ack = await self._client.exchange(charges, control_id, operation, may_have_saved=True)
        found = verdict(ack, self._layout)
        if found.problem is UNREADABLE:
            raise OutcomeUnknown(VENDOR, operation, UNREADABLE.text, code=found.code)
        if found.problem is not None and not (found.is_ours and self._drops_duplicates):
            raise found.error(operation)
        reference = f"{ack.code} {control_id}" + (", there before" if found.is_ours else "")
        return Delivery(SubmissionState.RECEIVED, reference, {"ControlID": control_id}, len(messages))

    async def _register(self, message: str) -> None:
        operation, control_id = header_of(message)
        ack = await self._client.exchange(message, control_id, operation)
        found = verdict(ack, self._layout)
        if found.problem is UNREADABLE:
            raise VendorUnavailable(VENDOR, operation, UNREADABLE.text, code=found.code)
        if found.problem is not None and found.vendor_code != "205":  # a patient who is there already is no problem
            raise found.error(operation)

    async def try_out(self, message: str) -> hl7.Acknowledgment | None:
        """See `Link.try_out`."""
        if not message:
            await self._client.connect()
            return None
        operation, control_id = header_of(message)
        return await self._client.exchange(message, control_id, operation)

    async def waiting(self) -> AsyncIterator[InboundMessage]:
        """Nothing waits: acknowledgments come as answers."""
        nothing: tuple[InboundMessage, ...] = ()
        for message in nothing:
            yield message

    async def remove(self, name: str) -> None:
        """Nothing to take away."""

    async def aclose(self) -> None:
        """See `Link.aclose`."""
        await self._client.aclose()


class DropLink:
    """Two directories; `codec` is Python's name of the character set."""

    def __init__(self, drop: FileDrop, codec: str, *, envelope: bool) -> None:
        self._drop, self._codec, self._envelope = drop, codec, envelope

    async def deliver(self, submission_id: str, messages: Sequence[str]) -> Delivery:
        """See `Link.deliver`: one file per claim, named by the submission id; the same claim replaces its file."""
        text = enclosed(messages) if self._envelope else "".join(messages)
        name = f"{submission_id}.hl7"
        await self._drop.put(name, text.encode(self._codec))
        _, control_id = header_of(messages[-1])
        return Delivery(SubmissionState.SENT, f"file {name}", {"FileName": name, "ControlID": control_id})

    async def try_out(self, message: str) -> hl7.Acknowledgment | None:
        """See `Link.try_out`: lists both directories."""
        await self._drop.names()
        await self._drop.delivered("probe.hl7")
        return None

    async def waiting(self) -> AsyncIterator[InboundMessage]:
        """See `Link.waiting`."""
        for name in await self._drop.names():
            yield InboundMessage(name, await self._drop.get(name))

    async def remove(self, name: str) -> None:
        """See `Link.remove`."""
        await self._drop.remove(name)

    async def aclose(self) -> None:
        """See `Link.aclose`."""
        await self._drop.aclose()


def enclosed(messages: Sequence[str]) -> str:
    """The messages as a batch file: FHS, BHS, messages, BTS with their count, FTS."""
    header = messages[0].split(hl7.SEGMENT_END, 1)[0]
    names = "|".join(header.split("|")[1:7])
    return (
        hl7.message([f"FHS|{names}", f"BHS|{names}"])
        + "".join(messages)
        + hl7.message([f"BTS|{len(messages)}", "FTS|1"])
    )


def open_link(settings: MedicsPremierSettings, layout: Layout) -> Link:
    """The link of a connection; raises `ConfigurationError` for a certificate file that cannot be used."""
    transport, codec = settings.transport, CODECS[settings.character_set]
    if isinstance(transport, MllpTransport):
        client = _client(transport, settings.timeout_seconds, codec)
        return MllpLink(client, layout, drops_duplicates=settings.receiver_drops_duplicates)
    if isinstance(transport, FolderTransport):
        folder = FolderDrop(VENDOR, transport.outgoing, transport.incoming)
        return DropLink(folder, codec, envelope=transport.envelope)
    sftp = SftpDrop(
        VENDOR,
        host=transport.host,
        port=transport.port,
        user=transport.user,
        host_key=transport.host_key,
        outgoing=transport.outgoing,
        incoming=transport.incoming,
        password=transport.password.get_secret_value(),
        private_key=transport.private_key.get_secret_value(),
        timeout_seconds=settings.timeout_seconds,
    )
    return DropLink(sftp, codec, envelope=transport.envelope)


def _client(transport: MllpTransport, timeout_seconds: float, codec: str) -> MllpClient:
    context = None
    if transport.tls:
        files = (transport.tls_ca_file, transport.tls_certificate_file, transport.tls_key_file)
        try:
            context = tls_context(*files)
        except OSError as problem:
            where = "transport.tls_ca_file, tls_certificate_file, tls_key_file"
            raise ConfigurationError(where, f"cannot be used ({problem.strerror or problem}).") from None
    return MllpClient(
        VENDOR,
        transport.host,
        transport.port,
        timeout_seconds=timeout_seconds,
        idle_seconds=transport.idle_seconds,
        tls=context,
        server_name=transport.tls_server_name,
        encoding=codec,
    )
