"""File drops against a real SFTP server and real folders: whole files, and an error that tells what became of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit import file_drop
from gateway.kit.file_drop import FileDrop, FolderDrop, is_temporary
from gateway.kit.sftp_drop import SftpDrop

PASSWORD = "pw-demo-7312"
NAME = "GW000000101.837"
CONTENT = b"ISA*00*~DOE*JANE~" * 3000
KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")
CLIENT_KEY = asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@dataclass
class Server:
    """An SFTP server of this test, and how it misbehaves."""

    root: Path
    port: int = 0
    logins: int = 0
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    at_rename: Callable[[Callable[[], None], asyncssh.SSHServerConnection], Any] | None = None
    at_open: Callable[[asyncssh.SSHServerConnection], Any] | None = None
    hangs_at: str = ""
    plain_rename_only: bool = False

    @property
    def outgoing(self) -> Path:
        return self.root / "inbound"

    @property
    def incoming(self) -> Path:
        return self.root / "outbound"

    def files(self) -> list[str]:
        """What lies in the directory for our files under a final name."""
        return sorted(f.name for f in self.outgoing.iterdir() if not is_temporary(f.name))

    def drop(self, **changes: Any) -> SftpDrop:
        settings = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "clinic",
            "password": PASSWORD,
            "host_key": public(KEY),
            "outgoing": "/inbound",
            "incoming": "/outbound",
            "timeout_seconds": 5.0,
        }
        return SftpDrop("clearinghouse", **(settings | changes))

    def break_off(self) -> None:
        """Lose every connection, as a router does."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()


def _login(server: Server) -> type[asyncssh.SSHServer]:
    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            server.connections.append(conn)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            server.logins += 1
            return (username, password) == ("clinic", PASSWORD)

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return key == CLIENT_KEY.convert_to_public()

        def public_key_auth_supported(self) -> bool:
            return True

    return Login


def _files(server: Server) -> type[asyncssh.SFTPServer]:
    class Files(asyncssh.SFTPServer):
        def __init__(self, chan: Any) -> None:
            super().__init__(chan, chroot=os.fsencode(server.root))

        async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
            server.seen.append(path.decode())
            if server.at_open:
                await server.at_open(self.connection)
            return super().open(path, pflags, attrs)

        async def write(self, file_obj: object, offset: int, data: bytes) -> int:
            if server.hangs_at == "write":
                await asyncio.sleep(60)
            return super().write(file_obj, offset, data)

        async def read(self, file_obj: object, offset: int, size: int) -> bytes:
            if server.hangs_at == "read":
                await asyncio.sleep(60)
            return super().read(file_obj, offset, size)

        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            if server.hangs_at == "list":
                await asyncio.sleep(60)
            async for entry in super().scandir(path):
                yield entry

        async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
            if server.plain_rename_only:
                raise asyncssh.SFTPOpUnsupported("no posix rename")

            def rename() -> None:
                asyncssh.SFTPServer.posix_rename(self, oldpath, newpath)

            if server.at_rename:
                await server.at_rename(rename, self.connection)
            else:
                rename()

    return Files


@asynccontextmanager
async def serving(root: Path, key: asyncssh.SSHKey = KEY) -> AsyncIterator[Server]:
    server = Server(root)
    for folder in (server.outgoing, server.incoming):
        folder.mkdir(exist_ok=True)
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], server_factory=_login(server), sftp_factory=_files(server)
    )
    server.port = listener.get_port()
    try:
        yield server
    finally:
        listener.close()
        server.break_off()
        await listener.wait_closed()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def drop(server: Server) -> AsyncIterator[SftpDrop]:
    opened = server.drop()
    yield opened
    await opened.aclose()


@pytest.fixture(params=["sftp", "folder"])
async def either(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[FileDrop]:
    kinds: dict[str, FileDrop] = {
        "sftp": server.drop(),
        "folder": FolderDrop("clearinghouse", server.outgoing, server.incoming),
    }
    yield kinds[request.param]
    await kinds[request.param].aclose()


# --- what both kinds do ---------------------------------------------------------------------------------------------


async def test_a_file_arrives_whole_and_replaces_one_of_its_name(either: FileDrop, server: Server) -> None:
    assert not await either.delivered(NAME)
    await either.put(NAME, b"old")
    await either.put(NAME, CONTENT)
    assert [f.name for f in server.outgoing.iterdir()] == [NAME]
    assert (server.outgoing / NAME).read_bytes() == CONTENT
    assert await either.delivered(NAME)


async def test_the_vendors_files_are_listed_read_and_taken_away(either: FileDrop, server: Server) -> None:
    for age, name in enumerate(["c.999", "a.277", "b.277"]):
        (server.incoming / name).write_bytes(name.encode())
        os.utime(server.incoming / name, (1_700_000_000 + age, 1_700_000_000 + age))
    for name in ("d.277.part", "e.tmp", "f.filepart", ".hidden"):
        (server.incoming / name).write_bytes(b"half")
    (server.incoming / "archive").mkdir()
    assert await either.names() == ["c.999", "a.277", "b.277"]
    assert await either.get("a.277") == b"a.277"
    await either.remove("a.277")
    await either.remove("a.277")
    assert await either.names() == ["c.999", "b.277"]


async def test_an_empty_file_and_an_empty_directory(either: FileDrop, server: Server) -> None:
    await either.put(NAME, b"")
    assert (server.outgoing / NAME).read_bytes() == b""
    assert await either.names() == []


async def test_many_calls_at_once(either: FileDrop, server: Server) -> None:
    async def one(number: int) -> bytes:
        await either.put(f"{number}.837", CONTENT + str(number).encode())
        (server.incoming / f"{number}.999").write_bytes(str(number).encode())
        return await either.get(f"{number}.999")

    assert await asyncio.gather(*map(one, range(12))) == [str(number).encode() for number in range(12)]
    assert len(server.files()) == 12
    assert all((server.outgoing / f"{n}.837").read_bytes() == CONTENT + str(n).encode() for n in range(12))
    assert len(server.connections) <= 1


async def test_two_writers_of_one_file_never_mix(either: FileDrop, server: Server) -> None:
    await asyncio.gather(*(either.put(NAME, CONTENT) for _ in range(8)))
    assert [f.name for f in server.outgoing.iterdir()] == [NAME]
    assert (server.outgoing / NAME).read_bytes() == CONTENT


async def test_a_missing_directory_or_file(either: FileDrop, server: Server) -> None:
    with pytest.raises(VendorUnavailable) as failure:
        await either.get("DOE_JANE.277")
    assert failure.value.code is ErrorCode.NOT_FOUND
    assert "DOE" not in str(failure.value)
    server.outgoing.rmdir()
    server.incoming.rmdir()
    for call in (either.put(NAME, CONTENT), either.names()):
        with pytest.raises(VendorUnavailable) as failure:
            await call
        assert failure.value.code is ErrorCode.NOT_FOUND
        assert NAME not in str(failure.value)


async def test_a_file_that_is_too_large(either: FileDrop, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_drop, "MAX_FILE_BYTES", 10)
    (server.incoming / "big.835").write_bytes(b"x" * 11)
    (server.incoming / "ten.835").write_bytes(b"x" * 10)
    assert await either.get("ten.835") == b"x" * 10
    with pytest.raises(UnexpectedResponse):
        await either.get("big.835")


async def test_a_shredded_file_is_overwritten_before_it_goes(either: FileDrop, server: Server) -> None:
    file, other_name = server.incoming / "day.csv", server.root / "kept"
    file.write_bytes(CONTENT)
    os.link(file, other_name)  # the same blocks under another name
    await either.shred("day.csv")
    assert not file.exists()
    assert other_name.read_bytes() == bytes(len(CONTENT))
    await either.shred("day.csv")  # gone already, after a worker that died: no error


async def test_a_link_in_the_folder_leads_shredding_nowhere(server: Server) -> None:
    elsewhere = server.root / "elsewhere"
    elsewhere.write_bytes(CONTENT)
    (server.incoming / "day.csv").symlink_to(elsewhere)
    with pytest.raises(VendorUnavailable):
        await FolderDrop("vendor", server.outgoing, server.incoming).shred("day.csv")
    assert elsewhere.read_bytes() == CONTENT


# --- SFTP: who may come in ------------------------------------------------------------------------------------------


async def test_a_private_key_instead_of_a_password(server: Server) -> None:
    drop = server.drop(password="", private_key=CLIENT_KEY.export_private_key().decode())
    await drop.put(NAME, CONTENT)
    await drop.aclose()
    assert server.files() == [NAME]
    assert server.logins == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"password": "pw-wrong-1"}, "password or key"),
        ({"user": "stranger"}, "password or key"),
        ({"password": "", "private_key": OTHER_KEY.export_private_key().decode()}, "password or key"),
        ({"host_key": public(OTHER_KEY)}, "another host key"),
        ({"host_key": public(asyncssh.generate_private_key("ecdsa-sha2-nistp256"))}, "another host key"),
        ({"host_key": "ssh-ed25519 AAAAnonsense"}, "cannot be read"),
        ({"private_key": "-----BEGIN NOTHING-----"}, "cannot be read"),
    ],
)
async def test_wrong_credentials_stop_the_connection(server: Server, changes: dict[str, str], text: str) -> None:
    drop = server.drop(**changes)
    with pytest.raises(CredentialsRejected, match=text) as failure:
        await drop.put(NAME, CONTENT)
    assert not [value for value in changes.values() if value and value in str(failure.value)]
    assert list(server.outgoing.iterdir()) == []
    await drop.aclose()


async def test_the_password_is_never_shown_to_a_server_with_another_key(server: Server) -> None:
    with pytest.raises(CredentialsRejected):
        await server.drop(host_key=public(OTHER_KEY)).names()
    assert server.logins == 0


async def test_a_directory_without_permission(drop: SftpDrop, server: Server) -> None:
    async def forbidden(_: Any) -> None:
        raise asyncssh.SFTPPermissionDenied("DOE JANE")

    server.at_open = forbidden
    with pytest.raises(PermissionMissing) as failure:
        await drop.put(NAME, CONTENT)
    assert "DOE" not in str(failure.value)


# --- SFTP: what can break -------------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there(server: Server) -> None:
    async with serving(server.root) as gone:
        drop = gone.drop()
    for call in (drop.put(NAME, CONTENT), drop.names(), drop.delivered(NAME)):
        with pytest.raises(VendorUnavailable, match="no SFTP connection"):
            await call
    await drop.aclose()


async def test_a_host_that_accepts_and_says_nothing() -> None:
    held: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    settings = {"host": "127.0.0.1", "user": "u", "password": "p", "outgoing": "/", "incoming": "/"}
    drop = SftpDrop("clearinghouse", port=port, host_key=public(KEY), timeout_seconds=0.2, **settings)
    with pytest.raises(VendorUnavailable):
        await drop.put(NAME, CONTENT)
    await drop.aclose()
    for writer in held:
        writer.close()
    listener.close()


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_connection_lost_while_writing_delivers_nothing(server: Server, hangs: bool) -> None:
    async def lose(connection: asyncssh.SSHServerConnection) -> None:
        if hangs:
            await asyncio.sleep(60)
        connection.abort()

    server.at_open = lose
    drop = server.drop(timeout_seconds=0.8)
    with pytest.raises(VendorUnavailable) as failure:
        await drop.put(NAME, CONTENT)
    assert "DOE" not in str(failure.value)
    assert server.files() == []
    server.at_open = None
    await drop.put(NAME, CONTENT)
    assert server.files() == [NAME]
    await drop.aclose()


@pytest.mark.parametrize("step", ["write", "read", "list"])
async def test_a_server_that_falls_silent_is_given_up(server: Server, step: str) -> None:
    (server.incoming / "a.999").write_bytes(b"ISA")
    drop = server.drop(timeout_seconds=0.8)
    calls: dict[str, Callable[[], Any]] = {
        "write": lambda: drop.put(NAME, CONTENT),
        "read": lambda: drop.get("a.999"),
        "list": drop.names,
    }
    server.hangs_at = step
    async with asyncio.timeout(5):
        with pytest.raises(VendorUnavailable, match="broke off"):
            await calls[step]()
    server.hangs_at = ""
    await calls[step]()
    assert server.files() == ([NAME] if step == "write" else [])
    await drop.aclose()


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("hangs", [False, True])
async def test_a_rename_whose_answer_is_lost_is_unknown(server: Server, renamed: bool, hangs: bool) -> None:
    async def lose(rename: Callable[[], None], connection: asyncssh.SSHServerConnection) -> None:
        if renamed:
            rename()
        if hangs:
            await asyncio.sleep(60)
        connection.abort()

    server.at_rename = lose
    drop = server.drop(timeout_seconds=0.8)
    with pytest.raises(OutcomeUnknown) as failure:
        await drop.put(NAME, CONTENT)
    assert NAME not in str(failure.value)
    assert await drop.delivered(NAME) is renamed
    server.at_rename = None
    await drop.put(NAME, CONTENT)
    assert server.files() == [NAME]
    assert (server.outgoing / NAME).read_bytes() == CONTENT
    await drop.aclose()


@pytest.mark.parametrize("refusal", [asyncssh.SFTPFailure, asyncssh.SFTPQuotaExceeded])
async def test_a_rename_that_the_server_refuses_delivered_nothing(
    drop: SftpDrop, server: Server, refusal: type[asyncssh.SFTPError]
) -> None:
    async def refuse(*_: Any) -> None:
        raise refusal("no space for DOE JANE")

    server.at_rename = refuse
    with pytest.raises(VendorUnavailable) as failure:
        await drop.put(NAME, CONTENT)
    assert "DOE" not in str(failure.value)
    assert server.files() == []
    assert len(server.connections) == 1
    server.at_rename = None
    await drop.put(NAME, CONTENT)
    assert len(server.connections) == 1


async def test_a_server_that_only_knows_the_plain_rename(drop: SftpDrop, server: Server) -> None:
    server.plain_rename_only = True
    await drop.put(NAME, b"old")
    await drop.put(NAME, CONTENT)
    assert [f.name for f in server.outgoing.iterdir()] == [NAME]
    assert (server.outgoing / NAME).read_bytes() == CONTENT


async def test_a_lost_connection_is_opened_again(drop: SftpDrop, server: Server) -> None:
    await drop.put("1.837", CONTENT)
    server.break_off()
    await asyncio.sleep(0.05)
    await drop.put("2.837", CONTENT)
    assert server.files() == ["1.837", "2.837"]
    assert len(server.connections) == 1


async def test_a_connection_closed_between_writing_and_renaming_is_opened_again(
    drop: SftpDrop, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, calls = drop._session, []

    @asynccontextmanager
    async def interrupted(operation: str, **options: Any) -> AsyncIterator[Any]:
        calls.append(operation)
        if len(calls) == 2:
            server.break_off()
            await asyncio.sleep(0.05)
        async with session(operation, **options) as client:
            yield client

    monkeypatch.setattr(drop, "_session", interrupted)
    await drop.put(NAME, CONTENT)
    assert (server.outgoing / NAME).read_bytes() == CONTENT


async def test_the_failure_of_one_call_leaves_a_newer_connection_alone(server: Server) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.sleep(60)

    drop = server.drop(timeout_seconds=1.0)
    server.at_rename = hang
    slow = asyncio.create_task(drop.put("1.837", CONTENT))
    await asyncio.sleep(0.2)
    server.break_off()
    server.at_rename = None
    await asyncio.sleep(0.05)
    await drop.put("2.837", CONTENT)
    with pytest.raises(OutcomeUnknown):
        await slow
    assert await drop.names() == []
    assert len(server.connections) == 1
    await drop.aclose()


async def test_closing_twice_and_using_again(drop: SftpDrop) -> None:
    await drop.aclose()
    await drop.put(NAME, CONTENT)
    await drop.aclose()
    await drop.aclose()
    assert await drop.delivered(NAME)


# --- folders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> FolderDrop:
    for name in ("out", "in"):
        (tmp_path / name).mkdir()
    return FolderDrop("clearinghouse", tmp_path / "out", tmp_path / "in")


async def test_a_folder_without_permission(folder: FolderDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "DOE_JANE")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionMissing) as failure:
        await folder.put(NAME, CONTENT)
    assert "DOE" not in str(failure.value)


@pytest.mark.parametrize(("step", "error"), [("fsync", VendorUnavailable), ("replace", OutcomeUnknown)])
async def test_a_share_that_breaks_off(
    folder: FolderDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[AdapterError]
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(116, "Stale file handle", "DOE_JANE")

    monkeypatch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
    with pytest.raises(error, match="Stale file handle") as failure:
        await folder.put(NAME, CONTENT)
    assert type(failure.value) is error
    assert "DOE" not in str(failure.value)
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_file_that_vanishes_while_it_is_listed(
    folder: FolderDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in" / "a.999").write_bytes(b"")
    (tmp_path / "in" / "b.999").write_bytes(b"")
    is_file = Path.is_file

    def taken(path: Path) -> bool:
        found = is_file(path)
        if path.name == "a.999":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", taken)
    assert await folder.names() == ["b.999"]


async def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write there could else have any file of this machine read, and copied to where they may read."""
    secret, incoming = tmp_path / "secret", tmp_path / "incoming"
    secret.write_bytes(b"of somebody else")
    incoming.mkdir()
    (incoming / "day.csv").symlink_to(secret)
    drop = FolderDrop("superbills", incoming, incoming)
    assert await drop.names() == []
    with pytest.raises(AdapterError):
        await drop.get("day.csv")
