"""The rows are the mapping: no component of a message comes from elsewhere, and no row is for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.billing.medics_premier import ADAPTER, mapping_of
from adapters.billing.medics_premier.layout import arrange
from adapters.billing.medics_premier.payload import build
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from adapters.billing.medics_premier.tests.conftest import GOLDEN
from adapters.billing.medics_premier.words import repeated
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle
from gateway.kit.mapping import Row
from gateway.kit.samples import sample

MESSAGES = sorted(GOLDEN.glob("*.payload.hl7"))
_MIDDLE, _SUFFIX = "no provider of the samples has a middle name", "no patient of the samples has a suffix"
_ORDERING, _COMMIT = "no line of the samples that is sent has an ordering provider", "only with acknowledgment commit"
IN_NO_SAMPLE: Mapping[str, str] = {
    "FT1-20.4": _MIDDLE,
    **{f"FT1-21.{n}": _ORDERING for n in (1, 2, 3, 4, 7, 9)},
    "GT1-3.4": _SUFFIX,
    "IN1-5.2": "no payer of the samples has a second address line",
    "IN1-16.4": _SUFFIX,
    "MSH-15.1": _COMMIT,
    "MSH-16.1": _COMMIT,
    "MSH-18.1": "the samples are plain ASCII",
    "PID-5.4": _SUFFIX,
    "PV1-7.4": _MIDDLE,
    "PV1-8.4": _MIDDLE,
}
"""What makes nothing of any sample; `test_what_the_samples_do_not_show_is_shown_by_other_claims` shows it."""
API = {
    "gateway_key": "gk",
    "secret_key": "sk",
    "authstring": "as",
    "endpoint": "https://client.example.test/csp/prem/api.v4.cls",
    "profile": "clinic1",
}
NEW_YORK = ZoneInfo("America/New_York")


def hl7_leaves(text: str) -> Iterator[str]:
    """The addresses of all components that hold something: `PID-5.1`; not MSH-1 and MSH-2, the separators."""
    for line in filter(None, text.replace("\r", "\n").split("\n")):
        name, *fields = line.split("|")
        first = 2 if name == "MSH" else 1  # MSH-1 is the first separator itself
        for number, field in enumerate(fields, start=first):
            parts = [] if (name, number) == ("MSH", 2) else [repetition.split("^") for repetition in field.split("~")]
            yield from (f"{name}-{number}.{n}" for part in parts for n, value in enumerate(part, start=1) if value)


def json_leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values that are no object: `patient.dob`; any rank of an insurance is `*`."""
    if not isinstance(value, dict):
        yield path
        return
    for name, member in value.items():
        step = "*" if path == "insurance" else name
        yield from json_leaves(member, f"{path}.{step}" if path else step)


def made(rows: Iterable[Row]) -> set[str]:
    """The components that rows write: `PV1-2` is its first, and a repeated code has a label in its third."""
    found: set[str] = set()
    for row in rows:
        if row.via is repeated:
            found |= {f"{row.target}.1", f"{row.target}.3"}
        else:
            found.add(row.target if "." in row.target else f"{row.target}.1")
    return found


def of_hl7(settings: MedicsPremierSettings) -> set[str]:
    tables = mapping_of(settings)[1]
    return made(row for title, rows in tables.items() if not title.startswith("API") for row in rows)


def api_targets() -> set[str]:
    return {row.target for title, rows in ADAPTER.rows.items() if title.startswith("API") for row in rows}


@pytest.mark.parametrize("file", MESSAGES, ids=lambda file: file.stem)
def test_every_component_of_a_message_is_the_target_of_a_row(file: Any, settings: MedicsPremierSettings) -> None:
    assert set(hl7_leaves(file.read_text("utf-8"))) - of_hl7(settings) == set()


def test_every_row_makes_a_component_of_some_message(settings: MedicsPremierSettings) -> None:
    seen = {leaf for file in MESSAGES for leaf in hl7_leaves(file.read_text("utf-8"))}
    assert of_hl7(settings) - seen == set(IN_NO_SAMPLE)


def built(settings: MedicsPremierSettings, claim: ClaimBundle, **changes: Any) -> str:
    changed = MedicsPremierSettings.model_validate({**settings.model_dump(), **changes})
    return build(claim, "GW1", changed, arrange(changed), NEW_YORK).body.decode()


def test_what_the_samples_do_not_show_is_shown_by_other_claims(settings: MedicsPremierSettings) -> None:
    """The reasons above are not a way out: each of these rows writes its component for a claim that has the element."""
    claim = sample("office_visit")
    for resource in claim.resources.values():
        if resource["resourceType"] in ("Patient", "Practitioner"):
            resource["name"][0] |= {"given": ["Zo\u00eb", "Ada"], "suffix": ["Jr"]}
        if resource["resourceType"] == "Organization" and "address" in resource:
            resource["address"][0]["line"] = ["1 Elm St", "Floor 2"]
    team = claim.claim["careTeam"]
    for code in ("referring", "ordering"):
        team.append({**team[0], "sequence": len(team) + 1, "role": {"coding": [{"code": code}]}})
    text = built(settings, claim, acknowledgment="commit")
    assert set(hl7_leaves(text)) - of_hl7(settings) == set()
    assert set(IN_NO_SAMPLE) - set(hl7_leaves(text)) == set()


def test_every_member_for_the_api_is_the_target_of_a_row_and_the_reverse(settings: MedicsPremierSettings) -> None:
    """ADS wants every member of the patient and the guarantor, so all of them are always there."""
    text = built(settings, sample("two_payers"), demographics="api_v4", api=API)
    found = set(json_leaves(jsonio.loads(text.split("\r")[0].encode())))
    assert {path for path in found if path != "insurance.*"} == api_targets()


@pytest.mark.parametrize(
    "changes",
    [
        {"trigger_event": "P11"},
        {"diagnosis_groups": "per_line", "diagnosis_dots": False},
        {"hl7_version": "2.3.1", "mrn_field": "PID-2", "pos_field": "FT1-13"},
        {"amounts": False, "guarantor": "patient", "adt_event": "A08"},
        {"field_overrides": {"IN1-15": "Coverage.type.coding.code", "ZXY-2.3": "'FIX'", "PV1-19": ""}},
    ],
    ids=str,
)
def test_the_rows_of_a_connection_are_those_of_its_own_messages(
    changes: dict[str, Any], settings: MedicsPremierSettings
) -> None:
    changed = MedicsPremierSettings.model_validate({**settings.model_dump(), **changes})
    assert set(hl7_leaves(built(settings, sample("office_visit"), **changes))) - of_hl7(changed) == set()


def test_a_component_without_a_row_is_found(settings: MedicsPremierSettings) -> None:
    text = MESSAGES[0].read_text("utf-8").replace("EVN|A04", "EVN|A04^x").replace("PV1|1", "PV1|1^2")
    assert set(hl7_leaves(text)) - of_hl7(settings) == {"EVN-1.2", "PV1-1.2"}


def test_the_fact_sheet_has_every_row_of_a_plain_connection_and_those_of_settings() -> None:
    titles = [title for title in ADAPTER.rows if "(only with" in title]
    assert [title.partition(" (")[0] for title in titles] == [
        "FT1 payment",
        "API v4 patient",
        "API v4 guarantor",
        "API v4 insurance",
    ]
