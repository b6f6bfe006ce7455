"""Resident memory of `gateway run`, API and worker in one process, after a part of a clinic day; Linux only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.command import Benchmark, Document, main_of, say
from benchmarks.figures import bar, spread_by_name
from benchmarks.processes import descendants, on_linux, pss_mb, status_mb
from benchmarks.rig import Rig, open_rig
from benchmarks.surroundings import surroundings
from gateway.canonical.errors import ConfigurationError
from gateway.sandbox.plan import SandboxPlan

AT_MOST_MB = 200


async def measure(options: argparse.Namespace) -> Document:
    """Every round with processes of its own."""
    if not on_linux():
        raise ConfigurationError("benchmarks.memory", "reads /proc.", "Run it on Linux.")
    plan = SandboxPlan("smart_fhir", "kareo_tebra", options.encounters, options.seed, None, 0.0, 0.0)
    rounds: list[dict[str, float]] = []
    postgres = ""
    for number in range(1, options.rounds + 1):
        async with open_rig(plan) as rig:
            postgres = await rig.postgres_version()
            rounds.append(await _round(rig, options))
        say(f"  round {number}: the gateway at most {rounds[-1]['gateway_peak_mb']:.1f} MB")
    found = spread_by_name(rounds)
    return {
        **surroundings(postgres),
        "rate_per_second": options.rate,
        "encounters": options.encounters,
        "rounds": options.rounds,
        "memory": found,
        "bars": [bar("peak resident memory of gateway run", found["gateway_peak_mb"]["median"], AT_MOST_MB, "MB")],
    }


async def _round(rig: Rig, options: argparse.Namespace) -> dict[str, float]:
    ready = status_mb(rig.gateway.pid, "VmRSS")
    await rig.sign(options.encounters, options.rate)
    await rig.settled(options.encounters)
    return {
        "gateway_ready_mb": ready,
        "gateway_resident_mb": status_mb(rig.gateway.pid, "VmRSS"),
        "gateway_peak_mb": status_mb(rig.gateway.pid, "VmHWM"),
        "postgres_pss_mb": sum(pss_mb(pid) for pid in descendants(rig.gateway.pid)),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--rate", type=float, default=20.0, help="encounters signed a second (default 20)")
    parser.add_argument("--encounters", type=int, default=300, help="encounters in each round (default 300)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with processes of their own (default 3)")


BENCHMARK = Benchmark("memory", "Resident memory of `gateway run` and of its Postgres.", add_options, measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
