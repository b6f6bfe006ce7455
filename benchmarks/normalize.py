"""What each EHR adapter takes for one encounter: calls when it is warm, and microseconds of `normalize`.

The records are fetched from the vendor's simulator by the adapter itself. An EHR whose charges come as files (Practice
Fusion) is left out: without them nothing of it can be made canonical.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.command import Benchmark, Document, main_of, say
from benchmarks.figures import bar, spread
from benchmarks.pure import fetched
from benchmarks.rig import ISOLATED, PREFIX
from benchmarks.surroundings import surroundings
from gateway.canonical.errors import GatewayError
from gateway.canonical.models import EncounterRecord
from gateway.kit.contract_support import contract_context
from gateway.ports.context import utc_now
from gateway.ports.ehr import EhrAdapter, EhrAdapterInfo
from gateway.registry import EHR_GROUP, adapter_names, load_adapter
from gateway.sandbox.plan import CLINIC_ID, Sandbox, SandboxPlan, make_sandbox
from gateway.settings import load_settings

NORMALIZE_AT_MOST_MICROSECONDS = 3000.0


async def measure(options: argparse.Namespace) -> Document:
    """Every installed EHR adapter whose encounters hold their charges."""
    found: dict[str, Any] = {}
    for name in adapter_names(EHR_GROUP):
        info: EhrAdapterInfo = load_adapter(EHR_GROUP, name, "entry points")
        figures = await _figures(info, options)
        if figures is None:
            say(f"  {name}: not measured, its charges do not come with its encounters")
            continue
        say(f"  {name}: {figures['calls']} calls, {figures['normalize']['median']} us")
        found[name] = figures
    bars = [
        bar(f"{name}: normalize, median", figures["normalize"]["median"], NORMALIZE_AT_MOST_MICROSECONDS, "us")
        for name, figures in found.items()
    ]
    return {**surroundings(), "repeats": options.repeats, "adapters": found, "bars": bars}


async def _figures(info: EhrAdapterInfo, options: argparse.Namespace) -> dict[str, Any] | None:
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        plan = SandboxPlan(info.name, "kareo_tebra", options.encounters, options.seed, None, 0, 0)
        sandbox = make_sandbox(plan, directory=Path(name))
        adapter = _opened(info, sandbox, Path(name))
        try:
            records = await fetched(sandbox, adapter)
        finally:
            await adapter.aclose()
    good = [record for record in records if _is_good(adapter, record)]
    if not good:
        return None
    calls = statistics.median(record.calls for record in good[len(good) // 2 :])
    return {"encounters": len(good), "calls": calls, "normalize": _microseconds(adapter, good, options.repeats)}


def _opened(info: EhrAdapterInfo, sandbox: Sandbox, directory: Path) -> EhrAdapter:
    """The adapter as the sandbox's gateway opens it, with shared values in memory."""
    sandbox.write(directory)
    loaded = load_settings(directory / "gateway.yaml", {**sandbox.secrets, **ISOLATED})
    clinic = loaded.gateway.clinics[CLINIC_ID].facts(CLINIC_ID)
    settings = loaded.adapter_settings(info.settings, CLINIC_ID, "ehr", "ehr")
    return info.open(settings, replace(contract_context("ehr"), clinic=clinic, now=utc_now))


def _is_good(adapter: EhrAdapter, record: EncounterRecord) -> bool:
    try:
        adapter.normalize(record)
    except GatewayError:
        return False
    return True


def _microseconds(adapter: EhrAdapter, records: Sequence[EncounterRecord], repeats: int) -> dict[str, float]:
    means = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        for record in records:
            adapter.normalize(record)
        means.append((time.perf_counter() - started) / len(records) * 1e6)
    return spread(means[1:])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--encounters", type=int, default=60, help="encounters of the generated day (default 60)")
    parser.add_argument("--repeats", type=int, default=10, help="times that each is measured (default 10)")


BENCHMARK = Benchmark("normalize", "Calls and microseconds of each EHR adapter.", add_options, measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
