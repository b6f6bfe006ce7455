"""The documents tell of every setting, command and adapter; a new one without a word fails here."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway import settings
from gateway.cli import app

ROOT = Path(__file__).resolve().parents[2]
MODELS = [m for m in vars(settings).values() if isinstance(m, type) and issubclass(m, settings._Strict)]
DOCUMENTED = [m for m in MODELS if m not in (settings._Strict, settings.LoadedSettings)]


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
