"""Opens the places where superbill files arrive, as gateway.yaml says, over the kit's file drops."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from gateway.canonical.errors import AdapterError, ConfigurationError
from gateway.canonical.superbill import Keys
from gateway.kit.file_drop import FileDrop, FolderDrop
from gateway.ports.context import Probe
from gateway.ports.superbills import SuperbillLink, SuperbillPlace
from gateway.settings import LoadedSettings
from gateway.superbill_settings import SuperbillSettings, SuperbillSftpSettings

_VENDOR = "superbills"
REPORT_SUFFIX = ".report.txt"


class DropPlace:
    """The `SuperbillPlace` port over a file drop, whose outgoing directory takes the rejected files."""

    def __init__(self, drop: FileDrop) -> None:
        self._drop = drop
        self._seen: dict[str, str] = {}

    async def waiting(self) -> int:
        """How many files are there."""
        return len(await self._drop.names())

    async def arrived(self) -> AsyncIterator[tuple[str, bytes]]:
        """The files that are as they were at the look before, oldest first."""
        before, self._seen = self._seen, {}
        for name in await self._drop.names():
            content = await self._drop.get(name)
            self._seen[name] = hashlib.sha256(content).hexdigest()
            if before.get(name) == self._seen[name]:
                yield name, content

    async def shred(self, name: str) -> None:
        """Overwrite a file and take it away."""
        await self._drop.shred(name)

    async def set_aside(self, name: str, content: bytes, report: str) -> None:
        """The report first: a rejected file never lies there without it, and never in place of another one."""
        stem, dot, suffix = name.rpartition(".")
        kept = f"{stem or suffix}.{hashlib.sha256(content).hexdigest()[:8]}{dot}{suffix if stem else ''}"
        await self._drop.put(f"{kept}{REPORT_SUFFIX}", report.encode())
        await self._drop.put(kept, content)
        await self._drop.shred(name)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop.aclose()


def open_superbills(loaded: LoadedSettings) -> dict[str, SuperbillLink]:
    """The superbills of each clinic that has them; raises `ConfigurationError` for the first mistake."""
    return {
        clinic_id: _open(loaded, clinic_id, clinic.superbills)
        for clinic_id, clinic in loaded.gateway.clinics.items()
        if clinic.superbills is not None
    }


def _open(loaded: LoadedSettings, clinic_id: str, settings: SuperbillSettings) -> SuperbillLink:
    connection = _connection(loaded, clinic_id, settings)
    return SuperbillLink(
        connection=connection,
        layout=settings.layout,
        keys=Keys(settings.matching_key.get_secret_value().encode(), clinic_id, connection),
        place=_place(loaded, clinic_id, settings),
        look_seconds=settings.look_seconds,
        upload_secret=settings.upload_secret.get_secret_value(),
        max_bytes=settings.max_bytes,
    )


def _connection(loaded: LoadedSettings, clinic_id: str, settings: SuperbillSettings) -> str:
    known = loaded.gateway.clinics[clinic_id].ehr
    chosen = settings.connection or (next(iter(known)) if len(known) == 1 else "")
    if chosen not in known:
        raise ConfigurationError(
            loaded.where("clinics", clinic_id, "superbills", "connection"),
            "does not name one of the clinic's EHR connections.",
            f"Set it to one of: {', '.join(known)}.",
        )
    return chosen


def _place(loaded: LoadedSettings, clinic_id: str, settings: SuperbillSettings) -> SuperbillPlace | None:
    if settings.sftp is not None:
        return DropPlace(_sftp(settings.sftp))
    if not settings.folder:
        return None
    folder = (loaded.path.parent / settings.folder).resolve()
    rejected = (loaded.path.parent / settings.rejected_folder).resolve() if settings.rejected_folder else None
    rejected = rejected or folder / "rejected"
    if rejected == folder:
        raise ConfigurationError(
            loaded.where("clinics", clinic_id, "superbills", "rejected_folder"),
            "is the watched folder itself: rejected files would be read again and again.",
            "Name another folder, or leave it out.",
        )
    return DropPlace(_folder(folder, rejected, loaded.where("clinics", clinic_id, "superbills", "folder")))


def _folder(folder: Path, rejected: Path, where: str) -> FolderDrop:
    try:
        for path in (folder, rejected):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        remedy = "Name a folder that the gateway may write in."
        raise ConfigurationError(where, f"cannot be used ({problem.strerror}).", remedy) from None
    return FolderDrop(_VENDOR, outgoing=rejected, incoming=folder)


def _sftp(settings: SuperbillSftpSettings) -> FileDrop:
    from gateway.kit.sftp_drop import SftpDrop  # noqa: PLC0415  (only clinics over SFTP pay for it)

    return SftpDrop(
        _VENDOR,
        host=settings.host,
        port=settings.port,
        user=settings.user,
        host_key=settings.host_key,
        outgoing=settings.rejected_directory,
        incoming=settings.directory,
        password=settings.password.get_secret_value(),
        private_key=settings.private_key.get_secret_value(),
    )


async def close_superbills(links: Mapping[str, SuperbillLink]) -> None:
    """Close the connections to the places."""
    for link in links.values():
        if link.place is not None:
            await link.place.aclose()


async def probe_superbills(link: SuperbillLink) -> list[Probe]:
    """Whether the place where files arrive can be read, for `gateway check`."""
    if link.place is None:
        detail = "no folder and no SFTP: files come by upload or `gateway superbill import`"
        return [Probe("superbill files", ok=True, detail=detail)]
    try:
        waiting = await link.place.waiting()
    except AdapterError as problem:
        remedy = "Correct `folder` or `sftp` of the clinic's superbills, and its permissions."
        return [Probe("superbill files", ok=False, detail=f"{problem.code.value}: {problem.text}", remedy=remedy)]
    return [Probe("superbill files", ok=True, detail=f"{waiting} waiting")]
