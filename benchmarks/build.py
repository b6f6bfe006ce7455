"""Microseconds that each billing adapter takes to build one claim, over those of the ten samples that it carries.

A connection that batches is also measured with its batches: building and enclosing a hundred claims, per claim.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.command import Benchmark, Document, main_of, say
from benchmarks.figures import bar, spread
from benchmarks.surroundings import surroundings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency, VendorPayload
from gateway.dry_connection import sample_connection
from gateway.kit.samples import SAMPLES, sample
from gateway.ports.billing import BillingAdapter
from gateway.registry import BILLING_GROUP, adapter_names, load_adapter

BUILD_AT_MOST_MICROSECONDS = 1000.0
BATCHED_AT_MOST_MICROSECONDS = 300.0
BATCH = 100
MADE_AT = datetime(2026, 3, 4, 14, 12, tzinfo=UTC)


async def measure(options: argparse.Namespace) -> Document:
    """Every installed billing adapter."""
    found: dict[str, Any] = {}
    bars = []
    for name in adapter_names(BILLING_GROUP):
        info = load_adapter(BILLING_GROUP, name, "entry points")
        with sample_connection(info, sample("office_visit")) as link:
            adapter = link.open()
            figures = _figures(adapter, options.repeats)
            await adapter.aclose()
        say(f"  {name}: {figures['build']['median']} us")
        found[name] = figures
        bars.append(bar(f"{name}: build, median", figures["build"]["median"], BUILD_AT_MOST_MICROSECONDS, "us"))
        if "batched" in figures:
            what = f"{name}: in batches of {BATCH}, a claim, median"
            bars.append(bar(what, figures["batched"]["median"], BATCHED_AT_MOST_MICROSECONDS, "us"))
    return {**surroundings(), "repeats": options.repeats, "microseconds": found, "bars": bars}


def _figures(adapter: BillingAdapter, repeats: int) -> dict[str, Any]:
    claims = _carried(adapter)
    figures: dict[str, Any] = {
        "samples": len(claims),
        "build": _per_claim(
            lambda: [adapter.build(claim, "GWBENCHMARK00001") for claim in claims], len(claims), repeats
        ),
    }
    if adapter.batch is not None:
        many = [claims[i % len(claims)] for i in range(BATCH)]
        figures["batched"] = _per_claim(lambda: _enclosed(adapter, many), BATCH, repeats)
    return figures


def _carried(adapter: BillingAdapter) -> list[ClaimBundle]:
    claims = [claim for claim in map(sample, SAMPLES) if claim.frequency is ClaimFrequency.ORIGINAL]
    return [claim for claim in claims if _builds(adapter, claim)]


def _builds(adapter: BillingAdapter, claim: ClaimBundle) -> bool:
    try:
        adapter.build(claim, "GWBENCHMARK00001")
    except (UnsupportedElement, MappingError):
        return False
    return True


def _enclosed(adapter: BillingAdapter, claims: Sequence[ClaimBundle]) -> VendorPayload:
    payloads = [adapter.build(claim, f"GWBENCHMARK{n:05d}") for n, claim in enumerate(claims)]
    return adapter.enclose(payloads, 1, MADE_AT)


def _per_claim(work: Callable[[], object], claims: int, repeats: int) -> dict[str, float]:
    """The spread of the mean per claim over the repeats, after two that do not count."""
    means = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        work()
        means.append((time.perf_counter() - started) / claims * 1e6)
    return spread(means[2:])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--repeats", type=int, default=30, help="times that each adapter is measured (default 30)")


BENCHMARK = Benchmark("build", "Microseconds per claim of every billing adapter's build.", add_options, measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
