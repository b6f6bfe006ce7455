"""The README tells of every setting, key, fact and function."""

from __future__ import annotations

import pathlib

import pytest

from adapters.billing.http_api import expressions
from adapters.billing.http_api.authentication import Auth
from adapters.billing.http_api.description import (
    Correction,
    Corrections,
    Description,
    ErrorWord,
    Find,
    Idempotency,
    Outcome,
    Probe,
    Reply,
    Submit,
)
from adapters.billing.http_api.facts import FACTS
from adapters.billing.http_api.settings import HttpApiSettings

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text("utf-8")
MODELS = {
    "": Description,
    "auth.": Auth,
    "submit.": Submit,
    "idempotency.": Idempotency,
    "reply.": Reply,
    "error_codes.<code>.": ErrorWord,
    "find.": Find,
    "outcome.": Outcome,
    "probe.": Probe,
    "corrections.": Corrections,
    "corrections.<verb>.": Correction,
}
PARTS = {"auth", "submit", "idempotency", "reply", "find", "outcome", "probe", "corrections"}
SAME = {"coverage": "insurance", "other_insurance": "insurance"}
SAME |= dict.fromkeys(
    ("referring_provider", "supervising_provider", "ordering_provider", "care_team"), "rendering_provider"
)


@pytest.mark.parametrize("prefix", MODELS)
def test_every_key(prefix: str) -> None:
    for name, field in MODELS[prefix].model_fields.items():
        if not prefix and name in PARTS:
            continue
        assert f"| `{prefix}{name}` |" in README, prefix + name
        assert field.description
        assert field.description in README, prefix + name


def test_every_setting() -> None:
    for name, field in HttpApiSettings.model_fields.items():
        assert f"| `{name}` |" in README
        assert field.description
        assert field.description in README


@pytest.mark.parametrize("scope", FACTS)
def test_every_fact(scope: str) -> None:
    for member, fact in FACTS[scope].items():
        told = scope if member == "role" else SAME.get(scope, scope)
        assert f"| `{told}.{member}`{' *' if fact.essential else ''} |" in README, f"{scope}.{member}"


def test_every_function() -> None:
    for name in (row.name() for row in expressions._environment_functions() if callable(getattr(row, "name", None))):
        assert f"`{name}(" in README
    for name in ("digits", "upper", "date", "at", "add", "times", "less"):
        assert f"`{name}(" in README
