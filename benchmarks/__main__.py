"""Runs every benchmark with its defaults: one JSON object a line, or with `--json` one document of all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import build, cli, latency, memory, normalize, pure
from benchmarks.command import Benchmark, Document, document, print_json, run
from gateway.canonical.errors import ConfigurationError

ALL = (cli.BENCHMARK, build.BENCHMARK, normalize.BENCHMARK, pure.BENCHMARK, memory.BENCHMARK, latency.BENCHMARK)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them, the short ones first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one document instead of a line per benchmark")
    whole = parser.parse_args(arguments).json
    return run(_all(each_at_once=not whole), print_json if whole else lambda _: None)


async def _all(*, each_at_once: bool) -> Document:
    found = []
    for benchmark in ALL:
        found.append(await _measured(benchmark))
        if each_at_once:
            print_json(found[-1])
    return {"benchmarks": found}


async def _measured(benchmark: Benchmark) -> Document:
    """Its document; what cannot be measured on this machine keeps the others from nothing."""
    try:
        return await document(benchmark, [])
    except ConfigurationError as reason:
        return {"benchmark": benchmark.name, "not_measured": f"{reason.where}: {reason.problem}"}


if __name__ == "__main__":
    sys.exit(main())
