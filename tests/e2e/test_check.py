"""`gateway check` ends with what is still missing before the first claim of each pair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.operations import probes_of
from gateway.pipeline.receive import new_trace
from gateway.ports.context import utc_now
from gateway.sandbox.plan import SandboxPlan, make_sandbox

Check = Callable[..., subprocess.CompletedProcess[str]]
CLINIC = "clinic-a"
PAIR = "demo-clinic / before the first claim from ehr to billing"


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """`gateway check` over the sandbox's configuration without some keys of its clinic; no simulator runs."""
    sandbox = make_sandbox(SandboxPlan("smart_fhir", "x12_837p", 1, 1, None, 0, 0), directory=tmp_path)
    sandbox.write(tmp_path)
    configuration = tmp_path / "gateway.yaml"

    def run(*without: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        settings: Any = yaml.safe_load(configuration.read_text())
        for path in without:
            *outer, last = path.split(".")
            place = settings["clinics"]["demo-clinic"]
            for key in outer:
                place = place[key]
            del place[last]
        configuration.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "gateway", "check", "--config", str(configuration), *arguments]
        return subprocess.run(
            command, env={**os.environ, **sandbox.secrets}, capture_output=True, text=True, timeout=60
        )

    return run


def test_what_is_missing_is_told_with_the_key_to_fill(check: Check) -> None:
    ended = check("billing_provider.address", "payer_ids", arguments=("--json",))
    lines = [probe for probe in json.loads(ended.stdout)["probes"] if probe["connection"] == PAIR]
    missing = {probe["what"]: probe["remedy"] for probe in lines if not probe["ok"]}
    assert ended.returncode == 1
    assert missing == {
        "address of the billing provider": "Fill clinics.demo-clinic.billing_provider.address (line, city, state and "
        "postalCode).",
        "ZIP+4 of the billing provider": "Fill clinics.demo-clinic.billing_provider.address.postalCode, nine digits.",
    }
    assert "payer ids" in [probe["what"] for probe in lines if probe["ok"] and probe["remedy"]]


def test_a_complete_clinic_has_notes_only(check: Check) -> None:
    told = check().stdout.partition(PAIR)[2]
    assert "nothing is missing" in told
    assert "note" in told
    assert "to fix" not in told


def test_a_clinic_without_a_billing_npi_does_not_start(check: Check) -> None:
    ended = check("billing_provider.npi")
    assert ended.returncode == 2
    assert "clinics.demo-clinic.billing_provider.npi: is missing." in ended.stderr


async def test_a_connection_that_is_stopped_is_not_said_to_work(open_house: Any) -> None:
    """Also when the cause is mended: the check would be green, and nothing would be read."""
    house = await open_house(worker=False)
    async with house.gateway.store.unit_of_work(CLINIC) as unit:
        await unit.stop_connection("ehr", "credentials")
        await unit.commit(AuditEvent(Step.CONNECTION_STOPPED, utc_now(), CLINIC, new_trace(), target="ehr"))
    found = await probes_of(house.gateway)
    bad = [probe for lines in found.values() for probe in lines if not probe.ok]
    assert [(probe.what, probe.remedy) for probe in bad] == [
        ("stopped", "When all else here works: `gateway resume ehr`.")
    ]
