"""`gateway check` over a mistake in a description: its line, its key, what to do, and nothing is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.sandbox.plan import SandboxPlan, make_sandbox

Check = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """`gateway check` after one text of the sandbox's gateway.yaml was replaced by another."""
    sandbox = make_sandbox(SandboxPlan("smart_fhir", "http_api", 1, 1, None, 0, 0), directory=tmp_path)
    sandbox.write(tmp_path)
    configuration = tmp_path / "gateway.yaml"

    def run(right: str, wrong: str) -> subprocess.CompletedProcess[str]:
        text = configuration.read_text()
        assert right in text
        configuration.write_text(text.replace(right, wrong, 1))
        command = [sys.executable, "-m", "gateway", "check", "--config", str(configuration)]
        return subprocess.run(
            command, env={**os.environ, **sandbox.secrets}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("total:\n                  $from: claim.total", "total:\n                  $from: claim.totl", "claim.total"),
        ("submit:\n", "sumbit:\n", "submit"),
        ("born: patient.birth_date!", "born: '= patient.birth_date +'", "expression"),
        ("referral: claim.referral", "referral: '=\"none\"'", "Claim.referral"),
        ("request: POST /v1/claims", "request: POST /v1/claims/{patient}", "patient"),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_its_remedy(check: Check, right: str, wrong: str, told: str) -> None:
    ended = check(right, wrong)
    assert ended.returncode == 2
    assert "gateway.yaml:" in ended.stderr
    assert "clinics.demo-clinic.billing.billing.settings.description" in ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
