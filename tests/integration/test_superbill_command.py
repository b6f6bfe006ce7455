"""`gateway superbill` as an operator runs it, over a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.canonical.errors import ConfigurationError
from gateway.settings import load_settings
from gateway.superbill_intake import open_superbills, probe_superbills

CONFIGURATION = """\
clinics:
  lakeside:
    name: Lakeside Dermatology
    timezone: America/New_York
    billing_provider: {name: Lakeside Dermatology, npi: "1234567893", tax_id: "12-3456789"}
    ehr:
      main:
        adapter: smart_fhir
        settings:
          base_url: https://ehr.example.test/fhir
          client_id: demo
          private_key: file:key.json
          algorithm: ES384
    billing:
      tebra:
        adapter: kareo_tebra
        settings: {customer_key: k-1, user: u@example.test, password: p-1, practice_name: Lakeside}
    superbills:
      matching_key: 0123456789abcdef
      columns: {serviced_date: DOS}
"""
ROW = "SB-1,AB123456,2026-03-03,1234567893,99213\n"
HEADER = "superbill_id,mrn,DOS,rendering_npi,product_or_service\n"


@pytest.fixture
def office(tmp_path: Path, private_jwk: str) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIGURATION)
    (tmp_path / "key.json").write_text(private_jwk)
    return tmp_path


@pytest.fixture(scope="module")
def private_jwk() -> str:

    key = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384", "use": "sig"}, private=True)
    return json.dumps(key.as_dict(private=True))


@pytest.fixture
def url(database: dict[str, Any]) -> str:
    """The server's socket may lie under a path of this process only."""
    host = str(database["host"]).replace("/proc/self/", f"/proc/{os.getpid()}/")
    return f"postgresql:///{database['database']}?host={host}&user={database['user']}"


def run(office: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "superbill", *arguments, "--config", "gateway.yaml"]
    environment = {**os.environ, "GATEWAY_DATABASE_URL": url}
    return subprocess.run(command, cwd=office, env=environment, capture_output=True, text=True, timeout=60)


def test_import_takes_a_file_once_and_list_shows_what_waits(office: Path, url: str) -> None:
    (office / "day.csv").write_text(HEADER + ROW)
    first = run(office, url, "import", "day.csv", "--clinic", "lakeside", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) == {
        "rows": 1, "new": 1, "changed": 0, "unchanged": 0, "refused": 0, "problems": [],
    }  # fmt: skip
    second = run(office, url, "import", "day.csv", "--clinic", "lakeside", "--json", "--shred")
    assert json.loads(second.stdout)["unchanged"] == 1
    assert not (office / "day.csv").exists()
    now = json.loads(run(office, url, "list", "--days", "0", "--json").stdout)
    assert [(row["superbill"], row["state"]) for row in now["lakeside"]] == [("SB-1", "ready")]
    assert json.loads(run(office, url, "list", "--json").stdout) == {"lakeside": []}, "not yet after unmatched_days"


def test_import_tells_mistakes_and_keeps_the_file(office: Path, url: str) -> None:
    (office / "day.csv").write_text(HEADER + ROW.replace("99213", "9"))
    told = run(office, url, "import", "day.csv", "--clinic", "lakeside", "--shred")
    assert told.returncode == 1
    assert "line 2, column product_or_service" in told.stdout
    assert (office / "day.csv").exists()


def test_a_clinic_without_superbills_is_told(office: Path, url: str) -> None:
    (office / "gateway.yaml").write_text(CONFIGURATION.partition("    superbills:")[0])
    (office / "day.csv").write_text(HEADER + ROW)
    told = run(office, url, "import", "day.csv", "--clinic", "lakeside")
    assert told.returncode == 2
    assert "has no superbills" in told.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("matching_key: short", "must have 16 characters or more"),
        ('matching_key: ""', "must have 16 characters or more"),
        ("columns: {dos: DOS}", "has no column dos"),
        ("columns: {mrn: A, facility: a}", "gives two of our columns the same header"),
        ("date_format: '%m/%d'", "must hold year, month and day"),
        ("encoding: latin", "utf-8"),
        ("connection: other", "does not name one of the clinic's EHR connections"),
        ("folder: in\n      rejected_folder: in", "is the watched folder itself"),
        ("folder: gateway.yaml", "cannot be used"),
        (
            "folder: in\n      sftp: {host: h, user: u, host_key: k, directory: a, rejected_directory: b}",
            "leave one of `folder` and `sftp` out",
        ),
    ],
)
def test_each_mistake_in_the_configuration_is_told(office: Path, changed: str, message: str) -> None:
    name = changed.partition(":")[0]
    kept = [line for line in CONFIGURATION.splitlines() if not line.strip().startswith(f"{name}:")]
    (office / "gateway.yaml").write_text("\n".join([*kept, f"      {changed}"]))
    with pytest.raises(ConfigurationError, match=r".") as caught:
        open_superbills(load_settings(office / "gateway.yaml", {}))
    assert message in str(caught.value)


async def test_check_looks_into_the_folder(office: Path) -> None:
    (office / "gateway.yaml").write_text(CONFIGURATION + "      folder: in\n")
    link = open_superbills(load_settings(office / "gateway.yaml", {}))["lakeside"]
    (office / "in" / "day.csv").write_text("x")
    assert [(probe.ok, probe.detail) for probe in await probe_superbills(link)] == [(True, "1 waiting")]
    (office / "in" / "day.csv").unlink()
    for folder in ("in/rejected", "in"):
        (office / folder).rmdir()
    [missing] = await probe_superbills(link)
    assert not missing.ok and missing.remedy
