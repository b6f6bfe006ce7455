"""What the operator's commands print is meant for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.operations import cell


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("confirmed_at", 1795619213.0, "2026-11-25T15:06:53Z"),
        ("ends_at", datetime(2026, 11, 25, 10, 6, 53, tzinfo=timezone(timedelta(hours=-5))), "2026-11-25T15:06:53Z"),
        ("updated_at", None, "-"),
        ("heard_seconds", 9.66, "9.7"),
        ("pending", False, "no"),
        ("missing", 0, "0"),
        ("since", datetime(2026, 3, 4, tzinfo=UTC), "2026-03-04T00:00:00Z"),
    ],
)
def test_instants_and_truths_are_told_in_words(name: str, value: Any, shown: str) -> None:
    assert cell(name, value) == shown
