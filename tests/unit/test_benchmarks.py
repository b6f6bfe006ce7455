"""The benchmarks run, say what they measured on, and clean up; their statistics are right. No timing is asserted."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("build", "cli", "latency", "memory", "normalize", "pure")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module of the checkout's benchmarks, which are not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield lambda name: importlib.import_module(f"benchmarks.{name}")


def start(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (as background jobs do not)
    )


def processes_in(directory: Path) -> list[str]:
    """Command lines and working directories of live processes that lie in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = (entry / "cwd").readlink()
        except OSError:
            continue
        if str(directory) in f"{command} {where}":
            found.append(command)
    return found


def gateway_directories(directory: Path) -> list[Path]:
    return list(directory.glob("gateway-benchmark-*"))


def test_percentiles_interpolate_between_neighbours(load: Load) -> None:
    found = load("figures").percentiles([float(n) for n in range(101)])
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert load("figures").percentiles([0.0, 10.0]) == {"p50": 5.0, "p95": 9.5, "p99": 9.9, "max": 10.0}
    assert load("figures").percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}


def test_there_are_no_percentiles_of_nothing(load: Load) -> None:
    with pytest.raises(ValueError, match="nothing"):
        load("figures").percentiles([])


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_rise_and_stay_within_the_values(load: Load, values: list[float]) -> None:
    found = list(load("figures").percentiles(values).values())
    assert all(a <= b + 1e-6 for a, b in pairwise(found))
    assert min(values) - 1e-6 <= found[0]
    assert found[-1] == max(values)


def test_a_spread_is_median_min_and_max(load: Load) -> None:
    assert load("figures").spread([3.0, 1.04, 2.26]) == {"median": 2.3, "min": 1.0, "max": 3.0}
    assert load("figures").spread([1.0, 2.0], 2) == {"median": 1.5, "min": 1.0, "max": 2.0}
    rounds = [{"p50": 1.0, "p99": 5.0}, {"p50": 3.0, "p99": 4.0}]
    assert load("figures").spread_by_name(rounds) == {
        "p50": {"median": 2.0, "min": 1.0, "max": 3.0},
        "p99": {"median": 4.5, "min": 4.0, "max": 5.0},
    }


@pytest.mark.parametrize(("value", "passes"), [(39.9, True), (40.0, True), (40.1, False)])
def test_a_bar_is_kept_up_to_its_limit(load: Load, value: float, passes: bool) -> None:
    claim = load("figures").bar("p50", value, 40, "ms")
    assert claim == {"what": "p50", "value": value, "at_most": 40, "unit": "ms", "pass": passes}


def test_the_surroundings_name_machine_and_versions(load: Load) -> None:
    found = load("surroundings").surroundings("18.1")
    assert found["machine"]["cpu"]
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_mb"] > 100
    assert found["machine"]["os"]
    assert found["versions"]["postgres"] == "18.1"
    assert found["versions"]["python"] and found["versions"]["gateway"]


@linux
def test_memory_and_time_of_a_process_and_its_children_are_read(load: Load) -> None:
    processes = load("processes")
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while not (below := processes.descendants(parent.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(below) == 1
        assert parent.pid in processes.descendants(os.getpid())
        assert 0 < processes.status_mb(parent.pid, "VmRSS") <= processes.status_mb(parent.pid, "VmHWM")
    finally:
        parent.communicate(b"\n", timeout=10)
    assert processes.pss_mb(os.getpid()) > 1
    assert 0 < processes.cpu_seconds(os.getpid()) <= processes.busy_seconds()
    assert processes.cpu_seconds(os.getpid()) <= processes.cpu_seconds(os.getpid(), ended_children=True)
    assert processes.cpu_seconds(parent.pid) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_explains_itself(load: Load, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(name).main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in shown
    assert "--json" in shown and "--seed" in shown


def test_make_bench_runs_every_benchmark_there_is(load: Load) -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main(" in path.read_text()}
    assert modules == {*NAMES, "__main__"}
    assert {benchmark.name for benchmark in load("__main__").ALL} == set(NAMES)


def made_up(load: Load, name: str, fails: bool = False) -> Any:
    async def measure(options: Any) -> dict[str, Any]:
        if fails:
            raise load("command").ConfigurationError("here", "cannot be measured.", "Go elsewhere.")
        return {"seen": options.seed, "latency_ms": {"p50": {"median": 1.0, "min": 0.5, "max": 2.0}}, "bars": []}

    return load("command").Benchmark(name, "Made up.", lambda parser: None, measure)


def test_all_together_print_a_line_each_or_one_document(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    together = load("__main__")
    monkeypatch.setattr(together, "ALL", (made_up(load, "one"), made_up(load, "two", fails=True), made_up(load, "x")))
    assert together.main([]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["benchmark"] for line in lines] == ["one", "two", "x"]
    assert lines[1]["not_measured"] == "here: cannot be measured."
    assert together.main(["--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert [each["benchmark"] for each in whole["benchmarks"]] == ["one", "two", "x"]


def test_one_benchmark_prints_json_or_a_table_and_tells_when_it_cannot_measure(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load("command").main_of
    assert run(made_up(load, "one"), ["--json", "--seed", "7"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seed"], found["seen"]) == (7, 7)
    assert found["command"] == "python -m benchmarks.one --seed 7 --json"
    assert run(made_up(load, "one"), []) == 0
    assert "p50 1.0" in capsys.readouterr().out
    assert run(made_up(load, "one", fails=True), []) == 2
    assert "Go elsewhere." in capsys.readouterr().err


def test_the_pure_steps_are_measured(tmp_path: Path) -> None:
    process = start("benchmarks.pure", "--json", "--encounters", "4", "--repeats", "2", temporary=tmp_path)
    out, progress = process.communicate(timeout=60)
    assert process.returncode == 0, progress
    found = json.loads(out)
    assert found["encounters"] == 4
    steps = {"normalize", "build_claim", "check_claim", "run_edits", "kareo_tebra_build", "soap_encode", "audit_event"}
    assert steps <= found["microseconds"].keys()
    assert all(0 < each["min"] <= each["median"] <= each["max"] for each in found["microseconds"].values())
    assert gateway_directories(tmp_path) == []


@pytest.mark.slow
def test_latency_is_measured_with_real_processes(tmp_path: Path) -> None:
    arguments = ("--json", "--encounters", "4", "--rounds", "1", "--think-ms", "0", "--rate", "100")
    process = start("benchmarks.latency", *arguments, temporary=tmp_path)
    out, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    found = json.loads(out)
    (run,) = found["runs"]
    assert run["submitted"][0] + run["held"][0] == 4
    assert (run["lost"], run["duplicates"]) == ([0], [0])
    steps = list(run["steps_ms"])
    assert (steps[0], steps[-1]) == ("received", "confirmed")
    longest = sum(step["max"]["max"] for step in run["steps_ms"].values())
    assert 0 < run["latency_ms"]["max"]["max"] <= longest + 1  # the steps add up, but for rounding
    assert run["calls_per_encounter"]["ehr"]["median"] > 1
    assert [claim["at_most"] for claim in found["bars"]] == [40, 150]
    assert found["versions"]["postgres"]
    assert gateway_directories(tmp_path) == []


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    process = start("benchmarks.memory", "--encounters", "500", "--rate", "5", temporary=tmp_path)
    deadline = time.monotonic() + 60
    while not any((d / ".gateway/data/postmaster.pid").exists() for d in gateway_directories(tmp_path)):
        assert process.poll() is None and time.monotonic() < deadline, "the gateway did not start"
        time.sleep(0.02)
    assert processes_in(tmp_path)
    process.send_signal(number)
    out, progress = process.communicate(timeout=60)
    assert process.returncode == 130, progress
    assert out == ""
    assert gateway_directories(tmp_path) == []
    assert processes_in(tmp_path) == []
