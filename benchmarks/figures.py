"""The statistics that every benchmark reports."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 (interpolated between the neighbouring values) and max of at least one value, unrounded."""
    if not values:
        raise ValueError("there is nothing to take percentiles of")
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {**{name: cuts[percent - 1] for name, percent in PERCENTILES.items()}, "max": max(values)}


def spread(values: Iterable[float], digits: int = 1) -> dict[str, float]:
    """Median, min and max over repetitions, rounded."""
    found = list(values)
    summary = {"median": statistics.median(found), "min": min(found), "max": max(found)}
    return {name: round(value, digits) for name, value in summary.items()}


def spread_by_name(rounds: Sequence[Mapping[str, float]], digits: int = 1) -> dict[str, dict[str, float]]:
    """The spread over the rounds of each figure that the first round names."""
    return {name: spread((figures[name] for figures in rounds), digits) for name in rounds[0]}


def bar(what: str, value: float, at_most: float, unit: str) -> dict[str, Any]:
    """One claim to keep: passed when the value is not above the limit."""
    return {"what": what, "value": value, "at_most": at_most, "unit": unit, "pass": value <= at_most}
