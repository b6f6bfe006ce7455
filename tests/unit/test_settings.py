"""gateway.yaml: every mistake names the file, the line, the key and the remedy, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from gateway.canonical.errors import ConfigurationError
from gateway.settings import load_settings

GOOD = """\
clinics:
  lakeside:
    name: Lakeside Dermatology
    timezone: America/New_York
    billing_provider:
      name: Lakeside Dermatology
      npi: "1234567893"
      tax_id: "12-3456789"
    fee_schedule:
      G2211: "16.05"
    ehr:
      main:
        adapter: smart_fhir
        settings: {secret: "env:EHR_SECRET"}
    billing:
      tebra:
        adapter: kareo_tebra
"""


def load(tmp_path: Path, text: str, **environment: str):  # type: ignore[no-untyped-def]
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return load_settings(file, {"EHR_SECRET": "s3cr3t", **environment})


def problem(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value).removeprefix(str(tmp_path) + "/")


def test_a_good_file_loads_with_exact_money_and_resolved_secrets(tmp_path: Path) -> None:
    clinic = load(tmp_path, GOOD).gateway.clinics["lakeside"]
    assert str(clinic.facts("lakeside").fee("G2211", (), date(2026, 3, 3))) == "16.05"
    assert clinic.ehr["main"].settings == {"secret": "s3cr3t"}
    assert clinic.facts("lakeside").timezone.key == "America/New_York"


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("from file\n")
    loaded = load(tmp_path, GOOD.replace("env:EHR_SECRET", "file:secret.txt"))
    assert loaded.gateway.clinics["lakeside"].ehr["main"].settings == {"secret": "from file"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("timezone:", "timezon:"), "gateway.yaml:2 clinics.lakeside.timezone: is missing."),
        (
            ("    fee_schedule:", "    fees: 1\n    fee_schedule:"),
            "gateway.yaml:9 clinics.lakeside.fees: is not a known key.",
        ),
        (("America/New_York", "Eastern"), "gateway.yaml:4 clinics.lakeside.timezone: is not an IANA time zone"),
        (("1234567893", "1234567890"), "gateway.yaml:7 clinics.lakeside.billing_provider.npi: the check digit"),
        (('"16.05"', "cheap"), "gateway.yaml:10 clinics.lakeside.fee_schedule.G2211: "),
        (("env:EHR_SECRET", "env:NOT_SET"), "settings.secret: environment variable NOT_SET is not set."),
        (("env:EHR_SECRET", "file:none.txt"), "settings.secret: the file cannot be read"),
        (("    ehr:", "   ehr:"), "is not YAML here."),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    text = problem(tmp_path, GOOD.replace(*change))
    assert expected in text
    assert "Remedy:" in text or "Correct" in text
    assert "s3cr3t" not in text


def test_a_missing_file_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read .* Remedy"):
        load_settings(tmp_path / "none.yaml", {})
    assert "is empty" in problem(tmp_path, "")


def test_the_environment_names_another_postgres(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, GATEWAY_DATABASE_URL="postgresql://db/x").database_url == "postgresql://db/x"
    assert load(tmp_path, GOOD).database_url == ""


@pytest.mark.parametrize("command", ["run", "serve", "work", "check", "status", "holds", "migrate"])
def test_the_command_ends_with_status_2_and_no_traceback(tmp_path: Path, command: str) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD.replace("timezone:", "timezon:"))
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", command],
        cwd=tmp_path,
        env={"PATH": "", "EHR_SECRET": "s3cr3t"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "clinics.lakeside.timezone" in ended.stderr
    assert "Remedy" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert not (tmp_path / ".gateway").exists()
