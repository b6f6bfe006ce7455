"""How a benchmark is run from the command line: one JSON object or a table on standard output, progress on standard
error, everything cleaned up on SIGINT and SIGTERM too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.surroundings import load_average
from gateway.canonical.errors import ConfigurationError

Document = dict[str, Any]
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: `measure` takes the parsed options and gives its figures, JSON-ready."""

    name: str
    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], Awaitable[Document]]

    def parser(self) -> argparse.ArgumentParser:
        """The command's options."""
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}", description=self.summary)
        parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        parser.add_argument("--seed", type=int, default=1, help="seed of the generated clinic day (default 1)")
        self.add_options(parser)
        return parser


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


async def document(benchmark: Benchmark, arguments: Sequence[str]) -> Document:
    """Run a benchmark with command-line arguments; its figures with the command that gave them."""
    options = benchmark.parser().parse_args(arguments)
    shown = [argument for argument in arguments if argument != "--json"]
    head = {
        "benchmark": benchmark.name,
        "command": shlex.join(["python", "-m", f"benchmarks.{benchmark.name}", *shown, "--json"]),
        "seed": options.seed,
        "load_average_before": load_average(),
    }
    say(f"benchmarks.{benchmark.name} ...")
    return {**head, **await benchmark.measure(options)}


def main_of(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> int:
    """A benchmark's `main`: 0 when it measured (a missed bar is a result), 2 when it could not, 130 on Ctrl-C."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = benchmark.parser().parse_args(given)  # --help and mistakes end here
    return run(document(benchmark, given), print_json if options.json else print_table)


def run(measuring: Awaitable[Document], show: Callable[[Document], None]) -> int:
    """Measure, show what was found, and give the exit status."""
    try:
        found = asyncio.run(_until_told_to_stop(measuring))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted")
        return INTERRUPTED
    except ConfigurationError as mistake:
        say(f"{mistake.where}: {mistake.problem} {mistake.remedy}")
        return 2
    show(found)
    return 0


async def _until_told_to_stop(measuring: Awaitable[Document]) -> Document:
    """SIGTERM ends it as Ctrl-C does: by cancelling, so that every `finally` runs."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measuring


def print_json(found: Document) -> None:
    """One JSON object on one line."""
    print(json.dumps(found), flush=True)


def print_table(found: Document) -> None:
    """The figures as rows of path and value, the bars below."""
    table = Table("figure", "value", title=found["benchmark"])
    for name, value in flattened({key: value for key, value in found.items() if key != "bars"}):
        table.add_row(name, value)
    for claim in found.get("bars", ()):
        verdict = "pass" if claim["pass"] else "MISSED"
        table.add_row(claim["what"], f"{claim['value']} {claim['unit']}, bar {claim['at_most']}: {verdict}")
    Console().print(table)


def flattened(value: Any, path: str = "") -> list[tuple[str, str]]:
    """The leaves of nested objects and lists with their dotted paths; a spread or a row of percentiles is one leaf."""
    if isinstance(value, dict) and value.keys() == {"median", "min", "max"}:
        return [(path, f"{value['median']}  ({value['min']} to {value['max']})")]
    if isinstance(value, dict) and "p50" in value:
        return [(path, ", ".join(f"{name} {each['median']}" for name, each in value.items()))]
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, inner in parts for leaf in flattened(inner, f"{path}.{key}".lstrip("."))]
    return [(path, ", ".join(map(str, value)) if isinstance(value, list) else str(value))]
