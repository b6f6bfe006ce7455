"""The pages for integration engineers: every configuration in them is complete, loads, and opens its connections."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc.jwk import ECKey, RSAKey

from adapters.ehr.smart_fhir.dialects import DialectName
from gateway.kit.contract_support import contract_context
from gateway.settings import LoadedSettings, load_settings

PAGES = sorted((Path(__file__).parents[2] / "docs/vendors").glob("*.md"))
BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
]
KEYS = {
    "RS384": RSAKey.generate_key(2048).as_pem(private=True).decode(),
    "ES384": ECKey.generate_key("P-384").as_pem(private=True).decode(),
}
SUBJECTS = (r"^## 1\. ", r"gateway\.yaml", r"gateway check", r"^## .*not in .*API")


def loaded(block: str, directory: Path) -> LoadedSettings:
    """A page's configuration with made-up secrets in the place of its references."""
    for name in re.findall(r"file:([\w.-]+)", block):
        (directory / name).write_text(KEYS["ES384" if "algorithm: ES384" in block else "RS384"], "utf-8")
    for name in re.findall(r"fee_schedule: ([\w.-]+\.csv)", block):
        (directory / name).write_text(
            "code,modifiers,fee,effective_from,effective_to\n99213,,125.50,2026-01-01,\n", "utf-8"
        )
    path = directory / "gateway.yaml"
    path.write_text(block, "utf-8")
    return load_settings(path, dict.fromkeys(re.findall(r"env:(\w+)", block), "a-made-up-secret-of-32-characters"))


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_every_configuration_is_complete_and_opens_its_ehr(page: Path, block: str, tmp_path: Path) -> None:
    settings = loaded(block, tmp_path)
    infos = {point.name: point.load() for point in entry_points(group="gateway.ehr_adapters")}
    for clinic_id, clinic in settings.gateway.clinics.items():
        assert clinic.facts(clinic_id)
        for name, link in clinic.ehr.items():
            info = infos[link.adapter]
            asyncio.run(_opened(info, settings.adapter_settings(info.settings, clinic_id, "ehr", name)))


async def _opened(info: Any, settings: Any) -> None:
    adapter = info.open(settings, contract_context())
    await adapter.aclose()


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_no_secret_stands_in_a_page(page: Path, block: str) -> None:
    for clinic in yaml.safe_load(block)["clinics"].values():
        for link in (*clinic["ehr"].values(), *clinic["billing"].values()):
            for name, value in link.get("settings", {}).items():
                if re.search("secret|password|private_key|customer_key", name):
                    assert re.match("(env|file):", str(value)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_says_how_to_register_set_check_and_what_is_missing(page: Path) -> None:
    text = page.read_text("utf-8")
    assert [subject for subject in SUBJECTS if not re.search(subject, text, re.MULTILINE)] == []
    assert "```yaml\n" in text


def test_every_dialect_has_its_page() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in DialectName if not re.search(rf"dialect: {name}\b", text)] == []
