"""The house's own rules: sizes, layers, and what must not be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for top in ("gateway", "adapters") for p in (ROOT / top).rglob("*.py") if "tests" not in p.parts)
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 50


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_stay_small_and_public_ones_are_documented(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MAX_MODULE_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what is inside"
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{function.name} has {length} lines"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_the_one_way_rule_holds() -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-3000:]


def test_only_the_store_knows_sql_and_only_settings_reads_the_environment() -> None:
    for path in SOURCES:
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        if not name.startswith("gateway/store/"):
            assert not re.search(r"\b(insert into|select .* from|delete from)\b", text), name
        free = ("gateway/settings.py", "gateway/telemetry.py", "gateway/sandbox/", "gateway/kit/contract_")  # tests too
        if not name.startswith(free):
            assert "os.environ" not in text, name


def test_nothing_of_one_machine_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.$}])/(?:work|farm|root|home/\w+)/")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".yaml", ".sql", ".json", ".lock", ""}:
            assert not machine.search(path.read_text("utf-8", errors="replace")), name


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, gateway.cli; print([m for m in sys.modules if m.split('.')[0] in "
    code += "('fastapi', 'asyncpg', 'httpx', 'fhir', 'opentelemetry', 'lxml', 'pydantic', 'aiohttp')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
