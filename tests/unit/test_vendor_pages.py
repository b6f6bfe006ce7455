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

from adapters.ehr.smart_fhir.dialects import DIALECTS, DialectName
from gateway.kit.contract_support import contract_context
from gateway.settings import LoadedSettings, load_settings

INDEX = Path(__file__).parents[2] / "docs/vendors/README.md"
PAGES = sorted(page for page in INDEX.parent.glob("*.md") if page != INDEX)
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


def index() -> dict[str, list[str]]:
    """The rows of the index by the second cell, which names the adapter and its dialect."""
    rows = [line.strip("|").split("|") for line in INDEX.read_text("utf-8").splitlines() if line.startswith("| [")]
    return {cells[1].strip(): [cell.strip() for cell in cells] for cells in rows}


def test_the_index_lists_every_ehr_with_its_page() -> None:
    adapters = [f"`{point.name}`" for point in entry_points(group="gateway.ehr_adapters") if point.name != "smart_fhir"]
    dialects = [f"`smart_fhir`, `dialect: {name}`" for name in DialectName if name is not DialectName.GENERIC]
    assert sorted(index()) == sorted([*adapters, *dialects])
    linked = {name for cells in index().values() for name in re.findall(r"\]\(([\w.]+)\)", cells[0])}
    assert linked == {page.name for page in PAGES}


def test_the_index_tells_the_delays_of_the_settings() -> None:
    infos = {point.name: point.load() for point in entry_points(group="gateway.ehr_adapters")}
    for named, cells in index().items():
        adapter, *rest = re.findall(r"`([^`]+)`", named)
        fields = infos[adapter].settings.model_fields
        dialect = DIALECTS[DialectName(rest[0].removeprefix("dialect: "))].settings if rest else {}
        poll, settle = (dialect.get(n, fields[n].default) for n in ("poll_seconds", "settle_seconds"))
        assert cells[-1] == f"{poll:g} s + {settle:g} s", named


@pytest.mark.parametrize("page", [INDEX, *INDEX.parents[1].rglob("*.md")], ids=lambda page: page.name)
def test_every_link_of_a_document_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


def merged(base: Any, part: Any) -> Any:
    """The base with what a fragment says in its place."""
    if not isinstance(base, dict) or not isinstance(part, dict):
        return part
    return {**base, **{name: merged(base.get(name), value) for name, value in part.items()}}


WHOLE = next(
    block for block in re.findall(r"```yaml\n(.*?)```", (INDEX.parents[1] / "configuration.md").read_text(), re.S)
)
FRAGMENTS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in [INDEX.parents[1] / "configuration.md", *sorted((INDEX.parents[1] / "how-to").glob("*.md"))]
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("block", FRAGMENTS)
def test_every_fragment_of_a_configuration_fits_into_a_whole_one(block: str, tmp_path: Path) -> None:
    """One that begins below the clinic is taken for the clinic's."""
    fragment = yaml.safe_load(block.replace("settings: {...}", "settings: {}"))
    within = (
        fragment
        if {"clinics", "server", "workers", "database"} & set(fragment)
        else {"clinics": {"lakeside": fragment}}
    )
    assert loaded(yaml.safe_dump(merged(yaml.safe_load(WHOLE), within)), tmp_path)
