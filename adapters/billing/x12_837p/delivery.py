"""How claims travel and answers come back: what every delivery does, and the two that exchange files in directories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.replies import is_complete
from adapters.billing.x12_837p.settings import FolderSettings, SftpSettings, X12Settings
from gateway.canonical.errors import UnsupportedOperation
from gateway.canonical.models import Evidence, InboundMessage, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.kit.file_drop import FileDrop, FolderDrop
from gateway.kit.sftp_drop import SftpDrop
from gateway.ports.context import AdapterContext, Probe

CONTROL_NUMBER, FILE = "InterchangeControlNumber", "File"


class Delivery(Protocol):
    """One way to a clearinghouse. Errors are those of `gateway.canonical.errors`, as the port tells for each verb."""

    repeatable_seconds: float
    """How long the same payload may be sent again without harm: 0 never, inf always."""

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Send once."""

    async def find(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look for what was sent; raises `UnsupportedOperation` where nothing can be looked for."""

    def collect(self) -> AsyncIterator[InboundMessage]:
        """What waits, oldest first."""

    async def discard(self, message: InboundMessage) -> None:
        """It is stored: remove it, or move the cursor behind it."""

    async def probe(self) -> list[Probe]:
        """Try the connection; may raise an `AdapterError`."""

    async def aclose(self) -> None:
        """Close the connection."""


class FileDelivery:
    """Files in two directories. The same interchange under the same name may be sent again at any time: the receiver
    keeps one file, or refuses the second by its control number (TA1 025)."""

    repeatable_seconds = float("inf")

    def __init__(self, drop: FileDrop, context: AdapterContext) -> None:
        self._drop, self._context = drop, context

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Put the file; that it lies there proves no more than that it was sent."""
        name = payload.fields["file"]
        await self._drop.put(name, payload.body)
        evidence = Evidence(SubmissionState.SENT, f"file {name}", self._context.now())
        control = payload.body[90:99].decode()  # ISA13 of a header of fixed width
        return SubmissionReceipt(payload.submission_id, evidence, {CONTROL_NUMBER: control, FILE: name})

    async def find(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """A file that is gone may have been taken or may never have come: nothing to look for."""
        text = "a file that was sent cannot be looked for; it can be sent again"
        raise UnsupportedOperation(VENDOR, "find_submission", text)

    async def collect(self) -> AsyncIterator[InboundMessage]:
        """The complete X12 files; what is cut off, or no X12, stays where it is."""
        for name in await self._drop.names():
            content = await self._drop.get(name)
            if is_complete(content):
                yield InboundMessage(name, content)

    async def discard(self, message: InboundMessage) -> None:
        """Remove the file."""
        await self._drop.remove(message.name)

    async def probe(self) -> list[Probe]:
        """List the clearinghouse's files."""
        waiting = len(await self._drop.names())
        return [Probe("list the clearinghouse's files", True, f"{waiting} wait")]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop.aclose()


def folder_delivery(settings: FolderSettings, context: AdapterContext) -> FileDelivery:
    """Two folders of this machine."""
    return FileDelivery(FolderDrop(VENDOR, settings.outgoing, settings.incoming), context)


def sftp_delivery(sftp: SftpSettings, settings: X12Settings, context: AdapterContext) -> FileDelivery:
    """Two directories of an SFTP server."""
    drop = SftpDrop(
        VENDOR,
        host=sftp.host,
        port=sftp.port,
        user=sftp.user,
        password=sftp.password.get_secret_value(),
        private_key=sftp.private_key.get_secret_value(),
        host_key=sftp.host_key,
        outgoing=sftp.outgoing,
        incoming=sftp.incoming,
        timeout_seconds=settings.timeout_seconds,
    )
    return FileDelivery(drop, context)
