"""Settings that cannot work are refused when they are read; the documents tell of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.ehr.athenahealth.settings import PUSH_SCOPES, READ_SCOPES, AthenahealthSettings

GOOD = {"practice_id": "195900", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize(
    "change",
    [
        {"practice_id": "abc"},
        {"client_secret": ""},
        {"private_key": "both"},
        {"push": True},
        {"poll_seconds": 0},
        {"host": "http://api.example.test"},
        {"own_billing": "perhaps"},
        {"department": "162"},
    ],
    ids=str,
)
def test_a_mistake_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AthenahealthSettings(**{**GOOD, **change})


def test_push_needs_scopes_of_its_own_and_is_off_by_default() -> None:
    assert AthenahealthSettings(**GOOD).asked_scopes == READ_SCOPES
    pushing = AthenahealthSettings(**GOOD, push=True, webhook_secret="w")
    assert pushing.asked_scopes == (*READ_SCOPES, *PUSH_SCOPES)
    assert AthenahealthSettings(**GOOD, scopes=("a",)).asked_scopes == ("a",)


def test_the_default_leaves_a_closed_encounter_some_minutes_and_guards_against_billing_twice() -> None:
    settings = AthenahealthSettings(**GOOD)
    assert (settings.settle_seconds, settings.own_billing.value, settings.push) == (300, "hold", False)


def test_the_readme_lists_every_setting_with_its_description() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    for name, field in AthenahealthSettings.model_fields.items():
        assert field.description in readme, name
        assert f"| `{name}` |" in readme, name
