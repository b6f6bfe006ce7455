"""What the page for the one who connects it shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from adapters.ehr.elation import ADAPTER

ROOT = Path(__file__).resolve().parents[4]


def test_the_example_of_the_page_is_a_connection() -> None:
    page = (ROOT / "docs" / "vendors" / "elation.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    connection = yaml.safe_load(example)["clinics"]["lakeside"]["ehr"]["elation"]
    assert connection["adapter"] == ADAPTER.name
    assert ADAPTER.settings.model_validate(connection["settings"]).practice_id == "65540"


def test_every_default_in_the_table_of_settings_is_the_true_one() -> None:
    table = (ROOT / "adapters" / "ehr" / "elation" / "README.md").read_text("utf-8")
    for name, field in ADAPTER.settings.model_fields.items():
        (shown,) = re.findall(rf"^\| `{name}` \| ([^|]+) \|", table, re.MULTILINE)
        if isinstance(field.default, int | float):
            assert float(shown) == float(field.default), name
