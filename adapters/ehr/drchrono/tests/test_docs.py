"""What the documents say can be pasted."""

from __future__ import annotations

import re
from pathlib import Path

from adapters.ehr.drchrono import ADAPTER
from gateway.settings import load_settings

ROOT = Path(__file__).parents[4]
SECRETS = dict.fromkeys(("DRCHRONO_CLIENT_SECRET", "DRCHRONO_WEBHOOK_SECRET", "TEBRA_CUSTOMER_KEY"), "x")


def test_the_configuration_of_the_vendors_page_is_a_good_one(tmp_path: Path) -> None:
    text = (ROOT / "docs/vendors/drchrono.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "gateway.yaml"
    path.write_text(example)
    loaded = load_settings(path, {**SECRETS, "TEBRA_USER": "x", "TEBRA_PASSWORD": "x"})
    settings = loaded.adapter_settings(ADAPTER.settings, "springfield", "ehr", "drchrono")
    assert settings.left_out_codes == ("NOSHOW", "COPAY")
