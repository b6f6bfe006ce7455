"""Wall time of `gateway --help`, and how long `gateway run` takes on an existing database until it is ready.

Ready time is from the start of the process to the first 200 of /health/ready, the start of the embedded Postgres and
the check of the migrations in it. No vendor is reachable meanwhile: readiness does not wait for vendors.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.command import Benchmark, Document, main_of, say
from benchmarks.figures import bar, spread
from benchmarks.rig import PREFIX, gateway_child
from benchmarks.surroundings import surroundings
from gateway.canonical.errors import ConfigurationError
from gateway.sandbox.plan import Sandbox, SandboxPlan, make_sandbox
from gateway.sandbox.waiting import is_ready, until

HELP_AT_MOST_SECONDS = 0.3
READY_POLL_SECONDS = 0.005


async def measure(options: argparse.Namespace) -> Document:
    """Both, after one run each that does not count: it fills the caches of a fresh checkout and makes the database."""
    await _help_seconds()
    helps = [await _help_seconds() for _ in range(options.runs)]
    say(f"  gateway --help: {spread(helps, 3)['median']} s")
    ready = await _ready(options)
    say(f"  gateway run: ready after {spread(ready, 3)['median']} s")
    found = {"help_seconds": spread(helps, 3), "ready_seconds": spread(ready, 3)}
    return {
        **surroundings(),
        "help_runs": options.runs,
        "ready_runs": options.starts,
        **found,
        "bars": [bar("gateway --help, median", found["help_seconds"]["median"], HELP_AT_MOST_SECONDS, "s")],
    }


async def _help_seconds() -> float:
    command = Path(sys.executable).with_name("gateway")
    if not command.exists():
        raise ConfigurationError(str(command), "is not there.", "Install the gateway into this Python's environment.")
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(command, "--help", stdout=asyncio.subprocess.DEVNULL)
    status = await process.wait()
    seconds = time.perf_counter() - started
    if status:
        raise ConfigurationError("gateway --help", f"ended with status {status}.", "Mend the installation.")
    return seconds


async def _ready(options: argparse.Namespace) -> list[float]:
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        sandbox = make_sandbox(SandboxPlan("smart_fhir", "kareo_tebra", 1, options.seed, None, 0.0, 0.0))
        sandbox.write(Path(name))
        await _ready_seconds(Path(name), sandbox)
        return [await _ready_seconds(Path(name), sandbox) for _ in range(options.starts)]


async def _ready_seconds(directory: Path, sandbox: Sandbox) -> float:
    gateway = gateway_child(directory, sandbox.secrets)
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            started = time.perf_counter()
            await gateway.start()
            await until("gateway run", gateway, lambda: is_ready(http, sandbox.gateway_url), every=READY_POLL_SECONDS)
            return time.perf_counter() - started
        finally:
            await gateway.stop()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--runs", type=int, default=15, help="runs of gateway --help (default 15)")
    parser.add_argument("--starts", type=int, default=7, help="starts of gateway run (default 7)")


BENCHMARK = Benchmark("cli", "Time of `gateway --help`, and of `gateway run` until ready.", add_options, measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
