"""An adapter in a package of its own, over an installed gateway: found by entry point, held to the same contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ACME = ROOT / "tests" / "third_party" / "acme_pm"
ENTRY_POINT = "[gateway.billing_adapters]\nacme_pm = acme_pm:ADAPTER\n"


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout."""
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=environment.get("PYTHONPATH"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the gateway's wheel and the third party's package installed."""
    copy, site = tmp_path_factory.mktemp("source") / "gateway", tmp_path_factory.mktemp("site")
    kept = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "node_modules")
    shutil.copytree(ROOT, copy, ignore=kept)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site)
    installed = run(*pip, copy)
    assert installed.returncode == 0, installed.stderr[-3000:]
    shutil.copytree(ACME, site / "acme_pm", ignore=kept)
    metadata = site / "acme_pm-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pm\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    return site


@pytest.mark.slow
def test_the_contract_runs_from_an_installed_package(site: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", site)
    code = "import gateway.kit.samples as s; print(s.__file__)"
    assert str(site) in run(sys.executable, "-c", code, PYTHONPATH=str(site)).stdout
    ended = run(sys.executable, "-m", "pytest", *options, "acme_pm/test_contract.py", PYTHONPATH=str(site))
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert " passed" in ended.stdout


@pytest.mark.slow
def test_the_adapter_is_found_by_its_entry_point(site: Path) -> None:
    listed = run(sys.executable, "-m", "gateway", "adapters", PYTHONPATH=str(site))
    assert listed.returncode == 0, listed.stderr[-2000:]
    assert "acme_pm" in listed.stdout
