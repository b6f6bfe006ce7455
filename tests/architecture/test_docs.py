"""The documents tell of every setting, command and adapter; a new one without a word fails here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from gateway.cli import app
from gateway.feature_matrix import matrix, with_matrix
from gateway.settings import LoadedSettings
from gateway.settings_base import Strict

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("adapters/*/*/README.md")])
COMMAND = re.compile(r"(?:`|^\$ |&& )gateway ([a-z][^`\n#|]*)", re.MULTILINE)
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_BLOCK = re.compile(r"^gateway ([a-z][^`\n#|]*)", re.MULTILINE)


def models(base: type[Strict]) -> Iterator[type[Strict]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


DOCUMENTED = [model for model in models(Strict) if model is not LoadedSettings]


@pytest.mark.parametrize("model", DOCUMENTED, ids=lambda model: model.__name__)
def test_every_setting_is_documented_with_its_description(model: type[BaseModel]) -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} has no description"
        assert f"| `{name}` |" in text, name
        assert field.description in text, name


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert [name for name in names if f"gateway {name}" not in text] == []


@pytest.mark.parametrize("group", ["ehr", "billing"])
def test_every_adapter_has_a_readme_that_lists_its_settings_and_is_in_the_main_one(group: str) -> None:
    main = (ROOT / "README.md").read_text("utf-8")
    for point in entry_points(group=f"gateway.{group}_adapters"):
        readme = (ROOT / "adapters" / group / point.name / "README.md").read_text("utf-8")
        missing = [name for name in point.load().settings.model_fields if f"`{name}`" not in readme]
        assert missing == [], f"{point.name}: settings without a word in its README"
        assert f"`{point.name}`" in main


def test_the_feature_matrix_of_the_readme_is_that_of_the_fact_sheets() -> None:
    """GATEWAY_WRITE_GOLDEN=1 writes it anew."""
    path = ROOT / "README.md"
    text = path.read_text("utf-8")
    present = with_matrix(text)
    if os.environ.get("GATEWAY_WRITE_GOLDEN"):
        path.write_text(present, "utf-8")
    else:
        assert text == present, "an adapter can do other things than README.md says"


def test_the_matrix_names_every_capability_of_every_adapter() -> None:
    rows = {cells[0]: cells for line in matrix().splitlines() if (cells := line.split(" | "))}
    for group in ("ehr", "billing"):
        for point in entry_points(group=f"gateway.{group}_adapters"):
            (row,) = (cells for name, cells in rows.items() if f"`{point.name}`" in name)
            info = point.load()
            assert row[1] == info.title
            submit = 1 if group == "billing" else 0
            assert " ".join(row[2:]).count("yes") == len(info.capabilities) + submit


def test_the_markers_must_be_there() -> None:
    with pytest.raises(ValueError, match="<!-- adapters -->"):
        with_matrix("# A document without markers")


def options_of(words: list[str]) -> set[str] | None:
    """The options of the command that the words begin with, or None when there is none."""
    command: Any = typer.main.get_command(app)
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            break
        if word not in commands:
            return None
        command = commands[word]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_document_exists_with_its_options(page: Path) -> None:
    text = page.read_text("utf-8")
    for command in [
        *COMMAND.findall(text),
        *(line for block in BLOCK.findall(text) for line in IN_BLOCK.findall(block)),
    ]:
        words = command.split()
        known = options_of(words)
        assert known is not None, command
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= {*known, "--help"}, command
