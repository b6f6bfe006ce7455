"""`gateway backfill` as a process of its own: killed in the middle, it goes on, and nothing is listed twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import yaml

from adapters.ehr.smart_fhir import simulator as smart_fhir
from gateway.kit.contract_support import Simulator, refused_url, simulator_running
from gateway.kit.simulator import SimulatorOptions

VISITS, DAYS = 1000, 500
SINCE = (datetime.now(UTC) - timedelta(days=DAYS + 5)).date()


def visits() -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "resourceType": "Encounter",
            "id": f"e{n}",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": {"reference": "Patient/p"},
            "period": dict.fromkeys(
                ("start", "end"), (now - timedelta(days=n % DAYS, hours=1)).isoformat(timespec="seconds")
            ),
        }
        for n in range(VISITS)
    ]


@pytest.fixture(scope="module")
def ehr() -> Iterator[tuple[Simulator, Any]]:
    credentials = smart_fhir.new_credentials(1)
    with (
        simulator_running(smart_fhir.build, credentials=credentials, data=visits()) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        client.post("/_sim/sign", json={"all": True}).raise_for_status()
        yield Simulator(client), smart_fhir.connection(SimulatorOptions(url, credentials=credentials))


@pytest.fixture
def socket_directory(database: dict[str, Any]) -> Iterator[str]:
    """A short path to the server's socket that another process can use as well."""
    with tempfile.TemporaryDirectory(prefix="gw") as directory:
        link = Path(directory) / "pg"
        link.symlink_to(Path(database["host"]).resolve())
        yield str(link)


@pytest.fixture
def command(ehr: Any, database: dict[str, Any], socket_directory: str, tmp_path: Path) -> Any:
    """Starts `gateway backfill` with further options, over a clinic with one EHR connection."""
    _, link = ehr
    at = f"host={quote(socket_directory, safe='')}&port={database['port']}"
    clinic = {
        "name": "Lakeside Dermatology",
        "timezone": "America/New_York",
        "billing_provider": {"name": "Lakeside Dermatology", "npi": "1234567893", "tax_id": "12-3456789"},
        "go_live": str(SINCE),
        "ehr": {"ehr": {"adapter": "smart_fhir", "settings": {**link.settings, "feed": "date"}}},
        "billing": {"billing": {"adapter": "fhir_claim", "settings": {"base_url": f"{refused_url()}/fhir"}}},
    }
    configuration = {
        "clinics": {"clinic-a": clinic},
        "database": {"url": f"postgresql://{database['user']}@/{database['database']}?{at}"},
    }
    path = tmp_path / "gateway.yaml"

    def start(*options: str, **changes: Any) -> subprocess.Popen[str]:
        clinic.update(changes)
        path.write_text(yaml.safe_dump(configuration))
        arguments = ["backfill", "--clinic", "clinic-a", "--since", str(SINCE), "--config", str(path), *options]
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **link.secrets},
        )

    return start


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    (row,) = json.loads(out)["connections"]
    return dict(row)


async def test_killed_in_the_middle_it_goes_on_where_it_was(command: Any, database: dict[str, Any]) -> None:
    connection = await asyncpg.connect(**database)
    process, kept = command("--json"), 0
    deadline = time.monotonic() + 30
    while kept < 200:
        assert process.poll() is None and time.monotonic() < deadline
        kept = await connection.fetchval("select count(*) from inbox")
        await asyncio.sleep(0.002)
    process.kill()
    process.communicate()
    kept = await connection.fetchval("select count(*) from inbox")
    assert 200 <= kept < VISITS
    [(listing, position)] = await connection.fetch("select connection, position from feed_cursor")
    assert listing.startswith("ehr backfill") and position.startswith("date 20")

    row = finished(command("--json"))
    assert row["new"] == VISITS - kept
    assert row["listed"] <= VISITS - kept + 50, "what was kept is not listed again, but for one span of days"
    assert await connection.fetchval("select count(*) from inbox") == VISITS
    assert await connection.fetchval("select count(*) from job where priority = 9") == VISITS

    again = finished(command("--json"))
    assert (again["listed"], again["new"]) == (VISITS, 0)
    await connection.close()


async def test_until_bounds_the_dates(command: Any, database: dict[str, Any]) -> None:
    row = finished(command("--json", "--until", str(SINCE + timedelta(days=105))))
    assert 190 <= row["new"] <= 210 and row["new"] + row["left_out"] == VISITS


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ((), {"go_live": None}, "go_live"),
        (("--clinic", "nobody"), {}, "is not a clinic"),
        (("--connection", "other"), {}, "has no connection other"),
        (("--until", "2020-01-01"), {}, "before --since"),
    ],
)
async def test_a_mistake_is_told_with_its_remedy(
    command: Any, options: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    process = command(*options, **changes)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in error and "Remedy" in error


async def test_the_progress_is_shown_on_standard_error_and_the_counts_as_a_table(command: Any) -> None:
    process = command()
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "backfill" in out and str(VISITS) in out
    assert "listed" in error
