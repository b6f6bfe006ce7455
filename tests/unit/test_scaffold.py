"""`gateway new-adapter`: what it writes is whole, current and clean, and its tests fail with what to do next."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.canonical.errors import ConfigurationError
from gateway.cli import app
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.ports.billing import BillingAdapter
from gateway.ports.ehr import EhrAdapter, EhrCapability
from gateway.scaffold import new_adapter

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
KINDS: list[tuple[str, str, type]] = [("ehr", "AcmeEhr", EhrAdapter), ("billing", "AcmeBilling", BillingAdapter)]
STANDS_IN = {"normalize": "fhir_record", "visit": "fhir_record"}
"""These are the kit's; an adapter over a vendor's own API writes `fhir_record`."""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty copy of the house: the adapters' package folders, and the repository's own settings of the linters."""
    for folder in ("adapters", "adapters/ehr", "adapters/billing"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "gateway").symlink_to(ROOT / "gateway")
    return tmp_path


@pytest.fixture
def made(house: Path) -> Callable[..., Path]:
    """Make an adapter in the house; gives its folder."""

    def make(kind: Any, name: str = "acme", title: str = "") -> Path:
        adapter = new_adapter(kind, name, title, house / "adapters" / kind, package=False)
        adapter.write()
        return adapter.folder

    return make


def run(house: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house)}
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True)


def outcome_of(house: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("-q", "--tb=short", "-p", "no:cacheprovider")
    return run(house, sys.executable, "-m", "pytest", *options, folder / "tests")


def signatures(tree: ast.ClassDef) -> dict[str, list[str]]:
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {f.name: [argument.arg for argument in (*f.args.args, *f.args.kwonlyargs)] for f in functions}


def protocol_signatures(protocol: type) -> dict[str, list[str]]:
    methods = {name: f for name, f in vars(protocol).items() if inspect.isfunction(f) and not name.startswith("_")}
    return {name: list(inspect.signature(f).parameters) for name, f in methods.items()}


# --- it is whole and current ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name", "protocol"), KINDS)
def test_every_method_of_the_port_is_there_with_its_parameters_and_a_word_about_it(
    made: Callable[..., Path], kind: str, name: str, protocol: type
) -> None:
    tree = ast.parse((made(kind) / "adapter.py").read_text("utf-8"))
    (adapter,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    found, wanted = signatures(adapter), protocol_signatures(protocol)
    for method, parameters in wanted.items():
        written = STANDS_IN.get(method, method) if kind == "ehr" else method
        assert found.get(written) == parameters, f"the template has not kept up with {protocol.__name__}.{method}"
    public = {method for method in found if not method.startswith("_")}
    assert public <= {*wanted, *STANDS_IN.values()}, "the template has a method that the port does not have"
    documented = {node.name for node in adapter.body if hasattr(node, "name") and ast.get_docstring(node)}
    assert public <= documented


def test_every_capability_of_an_ehr_is_declared(made: Callable[..., Path]) -> None:
    text = (made("ehr") / "__init__.py").read_text("utf-8")
    assert [c.name for c in EhrCapability if f"EhrCapability.{c.name}," not in text] == []


def test_every_canonical_element_is_listed(made: Callable[..., Path]) -> None:
    text = (made("billing") / "payload.py").read_text("utf-8")
    assert [element for element in CLAIM_ELEMENTS if f'# "{element}"' not in text] == []


@pytest.mark.parametrize(("kind", "name", "protocol"), KINDS)
def test_no_place_of_a_name_is_left_open(made: Callable[..., Path], kind: str, name: str, protocol: type) -> None:
    folder = made(kind, "northern_lights", "Northern Lights")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"__init__.py", "adapter.py", "errors.py", "settings.py", "README.md", "test_contract.py"} <= {
        path.name for path in files
    }
    assert [path.name for path in files if "$" in path.read_text("utf-8")] == []
    assert "class NorthernLights" in (folder / "adapter.py").read_text("utf-8")


# --- it refuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Acme", "acme-ehr", "1acme", "acme__x", "_acme", "class", "a" * 31, "", "acme/../x"])
def test_a_bad_name_is_refused(house: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="snake_case"):
        new_adapter("ehr", name, "", house / "adapters" / "ehr", package=False)


def test_the_name_of_an_installed_adapter_is_refused(house: Path) -> None:
    with pytest.raises(ConfigurationError, match="kareo_tebra already"):
        new_adapter("billing", "kareo_tebra", "", house / "adapters" / "billing", package=False)


@pytest.mark.parametrize("title", ['Acme "EHR"', "A" * 41, "Acme\nEHR", "$name"])
def test_a_title_that_would_break_the_code_is_refused(house: Path, title: str) -> None:
    with pytest.raises(ConfigurationError, match="title"):
        new_adapter("ehr", "acme", title, house / "adapters" / "ehr", package=False)


def test_a_folder_that_is_there_already_is_left_alone(house: Path, made: Callable[..., Path]) -> None:
    readme = made("ehr") / "README.md"
    readme.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        new_adapter("ehr", "acme", "", house / "adapters" / "ehr", package=False)
    assert readme.read_text() == "mine"


def test_a_folder_outside_of_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder of a Python package") as raised:
        new_adapter("ehr", "acme", "", tmp_path, package=False)
    assert "--package" in raised.value.remedy


# --- it says what comes next ------------------------------------------------------------------------------------------


def test_the_command_prints_the_entry_point_and_the_next_commands(house: Path) -> None:
    arguments = ["new-adapter", "ehr", "acme", "--title", "Acme", "--directory", str(house / "adapters" / "ehr")]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    for words in (
        'acme = "adapters.ehr.acme:ADAPTER"',
        '[project.entry-points."gateway.ehr_adapters"]',
        f"pytest -q {house}/adapters/ehr/acme/tests",
        "gateway demo --ehr acme",
        "docs/how-to/add-an-ehr-adapter.md",
    ):
        assert words in ended.output
    assert (ROOT / "docs/how-to/add-an-ehr-adapter.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "ehr",
            ("step 4, adapter.py: fetch_encounter", "step 5, mapping.py: fhir_record", "step 8, adapter.py: renew"),
        ),
        ("billing", ("step 4, payload.py: build", "step 5, adapter.py: submit", "step 6, adapter.py: fetch_outcome")),
    ],
)
def test_the_tests_of_a_new_adapter_fail_with_what_to_do_next(
    house: Path, made: Callable[..., Path], kind: str, words: tuple[str, ...]
) -> None:
    ended = outcome_of(house, made(kind))
    assert ended.returncode == 1, ended.stdout[-2000:]  # 2 would be an error of an import
    for step in (*words, "step 2, simulator/__init__.py: answer", "README.md: write these parts"):
        assert step in ended.stdout
    lines = ended.stdout.splitlines()
    errors = [line for line in lines if line.startswith("E   ") and "Error: " in line]
    assert [
        line for line in errors if "NotImplementedError: step" not in line and "AssertionError: s" not in line
    ] == []
    order = [int(line.split()[2].strip(",")) for line in lines[lines.index(_heading(lines)) :] if _is_step(line)]
    assert order == sorted(order)
    assert len(set(order)) > 4


def _heading(lines: list[str]) -> str:
    return next(line for line in lines if "still to be written:" in line)


def _is_step(line: str) -> bool:
    return line.startswith("E     step ")


@pytest.mark.slow
@pytest.mark.parametrize("title", ["", "The Longest Title that Anybody may Give"])
def test_what_is_made_is_clean_for_the_linter_and_the_type_checker(
    house: Path, made: Callable[..., Path], title: str
) -> None:
    folders = [made(kind, "northern_lights_of_the_west", title) for kind in ("ehr", "billing")]
    checked = run(house, BIN / "ruff", "check", "--no-cache", *folders)
    assert checked.returncode == 0, checked.stdout
    if not title:
        typed = run(house, BIN / "mypy", "-p", "adapters.ehr", "-p", "adapters.billing")
        assert typed.returncode == 0, typed.stdout
        formatted = run(house, BIN / "ruff", "format", "--no-cache", "--check", *[made(k) for k in ("ehr", "billing")])
        assert formatted.returncode == 0, formatted.stdout


@pytest.mark.slow
def test_a_package_of_its_own_is_a_whole_project(tmp_path: Path) -> None:
    adapter = new_adapter("billing", "acme", "", tmp_path, package=True)
    adapter.write()
    assert adapter.project == tmp_path / "acme"
    text = (tmp_path / "acme" / "pyproject.toml").read_text("utf-8")
    assert '[project.entry-points."gateway.billing_adapters"]\nacme = "acme:ADAPTER"' in text
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "acme/tests/test_steps.py"]
    ended = subprocess.run(command, cwd=tmp_path / "acme", env=environment, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stdout[-2000:]
    assert "step 5, adapter.py: submit" in ended.stdout
