"""`gateway demo` as a user runs it: real processes, real HTTP, real Postgres; it ends by itself and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.ports.billing import BillingCapability
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names, load_adapter

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "encounters",
    "submitted",
    "held",
    "rejected",
    "lost",
    "duplicates",
    "latency_ms",
    "audit_events",
    "billing_claims",
    "findings",
}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a demo in a directory of its own; ends what a failing test left."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gateway", "demo", "--json", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def result_of(process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err[-2000:]
    assert out.count("\n") == 1, "one JSON object and nothing else on standard output"
    return dict(json.loads(out))


def processes_in(directory: Path) -> list[int]:
    """Processes that were started for, or in, a directory (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
            except OSError:
                continue
            if str(directory).encode() in text:
                found.append(int(entry.name))
    return found


def wait_until(met: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := met():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def gateway_pid(directory: Path) -> int | None:
    for pid in processes_in(directory):
        if b"\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def kept(tmp_path: Path) -> dict[str, Any] | None:
    file = tmp_path / "demo.json"
    return json.loads(file.read_text()) if file.exists() and file.stat().st_size else None


def test_a_demo_loses_and_doubles_nothing_and_leaves_nothing(demo: Callable[..., Any], tmp_path: Path) -> None:
    result = result_of(demo("--encounters", "40", "--rate", "40"))
    assert result.keys() >= KEYS
    assert (result["encounters"], result["lost"], result["duplicates"]) == (40, 0, 0)
    assert result["submitted"] + result["held"] == 40
    assert result["billing_claims"] == result["submitted"] > 30
    assert {"p50", "p95", "p99"} <= result["latency_ms"].keys()
    assert result["audit_events"] > 6 * result["submitted"]
    assert all(finding["message"] and finding["expression"] for finding in result["findings"])
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


def test_kill_9_of_the_gateway_in_the_middle_loses_and_doubles_nothing(
    demo: Callable[..., Any], tmp_path: Path
) -> None:
    running = demo("--encounters", "60", "--rate", "20")
    pid = wait_until(lambda: gateway_pid(tmp_path))
    wait_until(lambda: _signed(tmp_path) > 15)
    os.kill(pid, signal.SIGKILL)
    result = result_of(running)
    assert (result["encounters"], result["lost"], result["duplicates"]) == (60, 0, 0)
    assert result["gateway_restarts"] >= 1
    assert result["submitted"] + result["held"] == 60


@pytest.mark.slow
def test_with_all_each_ehr_loses_and_doubles_nothing(demo: Callable[..., Any], tmp_path: Path) -> None:
    """With one billing system; `--ehr all --billing all` plays every pair."""
    result = result_of(demo("--ehr", "all", "--billing", "fhir_claim", "--encounters", "12", "--rate", "30"))
    assert [pair["ehr"] for pair in result["pairs"]] == adapter_names(EHR_GROUP)
    assert (result["lost"], result["duplicates"]) == (0, 0)
    for pair in result["pairs"]:
        assert (pair["encounters"], pair["submitted"] + pair["held"]) == (12, 12)
        assert pair["billing_claims"] == pair["submitted"] >= 10, pair["ehr"]
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("billing", adapter_names(BILLING_GROUP))
def test_each_billing_system_doubles_nothing_when_answers_are_lost_and_follows_what_changes(
    demo: Callable[..., Any], tmp_path: Path, billing: str
) -> None:
    """A fifth of the answers break off after the claim was saved.

    What is signed again later is replaced, what was entered in error is voided; or a person is told.
    """
    running = demo("--billing", billing, "--encounters", "14", "--rate", "30", "--drop", "0.2", "--pace", "0", "--keep")
    told = wait_until(lambda: kept(tmp_path))
    ehr, environment = told["urls"]["ehr"], {**os.environ, **told["credentials"]}
    sent = sorted({row["ehr_encounter_id"] for row in _encounters(told, environment) if row["state"] == "submitted"})
    changed, withdrawn = sent[:4], sent[-2:]
    if billing == "x12_837p":  # a payer wants its own claim number back, and gives it with its acceptance
        httpx.post(f"{told['urls']['billing']}/_sim/advance", json={"payer": "accept"}).raise_for_status()
        wait_until(lambda: {"accepted"} == {r["submission_state"] for r in _encounters(told, environment)} - {None})
    for route, encounters in (("amend", changed), ("withdraw", withdrawn)):
        for encounter in encounters:
            httpx.post(f"{ehr}/_sim/{route}", json={"encounter_id": encounter}).raise_for_status()
    can = load_adapter(BILLING_GROUP, billing, "").capabilities
    # Original Medicare takes no replacement of an 837P: such a claim is a person's, as it should be.
    replaced = ("submitted 7", "held 7") if BillingCapability.CORRECT in can else ("held 1",)
    voided = ("withdrawn 8", "held 8") if BillingCapability.VOID in can else ("held 1",)

    def followed() -> bool:
        now = {row["ehr_encounter_id"]: f"{row['state']} {row['frequency']}" for row in _encounters(told, environment)}
        corrected, taken_back = {now[e] for e in changed}, {now[e] for e in withdrawn}
        return {replaced[0]} <= corrected <= {*replaced} and {voided[0]} <= taken_back <= {*voided}

    wait_until(followed)
    os.killpg(running.pid, signal.SIGINT)
    result = result_of(running)
    assert (result["encounters"], result["lost"], result["duplicates"]) == (14, 0, 0)
    assert result["submitted"] + result["held"] == 14
    assert result["billing_claims"] == result["submitted"] >= 10
    assert result["dropped"] > 0


def _encounters(told: dict[str, Any], environment: dict[str, str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "gateway", "status", "--config", told["configuration"], "--encounters", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return list(json.loads(ended.stdout)["demo-clinic"]["encounters"])


def _signed(tmp_path: Path) -> int:
    urls = json.loads((tmp_path / ".demo" / "sandbox.json").read_text())
    return len(httpx.get(f"{urls['ehr']}/_sim/ledger").json()["signed"])


def test_ctrl_c_is_clean(demo: Callable[..., Any], tmp_path: Path) -> None:
    running = demo("--encounters", "500", "--rate", "10")
    wait_until(lambda: gateway_pid(tmp_path) and _signed(tmp_path) > 2)
    os.killpg(running.pid, signal.SIGINT)
    assert result_of(running, status=130)["encounters"] > 0
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


def test_kept_it_stays_and_says_where(demo: Callable[..., Any], tmp_path: Path) -> None:
    running = demo("--encounters", "3", "--keep")
    told = wait_until(lambda: kept(tmp_path))
    assert httpx.get(told["urls"]["health"]).json() == {"status": "ready"}
    assert (tmp_path / "demo.json").stat().st_mode & 0o077 == 0
    environment = {**os.environ, **told["credentials"]}
    for command in ("check", "status", "holds"):
        arguments = [sys.executable, "-m", "gateway", command, "--config", told["configuration"], "--json"]
        ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert json.loads(ended.stdout)
    logs = "".join(path.read_text() for path in (tmp_path / ".demo").glob("**/*.log"))
    patients = httpx.get(f"{told['urls']['billing']}/_sim/ledger").json()["patients"]
    values = {value for patient in patients for value in (patient["PatientName"], patient["birth_date"])}
    values |= {patient["address"][0] for patient in patients}
    assert len(values) >= 6
    assert [value for value in values if value in logs] == [], "no patient value is in any log"
    assert [value for value in told["credentials"].values() if value in logs] == []
    os.killpg(running.pid, signal.SIGINT)
    result_of(running)
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


def test_a_directory_that_is_not_a_demos_is_not_touched(demo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "mine").write_text("precious")
    running = demo("--encounters", "1")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "--directory" in err
    assert (tmp_path / ".demo" / "mine").read_text() == "precious"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "encounters"), [("us-core-7.0.0", 2), ("synthea-2019", 31), ("pas", 0), ("negative", 1)]
)
def test_real_data_ends_as_claims_or_true_holds(demo: Callable[..., Any], folder: str, encounters: int) -> None:
    data = ROOT.parent / "shared" / "fixtures" / "fhir" / folder
    if not data.is_dir():
        pytest.skip("NOT TESTED: the public FHIR fixtures are not beside the checkout")
    result = result_of(demo("--fhir-data", str(data), "--rate", "100"))
    assert (result["encounters"], result["lost"], result["duplicates"]) == (encounters, 0, 0)
    assert result["submitted"] + result["held"] == encounters
    assert len({finding["encounter"] for finding in result["findings"]}) == result["held"]


def test_api_and_workers_as_separate_processes_and_a_killed_worker(tmp_path: Path) -> None:
    """`gateway serve` and two `gateway work`; one worker is killed -9; the others finish everything."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"{len(children)}.log").open("wb")
        command = [sys.executable, "-m", "gateway", *arguments]
        child = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **environment}, stdout=log, stderr=log)
        children.append(child)
        return child

    try:
        start("sandbox", "--out", str(tmp_path / "sandbox"), "--encounters", "30")
        urls = json.loads(wait_until(lambda: _text(tmp_path / "sandbox" / "sandbox.json")))
        lines = (tmp_path / "sandbox" / "sandbox.env").read_text().splitlines()
        secrets = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        secrets = {name: value.strip("'") for name, value in secrets.items()}
        configuration = ("--config", str(tmp_path / "sandbox" / "gateway.yaml"))
        start("serve", *configuration, **secrets)
        wait_until(lambda: _ready(urls["gateway"]))
        first, _ = (start("work", *configuration, **secrets) for _ in range(2))
        httpx.post(f"{urls['ehr']}/_sim/sign", json={"count": 15})
        wait_until(lambda: len(httpx.get(f"{urls['billing']}/_sim/ledger").json()["claims"]) > 3)
        first.kill()
        httpx.post(f"{urls['ehr']}/_sim/sign", json={"count": 15})
        command = [sys.executable, "-m", "gateway", "status", *configuration, "--json"]

        def settled() -> bool:
            ended = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, timeout=60)
            states = {row["state"]: row["count"] for row in json.loads(ended.stdout)["demo-clinic"]["states"]}
            return states.get("submitted", 0) + states.get("held", 0) == 30

        wait_until(settled)
        claims = [c["submission_id"] for c in httpx.get(f"{urls['billing']}/_sim/ledger").json()["claims"]]
        assert len(claims) == len(set(claims)) >= 25
    finally:
        for child in reversed(children):
            child.terminate()
        for child in children:
            child.wait(timeout=30)
    assert processes_in(tmp_path) == []


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
